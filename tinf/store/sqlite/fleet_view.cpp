// An older version is read by undoing: a change holds what it replaced, so the first change of a place after a version
// says what was there.
#include "tinf/store/sqlite/fleet_view.h"

#include <map>

#include "tinf/store/sqlite/sqlite_store.h"

namespace tinf::sqlite {
namespace {

StoreVersion meta(Connection& connection, std::string_view name) {
  Query query = connection.query("SELECT value FROM meta WHERE name = ?");
  query.bind(name);
  return query.step() ? static_cast<StoreVersion>(query.number(0)) : 0;
}

void check_retained(Connection& connection, StoreVersion version) {
  const StoreVersion floor = meta(connection, "floor");
  if (version >= floor) return;
  throw Failure{
      Error(Code::Expired, "too old resource version: " + std::to_string(version) + " (" + std::to_string(floor) + ")"),
      false};
}

// What was at a place that has changed since; a null object: nothing.
using Undone = std::map<ObjectKey, FleetObject>;

Undone undo(Connection& connection, const CopyName& copy, const FleetQuery& wanted, const ObjectKey& after) {
  Undone undone;
  Query query = connection.query(
      "SELECT namespace, name, previous_version, previous FROM change WHERE version > ? AND scope = ?"
      " AND (namespace, name) > (?, ?) ORDER BY version");
  query.bind(*wanted.version).bind(copy.row).bind(after.namespace_name).bind(after.name);
  while (query.step()) {
    const std::string_view namespace_name = query.text(0);
    if (!wanted.namespace_name.empty() && namespace_name != wanted.namespace_name) continue;
    ObjectKey key{std::string(namespace_name), std::string(query.text(1))};
    const auto [at, first] = undone.try_emplace(std::move(key));
    if (!first) continue;
    at->second.cluster = copy.cluster;
    at->second.version = static_cast<StoreVersion>(query.number(2));
    if (!query.null(3)) at->second.object = object_of(namespace_name, query.text(1), query.text(3));
  }
  return undone;
}

// False: the page is full.
bool take(FleetPage& page, const FleetQuery& wanted, FleetObject object) {
  if (!wanted.labels.empty() && !wanted.labels.matches(*object.object)) return true;
  if (wanted.limit > 0 && page.objects.size() == wanted.limit) {
    page.more = true;
    return false;
  }
  page.objects.push_back(std::move(object));
  return true;
}

// The part of a page that is of one copy. False: the page is full.
bool read_copy(Connection& connection, const CopyName& copy, const FleetQuery& wanted, const ObjectKey& after,
               FleetPage& page) {
  const bool older = wanted.version && *wanted.version < page.version;
  Undone undone = older ? undo(connection, copy, wanted, after) : Undone();
  auto then = undone.begin();
  Query query = connection.query(
      "SELECT namespace, name, version, body FROM object WHERE scope = ?1 AND (namespace, name) > (?2, ?3)"
      " AND (?4 = '' OR namespace = ?4) ORDER BY namespace, name");
  query.bind(copy.row).bind(after.namespace_name).bind(after.name).bind(wanted.namespace_name);
  while (query.step()) {
    const std::string_view namespace_name = query.text(0);
    const std::string_view name = query.text(1);
    if (!wanted.namespace_name.empty() && namespace_name > wanted.namespace_name) break;
    for (; then != undone.end() && std::pair<std::string_view, std::string_view>(
                                       then->first.namespace_name, then->first.name) < std::pair(namespace_name, name);
         ++then) {
      if (then->second.object && !take(page, wanted, std::move(then->second))) return false;
    }
    if (then != undone.end() && then->first.namespace_name == namespace_name && then->first.name == name) {
      FleetObject was = std::move((then++)->second);
      if (was.object && !take(page, wanted, std::move(was))) return false;
      continue;
    }
    FleetObject now;
    now.cluster = copy.cluster;
    now.version = static_cast<StoreVersion>(query.number(2));
    now.object = object_of(namespace_name, name, query.text(3));
    if (!take(page, wanted, std::move(now))) return false;
  }
  for (; then != undone.end(); ++then) {
    if (then->second.object && !take(page, wanted, std::move(then->second))) return false;
  }
  return true;
}

}  // namespace

FleetPage read_page(Connection& connection, const std::vector<CopyName>& copies, const FleetQuery& query) {
  Transaction moment(connection, "BEGIN");
  FleetPage page;
  page.version = meta(connection, "version");
  if (query.version) check_retained(connection, *query.version);
  for (const CopyName& copy : copies) {
    if (query.after && copy.cluster < query.after->cluster) continue;
    ObjectKey after;
    if (query.after && copy.cluster == query.after->cluster) after = query.after->key;
    // Nothing is named "": the first place of a namespace lies behind it.
    if (const ObjectKey first{query.namespace_name, ""}; after < first) after = first;
    if (!read_copy(connection, copy, query, after, page)) break;
  }
  if (query.version) page.version = std::min(page.version, *query.version);
  return page;
}

std::optional<FleetObject> read_object(Connection& connection, const CopyName& copy, const ObjectKey& key) {
  Query query = connection.query("SELECT version, body FROM object WHERE scope = ? AND namespace = ? AND name = ?");
  query.bind(copy.row).bind(key.namespace_name).bind(key.name);
  if (!query.step()) return std::nullopt;
  FleetObject found;
  found.cluster = copy.cluster;
  found.version = static_cast<StoreVersion>(query.number(0));
  found.object = object_of(key.namespace_name, key.name, query.text(1));
  return found;
}

FleetBatch read_changes(Connection& connection, const std::vector<CopyName>& copies, const std::string& collection,
                        StoreVersion from, std::size_t limit) {
  Transaction moment(connection, "BEGIN");
  check_retained(connection, from);
  std::map<std::int64_t, const std::string*> clusters;
  for (const CopyName& copy : copies) clusters.emplace(copy.row, &copy.cluster);
  FleetBatch batch;
  batch.version = meta(connection, "version");
  Query query = connection.query(
      "SELECT c.version, c.type, c.scope, c.namespace, c.name, c.previous, coalesce(o.body, n.previous)"
      " FROM change c LEFT JOIN object o ON o.scope = c.scope AND o.namespace = c.namespace AND o.name = c.name"
      " AND o.version = c.version LEFT JOIN change n ON n.version = c.next"
      " WHERE c.version > ? AND c.scope IN (SELECT id FROM scope WHERE collection = ?) ORDER BY c.version LIMIT ?");
  query.bind(from).bind(collection).bind(static_cast<std::int64_t>(limit));
  while (query.step()) {
    FleetChange change;
    change.version = static_cast<StoreVersion>(query.number(0));
    change.type = static_cast<EventType>(query.number(1));
    const auto cluster = clusters.find(query.number(2));
    if (cluster == clusters.end()) continue;  // Written by a copy that this question does not know of yet.
    change.cluster = *cluster->second;
    if (!query.null(5)) change.previous = object_of(query.text(3), query.text(4), query.text(5));
    change.object =
        change.type == EventType::Deleted ? change.previous : object_of(query.text(3), query.text(4), query.text(6));
    batch.changes.push_back(std::move(change));
  }
  if (batch.changes.size() == limit) batch.version = batch.changes.back().version;
  return batch;
}

}  // namespace tinf::sqlite
