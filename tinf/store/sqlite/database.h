// Database: one file, one thread that writes to it, and connections that read from it.
// Why a thread of its own: a disk may take seconds, and what waits for it must hold up nobody else. What many have to
// write meanwhile goes into one transaction, which costs the disk as much as one of theirs.
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tinf/base/clock.h"
#include "tinf/base/task.h"
#include "tinf/store/sqlite/connection.h"

namespace tinf::sqlite {

// What is to be written, all of it or nothing. Both run on the writing thread.
struct Work {
  std::function<void(Connection&)> write;  // Throws Failure. May run again, if the transaction that it was in failed.
  std::function<void()> undo;              // What it wrote has not been stored; before it runs again, or ends.
  std::function<void()> done;              // What it wrote is stored, and readers see it.
  std::size_t rows = 1;                    // About how many it writes.
};

// Thread-safe.
class Database {
 public:
  // Errors: Invalid (no such file can be made, it is another program's, or a newer version's), AlreadyExists (another
  // process writes to it), Unavailable (it cannot be read or written).
  // `load` reads what is there, in a transaction, before anything else does. `goes_on`: no transaction of an earlier
  // life is missing: neither has the machine gone down since, nor was the file put back or copied.
  // `committed` runs on the writing thread, after the done() of each piece of work in a transaction.
  using Load = std::function<void(Connection&, bool goes_on)>;
  static Result<std::unique_ptr<Database>> open(const std::string& file, const Load& load,
                                                std::function<void()> committed);
  ~Database();  // Writes what waits, unless another process has locked the file, then closes it.
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Returns when it is stored, on the caller's executor. Who is cancelled leaves the work to be done.
  Task<Result<void>> write(Work work);

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
  struct Waiting;

  Database(std::string file, std::unique_ptr<FileLock> lock, std::function<void()> committed);
  void begin_life(Connection& connection, const Load& load);
  void write_loop();
  void write_together(std::vector<std::unique_ptr<Waiting>>& together);
  void tidy();
  void carry_out(std::vector<std::unique_ptr<Waiting>>& together);
  std::unique_ptr<Connection> borrow() const;
  void give_back(std::unique_ptr<Connection> connection) const;

  const std::string file_;
  const std::unique_ptr<FileLock> lock_;
  const std::function<void()> committed_;
  // The thread's alone, once it runs.
  std::unique_ptr<Connection> writing_;
  unsigned untidied_ = 0;  // Transactions.
  std::chrono::steady_clock::time_point hold_back_until_{};
  bool moved_ = false;  // The file's name leads to another one now, or nowhere.

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Waiting>> waiting_;  // Under mutex_.
  std::atomic<bool> closing_ = false;             // Written under mutex_.

  mutable std::mutex readers_mutex_;
  mutable std::vector<std::unique_ptr<Connection>> readers_;  // Idle ones.

  std::thread thread_;
  mutable asio::thread_pool reading_{2};
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
  using Value = decltype(function(std::declval<Connection&>()));
  // Shared by who waits and the thread that reads: either may be gone first.
  struct Outcome {
    Signal told;
    std::optional<Result<Value>> result;
  };
  const auto outcome = std::make_shared<Outcome>();
  const Executor home = co_await asio::this_coro::executor;
  asio::post(reading_, [this, outcome, home, function = std::move(function)]() mutable {
    auto result = read(std::move(function));
    asio::post(home, [outcome, result = std::move(result)]() mutable {
      outcome->result = std::move(result);
      outcome->told.notify();
    });
  });
  while (!outcome->result) co_await outcome->told.wait();
  co_return std::move(*outcome->result);
}

}  // namespace tinf::sqlite
