#include "tinf/store/sqlite/schema.h"

namespace tinf::sqlite {
namespace {

constexpr int kApplication = 0x74696e66;  // "tinf", in the file's header.

// Each takes a file from the version that is its index to the next one.
// version: rises by one with every change of any object. A body is the last column, so that the others are read without
// it. A change holds what it replaced, so that a first set is written once: what it made is the object's row, or what
// the next change of it replaced (`next`).
constexpr const char* kMigrations[] = {
    R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY) STRICT;

CREATE TABLE cluster(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  uid TEXT NOT NULL DEFAULT '',
  kubernetes TEXT NOT NULL DEFAULT '',
  present INTEGER NOT NULL DEFAULT 0,
  offer TEXT NOT NULL DEFAULT '[]') STRICT;

CREATE TABLE scope(
  id INTEGER PRIMARY KEY,
  cluster INTEGER NOT NULL REFERENCES cluster,
  collection TEXT NOT NULL,
  api_group TEXT NOT NULL,
  api_version TEXT NOT NULL,
  resource TEXT NOT NULL,
  wanted TEXT NOT NULL,
  position TEXT NOT NULL,
  count INTEGER NOT NULL,
  sum_high INTEGER NOT NULL,
  sum_low INTEGER NOT NULL,
  UNIQUE(cluster, collection)) STRICT;

CREATE TABLE object(
  id INTEGER PRIMARY KEY,
  scope INTEGER NOT NULL REFERENCES scope,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  uid TEXT NOT NULL,
  resource_version TEXT NOT NULL,
  version INTEGER NOT NULL,
  hash_high INTEGER NOT NULL,
  hash_low INTEGER NOT NULL,
  body ANY NOT NULL) STRICT;
CREATE UNIQUE INDEX object_key ON object(scope, namespace, name);

CREATE TABLE label(
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  object INTEGER NOT NULL,
  PRIMARY KEY(name, value, object)) STRICT, WITHOUT ROWID;

CREATE TABLE owner(
  uid TEXT NOT NULL,
  object INTEGER NOT NULL,
  PRIMARY KEY(uid, object)) STRICT, WITHOUT ROWID;

CREATE TABLE change(
  version INTEGER PRIMARY KEY,
  scope INTEGER NOT NULL,
  type INTEGER NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  next INTEGER,
  previous_version INTEGER,
  previous ANY) STRICT;
CREATE INDEX change_scope ON change(scope, version);

CREATE VIEW objects AS
  SELECT c.name AS cluster, s.api_group, s.api_version, s.resource, o.namespace, o.name, o.uid, o.resource_version,
         o.version, json_extract(o.body, '$.metadata.labels') AS labels, o.id, o.body AS object
  FROM object o JOIN scope s ON s.id = o.scope JOIN cluster c ON c.id = s.cluster;

CREATE VIEW clusters AS
  SELECT c.name, c.uid, c.kubernetes, c.present,
         (SELECT coalesce(sum(s.count), 0) FROM scope s WHERE s.cluster = c.id) AS objects, c.offer
  FROM cluster c;

CREATE VIEW events AS
  SELECT c.name AS cluster, o.namespace, json_extract(o.body, '$.lastTimestamp') AS last_seen,
         json_extract(o.body, '$.type') AS type, json_extract(o.body, '$.reason') AS reason,
         json_extract(o.body, '$.involvedObject.kind') AS kind, json_extract(o.body, '$.involvedObject.name') AS name,
         json_extract(o.body, '$.message') AS message, o.body AS object
  FROM scope s JOIN cluster c ON c.id = s.cluster JOIN object o ON o.scope = s.id WHERE s.collection = 'events';

CREATE VIEW changes AS
  SELECT h.version, c.name AS cluster, s.api_group, s.api_version, s.resource,
         CASE h.type WHEN 0 THEN 'ADDED' WHEN 1 THEN 'MODIFIED' ELSE 'DELETED' END AS type, h.namespace, h.name,
         h.previous
  FROM change h JOIN scope s ON s.id = h.scope JOIN cluster c ON c.id = s.cluster;
)sql",
    // Labels stand in the object's row, where a search looks at them without reading the body; a label and an owner
    // lead to objects copy by copy, as pages are read. A body is text, or a blob that one of the dictionaries was used
    // for.
    R"sql(
DROP VIEW objects;
DROP VIEW events;
DROP INDEX object_key;
ALTER TABLE object RENAME TO object_1;
CREATE TABLE object(
  id INTEGER PRIMARY KEY,
  scope INTEGER NOT NULL REFERENCES scope,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  uid TEXT NOT NULL,
  resource_version TEXT NOT NULL,
  version INTEGER NOT NULL,
  hash_high INTEGER NOT NULL,
  hash_low INTEGER NOT NULL,
  labels TEXT NOT NULL,
  body ANY NOT NULL) STRICT;
/*once*/ INSERT INTO object SELECT o.id, scope, namespace, o.name, uid, resource_version, version, hash_high, hash_low,
  coalesce((SELECT json_group_object(l.name, l.value) FROM label l
            WHERE l.object = o.id), '{}'), body FROM object_1 o;
DROP TABLE object_1;
CREATE UNIQUE INDEX object_key ON object(scope, namespace, name);

ALTER TABLE label RENAME TO label_1;
CREATE TABLE label(
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  scope INTEGER NOT NULL,
  object INTEGER NOT NULL,
  PRIMARY KEY(name, value, scope, object)) STRICT, WITHOUT ROWID;
/*once*/ INSERT INTO label SELECT l.name, l.value, o.scope, o.id FROM label_1 l JOIN object o ON o.id = l.object;
DROP TABLE label_1;

ALTER TABLE owner RENAME TO owner_1;
CREATE TABLE owner(
  uid TEXT NOT NULL,
  scope INTEGER NOT NULL,
  object INTEGER NOT NULL,
  PRIMARY KEY(uid, scope, object)) STRICT, WITHOUT ROWID;
/*once*/ INSERT INTO owner SELECT w.uid, o.scope, o.id FROM owner_1 w JOIN object o ON o.id = w.object;
DROP TABLE owner_1;

CREATE VIEW objects AS
  SELECT c.name AS cluster, s.api_group, s.api_version, s.resource, o.namespace, o.name, o.uid, o.resource_version,
         o.version, o.labels, o.id, o.body AS object
  FROM object o JOIN scope s ON s.id = o.scope JOIN cluster c ON c.id = s.cluster;

CREATE VIEW events AS
  SELECT cluster, namespace, json_extract(text, '$.lastTimestamp') AS last_seen, json_extract(text, '$.type') AS type,
         json_extract(text, '$.reason') AS reason, json_extract(text, '$.involvedObject.kind') AS kind,
         json_extract(text, '$.involvedObject.name') AS name, json_extract(text, '$.message') AS message, object
  FROM (SELECT c.name AS cluster, o.namespace, o.body AS object, CASE typeof(o.body) WHEN 'text' THEN o.body END AS text
        FROM scope s JOIN cluster c ON c.id = s.cluster JOIN object o ON o.scope = s.id
        WHERE s.collection = 'events');

CREATE TABLE dictionary(
  id INTEGER PRIMARY KEY,
  collection TEXT NOT NULL,
  content BLOB NOT NULL) STRICT;
)sql",
};

int version_of(Connection& connection) {
  return static_cast<int>(connection.number("PRAGMA user_version"));
}

[[noreturn]] void refuse(const std::string& file, const std::string& why) {
  throw Failure{Error(Code::Invalid, "database " + file + ": " + why), true};
}

}  // namespace

void prepare_schema(Connection& connection, const std::string& file, int up_to) {
  // These take effect in an empty file only, and the second and third in none that is open elsewhere.
  if (connection.number("SELECT count(*) FROM sqlite_schema") == 0) {
    connection.run("PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL");
  } else if (connection.number("PRAGMA application_id") != kApplication) {
    refuse(file, "it holds another program's tables: name another file");
  }
  {
    Query mode = connection.query("PRAGMA journal_mode = WAL");
    if (!mode.step() || mode.text(0) != "wal")
      refuse(file, "it cannot be written ahead, as on a network's disk: name a file on a disk of this machine");
  }
  connection.run("PRAGMA journal_size_limit = 67108864");

  const int found = version_of(connection);
  if (found > kSchemaVersion) {
    refuse(file, "its schema has version " + std::to_string(found) + ", this program knows up to " +
                     std::to_string(kSchemaVersion) + ": use the newer program, or another file");
  }
  // Each step on its own: one that fails leaves the file at the version before it.
  for (int version = found; version < up_to; ++version) {
    Transaction step(connection, "BEGIN IMMEDIATE");
    if (version_of(connection) > version) continue;
    connection.run(kMigrations[version]);
    connection.run(("PRAGMA application_id = " + std::to_string(kApplication)).c_str());
    connection.run(("PRAGMA user_version = " + std::to_string(version + 1)).c_str());
    step.commit();
  }
}

std::uint64_t meta(Connection& connection, std::string_view name) {
  Query query = connection.query("SELECT value FROM meta WHERE name = ?");
  query.bind(name);
  return query.step() ? static_cast<std::uint64_t>(query.number(0)) : 0;
}

}  // namespace tinf::sqlite
