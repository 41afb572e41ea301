#include "tinf/store/sqlite/connection.h"

namespace tinf::sqlite {
namespace {

constexpr int kBusyMilliseconds = 5000;  // Another process may hold the file for so long: a migration, a backup.
constexpr int kBusyStep = 10;

std::string remedy(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "the disk is full: make room; nothing of this change was stored, and it is tried again";
    case SQLITE_READONLY:
      return "it cannot be written: give this user the right to write the file and its folder";
    case SQLITE_CANTOPEN:
      return "it cannot be opened: the folder must exist, and this user may create and write files in it";
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "this user may not open it";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process has locked it: end that process's transaction";
    case SQLITE_CORRUPT:
      return "it is damaged: move it and its -wal file away and start again; what it held comes back from the clusters";
    case SQLITE_NOTADB:
      return "it is no SQLite database: name another file";
    case SQLITE_IOERR:
      return "reading or writing it failed: look after its disk, and after limits on the size of files";
    default:
      return "";
  }
}

}  // namespace

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::bind(std::int64_t number) {
  if (sqlite3_bind_int64(statement_, ++bound_, number) != SQLITE_OK) connection_.fail();
  return *this;
}

Query& Query::bind(std::string_view text) {
  if (sqlite3_bind_text64(statement_, ++bound_, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC,
                          SQLITE_UTF8) != SQLITE_OK)
    connection_.fail();
  return *this;
}

Query& Query::bind_blob(std::string_view bytes) {
  if (sqlite3_bind_blob64(statement_, ++bound_, bytes.data(), bytes.size(), SQLITE_STATIC) != SQLITE_OK)
    connection_.fail();
  return *this;
}

Query& Query::bind_null() {
  if (sqlite3_bind_null(statement_, ++bound_) != SQLITE_OK) connection_.fail();
  return *this;
}

bool Query::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  connection_.fail();
}

std::string_view Query::text(int column) const {
  const void* const bytes = sqlite3_column_blob(statement_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string_view Query::body(int column) const {
  const std::string_view stored = text(column);
  if (sqlite3_column_type(statement_, column) != SQLITE_BLOB) return stored;
  const database::Bodies* const bodies = connection_.bodies_;
  if (bodies == nullptr || !bodies->unpack(stored, connection_.unpacked_)) return {};
  return connection_.unpacked_;
}

Query& Query::bind_body(const std::string& collection, std::string_view body) {
  if (connection_.bodies_ == nullptr) return bind(body);
  const auto frame = connection_.bodies_->pack(collection, body);
  return frame ? bind_blob(*frame) : bind(body);
}

Connection::Connection(const std::string& file, Mode mode) : file_(file) {
  const int flags = (mode == Mode::ReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  if (sqlite3_open_v2(file.c_str(), &handle_, flags, nullptr) != SQLITE_OK) {
    Failure failed = failure();
    sqlite3_close_v2(handle_);
    throw failed;
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, kBusyMilliseconds);
}

Connection::~Connection() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(handle_);
}

void Connection::wait_for_locks_until(const std::atomic<bool>& over) {
  const auto wait = [](void* stop, int waited) {
    if (waited >= kBusyMilliseconds / kBusyStep || *static_cast<const std::atomic<bool>*>(stop)) return 0;
    sqlite3_sleep(kBusyStep);
    return 1;
  };
  sqlite3_busy_handler(handle_, wait, const_cast<std::atomic<bool>*>(&over));
}

Query Connection::query(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr &&
      sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
    fail();
  return Query(*this, statement);
}

void Connection::run(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
}

std::int64_t Connection::number(const char* sql) {
  Query one = query(sql);
  return one.step() ? one.number(0) : 0;
}

void Connection::keep_dictionaries() {
  if (bodies_ == nullptr) return;
  for (const database::Dictionary& made : bodies_->unstored()) {
    query("INSERT OR IGNORE INTO dictionary VALUES(?, ?, ?)")
        .bind(std::uint64_t(made.id))
        .bind(made.collection)
        .bind_blob(made.content)
        .run();
  }
}

bool Connection::has_moved() {
  int moved = 0;
  return sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

Failure Connection::failure() const {
  const int code = sqlite3_extended_errcode(handle_);
  const std::string help = remedy(code);
  const int kind = code & 0xff;
  std::string message = "database " + file_ + ": ";
  message += help.empty() ? sqlite3_errmsg(handle_) : help + " (" + sqlite3_errmsg(handle_) + ")";
  const bool of_the_database =
      !help.empty() || kind == SQLITE_NOMEM || kind == SQLITE_INTERRUPT || kind == SQLITE_PROTOCOL;
  return Failure{Error(of_the_database ? Code::Unavailable : Code::Internal, std::move(message)), of_the_database};
}

Transaction::Transaction(Connection& connection, const char* begin) : connection_(connection) {
  connection_.run(begin);
}

Transaction::~Transaction() {
  if (!connection_.in_transaction()) return;
  try {
    connection_.run("ROLLBACK");
  } catch (const Failure&) {  // Then SQLite has rolled back by itself, or will when the connection closes.
  }
}

void Transaction::commit() {
  connection_.run("COMMIT");
}

}  // namespace tinf::sqlite
