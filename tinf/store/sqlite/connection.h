// Connection: one open SQLite file, and the statements that are run on it.
// Inside this folder a failing statement throws Failure; Database turns it into an Error.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "tinf/store/database/bodies.h"
#include "tinf/store/database/failure.h"

namespace tinf::sqlite {

using database::Failure;

class Connection;

// One run of a statement, from its first binding until it is destroyed. Texts and blobs that are bound must outlive it;
// columns live until the next step.
class Query {
 public:
  Query(Connection& connection, sqlite3_stmt* statement) : connection_(connection), statement_(statement) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(std::int64_t number);
  Query& bind(std::uint64_t number) { return bind(static_cast<std::int64_t>(number)); }
  Query& bind(std::string_view text);
  Query& bind_blob(std::string_view bytes);
  Query& bind_null();
  // The way that new ones stand there. `collection` is of the object.
  Query& bind_body(const std::string& collection, std::string_view body);

  bool step();                  // True: there is a row.
  void run() { (void)step(); }  // Of what gives no rows.

  std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string_view text(int column) const;  // Or a blob's bytes.
  // An object's, whichever way it stands there; empty where that cannot be read. Lives until the next one of any query.
  std::string_view body(int column) const;
  bool null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

 private:
  Connection& connection_;
  sqlite3_stmt* const statement_;
  int bound_ = 0;
};

// Used by one thread at a time.
class Connection {
 public:
  enum class Mode { ReadOnly, ReadWrite };

  // Throws Failure.
  Connection(const std::string& file, Mode mode);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // A statement is prepared once; `sql` is a literal, or at least always the same text at the same place.
  Query query(const char* sql);
  // What gives no rows; one statement or several.
  void run(const char* sql);
  std::int64_t number(const char* sql);  // Of one row with one column.
  std::int64_t changes() const { return sqlite3_changes64(handle_); }
  std::int64_t last_row() const { return sqlite3_last_insert_rowid(handle_); }
  bool has_moved();  // The file's name leads elsewhere.
  bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

  // Outlives the connection; without them bodies are text. Those of their dictionaries that are not stored yet
  // are stored by keep_dictionaries(), in every transaction until one of them succeeds.
  void use(database::Bodies& bodies) { bodies_ = &bodies; }
  void keep_dictionaries();

  // Where another process has locked the file: some seconds, and no longer than this is false.
  void wait_for_locks_until(const std::atomic<bool>& over);

  // What the last call failed with, in words that name the file and the remedy.
  Failure failure() const;
  // Of a step on which sqlite3_interrupt() may be called from another thread.
  void interrupt() { sqlite3_interrupt(handle_); }

 private:
  friend class Query;
  [[noreturn]] void fail() const { throw failure(); }

  const std::string file_;
  sqlite3* handle_ = nullptr;
  database::Bodies* bodies_ = nullptr;
  std::string unpacked_;
  std::map<const char*, sqlite3_stmt*> statements_;
};

// All or nothing of what is done while it lives, unless it is committed.
class Transaction {
 public:
  Transaction(Connection& connection, const char* begin);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  void commit();

 private:
  Connection& connection_;
};

}  // namespace tinf::sqlite
