// Verbs and their names follow k8s.io/apiserver's request info.
#include "tinf/api/fleet_question.h"

#include <algorithm>

#include "tinf/api/fleet_form.h"
#include "tinf/api/resource_type.h"
#include "tinf/object/text.h"

namespace tinf::api {
namespace {

std::string verb_of(std::string_view method, const ResourcePath& path, const Query& query) {
  if (method == "GET" || method == "HEAD") {
    if (!path.name.empty()) return "get";
    return query.is_true("watch") ? "watch" : "list";
  }
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return path.name.empty() ? "deletecollection" : "delete";
  return {};
}

}  // namespace

FleetPath FleetPath::parse(std::string_view path) {
  FleetPath parsed;
  if (path.starts_with(kClusters)) {
    const auto end = std::min(path.find('/', kClusters.size()), path.size());
    parsed.cluster = path.substr(kClusters.size(), end - kClusters.size());
    path.remove_prefix(end);
  }
  parsed.path = path;
  return parsed;
}

AccessQuestion question_about(std::string verb, const Resource& resource, std::string_view subresource,
                              const std::optional<std::string>& in_cluster, std::string_view told_namespace,
                              std::string_view told_name) {
  AccessQuestion question;
  question.verb = std::move(verb);
  question.group = resource.group;
  question.resource = resource.name;
  if (!subresource.empty()) question.resource += "/" + std::string(subresource);
  question.cluster = in_cluster;
  question.namespace_name = question.told_namespace = told_namespace;
  question.name = question.told_name = told_name;
  if (!in_cluster) {
    auto& place = told_namespace.empty() ? question.name : question.namespace_name;
    if (auto parts = fleet_namespace(place)) {
      question.cluster = std::move(parts->first);
      place = std::move(parts->second);
    } else {
      place.clear();
    }
  }
  // As of Kubernetes' roles: who may get a namespace may be told so for that one alone.
  if (resource.group.empty() && resource.name == namespaces_resource().name && told_namespace.empty()) {
    question.namespace_name = question.name;
    question.told_namespace = told_name;
  }
  return question;
}

AccessQuestion question_of(std::string_view method, const Target& target) {
  const auto fleet = FleetPath::parse(target.path);
  const auto path = ResourcePath::parse(fleet.path);
  if (path) {
    return question_about(verb_of(method, *path, target.query), path->resource, path->subresource, fleet.cluster,
                          path->namespace_name, path->name);
  }
  AccessQuestion question;
  question.verb = lower_case(std::string(method));
  question.path = target.path;
  question.cluster = fleet.cluster;
  return question;
}

}  // namespace tinf::api
