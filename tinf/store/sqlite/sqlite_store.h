// SqliteStore: the copy of one scope in a SQLite file, as a store of its own. Made by SqliteFleetStore.
#pragma once

#include <functional>
#include <set>

#include "tinf/contract/store.h"
#include "tinf/store/database/watch_feeds.h"
#include "tinf/store/sqlite/copy.h"
#include "tinf/store/sqlite/database.h"

namespace tinf::sqlite {

using database::CopyName;

// What the copies of one file share: the file, its history, and who wants to know of changes. Outlives the copies.
struct Shared {
  Shared(HistoryOptions history_options, database::BodyOptions body_options)
      : history(history_options), bodies(body_options) {}

  History history;
  database::Bodies bodies;
  // The writing thread's: of the transaction that was stored last.
  std::set<CopyName> changed;          // Copies of which an object has changed.
  bool resources_changed = false;      // A copy is written in another version of its API than before.
  std::unique_ptr<Database> database;  // The first to go: until then its thread uses the rest.
};

using database::object_of;

// Guarantees what StoreReader and StoreWriter say. Nothing of an object stays in memory: reading goes to the file, on
// the calling thread. A write returns when it is stored; where the file fails, Unavailable says how, and nothing of it
// is. Reading is thread-safe and waits for no writer.
class SqliteStore final : public Store {
 public:
  // `on_close` runs in the destructor.
  SqliteStore(Shared& shared, std::shared_ptr<Copy> copy, Scope scope, std::function<void()> on_close);
  ~SqliteStore() override { on_close_(); }

  using StoreReader::list;
  Result<ObjectPtr> get(const ObjectKey& key) const override;
  Result<std::vector<ObjectPtr>> list(std::string_view namespace_name) const override;
  std::size_t size() const override { return copy_->fingerprint().count; }
  Fingerprint fingerprint() const override { return copy_->fingerprint(); }
  Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const override;
  ResourceVersion version() const override;

  Task<Result<void>> replace(Snapshot all) override;
  Task<Result<void>> apply(EventBatch changes) override;

  std::size_t memory_bytes() const override { return sizeof(SqliteStore) + sizeof(Copy); }

 private:
  Task<Result<void>> write(std::function<void(Connection&)> change, std::size_t rows);

  Shared& shared_;
  const std::shared_ptr<Copy> copy_;
  const Scope scope_;
  const std::function<void()> on_close_;
};

// Writes something of a copy: the parts that every such piece of work has.
Work work_on(Shared& shared, std::shared_ptr<Copy> copy, std::function<void(Connection&)> change, std::size_t rows);

}  // namespace tinf::sqlite
