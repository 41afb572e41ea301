// A FleetStore keeps the copies of many clusters under one history: what a control plane's API stands on.
// Objects are kept as their clusters gave them, byte for byte; how they are named for a fleet is not its business.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tinf/contract/store.h"
#include "tinf/contract/versioned_store.h"
#include "tinf/object/resource.h"
#include "tinf/object/search.h"
#include "tinf/object/selector.h"

namespace tinf {

// Where an object is in the fleet. Ordered by cluster, namespace and name, as bytes.
struct FleetPlace {
  std::string cluster;
  ObjectKey key;
  auto operator<=>(const FleetPlace&) const = default;
};

struct FleetObject {
  std::string cluster;
  StoreVersion version = 0;  // Of its last change in this store; the cluster's own stands in the object.
  ObjectPtr object;          // Never null.
};

struct FleetQuery {
  std::string collection;             // Resource::group_resource().
  std::vector<std::string> clusters;  // Empty: all.
  // Of those, the ones that it is true for; none: all. May be called on another thread.
  std::function<bool(const std::string& cluster)> of_cluster;
  std::string namespace_name;           // As the cluster calls it. Empty: all.
  LabelSelector labels;                 // Empty: all.
  std::string search;                   // What search_finds() looks for. Empty: all.
  std::string owner;                    // A uid that one of the object's ownerReferences has. Empty: all.
  std::optional<FleetPlace> after;      // Exclusive; the page starts with the next place.
  std::size_t limit = 0;                // 0: no limit.
  std::optional<StoreVersion> version;  // As of then; nothing: now.

  FleetQuery() = default;

  // Whether it asks for objects of this cluster.
  bool is_about(const std::string& cluster) const {
    return (!of_cluster || of_cluster(cluster)) &&
           (clusters.empty() || std::find(clusters.begin(), clusters.end(), cluster) != clusters.end());
  }
  // By what the object says of itself: labels, search and owner. Where it is is not looked at.
  bool selects(const Object& object) const {
    return (labels.empty() || labels.matches(object)) && (owner.empty() || is_owned_by(object, owner)) &&
           (search.empty() || search_finds(search, object));
  }
  // Everything that its clusters have now, from the beginning.
  bool is_whole() const {
    return namespace_name.empty() && labels.empty() && search.empty() && owner.empty() && !after && !version;
  }
};

// Objects in the order of their places, all as of `version`.
struct FleetPage {
  std::vector<FleetObject> objects;
  StoreVersion version = 0;
  bool more = false;                     // There are others behind the last one.
  std::optional<std::size_t> remaining;  // How many, where the store knows that without counting: of a whole, perhaps.

  FleetPage() = default;
};

// One entry of the history of a collection. Of several states of an object that one write brings, the last alone is
// told, and the objects of one write in any order. An object whose uid changes leaves and is added.
struct FleetChange {
  EventType type = EventType::Added;
  StoreVersion version = 0;
  std::string cluster;
  ObjectPtr object;    // The new state; of a delete the last one.
  ObjectPtr previous;  // The state before; null for an added object.

  FleetChange() = default;
};

struct FleetBatch {
  std::vector<FleetChange> changes;  // Rising by version.
  StoreVersion version = 0;          // The store holds no change of this collection up to here that was not handed out.

  FleetBatch() = default;
};

// An open watch of one collection. Idle it costs memory only. Destroying it closes it.
class FleetWatch {
 public:
  virtual ~FleetWatch() = default;

  // Waits for changes, or for `deadline`, which gives an empty batch. One caller at a time; a batch is bounded.
  // Expired: this watch fell behind the retained history.
  // Cancelled: cut() was called.
  // Others, as Unavailable: the store cannot be read now; it may be asked again.
  virtual Task<Result<FleetBatch>> next(TimePoint deadline) = 0;

  // Makes next() return, now and from now on.
  virtual void cut() = 0;
};

// What is known of a cluster, also while it is away and after a restart.
struct FleetCluster {
  std::string name;
  std::string uid;                  // Of its namespace kube-system; empty: unknown.
  std::string kubernetes;           // Its version; empty: unknown.
  bool present = false;             // Its provider was there when it was last heard of.
  std::vector<ResourceInfo> offer;  // The resources that it offers.

  FleetCluster() = default;
  bool operator==(const FleetCluster&) const = default;
};

// One copy that is kept.
struct FleetScope {
  std::string cluster;
  Resource resource;
  std::size_t objects = 0;

  FleetScope() = default;
};

// The reading half. Confined to one strand; it may read on threads of its own.
class FleetReader {
 public:
  virtual ~FleetReader() = default;

  // Nothing if there is no such object.
  virtual Task<Result<std::optional<FleetObject>>> get(std::string collection, FleetPlace place) const = 0;

  // Expired: the store does not reach back to the version asked for. Invalid: it knows no versions but the present one.
  virtual Task<Result<FleetPage>> list(FleetQuery query) const = 0;

  // Opens a watch for the changes made after `from`, exclusive, in these clusters; none: in all. What changes in others
  // costs it nothing and does not make it expire, once it has heard all; the versions of its batches pass over it.
  // Expired: they are not all retained. The store must have reached `from`: see reach().
  virtual Result<std::unique_ptr<FleetWatch>> watch(std::string collection, StoreVersion from,
                                                    std::vector<std::string> clusters = {}) = 0;

  // Grows with every change of any copy, in the order in which changes are stored; never goes back, also not in
  // another life of the process.
  virtual StoreVersion version() const = 0;

  // Returns when the store has reached `version`. Timeout: it has not by `deadline`.
  virtual Task<Result<void>> reach(StoreVersion version, TimePoint deadline) = 0;

  virtual std::vector<FleetCluster> clusters() const = 0;  // By name.
  virtual std::vector<FleetScope> scopes() const = 0;      // By cluster and resource.

  // Called on the strand when clusters() or the resources of scopes() have changed.
  virtual void on_clusters(std::function<void()> callback) = 0;

  // Unavailable: what it stands on, as a database, cannot be reached now; the message names it and the remedy. It is
  // tried again meanwhile. What is said is what was last seen: nothing is asked for this.
  virtual Result<void> reachable() const { return Result<void>(); }
};

// Several processes may write into one store that outlives them, as a database. Each cluster is held by one of them at
// a time: by whoever writes of it first, until that process leaves or is not heard of for a while. What another process
// holds is refused as Conflict, and the message names that process; readers have it all the same.
class FleetStore : public FleetReader {
 public:
  // The copy of one scope of one cluster, as it was left if there was one: also of another scope of the same resource,
  // whose objects then differ from what is wanted, and of another version of its API. One at a time of each cluster
  // and resource. Its version() is empty where what is held is not what a position stands for.
  // AlreadyExists: it is open. Conflict: another process holds the cluster; ask again in a while.
  virtual Result<std::unique_ptr<Store>> open(const std::string& cluster, const Scope& scope) = 0;

  // Deletes a copy, object by object for those who watch; with `only_if_empty`, no object. Conflict: it is open, or is
  // to be empty and is not, also by what was still being written; or another process holds the cluster.
  virtual Task<Result<void>> forget(std::string cluster, Resource resource, bool only_if_empty) = 0;

  // Conflict: another process holds it, and says what is known of it.
  virtual Task<Result<void>> put_cluster(FleetCluster cluster) = 0;

  // The process that holds a cluster, in words for people, if that is another than this one; as it was last seen:
  // nothing is asked for this.
  virtual std::optional<std::string> held_by_another(const std::string& cluster) const {
    (void)cluster;
    return std::nullopt;
  }

  // Whether this process had the cluster and has lost it, as one that was stopped and not heard of for a while: its
  // copies that are open here take no more writes (Conflict). They are to be closed, and opened anew.
  virtual bool lost(const std::string& cluster) const {
    (void)cluster;
    return false;
  }

  // The end is near: what waits for something outside, as a database, soon waits no more. It may still be used.
  virtual void hurry() {}

  // What it takes of the process's memory beside its copies' memory_bytes(): bytes.
  virtual std::size_t memory_bytes() const = 0;
};

}  // namespace tinf
