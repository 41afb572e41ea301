#include "tinf/store/postgres/fleet_view.h"

#include <algorithm>
#include <map>

#include "tinf/object/text.h"
#include "tinf/store/database/rows.h"
#include "tinf/store/postgres/draft.h"

namespace tinf::postgres {
namespace {

using database::object_of;
using database::Undone;

// Objects that labels and an owner lead to, and that are then put in order; where they are more, those that are wanted
// are found in order.
constexpr std::int64_t kFew = 5000;
constexpr std::size_t kRowsTogether = 500;    // Of one copy, with their bodies.
constexpr std::size_t kCopiesTogether = 200;  // Whose rows are asked for at once.

StoreVersion version_in(const Rows& rows, int row, int column) {
  return static_cast<StoreVersion>(rows.number(row, column));
}

struct Now {
  StoreVersion version = 0;
  StoreVersion floor = 0;
};

void ask_now(Connection& connection) {
  connection.send("SELECT version, floor FROM clock");
}

// `told`: what was told before the moment began.
Now hear_now(Connection& connection, Progress& progress, StoreVersion told) {
  const Rows rows = connection.receive();
  Now now;
  if (rows.size() > 0) now = Now{version_in(rows, 0, 0), version_in(rows, 0, 1)};
  if (now.version < told) {
    throw Failure{Error(Code::Unavailable, "database " + connection.name() + ": it stands at version " +
                                               std::to_string(now.version) + ", and " + std::to_string(told) +
                                               " was told: a standby that is behind, or an older copy"),
                  false};
  }
  progress.learn(now.version, now.floor);
  return now;
}

// A copy of the collection that is asked for.
struct CopyRow {
  std::int64_t row = 0;
  std::string cluster;
  std::uint64_t objects = 0;
};

void ask_copies(Connection& connection, const std::string& collection) {
  connection.send(
      "SELECT s.id, c.name, s.count FROM scope s JOIN cluster c ON c.id = s.cluster WHERE s.collection = $1"
      " ORDER BY c.name",
      Values().add(collection));
}

std::vector<CopyRow> hear_copies(Connection& connection, const FleetQuery& wanted) {
  const Rows rows = connection.receive();
  std::vector<CopyRow> copies;
  for (int row = 0; row < rows.size(); ++row) {
    CopyRow copy{rows.number(row, 0), rows.string(row, 1), static_cast<std::uint64_t>(rows.number(row, 2))};
    if (wanted.is_about(copy.cluster)) copies.push_back(std::move(copy));
  }
  return copies;
}

// Every label that an object must have, as JSON; empty: none.
std::string required_labels(const LabelSelector& labels) {
  std::string json;
  for (const auto& [name, value] : labels.required()) {
    // Keys and values that a selector can have need no escapes.
    json += (json.empty() ? "{\"" : ",\"") + std::string(name) + "\":\"" + std::string(value) + '"';
  }
  return json.empty() ? json : json + '}';
}

// Objects by copy and key.
using Found = std::map<std::int64_t, std::set<ObjectKey>>;

// Builds a slice of a page from what is there now and what was there before it changed.
class PageReader {
 public:
  PageReader(Connection& connection, const FleetQuery& wanted, bool is_older, PageSoFar& so_far, std::size_t rows)
      : connection_(connection),
        wanted_(wanted),
        is_older_(is_older),
        so_far_(so_far),
        builder_(wanted, so_far.page),
        rows_(rows),
        labels_(required_labels(wanted.labels)),
        owner_(is_indexed_owner(wanted.owner) ? wanted.owner : ""),
        search_(lower_case(wanted.search)) {
    find_few();
  }

  // The copies in the order of their clusters, the first of them behind `from`, where that lies in it.
  void read(const std::vector<CopyRow>& copies, const std::optional<FleetPlace>& from) {
    auto next = copies.begin();
    if (from) next = std::ranges::lower_bound(copies, from->cluster, {}, &CopyRow::cluster);
    bool room = true;
    while (room && next != copies.end()) {
      std::vector<Asked> asked;
      for (std::size_t expected = 0; next != copies.end() && asked.size() < kCopiesTogether && expected < needed();
           ++next) {
        Asked one = ask(*next, database::first_key(wanted_, from, next->cluster));
        expected += one.expected;
        asked.push_back(std::move(one));
      }
      for (Asked& one : asked) hear(one);
      for (Asked& one : asked) {
        if (!(room = take(one))) break;
      }
    }
  }

 private:
  // What was asked of a copy, and then its answer.
  struct Asked {
    const CopyRow* copy = nullptr;
    ObjectKey after;
    std::size_t limit = 0;     // Rows; 0: none were asked for.
    std::size_t expected = 0;  // At most so many.
    std::optional<Rows> rows;
    std::optional<Rows> undone;
  };

  // How many rows it takes, if all of them are wanted.
  std::size_t needed() const {
    if (is_filtered()) return rows_;
    return wanted_.limit == 0 ? kRowsTogether
                              : wanted_.limit + 1 - std::min(wanted_.limit, so_far_.page.objects.size());
  }
  bool is_filtered() const { return found_ || !wanted_.labels.empty() || !wanted_.owner.empty() || !search_.empty(); }

  void find_few() {
    if (labels_.empty() && owner_.empty()) return;
    const char* const sql =
        owner_.empty() ? "SELECT scope, namespace, name FROM object WHERE labels @> $1::jsonb LIMIT $2"
        : labels_.empty()
            ? "SELECT scope, namespace, name FROM object WHERE owners @> ARRAY[$1] LIMIT $2"
            : "SELECT scope, namespace, name FROM object WHERE labels @> $1::jsonb AND owners @> ARRAY[$3]"
              " LIMIT $2";
    Values values;
    values.add(labels_.empty() ? owner_ : labels_).add(kFew);
    if (!labels_.empty() && !owner_.empty()) values.add(owner_);
    connection_.send(sql, values);
    const Rows rows = connection_.receive();
    if (rows.size() >= kFew) return;
    found_.emplace();
    for (int row = 0; row < rows.size(); ++row)
      (*found_)[rows.number(row, 0)].insert(ObjectKey{rows.string(row, 1), rows.string(row, 2)});
  }

  Asked ask(const CopyRow& copy, ObjectKey after) {
    Asked asked;
    asked.copy = &copy;
    asked.after = std::move(after);
    if (is_older_) ask_undone(asked);
    ask_rows(asked);
    return asked;
  }

  void ask_undone(const Asked& asked) {
    Values values;
    values.add(*wanted_.version).add(asked.copy->row).add(asked.after.namespace_name).add(asked.after.name);
    values.add(wanted_.namespace_name);
    connection_.send(
        "SELECT DISTINCT ON (namespace, name) namespace, name, previous_version, previous FROM change"
        " WHERE version > $1 AND scope = $2 AND (namespace, name) > ($3, $4) AND ($5 = '' OR namespace = $5)"
        " ORDER BY namespace, name, version",
        values);
  }

  // The next rows of the copy, in the order of their keys.
  void ask_rows(Asked& asked) {
    asked.limit = std::min({kRowsTogether, needed(), rows_});
    asked.expected = std::min<std::uint64_t>(asked.limit, asked.copy->objects);
    if (found_) return ask_found(asked);
    Values values;
    values.add(asked.copy->row).add(asked.after.namespace_name).add(asked.after.name);
    values.add(std::uint64_t(asked.limit)).add(wanted_.namespace_name);
    if (!is_filtered()) {
      connection_.send(
          wanted_.namespace_name.empty()
              ? "SELECT namespace, name, version, body FROM object WHERE scope = $1 AND (namespace, name) > ($2, $3)"
                " AND $5 = '' ORDER BY namespace, name LIMIT $4"
              : "SELECT namespace, name, version, body FROM object WHERE scope = $1 AND namespace = $5 AND name > $3"
                " AND namespace >= $2 ORDER BY namespace, name LIMIT $4",
          values);
      return;
    }
    // A body is read only of what may be selected, as far as the rest of its row tells.
    values.add(labels_.empty() ? "{}" : labels_).add(owner_).add(search_);
    connection_.send(
        "SELECT o.namespace, o.name, o.version, CASE WHEN ($6 = '{}' OR o.labels @> $6::jsonb)"
        " AND ($7 = '' OR o.owners @> ARRAY[$7]) AND ($8 = '' OR position($8 IN lower(o.name)) > 0"
        " OR position($8 IN lower(o.namespace)) > 0 OR EXISTS (SELECT FROM jsonb_each_text(o.labels) l"
        " WHERE position($8 IN lower(l.key COLLATE \"C\")) > 0 OR position($8 IN lower(l.value COLLATE \"C\")) > 0))"
        " THEN o.body END FROM object o WHERE o.scope = $1 AND (o.namespace, o.name) > ($2, $3)"
        " AND ($5 = '' OR o.namespace = $5) ORDER BY o.namespace, o.name LIMIT $4",
        values);
  }

  void ask_found(Asked& asked) {
    const auto& keys = (*found_)[asked.copy->row];
    Array namespaces = texts(), names = texts();
    for (auto at = keys.upper_bound(asked.after); at != keys.end() && namespaces.size() < asked.limit; ++at) {
      if (!wanted_.namespace_name.empty() && at->namespace_name != wanted_.namespace_name) continue;
      namespaces.add(at->namespace_name);
      names.add(at->name);
    }
    asked.expected = namespaces.size();
    // Fewer than there is room for are all.
    if (namespaces.size() == 0) asked.limit = 0;
    if (asked.limit == 0) return;
    Values values;
    values.add(asked.copy->row).add(std::move(namespaces)).add(std::move(names));
    connection_.send(
        "SELECT o.namespace, o.name, o.version, o.body FROM unnest($2::text[], $3::text[]) WITH ORDINALITY"
        " AS k(namespace, name, i) JOIN object o ON o.scope = $1 AND o.namespace = k.namespace AND o.name = k.name"
        " ORDER BY k.i",
        values);
  }

  void hear(Asked& asked) {
    if (is_older_) asked.undone = connection_.receive();
    if (asked.limit > 0) asked.rows = connection_.receive();
  }

  // False: the page is full, or the slice.
  bool take(Asked& asked) {
    Undone undone;
    if (asked.undone) {
      const Rows& rows = *asked.undone;
      for (int row = 0; row < rows.size(); ++row) {
        undone.add(asked.copy->cluster, ObjectKey{rows.string(row, 0), rows.string(row, 1)}, version_in(rows, row, 2),
                   rows.null(row, 3) ? std::optional<std::string_view>() : rows.text(row, 3));
      }
    }
    builder_.begin(asked.copy->cluster, std::move(undone));
    while (asked.limit > 0) {
      const Rows rows = std::move(*asked.rows);
      for (int row = 0; row < rows.size(); ++row) {
        if (!builder_.meet(rows.text(row, 0), rows.text(row, 1), version_in(rows, row, 2),
                           rows.null(row, 3) ? std::optional<std::string_view>() : rows.text(row, 3)))
          return false;
        if (--rows_ > 0) continue;
        so_far_.after = FleetPlace{asked.copy->cluster, ObjectKey{rows.string(row, 0), rows.string(row, 1)}};
        return false;
      }
      if (rows.size() == 0 || static_cast<std::size_t>(rows.size()) < asked.limit) break;
      asked.after = ObjectKey{rows.string(rows.size() - 1, 0), rows.string(rows.size() - 1, 1)};
      ask_rows(asked);
      if (asked.limit > 0) asked.rows = connection_.receive();
    }
    return builder_.end();
  }

  Connection& connection_;
  const FleetQuery& wanted_;
  const bool is_older_;
  PageSoFar& so_far_;
  database::PageBuilder builder_;
  std::size_t rows_;  // Still to be looked at in this slice.
  const std::string labels_;
  const std::string owner_;  // Empty also where the column does not tell.
  const std::string search_;
  std::optional<Found> found_;  // All that the labels and the owner lead to, where they are few.
};

}  // namespace

PageSoFar read_slice(Connection& connection, Progress& progress, const FleetQuery& query, PageSoFar so_far,
                     std::size_t rows) {
  const StoreVersion told = progress.version();
  Moment moment(connection);
  ask_now(connection);
  ask_copies(connection, query.collection);
  const Now now = hear_now(connection, progress, told);
  const std::vector<CopyRow> copies = hear_copies(connection, query);
  if (query.version) database::check_retained(*query.version, now.floor);
  so_far.page.version = query.version ? std::min(now.version, *query.version) : now.version;
  const std::optional<FleetPlace> from = std::exchange(so_far.after, std::nullopt);
  if (query.is_whole()) {
    so_far.page.remaining = 0;
    for (const CopyRow& copy : copies) *so_far.page.remaining += copy.objects;
  }
  PageReader(connection, query, so_far.page.version < now.version, so_far, rows).read(copies, from);
  so_far.end_slice();
  return so_far;
}

std::optional<FleetObject> read_object(Connection& connection, Progress& progress, const std::string& collection,
                                       const FleetPlace& place) {
  const StoreVersion told = progress.version();
  Values values;
  values.add(collection).add(place.key.namespace_name).add(place.key.name).add(place.cluster);
  ask_now(connection);  // First: what is read then is not older.
  connection.send(
      "SELECT o.version, o.body FROM cluster c JOIN scope s ON s.cluster = c.id AND s.collection = $1"
      " JOIN object o ON o.scope = s.id AND o.namespace = $2 AND o.name = $3 WHERE c.name = $4",
      values);
  (void)hear_now(connection, progress, told);
  const Rows rows = connection.receive();
  connection.finish();
  if (rows.size() == 0) return std::nullopt;
  FleetObject found;
  found.cluster = place.cluster;
  found.version = version_in(rows, 0, 0);
  found.object = object_of(place.key.namespace_name, place.key.name, rows.text(0, 1));
  return found;
}

FleetBatch read_changes(Connection& connection, Progress& progress, const std::string& collection,
                        const std::set<std::string>& clusters, StoreVersion from, std::size_t limit) {
  const StoreVersion told = progress.version();
  Array names = texts();
  for (const std::string& name : clusters) names.add(name);
  Values values;
  values.add(from).add(collection).add(std::uint64_t(limit));
  Moment moment(connection);
  ask_now(connection);
  if (clusters.empty()) {
    // In the order of the log, whatever the planner thinks of it.
    connection.send(
        "SELECT h.version, h.type::bigint, c.name, h.namespace, h.name, h.previous, coalesce(o.body, n.previous)"
        " FROM (SELECT * FROM change h WHERE h.version > $1"
        " AND (SELECT s.collection FROM scope s WHERE s.id = h.scope) = $2 ORDER BY h.version LIMIT $3) h"
        " JOIN scope s ON s.id = h.scope JOIN cluster c ON c.id = s.cluster"
        " LEFT JOIN object o ON o.scope = h.scope AND o.namespace = h.namespace AND o.name = h.name"
        " AND o.version = h.version LEFT JOIN change n ON n.previous_version = h.version ORDER BY h.version",
        values);
  } else {
    // Each copy by its index of the log, and then the earliest of all of them.
    values.add(std::move(names));
    connection.send(
        "SELECT h.version, h.type::bigint, h.cluster, h.namespace, h.name, h.previous, coalesce(o.body, n.previous)"
        " FROM (SELECT l.*, c.name AS cluster FROM cluster c JOIN scope s ON s.cluster = c.id AND s.collection = $2"
        " CROSS JOIN LATERAL (SELECT * FROM change h WHERE h.scope = s.id AND h.version > $1"
        " ORDER BY h.version LIMIT $3) l WHERE c.name = ANY($4) ORDER BY l.version LIMIT $3) h"
        " LEFT JOIN object o ON o.scope = h.scope AND o.namespace = h.namespace AND o.name = h.name"
        " AND o.version = h.version LEFT JOIN change n ON n.previous_version = h.version ORDER BY h.version",
        values);
  }
  const Now now = hear_now(connection, progress, told);
  database::check_retained(from, now.floor);
  const Rows rows = connection.receive();
  FleetBatch batch;
  batch.version = now.version;
  for (int row = 0; row < rows.size(); ++row) {
    FleetChange change;
    change.version = version_in(rows, row, 0);
    change.type = static_cast<EventType>(rows.number(row, 1));
    change.cluster = rows.string(row, 2);
    if (!rows.null(row, 5)) change.previous = object_of(rows.text(row, 3), rows.text(row, 4), rows.text(row, 5));
    change.object = change.type == EventType::Deleted && change.previous
                        ? change.previous
                        : object_of(rows.text(row, 3), rows.text(row, 4), rows.text(row, 6));
    batch.changes.push_back(std::move(change));
  }
  if (batch.changes.size() == limit) batch.version = batch.changes.back().version;
  return batch;
}

}  // namespace tinf::postgres
