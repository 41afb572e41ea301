// FleetDirectory: which clusters a fleet has, and what is served of each: discovery's source.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tinf/api/resource_type.h"
#include "tinf/base/clock.h"
#include "tinf/contract/fleet_store.h"

namespace tinf::api {

// Confined to the strand of `fleet`, which outlives it.
class FleetDirectory {
 public:
  FleetDirectory(FleetReader& fleet, Clock& clock);

  // Looks at the fleet if it has changed since; not so often that it would take more than a tenth of the time. A
  // thousand clusters of sixty resources take some 100 ms, so that a change of those is seen within a second.
  void refresh();
  // Another number whenever refresh() has looked.
  unsigned generation() const { return generation_; }

  // All that are known or have copies, by name.
  const std::vector<std::string>& clusters() const { return names_; }
  bool knows(const std::string& cluster) const;

  // Those that have a copy of the collection and whose provider is not there: what is read of them may be old.
  std::vector<std::string> away(const std::string& collection) const;

  // Which copies somebody may know of; none: all.
  using Known = std::function<bool(const Resource& resource, const std::string& cluster)>;

  // What there are copies of, over all clusters or, if it is not empty, of one: core group first, versions of a group
  // by how many resources prefer them.
  ResourceCatalog catalog(const std::string& cluster, const Known& known = nullptr) const;
  // What is said of a resource, in any version, that is among them. Null: none is.
  const ResourceInfo* find(const std::string& collection, const std::string& cluster, const Known& known) const;
  // Whether `resource` is among them.
  bool has(const Resource& resource, const std::string& cluster, const Known& known) const;

  // A cluster that has a copy of this resource's collection and of the other one, or nothing; `cluster` alone if it is
  // not empty.
  std::optional<std::string> cluster_with(const std::string& other, const Resource& resource,
                                          const std::string& cluster, const Known& known = nullptr) const;

 private:
  struct Copy {
    Resource resource;
    const ResourceInfo* offered = nullptr;  // In clusters_; perhaps of another version or cluster than the copy.
  };
  using Copies = std::map<std::string, Copy>;  // By collection.

  FleetReader& fleet_;
  Clock& clock_;
  const std::shared_ptr<bool> changed_;  // Shared with the callback, which may outlive this.
  unsigned generation_ = 0;
  TimePoint next_look_{};
  std::vector<FleetCluster> clusters_;
  std::vector<std::string> names_;
  std::set<std::string> away_;
  std::map<std::string, Copies> copies_;  // By cluster.
};

}  // namespace tinf::api
