// Nodes, namespaces, what is configured, what has happened, and who may do what.
#include <set>

#include "tinf/api/column.h"
#include "tinf/api/columns.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

json::value node_status(const Tree& o, WallTime) {
  std::string status = "Unknown";
  for (const auto& condition : list_at(o, {"status", "conditions"})) {
    if (json_string_at(condition, {"type"}) == "Ready") {
      status = json_string_at(condition, {"status"}) == "True" ? "Ready" : "NotReady";
    }
  }
  return text(status + (is_true_at(o, {"spec", "unschedulable"}) ? ",SchedulingDisabled" : ""));
}

json::value node_roles(const Tree& o, WallTime) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  if (const Tree* labels = json_at(o, {"metadata", "labels"}); labels != nullptr && labels->is_object()) {
    for (const auto& label : labels->get_object()) {
      const std::string_view key(label.key().data(), label.key().size());
      if (key.starts_with(kPrefix)) roles.emplace(key.substr(kPrefix.size()));
      if (key == "kubernetes.io/role" && label.value().is_string()) roles.emplace(label.value().get_string());
    }
  }
  return text_or(joined({roles.begin(), roles.end()}), "<none>");
}

template <Word kType>
json::value node_address(const Tree& o, WallTime) {
  for (const auto& address : list_at(o, {"status", "addresses"})) {
    if (json_string_at(address, {"type"}) == kType.view()) return text(json_string_at(address, {"address"}));
  }
  return "<none>";
}

json::value config_map_data(const Tree& o, WallTime) {
  return static_cast<std::int64_t>(count_at(o, {"data"}) + count_at(o, {"binaryData"}));
}

// Where an event says what it says: in the core group, and in events.k8s.io.
struct EventFields {
  std::string_view object, message, first, last, count, source, controller;
};
constexpr EventFields kCoreEvent{"involvedObject", "message", "firstTimestamp",    "lastTimestamp",
                                 "count",          "source",  "reportingComponent"};
constexpr EventFields kNewEvent{"regarding",
                                "note",
                                "deprecatedFirstTimestamp",
                                "deprecatedLastTimestamp",
                                "deprecatedCount",
                                "deprecatedSource",
                                "reportingController"};

template <const EventFields& kFields>
json::value event_first_seen(const Tree& o, WallTime now) {
  const auto first = json_string_at(o, {kFields.first});
  return age_since(first.empty() ? json_string_at(o, {"eventTime"}) : first, now);
}

template <const EventFields& kFields>
json::value event_last_seen(const Tree& o, WallTime now) {
  if (is_at(o, {"series"})) return age_since(json_string_at(o, {"series", "lastObservedTime"}), now);
  const auto last = json_string_at(o, {kFields.last});
  return last.empty() ? event_first_seen<kFields>(o, now) : age_since(last, now);
}

template <const EventFields& kFields>
json::value event_count(const Tree& o, WallTime) {
  if (is_at(o, {"series"})) return json_integer_at(o, {"series", "count"});
  const auto count = json_integer_at(o, {kFields.count});
  return count == 0 ? 1 : count;  // Of a single one it is not said.
}

template <const EventFields& kFields>
json::value event_object(const Tree& o, WallTime) {
  const std::string name = string_at(o, {kFields.object, "name"});
  return text(lower_case(string_at(o, {kFields.object, "kind"})) + (name.empty() ? "" : "/" + name));
}

template <const EventFields& kFields>
json::value event_subobject(const Tree& o, WallTime) {
  return text(json_string_at(o, {kFields.object, "fieldPath"}));
}

template <const EventFields& kFields>
json::value event_source(const Tree& o, WallTime) {
  const auto either = [](std::string one, std::string other) { return one.empty() ? other : one; };
  const auto who = either(string_at(o, {kFields.source, "component"}), string_at(o, {kFields.controller}));
  const auto where = either(string_at(o, {kFields.source, "host"}), string_at(o, {"reportingInstance"}));
  return text(who + (where.empty() ? "" : ", " + where));
}

template <const EventFields& kFields>
json::value event_message(const Tree& o, WallTime) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  auto message = json_string_at(o, {kFields.message});
  message.remove_prefix(std::min(message.find_first_not_of(kBlanks), message.size()));
  message = message.substr(0, message.find_last_not_of(kBlanks) + 1);
  return text(message);
}

template <const EventFields& kFields>
Columns event_columns() {
  return {{"Last Seen", "string", 0, event_last_seen<kFields>}, {"Type", "string", 0, text_cell<"type">},
          {"Reason", "string", 0, text_cell<"reason">},         {"Object", "string", 0, event_object<kFields>},
          {"Subobject", "string", 1, event_subobject<kFields>}, {"Source", "string", 1, event_source<kFields>},
          {"Message", "string", 0, event_message<kFields>},     {"First Seen", "string", 1, event_first_seen<kFields>},
          {"Count", "string", 1, event_count<kFields>},         {"Name", "string", 1, name_cell, "name"}};
}

template <bool kLimits>
json::value quota(const Tree& o, WallTime) {
  const Tree* hard = json_at(o, {"status", "hard"});
  if (hard == nullptr || !hard->is_object()) return "";
  std::map<std::string, std::string> sorted;
  for (const auto& entry : hard->get_object()) {
    const std::string key(entry.key());
    if (key.starts_with("limits.") != kLimits) continue;
    const std::string used = scalar_at(o, {"status", "used", key});
    sorted[key] = key + ": " + (used.empty() ? "0" : used) + "/" + scalar_at(entry.value(), {});
  }
  std::vector<std::string> parts;
  for (auto& [key, words] : sorted) parts.push_back(std::move(words));
  return text(joined(parts, ", "));
}

json::value role(const Tree& o, WallTime) {
  return text(string_at(o, {"roleRef", "kind"}) + "/" + string_at(o, {"roleRef", "name"}));
}

template <Word kKind>
json::value subjects(const Tree& o, WallTime) {
  std::vector<std::string> names;
  for (const auto& subject : list_at(o, {"subjects"})) {
    if (json_string_at(subject, {"kind"}) != kKind.view()) continue;
    const bool has_namespace = kKind.view() == "ServiceAccount";
    names.push_back((has_namespace ? string_at(subject, {"namespace"}) + "/" : "") + string_at(subject, {"name"}));
  }
  return text(joined(names, ", "));
}

Columns binding_columns() {
  return {kName,
          {"Role", "string", 0, role},
          kAge,
          {"Users", "string", 1, subjects<"User">},
          {"Groups", "string", 1, subjects<"Group">},
          {"ServiceAccounts", "string", 1, subjects<"ServiceAccount">}};
}

}  // namespace

const ColumnTable& columns_of_cluster() {
  static const ColumnTable columns{
      {"nodes",
       {kName,
        {"Status", "string", 0, node_status},
        {"Roles", "string", 0, node_roles},
        kAge,
        {"Version", "string", 0, text_cell<"status", "nodeInfo", "kubeletVersion">},
        {"Internal-IP", "string", 1, node_address<"InternalIP">},
        {"External-IP", "string", 1, node_address<"ExternalIP">},
        {"OS-Image", "string", 1, text_cell_or<"<unknown>", "status", "nodeInfo", "osImage">},
        {"Kernel-Version", "string", 1, text_cell_or<"<unknown>", "status", "nodeInfo", "kernelVersion">},
        {"Container-Runtime", "string", 1,
         text_cell_or<"<unknown>", "status", "nodeInfo", "containerRuntimeVersion">}}},
      {"namespaces", {kName, {"Status", "string", 0, text_cell<"status", "phase">}, kAge}},
      {"configmaps", {kName, {"Data", "string", 0, config_map_data}, kAge}},
      {"secrets", {kName, {"Type", "string", 0, text_cell<"type">}, {"Data", "string", 0, count_cell<"data">}, kAge}},
      {"serviceaccounts", {kName, {"Secrets", "string", 0, count_cell<"secrets">}, kAge}},
      {"events", event_columns<kCoreEvent>()},
      {"events.events.k8s.io", event_columns<kNewEvent>()},
      {"limitranges", {kName, kCreatedAt}},
      {"resourcequotas", {kName, {"Request", "string", 0, quota<false>}, {"Limit", "string", 0, quota<true>}, kAge}},
      {"priorityclasses.scheduling.k8s.io",
       {kName,
        {"Value", "integer", 0, number_cell<"value">},
        {"Global-Default", "boolean", 0, bool_cell<"globalDefault">},
        kAge,
        {"PreemptionPolicy", "string", 0, text_cell<"preemptionPolicy">}}},
      {"runtimeclasses.node.k8s.io", {kName, {"Handler", "string", 0, text_cell<"handler">}, kAge}},
      {"leases.coordination.k8s.io", {kName, {"Holder", "string", 0, text_cell<"spec", "holderIdentity">}, kAge}},
      {"roles.rbac.authorization.k8s.io", {kName, kCreatedAt}},
      {"clusterroles.rbac.authorization.k8s.io", {kName, kCreatedAt}},
      {"rolebindings.rbac.authorization.k8s.io", binding_columns()},
      {"clusterrolebindings.rbac.authorization.k8s.io", binding_columns()},
  };
  return columns;
}

}  // namespace tinf::api
