#include "tinf/store/sqlite/fleet_view.h"

#include <algorithm>
#include <map>

#include "tinf/object/text.h"
#include "tinf/store/sqlite/schema.h"
#include "tinf/store/sqlite/sqlite_store.h"

namespace tinf::sqlite {
namespace {

// Objects that one label, or an owner, leads to, and that are then put in order; where they are more, those that are
// wanted are found in order.
constexpr std::size_t kFew = 5000;

using database::Undone;

// A copy of the collection that is asked for.
struct CopyRow {
  std::int64_t row = 0;
  std::string cluster;
  std::size_t objects = 0;
};

std::vector<CopyRow> find_copies(Connection& connection, const FleetQuery& wanted) {
  std::vector<CopyRow> copies;
  Query query = connection.query(
      "SELECT s.id, c.name, s.count FROM scope s JOIN cluster c ON c.id = s.cluster WHERE s.collection = ?"
      " ORDER BY c.name");
  query.bind(wanted.collection);
  while (query.step()) {
    CopyRow copy{query.number(0), std::string(query.text(1)), static_cast<std::size_t>(query.number(2))};
    if (wanted.is_about(copy.cluster)) copies.push_back(std::move(copy));
  }
  return copies;
}

Undone undo(Connection& connection, const CopyRow& copy, const FleetQuery& wanted, const ObjectKey& after) {
  Undone undone;
  Query query = connection.query(
      "SELECT namespace, name, previous_version, previous FROM change WHERE version > ? AND scope = ?"
      " AND (namespace, name) > (?, ?) ORDER BY version");
  query.bind(*wanted.version).bind(copy.row).bind(after.namespace_name).bind(after.name);
  while (query.step()) {
    const std::string_view namespace_name = query.text(0);
    if (!wanted.namespace_name.empty() && namespace_name != wanted.namespace_name) continue;
    undone.add(copy.cluster, ObjectKey{std::string(namespace_name), std::string(query.text(1))},
               static_cast<StoreVersion>(query.number(2)),
               query.null(3) ? std::optional<std::string_view>() : query.body(3));
  }
  return undone;
}

// Objects of one copy, with the rows that they stand in.
using Found = std::map<ObjectKey, std::int64_t>;

// What leads to the fewest objects of a copy of all that a query requires, and to how many, up to a bound.
struct Rarest {
  std::string_view label, value;  // Of no name: none is required.
  bool is_owner = false;
  std::size_t objects = kFew;

  bool leads_to_few() const { return objects < kFew; }
};

Rarest rarest(Connection& connection, const FleetQuery& wanted, const CopyRow& copy) {
  Rarest rarest;
  for (const auto& [name, value] : wanted.labels.required()) {
    Query query = connection.query(
        "SELECT count(*) FROM (SELECT 1 FROM label WHERE name = ? AND value = ? AND scope = ? LIMIT ?)");
    query.bind(name).bind(value).bind(copy.row).bind(std::int64_t(kFew));
    const auto objects = query.step() ? static_cast<std::size_t>(query.number(0)) : 0;
    if (rarest.label.empty() || objects < rarest.objects) rarest = Rarest{name, value, false, objects};
  }
  if (!wanted.owner.empty()) {
    Query query = connection.query("SELECT count(*) FROM (SELECT 1 FROM owner WHERE uid = ? AND scope = ? LIMIT ?)");
    query.bind(wanted.owner).bind(copy.row).bind(std::int64_t(kFew));
    const auto objects = query.step() ? static_cast<std::size_t>(query.number(0)) : 0;
    if (objects < rarest.objects) {
      rarest.is_owner = true;
      rarest.objects = objects;
    }
  }
  return rarest;
}

Found find(Connection& connection, const FleetQuery& wanted, const CopyRow& copy, const Rarest& rarest) {
  Found found;
  if (rarest.objects == 0) return found;
  Query query = connection.query(
      rarest.is_owner ? "SELECT o.namespace, o.name, o.id FROM owner w CROSS JOIN object o ON o.id = w.object"
                        " WHERE w.uid = ? AND w.scope = ?"
                      : "SELECT o.namespace, o.name, o.id FROM label l CROSS JOIN object o ON o.id = l.object"
                        " WHERE l.name = ? AND l.value = ? AND l.scope = ?");
  if (rarest.is_owner) {
    query.bind(wanted.owner);
  } else {
    query.bind(rarest.label).bind(rarest.value);
  }
  query.bind(copy.row);
  while (query.step())
    found.emplace(ObjectKey{std::string(query.text(0)), std::string(query.text(1))}, query.number(2));
  return found;
}

// Whether a text that a label holds stands in the labels' JSON as it is.
bool is_plain_in_json(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c != '"' && c != '\\' && c != '\x7f'; });
}

// Builds a slice of a page from what is there now and what was there before it changed.
class PageReader {
 public:
  PageReader(Connection& connection, const FleetQuery& wanted, StoreVersion now, PageSoFar& so_far, std::size_t rows)
      : connection_(connection),
        wanted_(wanted),
        is_older_(so_far.page.version < now),
        so_far_(so_far),
        builder_(wanted, so_far.page),
        rows_(rows),
        search_(is_plain_in_json(wanted.search) ? lower_case(wanted.search) : std::string()) {}

  // The part of the page that is of one copy. False: the page is full, or the slice.
  bool read(const CopyRow& copy, const ObjectKey& after) {
    const Rarest least = rarest(connection_, wanted_, copy);
    builder_.begin(copy.cluster, is_older_ ? undo(connection_, copy, wanted_, after) : Undone());
    return (least.leads_to_few() ? read_found(copy, after, least) : read_rows(copy, after, least)) && builder_.end();
  }

 private:
  bool read_found(const CopyRow& copy, const ObjectKey& after, const Rarest& least) {
    const Found objects = find(connection_, wanted_, copy, least);
    for (auto at = objects.upper_bound(after); at != objects.end(); ++at) {
      if (!wanted_.namespace_name.empty() && at->first.namespace_name != wanted_.namespace_name) continue;
      Query query = connection_.query("SELECT version, body FROM object WHERE id = ?");
      query.bind(at->second);
      if (query.step() && !meet(at->first, query, 0)) return false;
      if (!goes_on(copy, at->first)) return false;
    }
    return true;
  }

  // In the order of the index; a body is read only of what may be selected, as far as the row tells without it.
  bool read_rows(const CopyRow& copy, const ObjectKey& after, const Rarest& least) {
    Query query = connection_.query(
        "SELECT o.namespace, o.name, o.version, CASE WHEN"
        " (?4 = '' OR EXISTS (SELECT 1 FROM label l WHERE l.name = ?4 AND l.value = ?5 AND l.scope = ?1 AND l.object = "
        "o.id))"
        " AND (?6 = '' OR EXISTS (SELECT 1 FROM owner w WHERE w.uid = ?6 AND w.scope = ?1 AND w.object = o.id))"
        " AND (?7 = '' OR instr(lower(o.name), ?7) OR instr(lower(o.namespace), ?7) OR instr(lower(o.labels), ?7))"
        " THEN o.body END"
        " FROM object o WHERE o.scope = ?1 AND (o.namespace, o.name) > (?2, ?3) ORDER BY o.namespace, o.name");
    query.bind(copy.row).bind(after.namespace_name).bind(after.name);
    query.bind(least.label).bind(least.value).bind(wanted_.owner).bind(search_);
    while (query.step()) {
      if (!wanted_.namespace_name.empty() && query.text(0) != wanted_.namespace_name) break;
      const ObjectKey key{std::string(query.text(0)), std::string(query.text(1))};
      if (!meet(key, query, 2) || !goes_on(copy, key)) return false;
    }
    return true;
  }

  // False: so much has been looked at for now.
  bool goes_on(const CopyRow& copy, const ObjectKey& looked_at) {
    if (--rows_ > 0) return true;
    so_far_.after = FleetPlace{copy.cluster, looked_at};
    return false;
  }

  bool meet(const ObjectKey& key, const Query& row, int version_column) {
    return builder_.meet(
        key.namespace_name, key.name, static_cast<StoreVersion>(row.number(version_column)),
        row.null(version_column + 1) ? std::optional<std::string_view>() : row.body(version_column + 1));
  }

  Connection& connection_;
  const FleetQuery& wanted_;
  const bool is_older_;
  PageSoFar& so_far_;
  database::PageBuilder builder_;
  std::size_t rows_;          // Still to be looked at in this slice.
  const std::string search_;  // Empty: none, or one that only the body can tell.
};

}  // namespace

PageSoFar read_slice(Connection& connection, const FleetQuery& query, PageSoFar so_far, std::size_t rows) {
  Transaction moment(connection, "BEGIN");
  const StoreVersion now = meta(connection, "version");
  if (query.version) database::check_retained(*query.version, meta(connection, "floor"));
  so_far.page.version = query.version ? std::min(now, *query.version) : now;
  const std::optional<FleetPlace> from = std::exchange(so_far.after, std::nullopt);
  PageReader reader(connection, query, now, so_far, rows);
  const auto copies = find_copies(connection, query);
  if (query.is_whole()) {
    so_far.page.remaining = 0;
    for (const CopyRow& copy : copies) *so_far.page.remaining += copy.objects;
  }
  for (const CopyRow& copy : copies) {
    if (from && copy.cluster < from->cluster) continue;
    if (!reader.read(copy, database::first_key(query, from, copy.cluster))) break;
  }
  so_far.end_slice();
  return so_far;
}

std::optional<FleetObject> read_object(Connection& connection, const std::string& collection, const FleetPlace& place) {
  Query query = connection.query(
      "SELECT o.version, o.body FROM cluster c JOIN scope s ON s.cluster = c.id AND s.collection = ?"
      " JOIN object o ON o.scope = s.id AND o.namespace = ? AND o.name = ? WHERE c.name = ?");
  query.bind(collection).bind(place.key.namespace_name).bind(place.key.name).bind(place.cluster);
  if (!query.step()) return std::nullopt;
  FleetObject found;
  found.cluster = place.cluster;
  found.version = static_cast<StoreVersion>(query.number(0));
  found.object = object_of(place.key.namespace_name, place.key.name, query.body(1));
  return found;
}

namespace {

// The columns are those of the two statements below.
FleetChange change_of(const Query& row) {
  FleetChange change;
  change.version = static_cast<StoreVersion>(row.number(0));
  change.type = static_cast<EventType>(row.number(1));
  change.cluster = row.text(2);
  if (!row.null(5)) change.previous = object_of(row.text(3), row.text(4), row.body(5));
  change.object = change.type == EventType::Deleted && change.previous
                      ? change.previous
                      : object_of(row.text(3), row.text(4), row.body(6));
  return change;
}

// Each copy by its index of the log, and then the earliest of all of them.
std::vector<FleetChange> read_changes_of(Connection& connection, const FleetQuery& of, StoreVersion from,
                                         std::size_t limit) {
  std::vector<FleetChange> changes;
  for (const CopyRow& copy : find_copies(connection, of)) {
    Query query = connection.query(
        "SELECT h.version, h.type, ?1, h.namespace, h.name, h.previous, coalesce(o.body, n.previous) FROM change h"
        " LEFT JOIN object o ON o.scope = h.scope AND o.namespace = h.namespace AND o.name = h.name"
        " AND o.version = h.version LEFT JOIN change n ON n.version = h.next"
        " WHERE h.scope = ?2 AND h.version > ?3 ORDER BY h.version LIMIT ?4");
    query.bind(copy.cluster).bind(copy.row).bind(from).bind(static_cast<std::int64_t>(limit));
    while (query.step()) changes.push_back(change_of(query));
    if (changes.size() <= limit) continue;
    std::ranges::nth_element(changes, changes.begin() + static_cast<std::ptrdiff_t>(limit), {}, &FleetChange::version);
    changes.resize(limit);
  }
  std::ranges::sort(changes, {}, &FleetChange::version);
  return changes;
}

}  // namespace

FleetBatch read_changes(Connection& connection, const std::string& collection, const std::set<std::string>& clusters,
                        StoreVersion from, std::size_t limit) {
  Transaction moment(connection, "BEGIN");
  database::check_retained(from, meta(connection, "floor"));
  FleetBatch batch;
  batch.version = meta(connection, "version");
  if (clusters.empty()) {
    // In the order of the log, which is the outer loop whatever the planner thinks of it.
    Query query = connection.query(
        "SELECT h.version, h.type, c.name, h.namespace, h.name, h.previous, coalesce(o.body, n.previous)"
        " FROM change h CROSS JOIN scope s ON s.id = h.scope CROSS JOIN cluster c ON c.id = s.cluster"
        " LEFT JOIN object o ON o.scope = h.scope AND o.namespace = h.namespace AND o.name = h.name"
        " AND o.version = h.version LEFT JOIN change n ON n.version = h.next"
        " WHERE h.version > ? AND s.collection = ? ORDER BY h.version LIMIT ?");
    query.bind(from).bind(collection).bind(static_cast<std::int64_t>(limit));
    while (query.step()) batch.changes.push_back(change_of(query));
  } else {
    FleetQuery of;
    of.collection = collection;
    of.clusters.assign(clusters.begin(), clusters.end());
    batch.changes = read_changes_of(connection, of, from, limit);
  }
  if (batch.changes.size() == limit) batch.version = batch.changes.back().version;
  return batch;
}

}  // namespace tinf::sqlite
