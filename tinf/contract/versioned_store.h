// A VersionedStore keeps many resources under one history: what an API server stands on.
// Every change gets the next version; lists, pages and watches are all told as of a version.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/base/clock.h"
#include "tinf/base/result.h"
#include "tinf/base/task.h"
#include "tinf/object/object.h"
#include "tinf/object/selector.h"
#include "tinf/object/watch_event.h"

namespace tinf {

// A point in a store's history. Starts at 1, grows with every change of any collection, and is what objects carry as
// decimal resourceVersion.
using StoreVersion = std::uint64_t;

// Builds the object to be stored, given the version that it gets. Called at most once, at the moment of the commit; an
// error leaves the store as it was and is passed on.
using ObjectMaker = std::function<Result<ObjectPtr>(StoreVersion)>;

// What must still be true of the object that a write is about.
struct WritePrecondition {
  std::string uid;                      // Empty: any.
  std::optional<StoreVersion> version;  // Of its last change.

  WritePrecondition() = default;
};

struct PageQuery {
  std::string namespace_name;  // Empty: all.
  LabelSelector labels;        // Empty: all.
  FieldSelector fields;        // Empty: all.
  std::string search;          // This and owner as FleetQuery has them; of objects that are mirrored alone.
  std::string owner;
  std::optional<ObjectKey> after;       // Exclusive; the page starts with the next key.
  std::size_t limit = 0;                // 0: no limit.
  std::optional<StoreVersion> version;  // As of then; nothing: now.

  PageQuery() = default;
};

// Objects in an order that their keys have, and always the same; all as of `version`.
struct Page {
  std::vector<ObjectPtr> objects;
  StoreVersion version = 0;
  bool more = false;                     // There may be others behind the last one; never without a last one.
  std::optional<std::size_t> remaining;  // How many, where the store knows that without selecting.

  Page() = default;
};

// One entry of the history of a collection.
struct StoreChange {
  EventType type;
  StoreVersion version;
  ObjectPtr object;    // The new state; of a delete the final state, which carries the version of the delete.
  ObjectPtr previous;  // The state before; null for an added object. Tells whether a selector was left or entered.
};

struct ChangeBatch {
  std::vector<StoreChange> changes;
  StoreVersion version = 0;  // The store holds no change of this collection up to here that was not handed out.

  ChangeBatch() = default;
};

// An open watch of one collection. Idle it costs memory only. Destroying it closes it.
class VersionedWatch {
 public:
  virtual ~VersionedWatch() = default;

  // Waits for changes, or for `deadline`, which gives an empty batch. One caller at a time; a batch is bounded.
  // Expired: this watch fell behind the retained history.
  // Cancelled: cut() was called.
  virtual Task<Result<ChangeBatch>> next(TimePoint deadline) = 0;

  // Makes next() return, now and from now on.
  virtual void cut() = 0;
};

// The reading half: all that an API server needs that takes no writes.
// A collection is named like Resource::group_resource() names its resource; one that nobody has written to is empty.
// Confined to one strand.
class VersionedReader {
 public:
  virtual ~VersionedReader() = default;

  // Null if there is no such object.
  virtual Task<Result<ObjectPtr>> get(std::string collection, ObjectKey key) const = 0;

  // Expired: the store does not reach back to the version asked for. Invalid: it has no objects that are searched.
  virtual Task<Result<Page>> list(std::string collection, PageQuery query) const = 0;

  // Opens a watch for the changes made after `from`, exclusive, of what `about` finds by search and owner: what comes
  // to be found is Added, and what is found no more Deleted, in the last state in which it was. What else `about` asks
  // for is left to whoever reads, and may spare the watch changes that are of no interest. Expired: they are not all
  // retained. The store must have reached `from`: see reach(). Invalid: as list().
  virtual Result<std::unique_ptr<VersionedWatch>> watch(std::string collection, StoreVersion from,
                                                        PageQuery about = PageQuery()) = 0;

  virtual StoreVersion version() const = 0;

  // Returns when the store has reached `version`. Timeout: it has not by `deadline`.
  virtual Task<Result<void>> reach(StoreVersion version, TimePoint deadline) = 0;
};

// Both halves. A write has happened entirely or not at all when it returns. Lists are in key order: namespace, then
// name.
class VersionedStore : public VersionedReader {
 public:
  // AlreadyExists: there is an object with this key.
  virtual Task<Result<ObjectPtr>> create(std::string collection, ObjectKey key, ObjectMaker make) = 0;

  // NotFound: no such object. Conflict: `precondition` does not hold.
  virtual Task<Result<ObjectPtr>> replace(std::string collection, ObjectKey key, WritePrecondition precondition,
                                          ObjectMaker make) = 0;

  // Returns the final state, as `make` built it. Errors as in replace().
  virtual Task<Result<ObjectPtr>> remove(std::string collection, ObjectKey key, WritePrecondition precondition,
                                         ObjectMaker make) = 0;

  // Forgets the history up to now: older watches, versions and pages expire.
  virtual void compact() = 0;
};

}  // namespace tinf
