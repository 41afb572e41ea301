#include "tinf/store/postgres/postgres_store.h"

#include <algorithm>

namespace tinf::postgres {
namespace {

constexpr std::size_t kRowsTogether = 1000;

// Walks over a copy in key order, as of one moment; `meet` has namespace, name and body, and says whether to go on.
template <class Meet>
void walk(Connection& connection, std::int64_t scope, const ObjectKey& from, std::size_t limit, Meet meet) {
  Moment moment(connection);
  ObjectKey after = from;
  bool inclusive = true;
  while (limit > 0) {
    const std::size_t part = std::min(limit, kRowsTogether);
    Values values;
    values.add(scope).add(after.namespace_name).add(after.name).add(std::uint64_t(part));
    connection.send(inclusive ? "SELECT namespace, name, body FROM object WHERE scope = $1"
                                " AND (namespace, name) >= ($2, $3) ORDER BY namespace, name LIMIT $4"
                              : "SELECT namespace, name, body FROM object WHERE scope = $1"
                                " AND (namespace, name) > ($2, $3) ORDER BY namespace, name LIMIT $4",
                    values);
    const Rows rows = connection.receive();
    for (int row = 0; row < rows.size(); ++row) {
      if (!meet(rows.text(row, 0), rows.text(row, 1), rows.text(row, 2))) return;
    }
    if (static_cast<std::size_t>(rows.size()) < part) return;
    limit -= part;
    inclusive = false;
    after = ObjectKey{rows.string(rows.size() - 1, 0), rows.string(rows.size() - 1, 1)};
  }
}

}  // namespace

PostgresStore::PostgresStore(const Readers& readers, Commits& commits, std::shared_ptr<Copy> copy, Scope scope,
                             std::string token, std::function<void()> on_close)
    : readers_(readers),
      commits_(commits),
      copy_(std::move(copy)),
      scope_(std::move(scope)),
      token_(std::move(token)),
      on_close_(std::move(on_close)) {}

ResourceVersion PostgresStore::version() const {
  return copy_->state().version_for(scope_);
}

Result<ObjectPtr> PostgresStore::get(const ObjectKey& key) const {
  return readers_.read([&](Connection& connection) -> ObjectPtr {
    Values values;
    values.add(copy_->row()).add(key.namespace_name).add(key.name);
    const Rows rows =
        connection.run("SELECT body FROM object WHERE scope = $1 AND namespace = $2 AND name = $3", values);
    return rows.size() > 0 ? database::object_of(key.namespace_name, key.name, rows.text(0, 0)) : nullptr;
  });
}

Result<std::vector<ObjectPtr>> PostgresStore::list(std::string_view namespace_name) const {
  return readers_.read([&](Connection& connection) {
    std::vector<ObjectPtr> objects;
    const ObjectKey first{std::string(namespace_name), ""};
    walk(connection, copy_->row(), first, std::numeric_limits<std::size_t>::max(),
         [&](std::string_view at, std::string_view name, std::string_view body) {
           if (!namespace_name.empty() && at != namespace_name) return false;
           objects.push_back(database::object_of(at, name, body));
           return true;
         });
    return objects;
  });
}

Result<std::vector<InventoryEntry>> PostgresStore::measure(const ObjectKey& from, std::size_t limit) const {
  return readers_.read([&](Connection& connection) {
    std::vector<InventoryEntry> measured;
    const CopyState state = copy_->state();
    walk(connection, state.row, from, limit, [&](std::string_view at, std::string_view name, std::string_view body) {
      measured.push_back(InventoryEntry{ObjectKey{std::string(at), std::string(name)}, EntryHash::of(body)});
      return true;
    });
    if (from == ObjectKey() && measured.size() < limit && !state.is_sum_of(measured)) copy_->doubt();
    return measured;
  });
}

CopyChange PostgresStore::change(CopyChange::Kind kind, ResourceVersion version) const {
  CopyChange change;
  change.kind = kind;
  change.copy = copy_;
  change.scope = scope_;
  change.version = std::move(version);
  return change;
}

Task<Result<void>> PostgresStore::write(CopyChange change, std::size_t rows) {
  Work work;
  work.rows = rows;
  work.subject = copy_.get();
  work.cluster = copy_->cluster();
  work.token = token_;
  work.change = std::move(change);
  co_return co_await commits_.write(std::move(work));
}

Task<Result<void>> PostgresStore::replace(Snapshot all) {
  auto ordered = database::in_key_order(std::move(all.objects));
  if (!ordered) co_return ordered.error();
  CopyChange set = change(CopyChange::Kind::Replace, std::move(all.version));
  set.objects = std::move(*ordered);
  const std::size_t rows = set.objects.size() + 1;
  co_return co_await write(std::move(set), rows);
}

Task<Result<void>> PostgresStore::apply(EventBatch changes) {
  if (auto checked = database::check(changes.events); !checked) co_return checked;
  CopyChange events = change(CopyChange::Kind::Apply, std::move(changes.version));
  events.events = std::move(changes.events);
  const std::size_t rows = events.events.size() + 1;
  co_return co_await write(std::move(events), rows);
}

}  // namespace tinf::postgres
