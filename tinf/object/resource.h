// Which collection of objects: resource, and the part of it that is asked for.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/base/result.h"

namespace tinf {

// group/version/resource as discovery names them: {"apps", "v1", "deployments"}; the core group is "".
struct Resource {
  std::string group;
  std::string version;
  std::string name;  // The plural, lower case.

  auto operator<=>(const Resource&) const = default;

  // "deployments.apps", "configmaps": kubectl's short spelling, without the version.
  std::string group_resource() const;
  // "apps/v1" or "v1", as objects write it in apiVersion.
  std::string api_version() const;
};

// One resource as discovery describes it.
struct ResourceInfo {
  Resource resource;
  std::string kind;
  std::string singular;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  std::vector<std::string> verbs;
  bool namespaced = true;
  bool preferred_version = true;  // Of all versions of this resource, the one that the server prefers.

  bool operator==(const ResourceInfo&) const = default;
  bool has_verb(std::string_view verb) const;
};

// Finds what a user means by `spelling` in kubectl's way: plural, singular, short name or kind (any case),
// with ".version.group" or ".group" behind it if wanted. Of several versions the preferred one wins, of several groups
// the core group, then the first offered.
// NotFound: nobody offers it; the message lists near ones.
Result<ResourceInfo> find_resource(const std::vector<ResourceInfo>& offered, std::string_view spelling);

// How much of each object is wanted.
enum class Projection : std::uint8_t {
  Full,
  Metadata,  // PartialObjectMetadata, as the API server cuts it.
};

// The part of a resource that a reflector keeps equal. Two scopes with equal members are the same scope.
struct Scope {
  Resource resource;
  std::string namespace_name;  // Empty: all namespaces, or a cluster-scoped resource.
  std::string label_selector;  // In canonical form (tinf/object/selector.h); so is the field selector.
  std::string field_selector;
  Projection projection = Projection::Full;

  auto operator<=>(const Scope&) const = default;

  // All members in one text; docs/protocol.md has the grammar, under Topics.
  std::string canonical() const;
  // 16 hexadecimal digits: XXH3-64 of canonical(). Names the scope in topics.
  std::string id() const;
};

}  // namespace tinf
