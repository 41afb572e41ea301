// VersionedMemoryStore: a VersionedStore that forgets everything with the process.
// The embedded default of devcluster, and what the API's tests run on.
#pragma once

#include <deque>
#include <list>
#include <map>

#include "tinf/base/clock.h"
#include "tinf/contract/history.h"
#include "tinf/contract/versioned_store.h"

namespace tinf {

struct VersionedMemoryOptions {
  // History kept per collection, so that a busy resource does not expire the watches of a quiet one.
  std::size_t retained_changes = 10'000;
  std::size_t retained_bytes = 64u << 20;  // Of the states before and after each change.
  StoreVersion first_version = 1;          // What an empty store is at.

  VersionedMemoryOptions() = default;
};

// Old versions are listed by undoing the retained history, newest first: cheap near the present, where clients read.
// Confined to one strand. Outlives its watches.
class VersionedMemoryStore final : public VersionedStore {
 public:
  explicit VersionedMemoryStore(Clock& clock, VersionedMemoryOptions options = VersionedMemoryOptions());
  ~VersionedMemoryStore() override;

  Task<Result<ObjectPtr>> create(std::string collection, ObjectKey key, ObjectMaker make) override;
  Task<Result<ObjectPtr>> replace(std::string collection, ObjectKey key, WritePrecondition precondition,
                                  ObjectMaker make) override;
  Task<Result<ObjectPtr>> remove(std::string collection, ObjectKey key, WritePrecondition precondition,
                                 ObjectMaker make) override;
  Task<Result<ObjectPtr>> get(std::string collection, ObjectKey key) const override;
  Task<Result<Page>> list(std::string collection, PageQuery query) const override;
  Result<std::unique_ptr<VersionedWatch>> watch(std::string collection, StoreVersion from, PageQuery about) override;
  StoreVersion version() const override { return version_; }
  Task<Result<void>> reach(StoreVersion version, TimePoint deadline) override;
  void compact() override;

 private:
  class Watch;
  using Objects = std::map<ObjectKey, ObjectPtr>;
  struct Collection {
    Objects objects;
    std::deque<StoreChange> history;  // In version order.
    std::size_t history_bytes = 0;
    StoreVersion floor = 0;  // `history` has every change after this one.
    std::list<Watch*> watches;
  };

  const Collection* find(const std::string& name) const;
  void record(Collection& collection, StoreChange change);
  void forget_oldest(Collection& collection);

  // Constant after construction.
  Clock& clock_;
  const VersionedMemoryOptions options_;

  // Confined to the strand.
  std::map<std::string, Collection, std::less<>> collections_;  // Never shrinks: watches refer to its elements.
  StoreVersion version_;
  VersionWaiters versions_;
};

}  // namespace tinf
