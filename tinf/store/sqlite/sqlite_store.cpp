#include "tinf/store/sqlite/sqlite_store.h"

#include <algorithm>
#include <limits>

namespace tinf::sqlite {
Work work_on(Shared& shared, std::shared_ptr<Copy> copy, std::function<void(Connection&)> change, std::size_t rows) {
  Work work;
  work.rows = rows;
  const auto moved = std::make_shared<bool>();
  work.write = [&shared, moved, change = std::move(change)](Connection& connection) {
    const StoreVersion before = shared.history.next();
    change(connection);
    *moved = shared.history.next() != before;
  };
  work.undo = [&shared, copy] {
    copy->undo();
    shared.history.undo();
  };
  work.done = [&shared, copy, moved] {
    if (copy->stored()) shared.resources_changed = true;
    shared.history.stored();
    if (*moved) shared.changed.insert(CopyName{copy->collection(), copy->cluster()});
  };
  return work;
}

SqliteStore::SqliteStore(Shared& shared, std::shared_ptr<Copy> copy, Scope scope, std::function<void()> on_close)
    : shared_(shared), copy_(std::move(copy)), scope_(std::move(scope)), on_close_(std::move(on_close)) {}

ResourceVersion SqliteStore::version() const {
  return copy_->state().version_for(scope_);
}

Result<ObjectPtr> SqliteStore::get(const ObjectKey& key) const {
  return shared_.database->read([&](Connection& connection) -> ObjectPtr {
    Query query = connection.query("SELECT body FROM object WHERE scope = ? AND namespace = ? AND name = ?");
    query.bind(copy_->row()).bind(key.namespace_name).bind(key.name);
    return query.step() ? object_of(key.namespace_name, key.name, query.body(0)) : nullptr;
  });
}

Result<std::vector<ObjectPtr>> SqliteStore::list(std::string_view namespace_name) const {
  return shared_.database->read([&](Connection& connection) {
    std::vector<ObjectPtr> objects;
    const auto read = [&](Query& query) {
      while (query.step()) objects.push_back(object_of(query.text(0), query.text(1), query.body(2)));
    };
    if (namespace_name.empty()) {
      Query query =
          connection.query("SELECT namespace, name, body FROM object WHERE scope = ? ORDER BY namespace, name");
      query.bind(copy_->row());
      read(query);
    } else {
      Query query =
          connection.query("SELECT namespace, name, body FROM object WHERE scope = ? AND namespace = ? ORDER BY name");
      query.bind(copy_->row()).bind(namespace_name);
      read(query);
    }
    return objects;
  });
}

Result<std::vector<InventoryEntry>> SqliteStore::measure(const ObjectKey& from, std::size_t limit) const {
  return shared_.database->read([&](Connection& connection) {
    std::vector<InventoryEntry> measured;
    Query query = connection.query(
        "SELECT namespace, name, body FROM object WHERE scope = ? AND (namespace, name) >= (?, ?)"
        " ORDER BY namespace, name LIMIT ?");
    const CopyState state = copy_->state();
    constexpr std::size_t kNone = std::numeric_limits<std::int64_t>::max();
    query.bind(state.row).bind(from.namespace_name).bind(from.name).bind(std::uint64_t(std::min(limit, kNone)));
    while (query.step()) {
      measured.push_back(InventoryEntry{ObjectKey{std::string(query.text(0)), std::string(query.text(1))},
                                        EntryHash::of(query.body(2))});
    }
    if (from == ObjectKey() && measured.size() < limit && !state.is_sum_of(measured)) copy_->doubt();
    return measured;
  });
}

Task<Result<void>> SqliteStore::write(std::function<void(Connection&)> change, std::size_t rows) {
  Work work = work_on(shared_, copy_, std::move(change), rows);
  co_return co_await shared_.database->write(std::move(work));
}

Task<Result<void>> SqliteStore::replace(Snapshot all) {
  auto ordered = database::in_key_order(std::move(all.objects));
  if (!ordered) co_return ordered.error();
  const std::size_t rows = ordered->size() + 1;
  auto change = [&shared = shared_, copy = copy_, scope = scope_, objects = std::move(*ordered),
                 version = std::move(all.version)](Connection& connection) {
    copy->replace(connection, shared.history, scope, objects, version);
  };
  co_return co_await write(std::move(change), rows);
}

Task<Result<void>> SqliteStore::apply(EventBatch changes) {
  if (auto checked = database::check(changes.events); !checked) co_return checked;
  const std::size_t rows = changes.events.size() + 1;
  auto change = [&shared = shared_, copy = copy_, scope = scope_, batch = std::move(changes)](Connection& connection) {
    copy->apply(connection, shared.history, scope, batch.events, batch.version);
  };
  co_return co_await write(std::move(change), rows);
}

}  // namespace tinf::sqlite
