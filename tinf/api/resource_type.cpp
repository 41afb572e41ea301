// The built-in resources as one table, and custom ones out of their definitions.
#include "tinf/api/resource_type.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <tuple>

#include "tinf/object/text.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

struct BuiltIn {
  const char* group;
  const char* version;
  const char* name;
  const char* singular;
  const char* kind;
  const char* short_names;  // Separated by spaces.
  bool namespaced;
  bool has_status;
  bool has_generation;
  bool in_all;  // kubectl get all
};

constexpr std::array kBuiltIns{
    BuiltIn{"", "v1", "namespaces", "namespace", "Namespace", "ns", false, true, false, false},
    BuiltIn{"", "v1", "configmaps", "configmap", "ConfigMap", "cm", true, false, false, false},
    BuiltIn{"", "v1", "secrets", "secret", "Secret", "", true, false, false, false},
    BuiltIn{"", "v1", "pods", "pod", "Pod", "po", true, true, true, true},
    BuiltIn{"", "v1", "services", "service", "Service", "svc", true, true, false, true},
    BuiltIn{"", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", "sa", true, false, false, false},
    BuiltIn{"", "v1", "nodes", "node", "Node", "no", false, true, false, false},
    BuiltIn{"", "v1", "events", "event", "Event", "ev", true, false, false, false},
    BuiltIn{"apps", "v1", "deployments", "deployment", "Deployment", "deploy", true, true, true, true},
    BuiltIn{"apps", "v1", "replicasets", "replicaset", "ReplicaSet", "rs", true, true, true, true},
    BuiltIn{"apps", "v1", "statefulsets", "statefulset", "StatefulSet", "sts", true, true, true, true},
    BuiltIn{"apps", "v1", "daemonsets", "daemonset", "DaemonSet", "ds", true, true, true, true},
    BuiltIn{"coordination.k8s.io", "v1", "leases", "lease", "Lease", "", true, false, false, false},
    BuiltIn{"apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition",
            "CustomResourceDefinition", "crd crds", false, true, true, false},
};

const std::vector<std::string>& all_verbs() {
  static const std::vector<std::string> verbs{"create", "delete", "deletecollection", "get",
                                              "list",   "patch",  "update",           "watch"};
  return verbs;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  while (!text.empty()) {
    const auto space = text.find(' ');
    found.emplace_back(text.substr(0, space));
    text = space == std::string_view::npos ? std::string_view() : text.substr(space + 1);
  }
  return found;
}

std::vector<std::string> strings(const json::value* list) {
  std::vector<std::string> found;
  if (list == nullptr || !list->is_array()) return found;
  for (const auto& item : list->get_array()) {
    if (item.is_string()) found.emplace_back(item.get_string());
  }
  return found;
}

std::tuple<int, int, int> priority(const std::string& version) {
  int major = 0;
  int minor = 0;
  const char* at = version.data() + 1;
  const char* end = version.data() + version.size();
  if (version.empty() || version.front() != 'v') return {0, 0, 0};
  auto parsed = std::from_chars(at, end, major);
  if (parsed.ec != std::errc()) return {0, 0, 0};
  const std::string_view rest(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
  if (rest.empty()) return {3, major, 0};
  const int stage = rest.starts_with("beta") ? 2 : rest.starts_with("alpha") ? 1 : 0;
  if (stage == 0) return {0, 0, 0};
  std::from_chars(parsed.ptr + (stage == 2 ? 4 : 5), end, minor);
  return {stage, major, minor};
}

bool is_true(const json::value* value) {
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::vector<PrinterColumn> columns_of(const json::value* list) {
  std::vector<PrinterColumn> columns;
  if (list == nullptr || !list->is_array()) return columns;
  for (const auto& item : list->get_array()) {
    PrinterColumn& column = columns.emplace_back();
    column.name = json_string_at(item, {"name"});
    column.type = json_string_at(item, {"type"});
    column.format = json_string_at(item, {"format"});
    column.description = json_string_at(item, {"description"});
    column.json_path = json_string_at(item, {"jsonPath"});
    column.priority = static_cast<int>(json_integer_at(item, {"priority"}));
  }
  return columns;
}

// A DNS label as RFC 1035 has it: what names a resource, a version or, but for capitals, a kind. It then stands in JSON
// and in paths as it is.
bool is_label(std::string_view text) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto plain = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= 63 && letter(text.front()) && plain(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return plain(c) || c == '-'; });
}

}  // namespace

bool is_later_version(const std::string& version, const std::string& other) {
  return priority(version) > priority(other);
}

const Resource& definitions_resource() {
  static const Resource resource{"apiextensions.k8s.io", "v1", "customresourcedefinitions"};
  return resource;
}

const Resource& namespaces_resource() {
  static const Resource resource{"", "v1", "namespaces"};
  return resource;
}

ResourceCatalog::ResourceCatalog() {
  for (const auto& row : kBuiltIns) {
    auto type = std::make_shared<ResourceType>();
    type->info.resource = Resource{row.group, row.version, row.name};
    type->info.kind = row.kind;
    type->info.singular = row.singular;
    type->info.short_names = words(row.short_names);
    if (row.in_all) type->info.categories = {"all"};
    if (type->resource() == definitions_resource()) type->info.categories = {"api-extensions"};
    type->info.verbs = all_verbs();
    if (type->resource() == namespaces_resource()) std::erase(type->info.verbs, "deletecollection");
    type->info.namespaced = row.namespaced;
    type->collection = type->resource().group_resource();
    type->storage_version = row.version;
    type->has_status = row.has_status;
    type->has_generation = row.has_generation;
    all_.push_back(std::move(type));
  }
  built_in_ = all_.size();
}

ResourceTypePtr ResourceCatalog::find(const Resource& resource) const {
  for (const auto& type : all_) {
    if (type->resource() == resource) return type;
  }
  return nullptr;
}

std::vector<ResourceTypePtr> ResourceCatalog::namespaced_collections() const {
  std::vector<ResourceTypePtr> types;
  std::set<std::string> seen;
  for (const auto& type : all_) {
    if (type->info.namespaced && seen.insert(type->collection).second) types.push_back(type);
  }
  return types;
}

void ResourceCatalog::replace(const ResourceTypePtr& type) {
  for (auto& served : all_) {
    if (served->resource() == type->resource()) served = type;
  }
}

void ResourceCatalog::replace_custom(const std::vector<ResourceTypePtr>& types) {
  all_.resize(built_in_);
  for (const auto& type : types) {
    if (find(type->resource()) == nullptr) all_.push_back(type);
  }
  std::stable_sort(all_.begin() + static_cast<std::ptrdiff_t>(built_in_), all_.end(),
                   [](const ResourceTypePtr& a, const ResourceTypePtr& b) {
                     if (a->resource().group != b->resource().group) return a->resource().group < b->resource().group;
                     return is_later_version(a->resource().version, b->resource().version);
                   });
}

Answer<std::vector<ResourceTypePtr>> types_of_definition(const json::value& definition) {
  const auto group = std::string(json_string_at(definition, {"spec", "group"}));
  const auto plural = std::string(json_string_at(definition, {"spec", "names", "plural"}));
  const auto kind = std::string(json_string_at(definition, {"spec", "names", "kind"}));
  const auto scope = json_string_at(definition, {"spec", "scope"});
  const auto name = json_string_at(definition, {"metadata", "name"});
  const json::value* versions = json_at(definition, {"spec", "versions"});

  std::vector<StatusCause> causes;
  const auto require = [&](bool holds, std::string_view reason, std::string message, std::string field) {
    if (!holds) causes.push_back(StatusCause{std::string(reason), std::move(message), std::move(field)});
  };
  require(group.find('.') != std::string::npos, "FieldValueInvalid", "should be a domain with at least one dot",
          "spec.group");
  require(!plural.empty(), "FieldValueRequired", "Required value", "spec.names.plural");
  require(!kind.empty(), "FieldValueRequired", "Required value", "spec.names.kind");
  const auto require_label = [&](const std::string& text, std::string field) {
    require(is_label(text), "FieldValueInvalid",
            "Invalid value: \"" + text +
                "\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
                "alphabetic character, and end with an alphanumeric character",
            std::move(field));
  };
  if (!plural.empty()) require_label(plural, "spec.names.plural");
  if (!kind.empty()) require_label(lower_case(kind), "spec.names.kind");
  require(scope == "Namespaced" || scope == "Cluster", "FieldValueNotSupported",
          "Unsupported value: \"" + std::string(scope) + "\": supported values: \"Cluster\", \"Namespaced\"",
          "spec.scope");
  require(name == plural + "." + group, "FieldValueInvalid", "must be spec.names.plural+\".\"+spec.group",
          "metadata.name");
  require(versions != nullptr && versions->is_array() && !versions->get_array().empty(), "FieldValueRequired",
          "Required value: must have at least one version", "spec.versions");
  std::string storage;
  if (versions != nullptr && versions->is_array()) {
    for (const auto& version : versions->get_array()) {
      require_label(std::string(json_string_at(version, {"name"})), "spec.versions.name");
      if (is_true(json_at(version, {"storage"}))) storage = json_string_at(version, {"name"});
    }
  }
  require(!storage.empty(), "FieldValueInvalid", "must have exactly one version marked as storage version",
          "spec.versions");
  if (!causes.empty())
    return Status::invalid(definitions_resource(), "CustomResourceDefinition", name, std::move(causes));

  std::vector<ResourceTypePtr> types;
  for (const auto& version : versions->get_array()) {
    if (!is_true(json_at(version, {"served"}))) continue;
    auto type = std::make_shared<ResourceType>();
    type->info.resource = Resource{group, std::string(json_string_at(version, {"name"})), plural};
    type->info.kind = kind;
    type->info.singular = json_string_at(definition, {"spec", "names", "singular"});
    type->info.short_names = strings(json_at(definition, {"spec", "names", "shortNames"}));
    type->info.categories = strings(json_at(definition, {"spec", "names", "categories"}));
    type->info.verbs = all_verbs();
    type->info.namespaced = scope == "Namespaced";
    type->collection = type->resource().group_resource();
    type->storage_version = storage;
    type->built_in = false;
    type->has_status = json_at(version, {"subresources", "status"}) != nullptr;
    type->has_generation = true;
    type->columns = columns_of(json_at(version, {"additionalPrinterColumns"}));
    if (const auto* schema = json_at(version, {"schema", "openAPIV3Schema"})) type->schema = json_text(*schema);
    types.push_back(std::move(type));
  }
  return types;
}

}  // namespace tinf::api
