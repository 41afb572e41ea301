// A Store keeps the objects of one scope: one writer, many readers.
// tinf/contract/store_contract.h is the suite that every implementation passes.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/base/task.h"
#include "tinf/object/inventory.h"
#include "tinf/object/watch_event.h"

namespace tinf {

// The reading half. Thread-safe; a store on disk may block the calling thread, one in memory does not.
// A state that can no longer be read, since its bytes were altered, is read as its key and nothing else: `{}`, no uid,
// no version. measure() shows it as a difference, and the writer's next state of that key takes its place.
class StoreReader {
 public:
  virtual ~StoreReader() = default;

  // Null if there is no such object.
  virtual Result<ObjectPtr> get(const ObjectKey& key) const = 0;

  // All objects in key order as of one moment; of one namespace if it is not empty.
  virtual Result<std::vector<ObjectPtr>> list(std::string_view namespace_name) const = 0;
  Result<std::vector<ObjectPtr>> list() const { return list(std::string_view()); }

  virtual std::size_t size() const = 0;

  // Of all objects, as kept up change by change. O(1).
  virtual Fingerprint fingerprint() const = 0;

  // The first `limit` entries from `from` on, in key order, hashed anew from the bytes that are held: what bookkeeping
  // remembers of them does not count.
  virtual Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const = 0;

  // The version that the writer last stored.
  virtual ResourceVersion version() const = 0;
};

// The writing half. Called from one strand, one call at a time.
class StoreWriter {
 public:
  virtual ~StoreWriter() = default;

  // Makes the store hold exactly `all`; readers see the old set or the new one. An object equal to the one
  // already held (same uid, version and bytes) is kept, so that a list that changes nothing allocates nothing that
  // stays.
  virtual Task<Result<void>> replace(Snapshot all) = 0;

  // Applies changes in their order. Idempotent: after a reconnect an event may come twice. What is stored afterwards
  // are the event's bytes, also where those held were altered by somebody else. Deleting what is not there, or what has
  // another uid than the event's, changes nothing.
  virtual Task<Result<void>> apply(EventBatch changes) = 0;
};

// Both halves, as whoever owns a store holds it.
class Store : public StoreReader, public StoreWriter {
 public:
  // What it takes of the process's memory: bytes. Thread-safe.
  virtual std::size_t memory_bytes() const = 0;
};

}  // namespace tinf
