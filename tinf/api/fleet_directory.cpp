#include "tinf/api/fleet_directory.h"

#include <algorithm>
#include <tuple>

namespace tinf::api {
namespace {

// The resources that a cluster offers, to be found by the thousand.
class Offer {
 public:
  explicit Offer(const FleetCluster& cluster) {
    for (const auto& info : cluster.offer) sorted_.push_back(&info);
    std::ranges::sort(sorted_, std::less(), key);
  }

  // The resource in this version, or in the first of the others. Null: it is not offered.
  const ResourceInfo* find(const Resource& resource) const {
    const auto first = std::ranges::lower_bound(
        sorted_, std::tie(resource.group, resource.name), std::less(),
        [](const ResourceInfo* info) { return std::tie(info->resource.group, info->resource.name); });
    const ResourceInfo* other = nullptr;
    for (auto at = first; at != sorted_.end(); ++at) {
      const Resource& offered = (*at)->resource;
      if (offered.group != resource.group || offered.name != resource.name) break;
      if (offered.version == resource.version) return *at;
      if (other == nullptr) other = *at;
    }
    return other;
  }

 private:
  static std::tuple<const std::string&, const std::string&, const std::string&> key(const ResourceInfo* info) {
    return std::tie(info->resource.group, info->resource.name, info->resource.version);
  }

  std::vector<const ResourceInfo*> sorted_;
};

constexpr int kLooksTakeOneIn = 10;  // Of the time, at most.

}  // namespace

FleetDirectory::FleetDirectory(FleetReader& fleet, Clock& clock)
    : fleet_(fleet), clock_(clock), changed_(std::make_shared<bool>(true)) {
  fleet_.on_clusters([changed = changed_] { *changed = true; });
}

void FleetDirectory::refresh() {
  const TimePoint began = clock_.now();
  if (!*changed_ || began < next_look_) return;
  *changed_ = false;
  ++generation_;
  names_.clear();
  away_.clear();
  copies_.clear();
  clusters_ = fleet_.clusters();
  std::map<std::string_view, Offer> offers;
  // What is held of a resource that its cluster does not offer any more is still served, as others have it.
  const auto offered_elsewhere = [&](const Resource& resource) -> const ResourceInfo* {
    for (const auto& [name, offer] : offers) {
      if (const ResourceInfo* info = offer.find(resource)) return info;
    }
    return nullptr;
  };
  for (const auto& cluster : clusters_) {
    names_.push_back(cluster.name);
    if (!cluster.present) away_.insert(cluster.name);
    offers.emplace(cluster.name, cluster);
  }
  for (auto& scope : fleet_.scopes()) {
    Copies& copies = copies_[scope.cluster];
    const auto offer = offers.find(scope.cluster);
    const ResourceInfo* offered = offer == offers.end() ? nullptr : offer->second.find(scope.resource);
    if (offer == offers.end() && (names_.empty() || names_.back() != scope.cluster)) names_.push_back(scope.cluster);
    if (offered == nullptr) offered = offered_elsewhere(scope.resource);
    if (offered == nullptr) continue;  // Of what kind it is nobody knows.
    std::string collection = scope.resource.group_resource();
    copies.insert_or_assign(std::move(collection), Copy{std::move(scope.resource), offered});
  }
  std::ranges::sort(names_);
  next_look_ = clock_.now() + kLooksTakeOneIn * (clock_.now() - began);
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

std::optional<std::string> FleetDirectory::cluster_with(const std::string& other, const Resource& resource,
                                                        const std::string& cluster, const Known& known) const {
  const std::string collection = resource.group_resource();
  for (const auto& [name, copies] : copies_) {
    if (!cluster.empty() && name != cluster) continue;
    if (known && !known(resource, name)) continue;
    if (copies.contains(collection) && copies.contains(other)) return name;
  }
  return std::nullopt;
}

const ResourceInfo* FleetDirectory::find(const std::string& collection, const std::string& cluster,
                                         const Known& known) const {
  for (const auto& [name, copies] : copies_) {
    if (!cluster.empty() && name != cluster) continue;
    const auto copy = copies.find(collection);
    if (copy != copies.end() && (!known || known(copy->second.resource, name))) return copy->second.offered;
  }
  return nullptr;
}

bool FleetDirectory::has(const Resource& resource, const std::string& cluster, const Known& known) const {
  const std::string collection = resource.group_resource();
  return std::ranges::any_of(copies_, [&](const auto& entry) {
    const auto& [name, copies] = entry;
    if (!cluster.empty() && name != cluster) return false;
    const auto copy = copies.find(collection);
    return copy != copies.end() && copy->second.resource == resource && known(resource, name);
  });
}

ResourceCatalog FleetDirectory::catalog(const std::string& cluster, const Known& known) const {
  static const std::vector<std::string> kVerbs{"get", "list", "watch"};
  std::map<Resource, std::shared_ptr<ResourceType>> types;
  std::map<std::pair<std::string, std::string>, std::size_t> preferred;  // By group and version: by how many resources.
  for (const auto& [name, copies] : copies_) {
    if (!cluster.empty() && name != cluster) continue;
    for (const auto& [collection, copy] : copies) {
      if (types.contains(copy.resource)) continue;  // The first cluster's word for it: they rarely differ.
      if (known && !known(copy.resource, name)) continue;
      auto& type = types[copy.resource];
      type = std::make_shared<ResourceType>();
      type->info = *copy.offered;
      type->info.resource = copy.resource;
      type->info.verbs = kVerbs;
      type->collection = collection;
      type->storage_version = copy.resource.version;
      type->mirrored = true;
      preferred[{copy.resource.group, copy.resource.version}] += copy.offered->preferred_version ? 1 : 0;
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
