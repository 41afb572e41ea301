// What a source says: a whole set as of a version (Snapshot), or changes since one (EventBatch).
#pragma once

#include <string>
#include <vector>

#include "tinf/object/object.h"
#include "tinf/object/version.h"

namespace tinf {

enum class EventType : std::uint8_t { Added, Modified, Deleted };

std::string_view to_string(EventType type);  // "ADDED", "MODIFIED", "DELETED"

// One change of one object.
struct WatchEvent {
  EventType type;
  ObjectKey key;
  std::string uid;
  ObjectPtr object;              // The new state; of a delete the final state, or null where only its name is known.
  std::string resource_version;  // The member's own, also of a delete.

  static WatchEvent added(ObjectPtr object) { return of(EventType::Added, std::move(object)); }
  static WatchEvent modified(ObjectPtr object) { return of(EventType::Modified, std::move(object)); }
  static WatchEvent deleted(ObjectPtr object) { return of(EventType::Deleted, std::move(object)); }
  static WatchEvent deleted(ObjectKey key, std::string uid, std::string resource_version) {
    return WatchEvent(EventType::Deleted, std::move(key), std::move(uid), nullptr, std::move(resource_version));
  }

  WatchEvent(EventType t, ObjectKey k, std::string u, ObjectPtr o, std::string rv)
      : type(t), key(std::move(k)), uid(std::move(u)), object(std::move(o)), resource_version(std::move(rv)) {}

 private:
  static WatchEvent of(EventType type, ObjectPtr object);
};

// Changes in the source's order. Empty with a version: a bookmark.
struct EventBatch {
  std::vector<WatchEvent> events;
  ResourceVersion version;          // Where the source stands after all of them; empty: they do not say.
  bool initial_events_end = false;  // Of a streaming list: the set is complete with this batch.
};

// All objects of a scope as of one version, in the source's order.
struct Snapshot {
  std::vector<ObjectPtr> objects;
  ResourceVersion version;
};

}  // namespace tinf
