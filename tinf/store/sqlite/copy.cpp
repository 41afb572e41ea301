#include "tinf/store/sqlite/copy.h"

#include <algorithm>

namespace tinf::sqlite {
namespace {

std::int64_t sql(std::uint64_t number) {
  return static_cast<std::int64_t>(number);
}

}  // namespace

Copy::Copy(std::string cluster, CopyState stored)
    : cluster_(std::move(cluster)),
      collection_(stored.resource.group_resource()),
      now_(stored),
      stored_(std::move(stored)) {}

CopyState Copy::state() const {
  const std::lock_guard guard(mutex_);
  return stored_;
}

std::int64_t Copy::row() const {
  const std::lock_guard guard(mutex_);
  return stored_.row;
}

Fingerprint Copy::fingerprint() const {
  const std::lock_guard guard(mutex_);
  return stored_.fingerprint;
}

void Copy::undo() {
  if (std::exchange(counted_, false)) doubtful_ = true;
  const std::lock_guard guard(mutex_);
  now_ = stored_;
}

bool Copy::stored() {
  counted_ = false;
  const std::lock_guard guard(mutex_);
  const bool other_version = now_.resource != stored_.resource;
  stored_ = now_;
  return other_version;
}

Copy::Row Copy::row_of(const Query& query, int first, const Object* object) {
  Row row;
  row.id = query.number(first);
  row.version = static_cast<StoreVersion>(query.number(first + 1));
  row.hash = EntryHash{static_cast<std::uint64_t>(query.number(first + 2)),
                       static_cast<std::uint64_t>(query.number(first + 3))};
  row.uid = query.text(first + 4);
  row.bytes = query.text(first + 5).size();
  const std::string_view body = query.body(first + 5);
  row.equal = object != nullptr && row.hash == object->hash() && body == object->raw();
  if (!row.equal) {
    row.altered = EntryHash::of(body) != row.hash;
    if (const auto held = Object::parse(body)) row.marks = Marks::of(**held);
  }
  return row;
}

std::optional<Copy::Row> Copy::find(Connection& connection, std::int64_t scope, std::string_view namespace_name,
                                    std::string_view name, const Object* object) {
  Query query = connection.query(
      "SELECT id, version, hash_high, hash_low, uid, body FROM object WHERE scope = ? AND namespace = ? AND name = ?");
  query.bind(scope).bind(namespace_name).bind(name);
  if (!query.step()) return std::nullopt;
  return row_of(query, 0, object);
}

void Copy::replace(Connection& connection, History& history, const Scope& scope, const std::vector<ObjectPtr>& all,
                   const ResourceVersion& version) {
  name(connection, scope);
  // Found first, and done then: a cursor must not walk over what changes below it.
  std::vector<Row> leaving;
  std::vector<std::pair<Row, const Object*>> changed;
  std::vector<const Object*> added;
  auto next = all.begin();
  {
    Query held = connection.query(
        "SELECT namespace, name, id, version, hash_high, hash_low, uid, body FROM object WHERE scope = ?"
        " ORDER BY namespace, name");
    held.bind(now_.row);
    while (held.step()) {
      const std::pair key(held.text(0), held.text(1));
      const auto key_of = [](const ObjectPtr& one) { return std::pair(one->namespace_name(), one->name()); };
      for (; next != all.end() && key_of(*next) < key; ++next) added.push_back(next->get());
      if (next != all.end() && key_of(*next) == key) {
        Row row = row_of(held, 2, next->get());
        if (!row.equal) changed.emplace_back(std::move(row), next->get());
        ++next;
      } else {
        leaving.push_back(row_of(held, 2, nullptr));
      }
    }
  }
  for (; next != all.end(); ++next) added.push_back(next->get());

  for (const Row& row : leaving) remove(connection, history, row);
  for (const auto& [row, object] : changed) update(connection, history, row, *object);
  for (const Object* object : added) insert(connection, history, *object);
  // Counted anew: somebody may have altered rows behind our back.
  now_.fingerprint = Fingerprint();
  for (const ObjectPtr& object : all) now_.fingerprint.add(object->hash());
  now_.stand_at(scope, version);
  keep(connection);
  history.finish(connection);
}

void Copy::apply(Connection& connection, History& history, const Scope& scope, const std::vector<WatchEvent>& events,
                 const ResourceVersion& version) {
  name(connection, scope);
  if (doubtful_.exchange(false)) count_anew(connection);
  for (const WatchEvent& event : events) {
    const bool deletes = event.type == EventType::Deleted;
    const std::string_view namespace_name = deletes ? event.key.namespace_name : event.object->namespace_name();
    const std::string_view key_name = deletes ? event.key.name : event.object->name();
    const auto row = find(connection, now_.row, namespace_name, key_name, deletes ? nullptr : event.object.get());
    if (!deletes && !row) {
      insert(connection, history, *event.object);
    } else if (!deletes && !row->equal) {
      update(connection, history, *row, *event.object);
    } else if (deletes && row && (event.uid.empty() || row->uid == event.uid)) {
      remove(connection, history, *row);
    }
  }
  now_.stand_at(scope, version);
  keep(connection);
  history.finish(connection);
}

void Copy::forget(Connection& connection, History& history, bool only_if_empty) {
  if (now_.row == 0) return;
  if (only_if_empty && now_.fingerprint.count > 0) {
    throw Failure{Error(Code::Conflict, "the copy of " + collection_ + " of " + cluster_ + " is not empty, and stays"),
                  false};
  }
  std::vector<Row> rows;
  {
    Query held = connection.query("SELECT id, version, hash_high, hash_low, uid, body FROM object WHERE scope = ?");
    held.bind(now_.row);
    while (held.step()) rows.push_back(row_of(held, 0, nullptr));
  }
  for (const Row& row : rows) remove(connection, history, row);
  history.finish(connection);
  // The row stays, as the log refers to it.
  now_.fingerprint = Fingerprint();
  now_.position.clear();
  keep(connection);
}

// What rows come to, and what points at rows that are no more: the number of one of those may be given again.
void Copy::count_anew(Connection& connection) {
  counted_ = true;
  now_.fingerprint = Fingerprint();
  Query rows = connection.query("SELECT hash_high, hash_low FROM object WHERE scope = ?");
  rows.bind(now_.row);
  while (rows.step()) {
    now_.fingerprint.add(
        EntryHash{static_cast<std::uint64_t>(rows.number(0)), static_cast<std::uint64_t>(rows.number(1))});
  }
  connection.run(
      "DELETE FROM label WHERE object NOT IN (SELECT id FROM object);"
      "DELETE FROM owner WHERE object NOT IN (SELECT id FROM object)");
}

void Copy::name(Connection& connection, const Scope& scope) {
  if (now_.row != 0) return;
  connection.query("INSERT OR IGNORE INTO cluster(name) VALUES(?)").bind(cluster_).run();
  Query query = connection.query(
      "INSERT INTO scope(cluster, collection, api_group, api_version, resource, wanted, position, count, sum_high,"
      " sum_low) SELECT id, ?2, ?3, ?4, ?5, '', '', 0, 0, 0 FROM cluster WHERE name = ?1 RETURNING id");
  query.bind(cluster_)
      .bind(collection_)
      .bind(scope.resource.group)
      .bind(scope.resource.version)
      .bind(scope.resource.name);
  if (query.step()) now_.row = query.number(0);
  query.step();
}

void Copy::insert(Connection& connection, History& history, const Object& object) {
  const StoreVersion version = history.added(connection, now_.row, object.namespace_name(), object.name());
  const Marks marks = Marks::of(object);
  const std::string labels = marks.labels_json();
  connection
      .query(
          "INSERT INTO object(scope, namespace, name, uid, resource_version, version, hash_high, hash_low, labels,"
          " body) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(now_.row)
      .bind(object.namespace_name())
      .bind(object.name())
      .bind(object.uid())
      .bind(object.resource_version())
      .bind(version)
      .bind(sql(object.hash().high))
      .bind(sql(object.hash().low))
      .bind(labels)
      .bind_body(collection_, object.raw())
      .run();
  mark(connection, connection.last_row(), Marks(), marks);
  now_.fingerprint.add(object.hash());
}

void Copy::mark(Connection& connection, const Row& row, const Marks& now) {
  if (!row.altered) return mark(connection, row.id, row.marks, now);
  // What it was found by is not to be read from it any more.
  connection.query("DELETE FROM label WHERE object = ?").bind(row.id).run();
  connection.query("DELETE FROM owner WHERE object = ?").bind(row.id).run();
  mark(connection, row.id, Marks(), now);
}

// Only what differs: most changes leave labels and owners alone.
void Copy::mark(Connection& connection, std::int64_t object, const Marks& old, const Marks& now) {
  const auto differences = [](const auto& from, const auto& to, const auto& leaves, const auto& comes) {
    auto a = from.begin();
    auto b = to.begin();
    while (a != from.end() || b != to.end()) {
      if (b == to.end() || (a != from.end() && *a < *b)) {
        leaves(*a++);
      } else if (a == from.end() || *b < *a) {
        comes(*b++);
      } else {
        ++a, ++b;
      }
    }
  };
  differences(
      old.labels, now.labels,
      [&](const auto& label) {
        connection.query("DELETE FROM label WHERE name = ? AND value = ? AND scope = ? AND object = ?")
            .bind(label.first)
            .bind(label.second)
            .bind(now_.row)
            .bind(object)
            .run();
      },
      [&](const auto& label) {
        connection.query("INSERT OR IGNORE INTO label VALUES(?, ?, ?, ?)")
            .bind(label.first)
            .bind(label.second)
            .bind(now_.row)
            .bind(object)
            .run();
      });
  differences(
      old.owners, now.owners,
      [&](const auto& uid) {
        connection.query("DELETE FROM owner WHERE uid = ? AND scope = ? AND object = ?")
            .bind(uid)
            .bind(now_.row)
            .bind(object)
            .run();
      },
      [&](const auto& uid) {
        connection.query("INSERT OR IGNORE INTO owner VALUES(?, ?, ?)").bind(uid).bind(now_.row).bind(object).run();
      });
}

void Copy::update(Connection& connection, History& history, const Row& row, const Object& object) {
  if (row.uid != object.uid()) {  // Another object of the same name: the one before it has gone.
    remove(connection, history, row);
    insert(connection, history, object);
    return;
  }
  const StoreVersion version = history.modified(connection, row.id, row.version, row.bytes);
  const Marks marks = Marks::of(object);
  const std::string labels = marks.labels_json();
  connection
      .query(
          "UPDATE object SET resource_version = ?, version = ?, hash_high = ?, hash_low = ?, labels = ?, body = ?"
          " WHERE id = ?")
      .bind(object.resource_version())
      .bind(version)
      .bind(sql(object.hash().high))
      .bind(sql(object.hash().low))
      .bind(labels)
      .bind_body(collection_, object.raw())
      .bind(row.id)
      .run();
  mark(connection, row, marks);
  now_.fingerprint.remove(row.hash);
  now_.fingerprint.add(object.hash());
}

void Copy::remove(Connection& connection, History& history, const Row& row) {
  (void)history.deleted(connection, row.id, row.version, row.bytes);
  connection.query("DELETE FROM object WHERE id = ?").bind(row.id).run();
  mark(connection, row, Marks());
  now_.fingerprint.remove(row.hash);
}

void Copy::keep(Connection& connection) {
  connection
      .query(
          "UPDATE scope SET api_version = ?, wanted = ?, position = ?, count = ?, sum_high = ?, sum_low = ?"
          " WHERE id = ?")
      .bind(now_.resource.version)
      .bind(now_.wanted)
      .bind(now_.position)
      .bind(sql(now_.fingerprint.count))
      .bind(sql(now_.fingerprint.high))
      .bind(sql(now_.fingerprint.low))
      .bind(now_.row)
      .run();
}

}  // namespace tinf::sqlite
