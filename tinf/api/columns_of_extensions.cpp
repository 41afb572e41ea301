// What an API server is extended with, and what governs its requests, certificates and devices.
#include <chrono>

#include "tinf/api/column.h"
#include "tinf/api/columns.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

json::value service_of_api(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "service"})) return "Local";
  return text(string_at(o, {"spec", "service", "namespace"}) + "/" + string_at(o, {"spec", "service", "name"}));
}

json::value is_available(const Tree& o, WallTime) {
  for (const auto& condition : list_at(o, {"status", "conditions"})) {
    if (json_string_at(condition, {"type"}) != "Available") continue;
    const std::string status = string_at(condition, {"status"});
    const std::string reason = string_at(condition, {"reason"});
    return text(status == "True" || reason.empty() ? status : status + " (" + reason + ")");
  }
  return "Unknown";
}

json::value policy_parameters(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "paramKind"})) return "<unset>";
  return text(string_at(o, {"spec", "paramKind", "apiVersion"}) + "/" + string_at(o, {"spec", "paramKind", "kind"}));
}

json::value binding_parameters(const Tree& o, WallTime) {
  const std::string name = string_at(o, {"spec", "paramRef", "name"});
  const std::string space = string_at(o, {"spec", "paramRef", "namespace"});
  return name.empty() ? json::value("<unset>") : text((space.empty() ? "*" : space) + "/" + name);
}

json::value is_dangling(const Tree& o, WallTime) {
  for (const auto& condition : list_at(o, {"status", "conditions"})) {
    if (json_string_at(condition, {"type"}) == "Dangling") return text(json_string_at(condition, {"status"}));
  }
  return "?";
}

template <Word... kPath>
json::value number_or_none(const Tree& o, WallTime) {
  const Tree* number = json_at(o, {"spec", "limited", kPath.view()...});
  return number != nullptr && number->is_number() ? *number : json::value("<none>");
}

// A number inside what may be missing as a whole, where it has the value that goes without saying.
template <Word kField>
json::value queuing_number(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "limited", "limitResponse", "queuing"})) return "<none>";
  return json_integer_at(o, {"spec", "limited", "limitResponse", "queuing", kField.view()});
}

json::value requested_duration(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "expirationSeconds"})) return "<none>";
  return text(human_duration(std::chrono::seconds(json_integer_at(o, {"spec", "expirationSeconds"}))));
}

json::value request_condition(const Tree& o, WallTime) {
  const auto is = [&](std::string_view type) {
    return std::ranges::any_of(list_at(o, {"status", "conditions"}),
                               [&](const Tree& condition) { return json_string_at(condition, {"type"}) == type; });
  };
  std::string status = is("Denied") ? "Denied" : is("Approved") ? "Approved" : "Pending";
  if (is("Failed")) status += ",Failed";
  if (!json_string_at(o, {"status", "certificate"}).empty()) status += ",Issued";
  return text(status);
}

json::value device_claim_state(const Tree& o, WallTime) {
  const bool is_deleted = is_at(o, {"metadata", "deletionTimestamp"});
  const bool is_allocated = is_at(o, {"status", "allocation"});
  std::vector<std::string> states;
  if (is_deleted) states.emplace_back("deleted");
  if (is_allocated) states.emplace_back("allocated");
  if (!is_allocated && !is_deleted) states.emplace_back("pending");
  if (is_allocated && !list_at(o, {"status", "reservedFor"}).empty()) states.emplace_back("reserved");
  return text(joined(states));
}

Columns webhook_columns() {
  return {kName, {"Webhooks", "integer", 0, count_cell<"webhooks">}, kAge};
}

Columns policy_binding_columns() {
  return {kName,
          {"PolicyName", "string", 0, text_cell<"spec", "policyName">},
          {"ParamRef", "string", 0, binding_parameters},
          kAge};
}

}  // namespace

const ColumnTable& columns_of_extensions() {
  static const ColumnTable columns{
      {"customresourcedefinitions.apiextensions.k8s.io", {kName, kCreatedAt}},
      {"apiservices.apiregistration.k8s.io",
       {kName, {"Service", "string", 0, service_of_api}, {"Available", "string", 0, is_available}, kAge}},
      {"mutatingwebhookconfigurations.admissionregistration.k8s.io", webhook_columns()},
      {"validatingwebhookconfigurations.admissionregistration.k8s.io", webhook_columns()},
      {"validatingadmissionpolicies.admissionregistration.k8s.io",
       {kName,
        {"Validations", "integer", 0, count_cell<"spec", "validations">},
        {"ParamKind", "string", 0, policy_parameters},
        kAge}},
      {"mutatingadmissionpolicies.admissionregistration.k8s.io",
       {kName,
        {"Mutations", "integer", 0, count_cell<"spec", "mutations">},
        {"ParamKind", "string", 0, policy_parameters},
        kAge}},
      {"validatingadmissionpolicybindings.admissionregistration.k8s.io", policy_binding_columns()},
      {"mutatingadmissionpolicybindings.admissionregistration.k8s.io", policy_binding_columns()},
      {"flowschemas.flowcontrol.apiserver.k8s.io",
       {kName,
        {"PriorityLevel", "string", 0, text_cell<"spec", "priorityLevelConfiguration", "name">},
        {"MatchingPrecedence", "string", 0, number_cell<"spec", "matchingPrecedence">},
        {"DistinguisherMethod", "string", 0, text_cell_or<"<none>", "spec", "distinguisherMethod", "type">},
        kAge,
        {"MissingPL", "string", 0, is_dangling}}},
      {"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
       {kName,
        {"Type", "string", 0, text_cell<"spec", "type">},
        {"NominalConcurrencyShares", "string", 0, number_or_none<"nominalConcurrencyShares">},
        {"Queues", "string", 0, queuing_number<"queues">},
        {"HandSize", "string", 0, queuing_number<"handSize">},
        {"QueueLengthLimit", "string", 0, queuing_number<"queueLengthLimit">},
        kAge}},
      {"certificatesigningrequests.certificates.k8s.io",
       {kName,
        kAge,
        {"SignerName", "string", 0, text_cell_or<"<none>", "spec", "signerName">},
        {"Requestor", "string", 0, text_cell<"spec", "username">},
        {"RequestedDuration", "string", 0, requested_duration},
        {"Condition", "string", 0, request_condition}}},
      {"deviceclasses.resource.k8s.io", {kName, kAge}},
      {"resourceclaims.resource.k8s.io", {kName, {"State", "string", 0, device_claim_state}, kAge}},
      {"resourceclaimtemplates.resource.k8s.io", {kName, kAge}},
      {"resourceslices.resource.k8s.io",
       {kName,
        {"Node", "string", 0, text_cell<"spec", "nodeName">},
        {"Driver", "string", 0, text_cell<"spec", "driver">},
        {"Pool", "string", 0, text_cell<"spec", "pool", "name">},
        kAge}},
  };
  return columns;
}

}  // namespace tinf::api
