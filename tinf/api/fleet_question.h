// From a request to what it asks for of a fleet: before anything is looked up, so that a refusal tells nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/api/authorization_policy.h"
#include "tinf/api/request.h"

namespace tinf::api {

inline constexpr std::string_view kClusters = "/clusters/";

// A path of the fleet: of which cluster, and what stands behind it.
struct FleetPath {
  std::optional<std::string> cluster;  // Nothing: of all.
  std::string path;

  static FleetPath parse(std::string_view path);
};

// What `method` and `target` ask for. A place that names no cluster is asked for as all of the fleet is: nothing stands
// there.
AccessQuestion question_of(std::string_view method, const Target& target);

// The same of what was named otherwise than by a path: `in_cluster` is the path's, `told_namespace` as clients name it.
AccessQuestion question_about(std::string verb, const Resource& resource, std::string_view subresource,
                              const std::optional<std::string>& in_cluster, std::string_view told_namespace,
                              std::string_view told_name);

}  // namespace tinf::api
