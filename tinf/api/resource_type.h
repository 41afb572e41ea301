// ResourceType: what the server knows of one resource. ResourceCatalog: all that are served now.
#pragma once

#include <boost/json/value.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tinf/api/status.h"
#include "tinf/object/resource.h"

namespace tinf::api {

// A column of a custom resource's table, as its definition declares it.
struct PrinterColumn {
  std::string name;
  std::string type;
  std::string format;
  std::string description;
  std::string json_path;
  int priority = 0;

  PrinterColumn() = default;
};

struct ResourceType {
  ResourceInfo info;
  std::string collection;       // Where the store keeps it; shared by the versions of one resource.
  std::string storage_version;  // The version that stored objects are written in.
  bool built_in = true;         // Strategic merge patch knows its lists.
  bool has_status = false;      // status is written through its own subresource only.
  bool has_generation = false;  // metadata.generation counts changes of what is wanted.
  bool mirrored = false;  // Its objects are copies of others': bytes of one version, and any field is selected on.
  std::vector<PrinterColumn> columns;
  std::string schema;  // OpenAPI v3, as JSON; empty: unknown.

  ResourceType() = default;
  const Resource& resource() const { return info.resource; }
  std::string api_version() const { return info.resource.api_version(); }
  std::string list_kind() const { return info.kind + "List"; }
};
using ResourceTypePtr = std::shared_ptr<const ResourceType>;

// The kind of an object of which a copy holds the metadata alone.
inline constexpr std::string_view kPartialObjectMetadata = "PartialObjectMetadata";

// Confined to one strand; the types handed out stay valid when the catalog changes.
class ResourceCatalog {
 public:
  ResourceCatalog();                                                  // The built-in resources.
  explicit ResourceCatalog(std::vector<ResourceTypePtr> of_mirrored)  // In the order in which they are offered.
      : all_(std::move(of_mirrored)), built_in_(all_.size()) {}

  // Null if there is none.
  ResourceTypePtr find(const Resource& resource) const;

  // Built-in ones first, versions of a group in the order of preference.
  const std::vector<ResourceTypePtr>& all() const { return all_; }

  // One type per collection whose objects live in namespaces.
  std::vector<ResourceTypePtr> namespaced_collections() const;

  // Serves this instead of the type of the same resource.
  void replace(const ResourceTypePtr& type);

  // Serves these instead of all custom resources so far.
  void replace_custom(const std::vector<ResourceTypePtr>& types);

 private:
  std::vector<ResourceTypePtr> all_;
  std::size_t built_in_ = 0;
};

// What a CustomResourceDefinition makes the server serve: one type per served version.
// 422 with causes: it cannot be served.
Answer<std::vector<ResourceTypePtr>> types_of_definition(const boost::json::value& definition);

// Kubernetes' order of versions: v10 before v2 before v1beta2 before v1alpha1 before anything else.
bool is_later_version(const std::string& version, const std::string& other);

// The resource of CustomResourceDefinitions themselves, and that of namespaces.
const Resource& definitions_resource();
const Resource& namespaces_resource();

}  // namespace tinf::api
