// Connection: one session with the server, on which statements travel in a pipeline.
// Inside this folder what fails throws Failure; the stores turn it into an Error.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tinf/store/postgres/failures.h"
#include "tinf/store/postgres/target.h"
#include "tinf/store/postgres/values.h"

namespace tinf::postgres {

// The rows that a statement gave. What it returns lives as long as it does.
class Rows {
 public:
  explicit Rows(PGresult* result) : result_(result, PQclear) {}

  int size() const { return PQntuples(result_.get()); }
  bool null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  std::string_view text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
  }
  std::string string(int row, int column) const { return std::string(text(row, column)); }
  std::int64_t number(int row, int column) const;  // Of a bigint; 0 for null.
  bool flag(int row, int column) const { return text(row, column) == std::string_view("\1", 1); }
  std::size_t affected() const;  // Rows that were written.

 private:
  std::unique_ptr<PGresult, void (*)(PGresult*)> result_;
};

// Wakes who waits in poll(). Thread-safe.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void raise();
  void lower();
  bool raised() const;
  int descriptor() const { return descriptor_; }  // Readable once it is raised.

 private:
  const int descriptor_;
};

struct ConnectionOptions {
  std::string schema;                          // Which the statements' tables are in.
  std::chrono::milliseconds patience{10'000};  // With a server that says nothing, while it is waited for.
  std::string settings;                        // SQL that is run first.
};

// Used by one thread at a time. What is sent between two synchronisations is one transaction, unless it begins and ends
// its own: it is stored when its last answer has been received, or nothing of it is.
// A statement is prepared once for each connection; its text is a literal, or always the same text at the same place.
class Connection {
 public:
  // `interrupt` outlives it: once it is raised, nothing is waited for longer than two seconds. Null: there is none.
  Connection(const Target& target, ConnectionOptions options, const Interrupt* interrupt);

  void send(const char* sql, const Values& values = Values()) { send(sql, values, Awaited::Statement); }
  // The same of what gives no answer that receive() is to return.
  void send_quietly(const char* sql, const Values& values = Values()) { send(sql, values, Awaited::Nothing); }
  // A transaction whose statements are each synchronised: where this process stops in its midst, frozen or cut off, the
  // server waits for its next statement, and ends it by its idle_in_transaction_session_timeout. In what is sent
  // without these two it would wait in the midst of one, for ever. An error in it takes it all back, and commit() with
  // it.
  void begin();
  void commit();
  // The answer to the statement that was sent first of those not answered. Ends the pipeline where it has not ended.
  // A statement that fails throws; those behind it are not run, and their answers are gone.
  Rows receive();
  // Returns when everything that was sent is stored; what it gave is not looked at.
  void finish();
  Rows run(const char* sql, const Values& values = Values()) {
    send(sql, values);
    Rows rows = receive();
    finish();
    return rows;
  }
  // SQL without values, one statement or several, in one transaction. Not for many calls.
  void run_script(const std::string& sql);

  // From now on, of a server that says nothing while it is waited for.
  void set_patience(std::chrono::milliseconds patience) { patience_ = patience; }

  bool usable() const { return !broken_; }  // False: it is broken, or somebody gave up in its midst.
  const Error& broken_because() const { return *broken_; }
  // False: it broke while nobody used it.
  bool alive();
  // Also where its end is not known.
  bool in_transaction() const { return PQtransactionStatus(handle_.get()) != PQTRANS_IDLE; }

  // For LISTEN. True: another session has notified since the last call. Takes what has arrived, and does not wait.
  bool notified();
  int descriptor() const { return PQsocket(handle_.get()); }
  int server_process() const { return PQbackendPID(handle_.get()); }
  int server_version() const { return PQserverVersion(handle_.get()); }
  std::string parameter(const char* name) const;
  std::string quoted_name(const std::string& name) const;
  std::string quoted_text(const std::string& text) const;

  const std::string& name() const { return name_; }
  std::string user() const { return PQuser(handle_.get()); }
  std::string database() const { return PQdb(handle_.get()); }

 private:
  using Handle = std::unique_ptr<PGconn, void (*)(PGconn*)>;
  enum class Awaited { Preparation, Statement, Nothing, End };

  Handle connect(const Target& target);
  Handle connect_to(const Target::Parameters& parameters, int seconds, std::string& why);
  void wait(PGconn* handle, bool for_writing, std::chrono::steady_clock::time_point until);
  void send(const char* sql, const Values& values, Awaited answer);
  void flush();
  PGresult* next();
  void synchronise();
  Rows answer(Awaited kind);
  [[noreturn]] void fail(const PGresult* result);
  [[noreturn]] void fail_broken(const std::string& words);

  const std::string name_;
  const ConnectionOptions options_;
  const Interrupt* const interrupt_;
  std::chrono::milliseconds patience_ = options_.patience;
  std::optional<Error> broken_;
  std::map<const char*, std::string> prepared_;  // Statements by their texts' places.
  std::deque<const char*> preparing_;            // Of those, the ones that the server has not said yes to.
  unsigned statements_ = 0;                      // Ever prepared.
  std::deque<Awaited> awaited_;
  bool in_parts_ = false;  // Between begin() and commit().
  Handle handle_;
};

// A transaction that takes more than one pipeline, of those that read: it is as of one moment. What is sent after it
// was made is in it. Ends with the object, however that comes.
class Moment {
 public:
  explicit Moment(Connection& connection);
  ~Moment();
  Moment(const Moment&) = delete;
  Moment& operator=(const Moment&) = delete;

  void end();

 private:
  Connection& connection_;
  bool ended_ = false;
};

}  // namespace tinf::postgres
