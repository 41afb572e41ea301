// Shapes: authorization.k8s.io/v1 SelfSubjectAccessReview and SelfSubjectRulesReview, authentication.k8s.io/v1
// SelfSubjectReview.
#include "tinf/api/access_review.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "tinf/api/body.h"
#include "tinf/api/fleet_form.h"
#include "tinf/api/fleet_question.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr std::string_view kAuthorization = "authorization.k8s.io";
constexpr std::string_view kAuthentication = "authentication.k8s.io";
constexpr std::string_view kAccessReviews = "selfsubjectaccessreviews";
constexpr std::string_view kRulesReviews = "selfsubjectrulesreviews";
constexpr std::string_view kReviews = "selfsubjectreviews";

std::string text_at(const json::value& tree, std::initializer_list<std::string_view> path) {
  return std::string(json_string_at(tree, path));
}

json::array strings(const std::vector<std::string>& values) {
  json::array list;
  for (const auto& value : values) list.push_back(json::value(value));
  return list;
}

AccessQuestion asked_about(const json::value& tree, const std::optional<std::string>& cluster,
                           const IsNamespaced& is_namespaced) {
  const auto of = [&](std::string_view name) { return text_at(tree, {"spec", "resourceAttributes", name}); };
  const Resource resource{of("group"), of("version"), of("resource")};
  std::string told_namespace = of("namespace");
  // kubectl says the context's namespace whatever it asks for.
  const bool outside = is_namespaced(resource) == std::optional(false);
  const bool of_namespaces = resource.group.empty() && resource.name == "namespaces";
  if (outside || of_namespaces) told_namespace.clear();
  return question_about(of("verb"), resource, of("subresource"), cluster, told_namespace, of("name"));
}

json::object access_status(const json::value& tree, const std::optional<std::string>& cluster, const Access& access,
                           const IsNamespaced& is_namespaced) {
  AccessQuestion question;
  if (json_at(tree, {"spec", "nonResourceAttributes"}) != nullptr) {
    question.verb = text_at(tree, {"spec", "nonResourceAttributes", "verb"});
    question.path = text_at(tree, {"spec", "nonResourceAttributes", "path"});
  } else {
    question = asked_about(tree, cluster, is_namespaced);
  }
  const bool is_open = question.verb == "get" && is_document(question.path);
  const auto decision = access.decide(question);
  json::object status{{"allowed", decision.allowed || is_open}};
  if (!decision.rule.empty()) {
    status["reason"] = readable(reason(question, decision));
  } else if (!decision.allowed && !is_open) {
    status["reason"] = readable(refusal(access.who(), question));
  }
  return status;
}

json::object resource_rule(json::array verbs, json::array groups, json::array resources) {
  return json::object{
      {"verbs", std::move(verbs)}, {"apiGroups", std::move(groups)}, {"resources", std::move(resources)}};
}

json::object path_rule(json::array paths) {
  return json::object{{"verbs", json::array{"get"}}, {"nonResourceURLs", std::move(paths)}};
}

json::object rules_status(const json::value& tree, const std::optional<std::string>& in_cluster, const Access& access) {
  std::optional<std::string> cluster = in_cluster;
  std::string in_namespace = text_at(tree, {"spec", "namespace"});
  if (!cluster) {
    auto parts = fleet_namespace(in_namespace);
    if (parts) cluster = std::move(parts->first);
    in_namespace = parts ? std::move(parts->second) : std::string();
  }
  json::array resources{
      resource_rule({"create"}, {"authorization.k8s.io"}, {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}),
      resource_rule({"create"}, {"authentication.k8s.io"}, {"selfsubjectreviews"})};
  json::array paths{path_rule(
      {"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/healthz", "/livez", "/readyz"})};
  if (access.is_to_everything()) resources.push_back(resource_rule({"get", "list", "watch"}, {"*"}, {"*"}));
  bool has_secrets = true;
  for (const auto* rule : access.rules()) {
    if (!rule->paths.empty()) {
      paths.push_back(path_rule(strings(rule->paths)));
      continue;
    }
    if (cluster && !rule->has_cluster(*cluster)) continue;
    if (!rule->has_namespace(in_namespace)) continue;
    const bool all_verbs = std::ranges::find(rule->verbs, "*") != rule->verbs.end();
    resources.push_back(resource_rule(all_verbs ? json::array{"get", "list", "watch"} : strings(rule->verbs),
                                      strings(rule->api_groups), strings(rule->resources)));
    if (rule->has_resource("", "pods") && !rule->has_resource("", "secrets")) has_secrets = false;
  }
  json::object status{{"resourceRules", std::move(resources)}, {"nonResourceRules", std::move(paths)}};
  status["incomplete"] = !has_secrets;
  if (!has_secrets) status["evaluationError"] = "secrets are none of *: a rule gives them by name";
  return status;
}

json::object who_status(const Access& access) {
  const Identity& who = access.who();
  json::object user{{"username", readable(who.user)}};
  if (!who.uid.empty()) user["uid"] = readable(who.uid);
  json::array groups;
  for (const auto& group : who.groups) groups.push_back(json::value(readable(group)));
  user["groups"] = std::move(groups);
  return json::object{{"userInfo", std::move(user)}};
}

}  // namespace

bool is_document(std::string_view path) {
  for (const std::string_view name : {"/api", "/apis", "/openapi"}) {
    if (path == name || (path.starts_with(name) && path[name.size()] == '/')) return true;
  }
  return path == "/" || path == "/version";
}

bool is_review(const std::string& method, const ResourcePath& path) {
  if (method != "POST" || path.in_namespace || !path.name.empty() || path.resource.version != "v1") return false;
  if (path.resource.group == kAuthentication) return path.resource.name == kReviews;
  return path.resource.group == kAuthorization &&
         (path.resource.name == kAccessReviews || path.resource.name == kRulesReviews);
}

ApiResponse review(const ApiRequest& request, const ResourcePath& path, const std::optional<std::string>& cluster,
                   const Access& access, const IsNamespaced& is_namespaced) {
  auto tree = body_tree(request);
  if (!tree) return ApiResponse(tree.error());
  if (!tree->is_object()) return ApiResponse(Status::bad_request("a review is an object"));
  json::object& answer = tree->get_object();
  if (path.resource.name == kReviews) {
    answer["status"] = who_status(access);
  } else if (path.resource.name == kRulesReviews) {
    answer["status"] = rules_status(*tree, cluster, access);
  } else {
    const bool about_something = json_at(*tree, {"spec", "resourceAttributes"}) != nullptr ||
                                 json_at(*tree, {"spec", "nonResourceAttributes"}) != nullptr;
    if (!about_something) return ApiResponse(Status::bad_request("spec names neither a resource nor a path"));
    answer["status"] = access_status(*tree, cluster, access, is_namespaced);
  }
  ApiResponse response(json_text(*tree));
  response.status = 201;
  return response;
}

}  // namespace tinf::api
