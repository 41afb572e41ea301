// An older version is read by undoing: a change holds what it replaced, so the first change of a place after a version
// says what was there.
#include "tinf/store/sqlite/fleet_view.h"

#include <algorithm>
#include <map>

#include "tinf/contract/history.h"
#include "tinf/store/sqlite/schema.h"
#include "tinf/store/sqlite/sqlite_store.h"

namespace tinf::sqlite {
namespace {

// Objects of one label that are found by it, and then put in order; of more, those that are wanted are found in order.
constexpr std::size_t kFew = 5000;

void check_retained(Connection& connection, StoreVersion version) {
  const StoreVersion floor = meta(connection, "floor");
  if (version < floor) throw Failure{too_old(version, floor), false};
}

// A copy of the collection that is asked for.
struct CopyName {
  std::int64_t row = 0;
  std::string cluster;
};

std::vector<CopyName> find_copies(Connection& connection, const FleetQuery& wanted) {
  std::vector<CopyName> copies;
  Query query = connection.query(
      "SELECT s.id, c.name FROM scope s JOIN cluster c ON c.id = s.cluster WHERE s.collection = ? ORDER BY c.name");
  query.bind(wanted.collection);
  while (query.step()) {
    CopyName copy{query.number(0), std::string(query.text(1))};
    const auto& clusters = wanted.clusters;
    if (wanted.of_cluster && !wanted.of_cluster(copy.cluster)) continue;
    if (clusters.empty() || std::find(clusters.begin(), clusters.end(), copy.cluster) != clusters.end())
      copies.push_back(std::move(copy));
  }
  return copies;
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

using KeyView = std::pair<std::string_view, std::string_view>;

KeyView view(const ObjectKey& key) {
  return {key.namespace_name, key.name};
}

// Objects that have a label, by copy and key, with the rows that they stand in.
using Labelled = std::map<std::int64_t, std::map<ObjectKey, std::int64_t>>;

// The rarest of the labels that a selector requires, and how often it occurs, up to a bound.
struct Rarest {
  std::string_view name, value;
  std::size_t objects = kFew;
};

Rarest rarest(Connection& connection, const LabelSelector& labels) {
  Rarest rarest;
  for (const auto& [name, value] : labels.required()) {
    Query query = connection.query("SELECT count(*) FROM (SELECT 1 FROM label WHERE name = ? AND value = ? LIMIT ?)");
    query.bind(name).bind(value).bind(std::int64_t(kFew));
    const auto objects = query.step() ? static_cast<std::size_t>(query.number(0)) : 0;
    if (rarest.name.empty() || objects < rarest.objects) rarest = Rarest{name, value, objects};
  }
  return rarest;
}

Labelled find_labelled(Connection& connection, const Rarest& label) {
  Labelled found;
  Query query = connection.query(
      "SELECT o.scope, o.namespace, o.name, o.id FROM label l CROSS JOIN object o ON o.id = l.object"
      " WHERE l.name = ? AND l.value = ?");
  query.bind(label.name).bind(label.value);
  while (query.step()) {
    found[query.number(0)].emplace(ObjectKey{std::string(query.text(1)), std::string(query.text(2))}, query.number(3));
  }
  return found;
}

// Builds a page from what is there now and what was there before it changed.
class PageReader {
 public:
  PageReader(Connection& connection, const FleetQuery& wanted, FleetPage& page)
      : connection_(connection), wanted_(wanted), page_(page) {
    if (wanted.labels.empty()) return;
    label_ = rarest(connection, wanted.labels);
    if (!label_.name.empty() && label_.objects < kFew) labelled_ = find_labelled(connection, label_);
  }

  // The part of the page that is of one copy. False: the page is full.
  bool read(const CopyName& copy, const ObjectKey& after) {
    const bool older = wanted_.version && *wanted_.version < page_.version;
    undone_ = older ? undo(connection_, copy, wanted_, after) : Undone();
    then_ = undone_.begin();
    const bool room = labelled_ ? read_labelled(copy, after) : read_rows(copy, after);
    if (!room) return false;
    for (; then_ != undone_.end(); ++then_) {
      if (then_->second.object && !take(page_, wanted_, std::move(then_->second))) return false;
    }
    return true;
  }

 private:
  bool read_labelled(const CopyName& copy, const ObjectKey& after) {
    const auto& objects = (*labelled_)[copy.row];
    for (auto at = objects.upper_bound(after); at != objects.end(); ++at) {
      if (!wanted_.namespace_name.empty() && at->first.namespace_name != wanted_.namespace_name) continue;
      Query query = connection_.query("SELECT version, body FROM object WHERE id = ?");
      query.bind(at->second);
      if (query.step() && !meet(copy, view(at->first), query, 0)) return false;
    }
    return true;
  }

  bool read_rows(const CopyName& copy, const ObjectKey& after) {
    // In the order of the index, and a body is read only of what may be selected.
    Query query = connection_.query(
        label_.name.empty()
            ? "SELECT namespace, name, version, body FROM object WHERE scope = ? AND (namespace, name) > (?, ?)"
              " ORDER BY namespace, name"
            : "SELECT o.namespace, o.name, o.version, o.body FROM object o WHERE o.scope = ?"
              " AND (o.namespace, o.name) > (?, ?)"
              " AND EXISTS (SELECT 1 FROM label l WHERE l.name = ? AND l.value = ? AND l.object = o.id)"
              " ORDER BY o.namespace, o.name");
    query.bind(copy.row).bind(after.namespace_name).bind(after.name);
    if (!label_.name.empty()) query.bind(label_.name).bind(label_.value);
    while (query.step()) {
      if (!wanted_.namespace_name.empty() && query.text(0) != wanted_.namespace_name) break;
      if (!meet(copy, KeyView(query.text(0), query.text(1)), query, 2)) return false;
    }
    return true;
  }

  // Takes an object that is there now, or what was in its place, after what was there before it. False: the page is
  // full.
  bool meet(const CopyName& copy, KeyView key, const Query& row, int version_column) {
    for (; then_ != undone_.end() && view(then_->first) < key; ++then_) {
      if (then_->second.object && !take(page_, wanted_, std::move(then_->second))) return false;
    }
    FleetObject found;
    if (then_ != undone_.end() && view(then_->first) == key) {
      found = std::move((then_++)->second);
      return !found.object || take(page_, wanted_, std::move(found));
    }
    found.cluster = copy.cluster;
    found.version = static_cast<StoreVersion>(row.number(version_column));
    found.object = object_of(key.first, key.second, row.text(version_column + 1));
    return take(page_, wanted_, std::move(found));
  }

  Connection& connection_;
  const FleetQuery& wanted_;
  FleetPage& page_;
  Rarest label_;
  std::optional<Labelled> labelled_;  // All that the label is on, where they are few.
  Undone undone_;                     // Of the copy that is being read.
  Undone::iterator then_;
};

}  // namespace

FleetPage read_page(Connection& connection, const FleetQuery& query) {
  Transaction moment(connection, "BEGIN");
  FleetPage page;
  page.version = meta(connection, "version");
  if (query.version) check_retained(connection, *query.version);
  PageReader reader(connection, query, page);
  for (const CopyName& copy : find_copies(connection, query)) {
    if (query.after && copy.cluster < query.after->cluster) continue;
    ObjectKey after;
    if (query.after && copy.cluster == query.after->cluster) after = query.after->key;
    // Nothing is named "": the first place of a namespace lies behind it.
    if (const ObjectKey first{query.namespace_name, ""}; after < first) after = first;
    if (!reader.read(copy, after)) break;
  }
  if (query.version) page.version = std::min(page.version, *query.version);
  return page;
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
  found.object = object_of(place.key.namespace_name, place.key.name, query.text(1));
  return found;
}

FleetBatch read_changes(Connection& connection, const std::string& collection, StoreVersion from, std::size_t limit) {
  Transaction moment(connection, "BEGIN");
  check_retained(connection, from);
  FleetBatch batch;
  batch.version = meta(connection, "version");
  // In the order of the log, which is the outer loop whatever the planner thinks of it.
  Query query = connection.query(
      "SELECT h.version, h.type, c.name, h.namespace, h.name, h.previous, coalesce(o.body, n.previous)"
      " FROM change h CROSS JOIN scope s ON s.id = h.scope CROSS JOIN cluster c ON c.id = s.cluster"
      " LEFT JOIN object o ON o.scope = h.scope AND o.namespace = h.namespace AND o.name = h.name"
      " AND o.version = h.version LEFT JOIN change n ON n.version = h.next"
      " WHERE h.version > ? AND s.collection = ? ORDER BY h.version LIMIT ?");
  query.bind(from).bind(collection).bind(static_cast<std::int64_t>(limit));
  while (query.step()) {
    FleetChange change;
    change.version = static_cast<StoreVersion>(query.number(0));
    change.type = static_cast<EventType>(query.number(1));
    change.cluster = query.text(2);
    if (!query.null(5)) change.previous = object_of(query.text(3), query.text(4), query.text(5));
    change.object = change.type == EventType::Deleted && change.previous
                        ? change.previous
                        : object_of(query.text(3), query.text(4), query.text(6));
    batch.changes.push_back(std::move(change));
  }
  if (batch.changes.size() == limit) batch.version = batch.changes.back().version;
  return batch;
}

}  // namespace tinf::sqlite
