// Components: the schemas of some types and all that they refer to, by name, as OpenAPI v3 has them.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "tinf/api/resource_type.h"
#include "tinf/api/schemas.h"

namespace tinf::api {

// The name of a kind's schema, "io.k8s.api.core.v1.Pod" or "com.example.v1.Widget".
std::string schema_name(const Resource& resource, std::string_view kind);

class Components {
 public:
  // Adds the schemas of the type's kind and of its list. `schema` is that of a kind that is none of Kubernetes' own, as
  // its definition has it; empty: unknown.
  void add(const ResourceType& type, std::string_view schema);

  // JSON by name; valid as long as this.
  const std::map<std::string_view, std::string_view>& by_name() const { return by_name_; }

 private:
  void add_built_in(std::string_view name);
  void add_custom(std::string name, std::string schema);

  const BuiltInSchemas& built_in_ = BuiltInSchemas::get();
  std::map<std::string_view, std::string_view> by_name_;
  std::deque<std::string> made_;  // What by_name_ has of custom resources.
};

}  // namespace tinf::api
