// A transaction is sent in one go: from where it holds the clock, nobody waits for a way over the network and back.
// Rows go as arrays, a thousand to a statement.
#include "tinf/store/postgres/writer.h"

#include <algorithm>
#include <map>

#include "tinf/store/postgres/draft.h"
#include "tinf/wire/codec.h"

namespace tinf::postgres {
namespace {

constexpr std::size_t kRowsTogether = 1000;      // Of one statement,
constexpr std::size_t kBytesTogether = 4 << 20;  // and the bodies in it.
// What one transaction cuts off the log beside twice what it adds: it catches up, and none takes long.
constexpr std::uint64_t kCutAtLeast = 64;

bool fits(std::string_view text) {
  return text.find('\0') == std::string_view::npos;
}

// Labels that the column can hold.
void add_labels(Array& column, database::Marks marks) {
  std::erase_if(marks.labels, [](const auto& label) { return !fits(label.first) || !fits(label.second); });
  if (marks.labels.empty()) return column.add_null();
  column.add(marks.labels_json());
}

void add_owners(Array& column, const std::vector<std::string>& owners) {
  std::string list;
  for (const std::string& uid : owners) {
    if (!is_indexed_owner(uid)) continue;
    list += (list.empty() ? std::string() : std::string(1, kBetweenOwners)) + uid;
  }
  if (list.empty()) return column.add_null();
  column.add(list);
}

// The log's rows of a transaction, in the order of their versions. What they replace they read themselves, so they are
// written before anything else is.
class LogRows {
 public:
  LogRows(Connection& connection, std::uint64_t total) : connection_(connection), total_(total) {}

  void add(std::int64_t scope, EventType type, std::string_view namespace_name, std::string_view name) {
    scopes_.add(scope);
    types_.add(static_cast<std::int64_t>(type));
    namespaces_.add(namespace_name);
    names_.add(name);
    ++added_;
    if (scopes_.size() == kRowsTogether) send();
  }
  // How far below the transaction's last version the latest row stands.
  std::uint64_t below() const { return total_ - added_; }

  void send() {
    if (scopes_.size() == 0) return;
    Values values;
    values.add(sent_ - static_cast<std::int64_t>(total_));
    sent_ += static_cast<std::int64_t>(scopes_.size());
    values.add(std::move(scopes_)).add(std::move(types_)).add(std::move(namespaces_)).add(std::move(names_));
    connection_.send_quietly(
        "INSERT INTO change(version, scope, previous_version, type, namespace, name, previous)"
        " SELECT (SELECT version FROM clock) + $1 + k.i, k.scope, o.version, k.type, k.namespace, k.name, o.body"
        " FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[]) WITH ORDINALITY"
        " AS k(scope, type, namespace, name, i)"
        " LEFT JOIN object o ON k.type <> 0 AND o.scope = k.scope AND o.namespace = k.namespace AND o.name = k.name",
        values);
  }

 private:
  Connection& connection_;
  const std::uint64_t total_;
  std::uint64_t added_ = 0;
  std::int64_t sent_ = 0;
  Array scopes_ = numbers(), types_ = numbers(), namespaces_ = texts(), names_ = texts();
};

class RemovedRows {
 public:
  explicit RemovedRows(Connection& connection) : connection_(connection) {}

  void add(std::int64_t scope, const ObjectKey& key) {
    scopes_.add(scope);
    namespaces_.add(key.namespace_name);
    names_.add(key.name);
    if (scopes_.size() == kRowsTogether) send();
  }
  void send() {
    if (scopes_.size() == 0) return;
    Values values;
    values.add(std::move(scopes_)).add(std::move(namespaces_)).add(std::move(names_));
    connection_.send_quietly(
        "DELETE FROM object o USING unnest($1::bigint[], $2::text[], $3::text[]) AS k(scope, namespace, name)"
        " WHERE o.scope = k.scope AND o.namespace = k.namespace AND o.name = k.name",
        values);
  }

 private:
  Connection& connection_;
  Array scopes_ = numbers(), namespaces_ = texts(), names_ = texts();
};

class WrittenRows {
 public:
  explicit WrittenRows(Connection& connection) : connection_(connection) {}

  void add(std::int64_t scope, std::uint64_t below, const Object& object) {
    scopes_.add(scope);
    below_.add(below);
    high_.add(object.hash().high);
    low_.add(object.hash().low);
    namespaces_.add(object.namespace_name());
    names_.add(object.name());
    uids_.add(fitting(object.uid()));
    resource_versions_.add(fitting(object.resource_version()));
    database::Marks marks = database::Marks::of(object);
    add_owners(owners_, marks.owners);
    add_labels(labels_, std::move(marks));
    bodies_.add(object.raw());
    if (scopes_.size() == kRowsTogether || bodies_.bytes() > kBytesTogether) send();
  }
  void send() {
    if (scopes_.size() == 0) return;
    Values values;
    values.add(std::move(scopes_)).add(std::move(below_)).add(std::move(high_)).add(std::move(low_));
    values.add(std::move(namespaces_)).add(std::move(names_)).add(std::move(uids_));
    values.add(std::move(resource_versions_)).add(std::move(labels_)).add(std::move(owners_)).add(std::move(bodies_));
    connection_.send_quietly(
        "INSERT INTO object AS o (scope, version, hash_high, hash_low, namespace, name, uid, resource_version, labels,"
        " owners, body) SELECT k.scope, (SELECT version FROM clock) - k.below, k.high, k.low, k.namespace, k.name,"
        " k.uid, k.resource_version, k.labels::jsonb, string_to_array(k.owners, E'\\n'), k.body"
        " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],"
        " $8::text[], $9::text[], $10::text[], $11::text[]) AS k(scope, below, high, low, namespace, name, uid,"
        " resource_version, labels, owners, body)"
        " ON CONFLICT (scope, namespace, name) DO UPDATE SET version = excluded.version,"
        " hash_high = excluded.hash_high, hash_low = excluded.hash_low, uid = excluded.uid,"
        " resource_version = excluded.resource_version, labels = excluded.labels, owners = excluded.owners,"
        " body = excluded.body",
        values);
  }

 private:
  Connection& connection_;
  Array scopes_ = numbers(), below_ = numbers(), high_ = numbers(), low_ = numbers();
  Array namespaces_ = texts(), names_ = texts(), uids_ = texts(), resource_versions_ = texts();
  Array labels_ = texts(), owners_ = texts(), bodies_ = texts();
};

void send_changes(Connection& connection, const std::vector<Draft>& drafts, std::uint64_t total) {
  LogRows log(connection, total);
  std::vector<std::uint64_t> below;  // Of each object that is written, in the same order.
  for (const Draft& draft : drafts) {
    for (const Removed& one : draft.removed)
      log.add(draft.before.row, EventType::Deleted, one.key.namespace_name, one.key.name);
    for (const Written& one : draft.written) {
      const std::string_view namespace_name = one.object->namespace_name(), name = one.object->name();
      if (one.is_another) log.add(draft.before.row, EventType::Deleted, namespace_name, name);
      const bool is_added = one.is_new || one.is_another;
      log.add(draft.before.row, is_added ? EventType::Added : EventType::Modified, namespace_name, name);
      below.push_back(log.below());
    }
  }
  log.send();
  RemovedRows removed(connection);
  WrittenRows written(connection);
  auto next = below.begin();
  for (const Draft& draft : drafts) {
    for (const Removed& one : draft.removed) removed.add(draft.before.row, one.key);
  }
  removed.send();
  for (const Draft& draft : drafts) {
    for (const Written& one : draft.written) written.add(draft.before.row, *next++, *one.object);
  }
  written.send();
}

void send_states(Connection& connection, const std::vector<Draft>& drafts) {
  Array rows = numbers(), versions = texts(), wanted = texts(), positions = texts(), counts = numbers();
  Array high = numbers(), low = numbers(), moved = numbers(), listed = numbers();
  for (const Draft& draft : drafts) {
    if (draft.before.row == 0) continue;
    const CopyState& state = draft.after;
    rows.add(state.row);
    versions.add(state.resource.version);
    wanted.add(fitting(state.wanted));
    positions.add(fitting(state.position));
    counts.add(state.fingerprint.count);
    high.add(state.fingerprint.high);
    low.add(state.fingerprint.low);
    moved.add(std::uint64_t(draft.versions() > 0));
    listed.add(std::uint64_t(draft.is_listed_anew()));
  }
  if (rows.size() == 0) return;
  Values values;
  values.add(std::move(rows)).add(std::move(versions)).add(std::move(wanted)).add(std::move(positions));
  values.add(std::move(counts)).add(std::move(high)).add(std::move(low)).add(std::move(moved)).add(std::move(listed));
  connection.send_quietly(
      "UPDATE scope s SET api_version = k.api_version, wanted = k.wanted, position = k.position, count = k.count,"
      " sum_high = k.high, sum_low = k.low,"
      " version = CASE WHEN k.moved = 1 THEN (SELECT version FROM clock) ELSE s.version END,"
      " changed = CASE WHEN k.listed = 1 THEN (SELECT roster FROM clock) ELSE s.changed END"
      " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],"
      " $8::bigint[], $9::bigint[]) AS k(id, api_version, wanted, position, count, high, low, moved, listed)"
      " WHERE s.id = k.id",
      values);
}

void send_known(Connection& connection, const FleetCluster& cluster) {
  Values values;
  values.add(cluster.name).add(fitting(cluster.uid)).add(fitting(cluster.kubernetes)).add(cluster.present);
  values.add(wire::encode_resources(cluster.offer));
  connection.send_quietly(
      "UPDATE cluster SET uid = $2, kubernetes = $3, present = $4, offer = $5, known = true,"
      " changed = (SELECT roster FROM clock) WHERE name = $1"
      " AND (NOT known OR (uid, kubernetes, present, offer) IS DISTINCT FROM ($2, $3, $4, $5))",
      values);
}

}  // namespace

Connection& Writer::connection() {
  common_.health.check();
  if (connection_ && !connection_->alive()) connection_ = nullptr;
  if (!connection_) {
    ConnectionOptions options = common_.options();
    options.patience = std::chrono::seconds(30);  // It waits for whoever else writes.
    connection_ = std::make_unique<Connection>(common_.target, options, &common_.closing);
    meet_life(*connection_, common_);
    cut_upto_ = 0;
    std::string life = connection_->run("SELECT life FROM clock").string(0, 0);
    is_anew_ = is_anew_ || (!life_.empty() && life_ != life);
    life_ = std::move(life);
  }
  return *connection_;
}

// All of it under one token, read once: a process that was taken out meanwhile and entered anew holds its clusters
// under another one, and what was found out before does not count any more.
void Writer::carry_out(const std::vector<Work*>& together) {
  const std::string token = common_.lease.token();
  for (const Work* work : together) {
    if (work->token.empty() || work->token == token) continue;
    throw Failure{
        Error(Code::Conflict, "database " + common_.target.name() + ": cluster " + work->cluster +
                                  " is not held by this process any more, which was not heard of for a while"),
        false};
  }
  try {
    Connection& to = connection();
    take_clusters(to, together, token);
    std::vector<CopyChange*> changes;
    for (Work* work : together) {
      if (work->change) changes.push_back(&*work->change);
    }
    auto drafts = make_drafts(to, changes);
    store(to, together, drafts, token);
    for (Draft& draft : drafts) {
      if (draft.before.resource != draft.after.resource) committed_.resources_changed = true;
      draft.change->copy->stored_under(token, std::move(draft.after));
    }
  } catch (const Failure& failure) {
    if (failure.error.code == Code::Conflict && failure.of_the_database) common_.lease.lose(token);
    for (Work* work : together) {
      if (!work->change) continue;
      work->change->copy->make_uncertain();
      if (std::exchange(work->change->counts_anew, false)) work->change->copy->doubt();
    }
    if (!connection_ || !connection_->usable()) {
      connection_ = nullptr;
      common_.health.down(failure.error);
    } else if (connection_->in_transaction()) {
      connection_ = nullptr;
    }
    throw;
  }
}

void Writer::take_clusters(Connection& connection, const std::vector<Work*>& together, const std::string& token) {
  std::vector<std::string> names;
  for (const Work* work : together) {
    if (work->token.empty()) names.push_back(work->cluster);
  }
  if (names.empty()) return;
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const Lease::Taken taken = common_.lease.take(connection, names);
  if (taken.token != token) {
    throw Failure{
        Error(Code::Conflict, "database " + common_.target.name() +
                                  ": this process was entered anew among those that write; it is tried again"),
        false};
  }
  for (const std::string& name : names) {
    if (!taken.clusters.contains(name)) throw Failure{common_.lease.refusal(common_.target.name(), name), false};
  }
}

void Writer::store(Connection& connection, const std::vector<Work*>& together, std::vector<Draft>& drafts,
                   const std::string& token) {
  std::uint64_t versions = 0, bytes = 0, is_listed_anew = 0;
  Array clusters = texts();
  for (const Work* work : together) {
    clusters.add(work->cluster);
    if (work->known) is_listed_anew = 1;
  }
  for (const Draft& draft : drafts) {
    if (draft.before.row == 0 && draft.change->kind != CopyChange::Kind::Forget) {
      throw Failure{Error(Code::Conflict, "database " + common_.target.name() + ": cluster " +
                                              draft.change->copy->cluster() + " is not in it any more"),
                    true};
    }
    versions += draft.versions();
    bytes += draft.replaced_bytes();
    if (draft.is_listed_anew()) is_listed_anew = 1;
  }
  Values held, claim;
  held.add(token).add(std::move(clusters));
  connection.begin();
  connection.send_quietly("SELECT hold($1, $2)", held);
  const std::uint64_t cut = kCutAtLeast + 2 * versions;
  const bool claims = versions > 0 || is_listed_anew > 0;
  if (claims) {
    claim.add(versions).add(bytes).add(common_.settings.retained_changes).add(common_.settings.retained_bytes);
    claim.add(cut).add(is_listed_anew);
    connection.send(
        "UPDATE clock SET version = version + $1, log_bytes = log_bytes + $2, roster = roster + $6,"
        " floor = greatest(floor, version + $1 - $3,"
        " CASE WHEN log_bytes + $2 > $4 THEN least(version, floor + $5) ELSE 0 END)"
        " RETURNING version, floor",
        claim);
  }
  if (versions > 0) send_changes(connection, drafts, versions);
  send_states(connection, drafts);
  for (const Work* work : together) {
    if (work->known) send_known(connection, *work->known);
  }
  const StoreVersion floor = common_.progress.floor();
  const bool cuts = versions > 0 && cut_upto_ < floor;
  Values part, since;
  part.add(cut_upto_).add(floor).add(cut);
  since.add(common_.progress.heard.load());
  if (cuts) {
    connection.send(
        "WITH gone AS (DELETE FROM change WHERE version IN (SELECT version FROM change WHERE version > $1"
        " AND version <= $2 ORDER BY version LIMIT $3) RETURNING version, octet_length(previous) AS bytes),"
        " sum AS (SELECT max(version) AS upto, count(*) AS rows, coalesce(sum(bytes), 0)::bigint AS bytes FROM gone),"
        " less AS (UPDATE clock SET log_bytes = greatest(0, log_bytes - sum.bytes) FROM sum WHERE sum.bytes > 0)"
        " SELECT coalesce(upto, 0), rows FROM sum",
        part);
  }
  if (claims) {
    connection.send("SELECT s.collection, c.name FROM scope s JOIN cluster c ON c.id = s.cluster WHERE s.version > $1",
                    since);
  }
  connection.commit();
  if (!claims) return connection.finish();
  const Rows claimed = connection.receive();
  const std::optional<Rows> gone = cuts ? std::optional(connection.receive()) : std::nullopt;
  const Rows changed = connection.receive();
  connection.finish();
  if (claimed.size() == 0) return;
  committed_.version = static_cast<StoreVersion>(claimed.number(0, 0));
  committed_.is_anew = std::exchange(is_anew_, false);
  for (int row = 0; row < changed.size(); ++row)
    committed_.changed.insert(database::CopyName{changed.string(row, 0), changed.string(row, 1)});
  common_.progress.learn(committed_.version, static_cast<StoreVersion>(claimed.number(0, 1)));
  if (gone) cut_upto_ = static_cast<std::uint64_t>(gone->number(0, 1)) < cut ? floor : gone->number(0, 0);
}

}  // namespace tinf::postgres
