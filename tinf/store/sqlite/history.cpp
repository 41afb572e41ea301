#include "tinf/store/sqlite/history.h"

#include <algorithm>

#include "tinf/object/watch_event.h"
#include "tinf/store/sqlite/schema.h"

namespace tinf::sqlite {
namespace {

// More than a machine writes between two of its restarts.
constexpr StoreVersion kPastAnyLoss = StoreVersion(1) << 32;
// What one piece of work cuts off the log beside twice what it adds: it catches up, and none takes long.
constexpr StoreVersion kCutAtLeast = 64;

}  // namespace

void History::load(Connection& connection, bool goes_on, StoreVersion now) {
  now_.version = meta(connection, "version");
  now_.floor = meta(connection, "floor");
  now_.bytes = meta(connection, "log_bytes");
  if (!goes_on) {
    // A file that is new may stand where another one stood.
    now_.version = std::max(now_.version + kPastAnyLoss, now);
    now_.floor = now_.version;
    now_.bytes = 0;
    connection.run("DELETE FROM change");
  }
  keep(connection);
}

StoreVersion History::added(Connection& connection, std::int64_t scope, std::string_view namespace_name,
                            std::string_view name) {
  connection.query("INSERT INTO change(version, scope, type, namespace, name) VALUES(?, ?, 0, ?, ?)")
      .bind(++now_.version)
      .bind(scope)
      .bind(namespace_name)
      .bind(name)
      .run();
  return now_.version;
}

StoreVersion History::modified(Connection& connection, std::int64_t object, StoreVersion previous, std::size_t bytes) {
  return note(connection, static_cast<int>(EventType::Modified), object, previous, bytes);
}

StoreVersion History::deleted(Connection& connection, std::int64_t object, StoreVersion previous, std::size_t bytes) {
  return note(connection, static_cast<int>(EventType::Deleted), object, previous, bytes);
}

StoreVersion History::note(Connection& connection, int type, std::int64_t object, StoreVersion previous,
                           std::size_t bytes) {
  connection
      .query(
          "INSERT INTO change(version, scope, type, namespace, name, previous_version, previous)"
          " SELECT ?, scope, ?, namespace, name, version, body FROM object WHERE id = ?")
      .bind(++now_.version)
      .bind(std::int64_t(type))
      .bind(object)
      .run();
  if (previous > now_.floor)
    connection.query("UPDATE change SET next = ? WHERE version = ?").bind(now_.version).bind(previous).run();
  now_.bytes += bytes;
  return now_.version;
}

void History::finish(Connection& connection) {
  const StoreVersion fresh = now_.version - stored_.version;
  const StoreVersion held = now_.version - now_.floor;
  StoreVersion cut = held > options_.retained_changes ? held - options_.retained_changes : 0;
  if (now_.bytes > options_.retained_bytes) cut = held;
  cut = std::min(cut, kCutAtLeast + 2 * fresh);
  if (cut > 0) {
    const StoreVersion floor = now_.floor + cut;
    Query size =
        connection.query("SELECT coalesce(sum(length(CAST(previous AS BLOB))), 0) FROM change WHERE version <= ?");
    size.bind(floor);
    if (size.step()) now_.bytes -= std::min(now_.bytes, static_cast<std::uint64_t>(size.number(0)));
    connection.query("DELETE FROM change WHERE version <= ?").bind(floor).run();
    now_.floor = floor;
  }
  keep(connection);
}

void History::keep(Connection& connection) {
  connection.query("INSERT OR REPLACE INTO meta VALUES('version', ?), ('floor', ?), ('log_bytes', ?)")
      .bind(now_.version)
      .bind(now_.floor)
      .bind(now_.bytes)
      .run();
}

void History::undo() {
  now_ = stored_;
}

void History::stored() {
  stored_ = now_;
  stored_version_ = now_.version;
  stored_floor_ = now_.floor;
}

}  // namespace tinf::sqlite
