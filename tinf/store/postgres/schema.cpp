#include "tinf/store/postgres/schema.h"

namespace tinf::postgres {
namespace {

constexpr const char* kApplication = "transport-informer";

// Each takes a schema from the version that is its index to the next one. Names are ordered by their bytes, whatever
// the database's own order is.
constexpr const char* kMigrations[] = {
    R"sql(
CREATE TABLE meta(name text PRIMARY KEY, value text NOT NULL);

-- One row: where the history stands. Who makes a change holds it until the commit, so that versions rise in the order
-- of commits, over all writers.
CREATE TABLE clock(
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version bigint NOT NULL,
  floor bigint NOT NULL,
  log_bytes bigint NOT NULL,
  roster bigint NOT NULL,
  life text NOT NULL) WITH (fillfactor = 10);
INSERT INTO clock(version, floor, log_bytes, roster, life)
  SELECT now, now, 0, 1, '' FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) t;

-- The processes that write. One that is gone is taken out by another, and with it go the clusters that it held.
CREATE TABLE process(
  id text PRIMARY KEY,
  name text NOT NULL,
  until timestamptz NOT NULL) WITH (fillfactor = 50);

CREATE TABLE cluster(
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  uid text NOT NULL DEFAULT '',
  kubernetes text NOT NULL DEFAULT '',
  present boolean NOT NULL DEFAULT false,
  offer text NOT NULL DEFAULT '[]',
  known boolean NOT NULL DEFAULT false,
  changed bigint NOT NULL DEFAULT 0,
  holder text REFERENCES process ON DELETE SET NULL) WITH (fillfactor = 70);
CREATE INDEX cluster_changed ON cluster(changed);
CREATE INDEX cluster_holder ON cluster(holder) WHERE holder IS NOT NULL;

CREATE TABLE scope(
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cluster integer NOT NULL REFERENCES cluster,
  collection text COLLATE "C" NOT NULL,
  api_group text NOT NULL,
  api_version text NOT NULL,
  resource text NOT NULL,
  wanted text NOT NULL DEFAULT '',
  position text NOT NULL DEFAULT '',
  count bigint NOT NULL DEFAULT 0,
  sum_high bigint NOT NULL DEFAULT 0,
  sum_low bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 0,
  changed bigint NOT NULL DEFAULT 0,
  UNIQUE(cluster, collection)) WITH (fillfactor = 50);
CREATE INDEX scope_collection ON scope(collection);
CREATE INDEX scope_version ON scope(version);
CREATE INDEX scope_changed ON scope(changed);

-- The present. The body is the last column, so that the others are read without it. Room is left in each page: an
-- update that leaves labels and owners alone touches no index.
CREATE TABLE object(
  scope bigint NOT NULL,
  version bigint NOT NULL,
  hash_high bigint NOT NULL,
  hash_low bigint NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  uid text NOT NULL,
  resource_version text NOT NULL,
  labels jsonb,
  owners text[],
  body text NOT NULL,
  PRIMARY KEY(scope, namespace, name))
  WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2);
CREATE INDEX object_marks ON object USING gin (labels jsonb_path_ops, owners);

-- The past: what each change replaced. It is added to at its end and cut at its beginning, and never altered. What a
-- change made is the object's row, or what the change replaced whose previous_version it is.
CREATE TABLE change(
  version bigint PRIMARY KEY,
  scope bigint NOT NULL,
  previous_version bigint,
  type smallint NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  previous text)
  WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
CREATE INDEX change_scope ON change(scope, version);
CREATE INDEX change_previous ON change(previous_version) WHERE previous_version IS NOT NULL;

-- Whoever writes calls this in the same transaction: it fails unless the process is still heard of and holds these
-- clusters, and holds off until the commit whoever would take them.
CREATE FUNCTION hold(writer text, clusters text[]) RETURNS void LANGUAGE plpgsql AS $hold$
DECLARE
  others text;
BEGIN
  PERFORM FROM process WHERE id = writer FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'this process was not heard of for a while, and holds no clusters any more'
      USING ERRCODE = 'TI001';
  END IF;
  SELECT string_agg(cluster.name, ', ') INTO others FROM cluster WHERE cluster.name = ANY(clusters) AND holder IS DISTINCT FROM writer;
  IF others IS NOT NULL THEN
    RAISE EXCEPTION 'this process does not hold % any more', others USING ERRCODE = 'TI001';
  END IF;
END
$hold$;

-- A body as the views tell it. PostgreSQL's functions refuse a JSON text with a NUL in any string, and with it
-- everything else that they were asked for: it is told as U+FFFD.
CREATE FUNCTION json_of(body text) RETURNS json LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $json$ SELECT replace(body, '\u0000', '\ufffd')::json $json$;

CREATE VIEW objects AS
  SELECT c.name AS cluster, s.api_group, s.api_version, s.resource, o.namespace, o.name, o.uid, o.resource_version,
         o.version, o.labels, o.owners, json_of(o.body) AS object
  FROM object o JOIN scope s ON s.id = o.scope JOIN cluster c ON c.id = s.cluster;

CREATE VIEW clusters AS
  SELECT c.name, c.uid, c.kubernetes, c.present,
         (SELECT coalesce(sum(s.count), 0) FROM scope s WHERE s.cluster = c.id)::bigint AS objects,
         c.offer::json AS offer, p.name AS held_by, p.until AS held_until
  FROM cluster c LEFT JOIN process p ON p.id = c.holder;

CREATE VIEW events AS
  SELECT c.name AS cluster, o.namespace, json_of(o.body) ->> 'lastTimestamp' AS last_seen,
         json_of(o.body) ->> 'type' AS type, json_of(o.body) ->> 'reason' AS reason,
         json_of(o.body) #>> '{involvedObject,kind}' AS kind, json_of(o.body) #>> '{involvedObject,name}' AS name,
         json_of(o.body) ->> 'message' AS message, json_of(o.body) AS object
  FROM scope s JOIN cluster c ON c.id = s.cluster JOIN object o ON o.scope = s.id WHERE s.collection = 'events';

CREATE VIEW changes AS
  SELECT h.version, c.name AS cluster, s.api_group, s.api_version, s.resource,
         CASE h.type WHEN 0 THEN 'ADDED' WHEN 1 THEN 'MODIFIED' ELSE 'DELETED' END AS type, h.namespace, h.name,
         json_of(h.previous) AS previous
  FROM change h JOIN scope s ON s.id = h.scope JOIN cluster c ON c.id = s.cluster
  WHERE h.version > (SELECT floor FROM clock);
)sql",
};

// Bodies take a third of the room and half of the time where the server was built with it.
constexpr const char* kCompress = R"sql(
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)) THEN
    ALTER TABLE object ALTER COLUMN body SET COMPRESSION lz4;
    ALTER TABLE change ALTER COLUMN previous SET COMPRESSION lz4;
  END IF;
END $$;
)sql";

[[noreturn]] void refuse(const Connection& connection, const std::string& why) {
  throw Failure{Error(Code::Invalid, "database " + connection.name() + ": " + why), true};
}

[[noreturn]] void refuse_use(const Connection& connection, const std::string& schema) {
  refuse(connection, "the role " + connection.user() + " may not use the schema " + schema +
                         ": GRANT USAGE ON SCHEMA " + connection.quoted_name(schema) + " TO " +
                         connection.quoted_name(connection.user()));
}

// What is there of the schema.
struct State {
  bool exists = false;
  bool may_use = false;
  bool may_create = false;
  bool is_empty = true;
  bool is_ours = false;  // It has the table `meta`.
};

State state_of(Connection& connection, const std::string& schema) {
  State state;
  Values name;
  name.add(schema);
  const Rows found = connection.run(
      "SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE'),"
      " EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid),"
      " EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'meta')"
      " FROM pg_namespace n WHERE nspname = $1",
      name);
  state.exists = found.size() > 0;
  if (!state.exists) return state;
  state.may_use = found.flag(0, 0);
  state.may_create = found.flag(0, 1);
  state.is_empty = !found.flag(0, 2);
  state.is_ours = found.flag(0, 3);
  return state;
}

// Others may be about to make the same: whoever comes second finds it done.
std::string one_at_a_time(const Connection& connection, const std::string& schema) {
  return "SELECT pg_advisory_xact_lock(hashtext(" + connection.quoted_text("tinf " + schema) + ")); ";
}

void make_schema(Connection& connection, const std::string& schema) {
  if (!connection.run("SELECT has_database_privilege(current_database(), 'CREATE')").flag(0, 0)) {
    refuse(connection, "there is no schema " + schema + ", and the role " + connection.user() +
                           " may not make one: an administrator runs CREATE SCHEMA " + connection.quoted_name(schema) +
                           " AUTHORIZATION " + connection.quoted_name(connection.user()) +
                           ", or GRANT CREATE ON DATABASE " + connection.quoted_name(connection.database()) + " TO " +
                           connection.quoted_name(connection.user()));
  }
  connection.run_script("BEGIN; " + one_at_a_time(connection, schema) + "CREATE SCHEMA IF NOT EXISTS " +
                        connection.quoted_name(schema) + "; COMMIT");
}

// 0: it is empty.
int version_of(Connection& connection, const std::string& schema, const State& state) {
  const auto is_anothers = [&] {
    refuse(connection, "the schema " + schema + " holds another program's tables: name another one, as ?schema=tinf2");
  };
  if (!state.is_ours) {
    if (!state.is_empty) is_anothers();
    return 0;
  }
  const bool may = connection.run("SELECT has_table_privilege('meta', 'SELECT')").flag(0, 0);
  if (!may) {
    refuse(connection, "the role " + connection.user() + " may not read the schema " + schema +
                           ": GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " +
                           connection.quoted_name(schema) + " TO " + connection.quoted_name(connection.user()));
  }
  try {
    const Rows said = connection.run(
        "SELECT coalesce((SELECT value FROM meta WHERE name = 'application'), ''),"
        " coalesce((SELECT value FROM meta WHERE name = 'schema_version'), '0')::bigint");
    if (said.text(0, 0) != kApplication) is_anothers();
    return static_cast<int>(said.number(0, 1));
  } catch (const Failure& failure) {
    if (failure.error.code == Code::Unavailable || failure.error.code == Code::Invalid) throw;
    is_anothers();  // A table of this name, but not of this form.
  }
  return 0;
}

void check_rights(Connection& connection, const std::string& schema) {
  const Rows may = connection.run(
      "SELECT coalesce(string_agg(quote_ident(c.relname), ', '), '') FROM pg_class c"
      " WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND c.relkind = 'r'"
      " AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')"
      " AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))");
  if (may.text(0, 0).empty()) return;
  refuse(connection, "the role " + connection.user() + " may not write all of the schema " + schema + " (" +
                         may.string(0, 0) + "): GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " +
                         connection.quoted_name(schema) + " TO " + connection.quoted_name(connection.user()));
}

}  // namespace

void prepare_schema(Connection& connection, const std::string& schema) {
  State state = state_of(connection, schema);
  if (!state.exists) {
    make_schema(connection, schema);
    state = state_of(connection, schema);
  }
  const std::string role = connection.quoted_name(connection.user());
  if (!state.may_use) refuse_use(connection, schema);
  int version = version_of(connection, schema, state);
  if (version > kSchemaVersion) {
    refuse(connection, "the schema " + schema + " has version " + std::to_string(version) +
                           ", this program knows up to " + std::to_string(kSchemaVersion) +
                           ": use the newer program, or another schema, as ?schema=tinf2");
  }
  if (version < kSchemaVersion && !state.may_create)
    refuse(connection, "the role " + connection.user() + " may not make tables in the schema " + schema +
                           ": GRANT USAGE, CREATE ON SCHEMA " + connection.quoted_name(schema) + " TO " + role);
  // Each step on its own: one that fails leaves the schema at the version before it. Whoever comes second finds it
  // done.
  while (version < kSchemaVersion) {
    connection.run_script("BEGIN; " + one_at_a_time(connection, schema));
    try {
      version = version_of(connection, schema, state_of(connection, schema));
      if (version < kSchemaVersion) {
        connection.run_script(kMigrations[version] + std::string(version == 0 ? kCompress : "") +
                              "INSERT INTO meta VALUES('application', '" + kApplication + "'), ('schema_version', '" +
                              std::to_string(version + 1) +
                              "') ON CONFLICT (name) DO UPDATE SET value = excluded.value;");
        ++version;
      }
      connection.run_script("COMMIT");
    } catch (const Failure&) {
      if (connection.usable()) connection.run_script("ROLLBACK");
      throw;
    }
  }
  check_rights(connection, schema);
}

void check_schema(Connection& connection, const std::string& schema) {
  const State state = state_of(connection, schema);
  if (!state.exists || state.is_empty) {
    throw Failure{Error(Code::Unavailable, "database " + connection.name() + ": there is no schema " + schema +
                                               " yet: whoever writes into it makes it"),
                  true};
  }
  if (!state.may_use) refuse_use(connection, schema);
  if (const int version = version_of(connection, schema, state); version != kSchemaVersion) {
    refuse(connection, "the schema " + schema + " has version " + std::to_string(version) + ", this program reads " +
                           std::to_string(kSchemaVersion) + ": use the program that it was written by");
  }
}

std::string life_of(Connection& connection) {
  // The cluster of databases, its timeline (a failover or a recovery begins another), the database, and the table
  // (a dump that is put back makes another).
  const Rows life = connection.run(
      "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' ||"
      " substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' ||"
      " (SELECT oid FROM pg_database WHERE datname = current_database())::text || '/' || 'clock'::regclass::oid::text");
  return life.string(0, 0);
}

}  // namespace tinf::postgres
