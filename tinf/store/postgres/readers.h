// Readers: connections that read, a bounded number of them, each used by one thread at a time.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "tinf/store/database/run_on.h"
#include "tinf/store/postgres/shared.h"

namespace tinf::postgres {

// Thread-safe. While the database is known to be away nothing is tried.
class Readers {
 public:
  explicit Readers(Common& common) : common_(common) {}
  ~Readers() { threads_.join(); }

  // Runs on the calling thread, which may block, on a connection that nobody else uses meanwhile. The caller may be
  // the event loop, which has others to serve: a server that is silent is given up sooner than elsewhere.
  template <class Function>
  auto read(Function function, std::chrono::milliseconds patience = std::chrono::seconds(2)) const
      -> Result<decltype(function(std::declval<Connection&>()))> {
    try {
      Borrowed connection(*this);
      (*connection).set_patience(patience);
      if constexpr (std::is_void_v<decltype(function(*connection))>) {
        function(*connection);
        return Result<void>();
      } else {
        return function(*connection);
      }
    } catch (const Failure& failure) {
      return failure.error;
    }
  }

  // The same on a thread of the store's own; returns on the caller's executor. `function` is kept until it has run.
  template <class Function>
  auto read_elsewhere(Function function) const -> Task<Result<decltype(function(std::declval<Connection&>()))>> {
    auto reading = [this, function = std::move(function)]() mutable {
      return read(std::move(function), ConnectionOptions().patience);
    };
    co_return co_await database::run_on(threads_, std::move(reading));
  }

 private:
  // Gives the connection back, if it can be used again; if it cannot, the database is away.
  class Borrowed {
   public:
    explicit Borrowed(const Readers& readers) : readers_(readers), connection_(readers.borrow()) {}
    ~Borrowed() { readers_.give_back(std::move(connection_)); }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    Connection& operator*() { return *connection_; }

   private:
    const Readers& readers_;
    std::unique_ptr<Connection> connection_;
  };

  std::unique_ptr<Connection> borrow() const;
  void give_back(std::unique_ptr<Connection> connection) const;

  Common& common_;
  mutable std::mutex mutex_;
  mutable std::condition_variable returned_;
  mutable std::vector<std::unique_ptr<Connection>> idle_;  // Under mutex_.
  mutable unsigned lent_ = 0;                              // Under mutex_.
  mutable asio::thread_pool threads_{4};
};

}  // namespace tinf::postgres
