// Shapes: meta.k8s.io/v1 APIResourceList and APIGroupList, apidiscovery.k8s.io/v2 APIGroupDiscoveryList.
#include "tinf/api/discovery.h"

#include <algorithm>
#include <set>

#include "tinf/api/entity_tag.h"
#include "tinf/api/request.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

json::array strings(const std::vector<std::string>& values) {
  json::array list;
  for (const auto& value : values) list.push_back(json::value(value));
  return list;
}

// The types of a group, version by version in the order of preference.
struct GroupVersion {
  std::string version;
  std::vector<ResourceTypePtr> types;
};
struct Group {
  std::string name;
  std::vector<GroupVersion> versions;
};

std::vector<Group> groups_of(const ResourceCatalog& catalog) {
  std::vector<Group> groups;
  for (const auto& type : catalog.all()) {
    const auto& resource = type->resource();
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.name == resource.group; });
    if (group == groups.end()) group = groups.insert(groups.end(), Group{resource.group, {}});
    auto& versions = group->versions;
    auto version =
        std::find_if(versions.begin(), versions.end(), [&](const auto& v) { return v.version == resource.version; });
    if (version == versions.end()) version = versions.insert(versions.end(), GroupVersion{resource.version, {}});
    version->types.push_back(type);
  }
  return groups;
}

std::string group_version(const Group& group, const GroupVersion& version) {
  return group.name.empty() ? version.version : group.name + "/" + version.version;
}

const std::vector<std::string>& status_verbs() {
  static const std::vector<std::string> verbs{"get", "patch", "update"};
  return verbs;
}

json::object legacy_resource(const ResourceType& type) {
  json::object entry{{"name", type.resource().name},
                     {"singularName", type.info.singular},
                     {"namespaced", type.info.namespaced},
                     {"kind", type.info.kind},
                     {"verbs", strings(type.info.verbs)}};
  if (!type.info.short_names.empty()) entry["shortNames"] = strings(type.info.short_names);
  if (!type.info.categories.empty()) entry["categories"] = strings(type.info.categories);
  return entry;
}

json::object resource_list(const Group& group, const GroupVersion& version) {
  json::array resources;
  for (const auto& type : version.types) {
    resources.push_back(legacy_resource(*type));
    if (!type->has_status) continue;
    resources.push_back(json::object{{"name", type->resource().name + "/status"},
                                     {"singularName", ""},
                                     {"namespaced", type->info.namespaced},
                                     {"kind", type->info.kind},
                                     {"verbs", strings(status_verbs())}});
  }
  return json::object{{"kind", "APIResourceList"},
                      {"apiVersion", "v1"},
                      {"groupVersion", group_version(group, version)},
                      {"resources", std::move(resources)}};
}

json::object legacy_group(const Group& group) {
  json::array versions;
  for (const auto& version : group.versions) {
    versions.push_back(json::object{{"groupVersion", group_version(group, version)}, {"version", version.version}});
  }
  json::value preferred = versions.front();
  return json::object{
      {"name", group.name}, {"versions", std::move(versions)}, {"preferredVersion", std::move(preferred)}};
}

json::object kind_of(const ResourceType& type) {
  return json::object{{"group", type.resource().group}, {"version", type.resource().version}, {"kind", type.info.kind}};
}

json::object aggregated_resource(const ResourceType& type) {
  json::object entry{{"resource", type.resource().name},
                     {"responseKind", kind_of(type)},
                     {"scope", type.info.namespaced ? "Namespaced" : "Cluster"},
                     {"singularResource", type.info.singular},
                     {"verbs", strings(type.info.verbs)}};
  if (!type.info.short_names.empty()) entry["shortNames"] = strings(type.info.short_names);
  if (!type.info.categories.empty()) entry["categories"] = strings(type.info.categories);
  if (type.has_status) {
    entry["subresources"] = json::array{
        json::object{{"subresource", "status"}, {"responseKind", kind_of(type)}, {"verbs", strings(status_verbs())}}};
  }
  return entry;
}

std::string aggregated(const std::vector<Group>& groups, bool core, const std::string& version_of_discovery) {
  json::array items;
  for (const auto& group : groups) {
    if (group.name.empty() != core) continue;
    json::array versions;
    for (const auto& version : group.versions) {
      json::array resources;
      for (const auto& type : version.types) resources.push_back(aggregated_resource(*type));
      versions.push_back(
          json::object{{"version", version.version}, {"resources", std::move(resources)}, {"freshness", "Current"}});
    }
    json::object metadata;
    if (!group.name.empty()) metadata["name"] = group.name;
    metadata["creationTimestamp"] = nullptr;
    items.push_back(json::object{{"metadata", std::move(metadata)}, {"versions", std::move(versions)}});
  }
  return json_text(json::object{{"kind", "APIGroupDiscoveryList"},
                                {"apiVersion", "apidiscovery.k8s.io/" + version_of_discovery},
                                {"metadata", json::object()},
                                {"items", std::move(items)}});
}

// "v2", "v2beta1", or empty: the legacy form.
std::string aggregated_version(std::string_view accept) {
  for (const auto& media : media_types(accept)) {
    if (media.type != "application/json") continue;
    const auto as = media.parameters.find("as");
    if (as == media.parameters.end()) return "";
    const auto version = media.parameters.find("v");
    if (as->second == "APIGroupDiscoveryList" && version != media.parameters.end() &&
        (version->second == "v2" || version->second == "v2beta1")) {
      return version->second;
    }
  }
  return "";
}

// What a person who comes without a path may look at.
std::string paths_of(const std::vector<Group>& groups) {
  std::set<std::string> paths{"/api",        "/apis",       "/healthz", "/livez",
                              "/openapi/v2", "/openapi/v3", "/readyz",  "/version"};
  for (const auto& group : groups) {
    if (!group.name.empty()) paths.insert("/apis/" + group.name);
    for (const auto& version : group.versions) {
      paths.insert((group.name.empty() ? "/api/" : "/apis/") + group_version(group, version));
    }
  }
  json::array list;
  for (const auto& path : paths) list.push_back(json::value(path));
  return json_text(json::object{{"paths", std::move(list)}});
}

std::string server_version() {
  return json_text(json::object{{"major", "1"},
                                {"minor", "34"},
                                {"gitVersion", "v1.34.0+transport-informer"},
                                {"gitCommit", ""},
                                {"gitTreeState", "clean"},
                                {"buildDate", "1970-01-01T00:00:00Z"},
                                {"goVersion", "none"},
                                {"compiler", "c++"},
                                {"platform", "linux/amd64"}});
}

}  // namespace

std::optional<ApiResponse> discovery(const ResourceCatalog& catalog, std::string_view path, std::string_view accept) {
  if (path == "/version") return ApiResponse(server_version());
  if (path.empty() || path == "/") return ApiResponse(paths_of(groups_of(catalog)));
  if (!path.starts_with("/api")) return std::nullopt;
  const auto groups = groups_of(catalog);

  if (path == "/api" || path == "/apis") {
    if (const auto version = aggregated_version(accept); !version.empty()) {
      ApiResponse response(aggregated(groups, path == "/api", version));
      response.content_type = "application/json;g=apidiscovery.k8s.io;v=" + version + ";as=APIGroupDiscoveryList";
      response.headers = {
          {"ETag", entity_tag(document_hash(response.body))}, {"Cache-Control", "public"}, {"Vary", "Accept"}};
      return response;
    }
    if (path == "/api") {
      return ApiResponse(json_text(json::object{
          {"kind", "APIVersions"}, {"versions", json::array{"v1"}}, {"serverAddressByClientCIDRs", json::array()}}));
    }
    json::array list;
    for (const auto& group : groups) {
      if (!group.name.empty()) list.push_back(legacy_group(group));
    }
    return ApiResponse(
        json_text(json::object{{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(list)}}));
  }

  for (const auto& group : groups) {
    if (!group.name.empty() && path == "/apis/" + group.name) {
      json::object document{{"kind", "APIGroup"}, {"apiVersion", "v1"}};
      for (const auto& member : legacy_group(group)) document[member.key()] = member.value();
      return ApiResponse(json_text(document));
    }
    for (const auto& version : group.versions) {
      const auto at = (group.name.empty() ? "/api/" : "/apis/") + group_version(group, version);
      if (path == at) return ApiResponse(json_text(resource_list(group, version)));
    }
  }
  return std::nullopt;
}

}  // namespace tinf::api
