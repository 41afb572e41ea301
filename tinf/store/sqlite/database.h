// Database: one file, one thread that writes to it, and connections that read from it.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tinf/store/database/group_commit.h"
#include "tinf/store/database/run_on.h"
#include "tinf/store/sqlite/connection.h"

namespace tinf::sqlite {

struct Work : database::WorkBase {
  std::function<void(Connection&)> write;  // Throws Failure. May run again, if the transaction that it was in failed.
};

// Thread-safe.
class Database {
 public:
  // Errors: Invalid (no such file can be made, it is another program's, or a newer version's), AlreadyExists (another
  // process writes to it), Unavailable (it cannot be read or written).
  // `load` reads what is there, in a transaction, before anything else does. `goes_on`: no transaction of an earlier
  // life is missing: neither has the machine gone down since, nor was the file put back or copied.
  // `committed` runs on the writing thread, after the done() of each piece of work in a transaction.
  // `bodies` outlive it.
  using Load = std::function<void(Connection&, bool goes_on)>;
  static Result<std::unique_ptr<Database>> open(const std::string& file, database::Bodies& bodies, const Load& load,
                                                std::function<void()> committed);
  ~Database();  // Writes what waits, unless another process has locked the file, then closes it.
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Returns when it is stored, on the caller's executor. Who is cancelled leaves the work to be done.
  Task<Result<void>> write(Work work) { return writer_.write(std::move(work)); }

  // Runs on the calling thread, which may block, on a connection that nobody else uses meanwhile.
  template <class Function>
  auto read(Function function) const -> Result<decltype(function(std::declval<Connection&>()))>;

  // The same on a thread of the database's own; returns on the caller's executor. `function` is kept until it has run.
  template <class Function>
  auto read_elsewhere(Function function) const -> Task<Result<decltype(function(std::declval<Connection&>()))>>;

  const std::string& file() const { return file_; }

  // Bytes on disk, of the file and of what is written ahead of it.
  struct Sizes {
    std::uint64_t file = 0, ahead = 0;
  };
  Sizes sizes() const;

 private:
  class FileLock;

  Database(std::string file, database::Bodies& bodies, std::unique_ptr<FileLock> lock, std::function<void()> committed);
  void begin_life(Connection& connection, const Load& load);
  void carry_out(const std::vector<Work*>& together);
  void tidy();
  std::unique_ptr<Connection> borrow() const;
  void give_back(std::unique_ptr<Connection> connection) const;

  const std::string file_;
  database::Bodies& bodies_;
  const std::unique_ptr<FileLock> lock_;
  // The thread's alone, once it runs.
  std::unique_ptr<Connection> writing_;
  unsigned untidied_ = 0;  // Transactions.
  std::chrono::steady_clock::time_point hold_back_until_{};
  bool moved_ = false;  // The file's name leads to another one now, or nowhere.

  mutable std::mutex readers_mutex_;
  mutable std::vector<std::unique_ptr<Connection>> readers_;  // Idle ones.

  mutable asio::thread_pool reading_{2};
  database::GroupCommit<Work> writer_;  // The first to go.
};

template <class Function>
auto Database::read(Function function) const -> Result<decltype(function(std::declval<Connection&>()))> {
  using Value = decltype(function(std::declval<Connection&>()));
  try {
    auto connection = borrow();
    if constexpr (std::is_void_v<Value>) {
      function(*connection);
      give_back(std::move(connection));
      return Result<void>();
    } else {
      Value value = function(*connection);
      give_back(std::move(connection));
      return value;
    }
  } catch (const Failure& failure) {
    return failure.error;  // The connection goes with it: the next one is opened anew.
  }
}

template <class Function>
auto Database::read_elsewhere(Function function) const
    -> Task<Result<decltype(function(std::declval<Connection&>()))>> {
  auto reading = [this, function = std::move(function)]() mutable { return read(std::move(function)); };
  co_return co_await database::run_on(reading_, std::move(reading));
}

}  // namespace tinf::sqlite
