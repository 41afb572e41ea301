#include "tinf/api/fleet_directory.h"

#include <algorithm>

namespace tinf::api {
namespace {

const ResourceInfo* find_offered(const FleetCluster& cluster, const Resource& resource) {
  const ResourceInfo* same_collection = nullptr;
  for (const auto& offered : cluster.offer) {
    if (offered.resource == resource) return &offered;
    if (offered.resource.group == resource.group && offered.resource.name == resource.name) same_collection = &offered;
  }
  return same_collection;
}

}  // namespace

FleetDirectory::FleetDirectory(FleetReader& fleet) : fleet_(fleet), changed_(std::make_shared<bool>(true)) {
  fleet_.on_clusters([changed = changed_] { *changed = true; });
}

void FleetDirectory::refresh() {
  if (!std::exchange(*changed_, false)) return;
  ++generation_;
  names_.clear();
  away_.clear();
  copies_.clear();
  const auto clusters = fleet_.clusters();
  std::set<std::string> names;
  for (const auto& cluster : clusters) {
    names.insert(cluster.name);
    if (!cluster.present) away_.insert(cluster.name);
  }
  for (const auto& scope : fleet_.scopes()) {
    names.insert(scope.cluster);
    Copies& copies = copies_[scope.cluster];
    const auto cluster = std::ranges::lower_bound(clusters, scope.cluster, std::less(), &FleetCluster::name);
    if (cluster == clusters.end() || cluster->name != scope.cluster) continue;  // Of what kind it is nobody knows yet.
    const ResourceInfo* offered = find_offered(*cluster, scope.resource);
    if (offered == nullptr) continue;
    ResourceInfo info = *offered;
    info.resource = scope.resource;
    copies.insert_or_assign(scope.resource.group_resource(), std::move(info));
  }
  names_.assign(names.begin(), names.end());
}

bool FleetDirectory::knows(const std::string& cluster) const {
  return std::ranges::binary_search(names_, cluster);
}

std::vector<std::string> FleetDirectory::away(const std::string& collection) const {
  std::vector<std::string> names;
  for (const auto& name : away_) {
    const auto copies = copies_.find(name);
    if (copies != copies_.end() && copies->second.contains(collection)) names.push_back(name);
  }
  return names;
}

std::optional<std::string> FleetDirectory::cluster_with(const std::string& collection, const std::string& other,
                                                        const std::string& cluster) const {
  for (const auto& [name, copies] : copies_) {
    if (!cluster.empty() && name != cluster) continue;
    if (copies.contains(collection) && copies.contains(other)) return name;
  }
  return std::nullopt;
}

ResourceCatalog FleetDirectory::catalog(const std::string& cluster) const {
  static const std::vector<std::string> kVerbs{"get", "list", "watch"};
  std::map<Resource, std::shared_ptr<ResourceType>> types;
  std::map<std::pair<std::string, std::string>, std::size_t> preferred;  // By group and version: by how many resources.
  for (const auto& [name, copies] : copies_) {
    if (!cluster.empty() && name != cluster) continue;
    for (const auto& [collection, info] : copies) {
      auto& type = types[info.resource];
      if (type != nullptr) continue;  // The first cluster's word for it: they rarely differ.
      type = std::make_shared<ResourceType>();
      type->info = info;
      type->info.verbs = kVerbs;
      type->collection = collection;
      type->storage_version = info.resource.version;
      type->mirrored = true;
      preferred[{info.resource.group, info.resource.version}] += info.preferred_version ? 1 : 0;
    }
  }
  std::vector<ResourceTypePtr> ordered;
  for (auto& [resource, type] : types) ordered.push_back(std::move(type));
  std::ranges::stable_sort(ordered, [&](const ResourceTypePtr& left, const ResourceTypePtr& right) {
    const Resource& a = left->resource();
    const Resource& b = right->resource();
    if (a.group != b.group) return a.group < b.group;
    if (a.version == b.version) return a.name < b.name;
    const auto of_a = preferred.at({a.group, a.version});
    const auto of_b = preferred.at({b.group, b.version});
    return of_a != of_b ? of_a > of_b : is_later_version(a.version, b.version);
  });
  return ResourceCatalog(std::move(ordered));
}

}  // namespace tinf::api
