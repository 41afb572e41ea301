// BuiltInSchemas: the OpenAPI schemas of Kubernetes' own kinds, as a real kube-apiserver tells them. They are part of
// the program, compressed; tools/openapi-schemas wrote them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "tinf/object/resource.h"

namespace tinf::api {

// What begins the reference from one schema to another, in documents of OpenAPI v3.
inline constexpr std::string_view kSchemaReference = "#/components/schemas/";

// Constant: for every thread.
class BuiltInSchemas {
 public:
  // Unpacked by the first who asks, some 5 ms for 1.2 MB, which then stay.
  static const BuiltInSchemas& get();

  std::string_view version() const { return version_; }  // Of Kubernetes: "1.34".
  std::string_view text() const { return text_; }        // All of them, to tell one edition from another.

  // JSON, by a name as "io.k8s.api.core.v1.Pod"; empty: there is none.
  std::string_view find(std::string_view name) const;
  // The name of the schema of this kind of the resource's group and version; empty: there is none.
  std::string_view name_of(const Resource& resource, std::string_view kind) const;

 private:
  explicit BuiltInSchemas(std::string text);

  const std::string text_;
  // Views of text_:
  std::string_view version_;
  std::map<std::string_view, std::string_view> by_name_;
  std::map<std::tuple<std::string, std::string, std::string>, std::string_view> names_;  // By group, version and kind.
};

// The names of the schemas that this one, or any JSON that holds schemas, refers to; some perhaps twice.
std::vector<std::string_view> references_in(std::string_view schema);

}  // namespace tinf::api
