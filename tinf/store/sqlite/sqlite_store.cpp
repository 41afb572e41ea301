#include "tinf/store/sqlite/sqlite_store.h"

#include <algorithm>
#include <limits>

namespace tinf::sqlite {
namespace {

bool before(const ObjectPtr& a, const ObjectPtr& b) {
  return std::pair(a->namespace_name(), a->name()) < std::pair(b->namespace_name(), b->name());
}

}  // namespace

ObjectPtr object_of(std::string_view namespace_name, std::string_view name, std::string_view body) {
  ParseOptions as_it_is;
  as_it_is.keep_managed_fields = true;
  auto object = Object::parse(body, as_it_is);
  const bool it = object && (*object)->namespace_name() == namespace_name && (*object)->name() == name;
  return it ? std::move(*object) : Object::of_key(namespace_name, name);
}

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
  CopyState state = copy_->state();
  return state.wanted != scope_.id() ? ResourceVersion() : ResourceVersion(std::move(state.position));
}

Result<ObjectPtr> SqliteStore::get(const ObjectKey& key) const {
  return shared_.database->read([&](Connection& connection) -> ObjectPtr {
    Query query = connection.query("SELECT body FROM object WHERE scope = ? AND namespace = ? AND name = ?");
    query.bind(copy_->row()).bind(key.namespace_name).bind(key.name);
    return query.step() ? object_of(key.namespace_name, key.name, query.text(0)) : nullptr;
  });
}

Result<std::vector<ObjectPtr>> SqliteStore::list(std::string_view namespace_name) const {
  return shared_.database->read([&](Connection& connection) {
    std::vector<ObjectPtr> objects;
    const auto read = [&](Query& query) {
      while (query.step()) objects.push_back(object_of(query.text(0), query.text(1), query.text(2)));
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
                                        EntryHash::of(query.text(2))});
    }
    if (from == ObjectKey() && measured.size() < limit) {
      Fingerprint all;
      for (const InventoryEntry& entry : measured) all.add(entry.hash);
      if (all != state.fingerprint) copy_->doubt();
    }
    return measured;
  });
}

Task<Result<void>> SqliteStore::write(std::function<void(Connection&)> change, std::size_t rows) {
  Work work = work_on(shared_, copy_, std::move(change), rows);
  co_return co_await shared_.database->write(std::move(work));
}

Task<Result<void>> SqliteStore::replace(Snapshot all) {
  if (std::ranges::find(all.objects, nullptr) != all.objects.end())
    co_return Error(Code::Invalid, "a list holds a null object: nothing was stored");
  std::ranges::stable_sort(all.objects, before);
  // A set in pages may name a key twice; the later state wins.
  std::vector<ObjectPtr> objects;
  objects.reserve(all.objects.size());
  for (ObjectPtr& object : all.objects) {
    if (!objects.empty() && !before(objects.back(), object)) objects.pop_back();
    objects.push_back(std::move(object));
  }
  const std::size_t rows = objects.size() + 1;
  auto change = [&shared = shared_, copy = copy_, scope = scope_, objects = std::move(objects),
                 version = std::move(all.version)](Connection& connection) {
    copy->replace(connection, shared.history, scope, objects, version);
  };
  co_return co_await write(std::move(change), rows);
}

Task<Result<void>> SqliteStore::apply(EventBatch changes) {
  for (const WatchEvent& event : changes.events) {
    if (event.type == EventType::Deleted || event.object) continue;
    co_return Error(Code::Invalid, "event " + std::string(to_string(event.type)) + " of \"" + event.key.to_string() +
                                       "\" carries no object: nothing of its batch was stored");
  }
  const std::size_t rows = changes.events.size() + 1;
  auto change = [&shared = shared_, copy = copy_, scope = scope_, batch = std::move(changes)](Connection& connection) {
    copy->apply(connection, shared.history, scope, batch.events, batch.version);
  };
  co_return co_await write(std::move(change), rows);
}

}  // namespace tinf::sqlite
