// PostgresStore: the copy of one scope in the database, as a store of its own. Made by PostgresFleetStore.
#pragma once

#include <functional>

#include "tinf/contract/store.h"
#include "tinf/store/postgres/readers.h"
#include "tinf/store/postgres/writer.h"

namespace tinf::postgres {

using Commits = database::GroupCommit<Work>;

// Guarantees what StoreReader and StoreWriter say. Nothing of an object stays in memory: reading goes to the database,
// on the calling thread. A write returns when it is committed; where the database fails, Unavailable says how, and
// nothing of it is told; where another process has taken the cluster over, Conflict, and so it stays. Reading is
// thread-safe and waits for no writer.
class PostgresStore final : public Store {
 public:
  // `token`: the lease that the cluster was taken under. `on_close` runs in the destructor.
  PostgresStore(const Readers& readers, Commits& commits, std::shared_ptr<Copy> copy, Scope scope, std::string token,
                std::function<void()> on_close);
  ~PostgresStore() override { on_close_(); }

  using StoreReader::list;
  Result<ObjectPtr> get(const ObjectKey& key) const override;
  Result<std::vector<ObjectPtr>> list(std::string_view namespace_name) const override;
  std::size_t size() const override { return copy_->fingerprint().count; }
  Fingerprint fingerprint() const override { return copy_->fingerprint(); }
  Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const override;
  ResourceVersion version() const override;

  Task<Result<void>> replace(Snapshot all) override;
  Task<Result<void>> apply(EventBatch changes) override;

  std::size_t memory_bytes() const override { return sizeof(PostgresStore) + sizeof(Copy); }

 private:
  CopyChange change(CopyChange::Kind kind, ResourceVersion version) const;
  Task<Result<void>> write(CopyChange change, std::size_t rows);

  const Readers& readers_;
  Commits& commits_;
  const std::shared_ptr<Copy> copy_;
  const Scope scope_;
  const std::string token_;
  const std::function<void()> on_close_;
};

}  // namespace tinf::postgres
