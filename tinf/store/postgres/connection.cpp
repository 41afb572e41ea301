#include "tinf/store/postgres/connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace tinf::postgres {
namespace {

constexpr std::chrono::milliseconds kGrace(2000);  // For what is under way when the end is wanted.
constexpr std::size_t kLarge = 256 << 10;

using SteadyTime = std::chrono::steady_clock::time_point;

// Of every session: nothing waits for ever on the server's side either. Plans are made once and by index: the planner's
// statistics of tables that grow by thousands of rows a second are old.
constexpr const char* kSettings =
    "SET statement_timeout = '60s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '15s';"
    " SET enable_seqscan = off; SET jit = off; SET plan_cache_mode = force_generic_plan; SET work_mem = '32MB';"
    " SET client_min_messages = warning; SET default_transaction_isolation = 'read committed';"
    // Who is cut off is missed within half a minute; over a socket of the machine these say nothing.
    " SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;";
// For what no other limit finds, above all that a large first set takes.
constexpr const char* kNewerSettings = " SET transaction_timeout = '10min';";  // From PostgreSQL 17 on.

std::string_view field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

}  // namespace

std::int64_t Rows::number(int row, int column) const {
  std::uint64_t number = 0;
  for (const char byte : text(row, column)) number = number << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(number);
}

std::size_t Rows::affected() const {
  return std::strtoull(PQcmdTuples(result_.get()), nullptr, 10);
}

Interrupt::Interrupt() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Interrupt::~Interrupt() {
  ::close(descriptor_);
}

void Interrupt::raise() {
  const std::uint64_t one = 1;
  (void)!::write(descriptor_, &one, sizeof one);
}

void Interrupt::lower() {
  std::uint64_t count = 0;
  (void)!::read(descriptor_, &count, sizeof count);
}

bool Interrupt::raised() const {
  pollfd look{descriptor_, POLLIN, 0};
  return ::poll(&look, 1, 0) > 0;
}

Connection::Connection(const Target& target, ConnectionOptions options, const Interrupt* interrupt)
    : name_(target.name()), options_(std::move(options)), interrupt_(interrupt), handle_(connect(target)) {
  PQsetErrorVerbosity(handle_.get(), PQERRORS_TERSE);
  PQsetNoticeReceiver(
      handle_.get(), [](void*, const PGresult*) {}, nullptr);  // Not to stderr.
  if (server_version() < 150000) {
    throw Failure{Error(Code::Invalid, "database " + name_ + ": PostgreSQL 15 or newer is needed, this is " +
                                           parameter("server_version")),
                  true};
  }
  if (parameter("server_encoding") != "UTF8") {
    throw Failure{Error(Code::Invalid, "database " + name_ + ": its encoding is " + parameter("server_encoding") +
                                           ": create one with ENCODING 'UTF8' TEMPLATE template0"),
                  true};
  }
  if (PQsetnonblocking(handle_.get(), 1) != 0) fail_broken(PQerrorMessage(handle_.get()));
  run_script(kSettings + std::string(server_version() >= 170000 ? kNewerSettings : "") +
             " SET search_path = " + quoted_name(options_.schema) + ", pg_temp; " + options_.settings);
  if (PQenterPipelineMode(handle_.get()) != 1) fail_broken(PQerrorMessage(handle_.get()));
}

Connection::Handle Connection::connect(const Target& target) {
  std::string why;
  for (const auto& host : target.hosts()) {
    std::string words;
    if (Handle handle = connect_to(host, target.connect_seconds(), words)) return handle;
    why += (why.empty() ? "" : "; ") + words;
  }
  throw connect_failure(name_, why);
}

// Not PQconnectdb: its wait for a server that is silent could not be interrupted.
Connection::Handle Connection::connect_to(const Target::Parameters& parameters, int seconds, std::string& why) {
  std::vector<const char*> names, values;
  for (const auto& [name, value] : parameters) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  Handle handle(PQconnectStartParams(names.data(), values.data(), 0), PQfinish);
  if (!handle) throw Failure{Error(Code::Unavailable, "database " + name_ + ": no memory for a connection"), true};
  PQsetNoticeReceiver(
      handle.get(), [](void*, const PGresult*) {}, nullptr);  // It would write them to stderr.
  PQsetErrorVerbosity(handle.get(), PQERRORS_VERBOSE);        // With SQLSTATE, which nothing else tells here.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  auto state = PQstatus(handle.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
    try {
      wait(handle.get(), state == PGRES_POLLING_WRITING, until);
    } catch (const Failure&) {
      if (interrupt_ != nullptr && interrupt_->raised()) throw;
      why = "no answer within " + std::to_string(seconds) + " s";
      return Handle(nullptr, PQfinish);
    }
    state = PQconnectPoll(handle.get());
  }
  if (state == PGRES_POLLING_OK) return handle;
  why = PQerrorMessage(handle.get());
  return Handle(nullptr, PQfinish);
}

// Until the socket can be read, or written where that is wanted. Throws where it does not come to that.
void Connection::wait(PGconn* handle, bool for_writing, SteadyTime until) {
  bool interrupted = false;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    pollfd look[2] = {{PQsocket(handle), static_cast<short>(POLLIN | (for_writing ? POLLOUT : 0)), 0},
                      {interrupt_ == nullptr || interrupted ? -1 : interrupt_->descriptor(), POLLIN, 0}};
    const int ready = ::poll(look, 2, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) break;
    if (ready > 0 && look[0].revents != 0) return;
    if (ready > 0 && look[1].revents != 0) {
      interrupted = true;
      until = std::min(until, std::chrono::steady_clock::now() + kGrace);
    }
  }
  fail_broken("the server says nothing");
}

void Connection::fail_broken(const std::string& words) {
  const Failure failure = broken(name_, words);
  broken_ = failure.error;
  throw failure;
}

void Connection::fail(const PGresult* result) {
  const std::string_view state = field(result, PG_DIAG_SQLSTATE);
  in_parts_ = false;
  // Without a state it is libpq itself that speaks: the connection is gone.
  if (state.empty()) fail_broken(PQresultErrorMessage(result));
  Failure failure = failure_of(name_, state, field(result, PG_DIAG_MESSAGE_PRIMARY));
  if (PQstatus(handle_.get()) == CONNECTION_BAD) broken_ = failure.error;
  for (const char* sql : std::exchange(preparing_, {})) prepared_.erase(sql);
  // What was sent behind it is passed over, so that the connection can go on.
  while (usable() && !awaited_.empty()) {
    const Awaited passed = std::exchange(awaited_.front(), Awaited::End);
    awaited_.pop_front();
    PQclear(next());
    if (passed != Awaited::End) PQclear(next());
  }
  throw failure;
}

void Connection::run_script(const std::string& sql) {
  const bool was_in_pipeline = PQpipelineStatus(handle_.get()) != PQ_PIPELINE_OFF;
  if (was_in_pipeline && PQexitPipelineMode(handle_.get()) != 1) fail_broken(PQerrorMessage(handle_.get()));
  if (PQsendQuery(handle_.get(), sql.c_str()) != 1) fail_broken(PQerrorMessage(handle_.get()));
  PGresult* failed = nullptr;
  while (PGresult* result = next()) {
    const ExecStatusType status = PQresultStatus(result);
    if (failed == nullptr && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      failed = result;
    } else {
      PQclear(result);
    }
  }
  if (failed != nullptr) {
    const Rows holds(failed);
    fail(failed);
  }
  if (was_in_pipeline && PQenterPipelineMode(handle_.get()) != 1) fail_broken(PQerrorMessage(handle_.get()));
}

void Connection::send(const char* sql, const Values& values, Awaited answer) {
  const int count = static_cast<int>(values.size());
  const auto [statement, is_new] = prepared_.try_emplace(sql);
  if (is_new) {
    statement->second = "s" + std::to_string(++statements_);
    preparing_.push_back(sql);
    std::vector<Oid> types;
    for (const auto& value : values.all()) types.push_back(static_cast<Oid>(value.type));
    if (PQsendPrepare(handle_.get(), statement->second.c_str(), sql, count, types.data()) != 1)
      fail_broken(PQerrorMessage(handle_.get()));
    awaited_.push_back(Awaited::Preparation);
    if (in_parts_) synchronise();
  }
  std::vector<const char*> bytes;
  std::vector<int> lengths, formats;
  for (const auto& value : values.all()) {
    bytes.push_back(value.bytes.data());
    lengths.push_back(static_cast<int>(value.bytes.size()));
    formats.push_back(1);
  }
  if (PQsendQueryPrepared(handle_.get(), statement->second.c_str(), count, bytes.data(), lengths.data(), formats.data(),
                          1) != 1)
    fail_broken(PQerrorMessage(handle_.get()));
  awaited_.push_back(answer);
  if (in_parts_) synchronise();
  if (values.bytes() > kLarge) flush();
}

void Connection::begin() {
  in_parts_ = true;
  send_quietly("BEGIN");
}

void Connection::commit() {
  send_quietly("COMMIT");
  in_parts_ = false;
}

// Until all that was sent is on its way, so that no more than one large statement waits in memory. Both directions at
// once: a server that cannot get rid of its answers takes no more statements.
void Connection::flush() {
  auto until = std::chrono::steady_clock::now() + patience_;
  while (true) {
    const int flushed = PQflush(handle_.get());
    if (flushed < 0) fail_broken(PQerrorMessage(handle_.get()));
    if (flushed == 0) return;
    wait(handle_.get(), true, until);
    until = std::chrono::steady_clock::now() + patience_;
    if (PQconsumeInput(handle_.get()) != 1) fail_broken(PQerrorMessage(handle_.get()));
  }
}

void Connection::synchronise() {
  if (awaited_.empty() || awaited_.back() == Awaited::End) return;
  if (PQpipelineSync(handle_.get()) != 1) fail_broken(PQerrorMessage(handle_.get()));
  awaited_.push_back(Awaited::End);
}

// The next result, or null behind the last one of a statement, once it is there.
PGresult* Connection::next() {
  flush();
  auto until = std::chrono::steady_clock::now() + patience_;
  while (PQisBusy(handle_.get()) != 0) {
    wait(handle_.get(), false, until);
    until = std::chrono::steady_clock::now() + patience_;
    if (PQconsumeInput(handle_.get()) != 1) fail_broken(PQerrorMessage(handle_.get()));
  }
  return PQgetResult(handle_.get());
}

Rows Connection::receive() {
  synchronise();
  while (true) {
    const Awaited kind = awaited_.front();
    awaited_.pop_front();
    Rows rows = answer(kind);
    if (kind == Awaited::Statement) return rows;
  }
}

// What was awaited, unless it failed.
Rows Connection::answer(Awaited kind) {
  PGresult* const result = next();
  if (result == nullptr) fail_broken(PQerrorMessage(handle_.get()));
  Rows rows(result);
  const ExecStatusType status = PQresultStatus(result);
  if (kind != Awaited::End && PQstatus(handle_.get()) != CONNECTION_BAD) PQclear(next());  // Null: its end.
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_PIPELINE_SYNC) fail(result);
  if (kind == Awaited::Preparation) preparing_.pop_front();
  return rows;
}

void Connection::finish() {
  synchronise();
  while (!awaited_.empty()) {
    const Awaited kind = awaited_.front();
    awaited_.pop_front();
    (void)answer(kind);  // Of an end: the commit itself may be refused.
  }
}

bool Connection::alive() {
  // What it said last may stand before its end.
  for (pollfd look{PQsocket(handle_.get()), POLLIN, 0}; ::poll(&look, 1, 0) > 0;) {
    if (PQconsumeInput(handle_.get()) != 1) return false;
  }
  return usable() && PQstatus(handle_.get()) == CONNECTION_OK;
}

bool Connection::notified() {
  if (PQconsumeInput(handle_.get()) != 1) fail_broken(PQerrorMessage(handle_.get()));
  bool by_another = false;
  while (PGnotify* notice = PQnotifies(handle_.get())) {
    by_another = by_another || notice->be_pid != server_process();
    PQfreemem(notice);
  }
  return by_another;
}

std::string Connection::parameter(const char* name) const {
  const char* value = PQparameterStatus(handle_.get(), name);
  return value == nullptr ? "" : value;
}

std::string Connection::quoted_name(const std::string& name) const {
  const std::unique_ptr<char, void (*)(void*)> text(PQescapeIdentifier(handle_.get(), name.data(), name.size()),
                                                    PQfreemem);
  return text ? text.get() : "";
}

std::string Connection::quoted_text(const std::string& text) const {
  const std::unique_ptr<char, void (*)(void*)> quoted(PQescapeLiteral(handle_.get(), text.data(), text.size()),
                                                      PQfreemem);
  return quoted ? quoted.get() : "";
}

Moment::Moment(Connection& connection) : connection_(connection) {
  connection_.send_quietly("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
}

Moment::~Moment() {
  try {
    end();
  } catch (const Failure&) {  // Then the connection is not used again.
  }
}

void Moment::end() {
  if (std::exchange(ended_, true) || !connection_.usable()) return;
  connection_.run("COMMIT");
}

}  // namespace tinf::postgres
