// MemoryStore: objects in a tree ordered by key, beside a fingerprint that is kept up change by change.
// The embedded default of every daemon, and the fake of every test: there is no mock beside it.
#pragma once

#include <set>
#include <shared_mutex>

#include "tinf/contract/store.h"

namespace tinf {

// Guarantees what StoreReader and StoreWriter say; a batch and a replace() appear to readers as one step.
// Keys are views into the objects held, so an entry costs 64 bytes beside its object (kOverheadBytes).
// Reading is thread-safe and waits at most for a writer that changes the tree; it never waits for parsing or freeing.
// Writing is done by one strand.
class MemoryStore final : public StoreReader, public StoreWriter {
 public:
  MemoryStore() = default;
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;

  using StoreReader::list;
  Result<ObjectPtr> get(const ObjectKey& key) const override;
  Result<std::vector<ObjectPtr>> list(std::string_view namespace_name) const override;
  std::size_t size() const override;
  Fingerprint fingerprint() const override;
  Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const override;
  ResourceVersion version() const override;

  // Invalid: an object is null, or an event that adds or modifies carries none. Nothing is changed then.
  Task<Result<void>> replace(Snapshot all) override;
  Task<Result<void>> apply(EventBatch changes) override;

  // Objects and tree together: bytes. Objects that others share count in full.
  std::size_t memory_bytes() const;

  // Tree node of 32 bytes, pointer and malloc's header, as glibc rounds them.
  static constexpr std::size_t kOverheadBytes = 64;

 private:
  struct Entry {
    explicit Entry(ObjectPtr o) : object(std::move(o)) {}

    // Replaced in place by a later state of the same key: the order of the tree stands.
    mutable ObjectPtr object;
  };
  struct KeyView {
    std::string_view namespace_name;
    std::string_view name;
    auto operator<=>(const KeyView&) const = default;
  };
  struct ByKey {
    using is_transparent = void;
    static KeyView key(const Entry& e) { return {e.object->namespace_name(), e.object->name()}; }
    static KeyView key(const ObjectPtr& o) { return {o->namespace_name(), o->name()}; }
    static KeyView key(const KeyView& k) { return k; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return key(a) < key(b);
    }
  };
  using Entries = std::set<Entry, ByKey>;

  // All under the writer's lock. What leaves is put into `gone`, to be freed when the lock is.
  void put(Entries::const_iterator at, Entry fresh, std::vector<ObjectPtr>& gone);
  void insert(Entries::const_iterator hint, Entry fresh);
  void erase(Entries::const_iterator at, std::vector<ObjectPtr>& gone);

  mutable std::shared_mutex mutex_;
  Entries entries_;
  Fingerprint fingerprint_;
  ResourceVersion version_;
  std::size_t object_bytes_ = 0;
};

}  // namespace tinf
