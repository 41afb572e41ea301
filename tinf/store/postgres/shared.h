// What the parts of one store share: which database, whether it is reachable, and how far its history is known.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "tinf/contract/versioned_store.h"
#include "tinf/store/database/watch_feeds.h"
#include "tinf/store/postgres/lease.h"

namespace tinf::postgres {

struct PostgresSettings {
  std::string schema = "tinf";
  std::uint64_t retained_changes = 65'536;
  std::uint64_t retained_bytes = 256 << 20;  // Of the states that were replaced.
  bool only_reads = false;
  std::chrono::milliseconds lease{10'000};
  std::chrono::milliseconds poll{2'000};  // Where no notification comes.
};

// Whether the database answers. Whoever finds that it does not says so, and until it was reached again by the one who
// looks after it everybody else is told at once: nobody waits for a server that is known to be away. Thread-safe.
class Health {
 public:
  explicit Health(Error first) : trouble_(std::move(first)) {}

  Result<void> state() const {
    const std::lock_guard guard(mutex_);
    return trouble_ ? Result<void>(*trouble_) : Result<void>();
  }
  void check() const {
    const std::lock_guard guard(mutex_);
    if (trouble_) throw Failure{*trouble_, true};
  }
  void down(const Error& why) {
    {
      const std::lock_guard guard(mutex_);
      trouble_ = Error(Code::Unavailable, why.message);
    }
    wake_();
  }
  void up() {
    const std::lock_guard guard(mutex_);
    trouble_.reset();
  }
  // Before anybody else knows it: called by down(), on any thread.
  void on_down(std::function<void()> wake) { wake_ = std::move(wake); }

 private:
  mutable std::mutex mutex_;
  std::optional<Error> trouble_;  // Under mutex_.
  std::function<void()> wake_ = [] {};
};

// How far the history goes, as far as this process knows. Thread-safe; never goes back.
class Progress {
 public:
  StoreVersion version() const { return version_; }
  StoreVersion floor() const { return floor_; }
  void learn(StoreVersion version, StoreVersion floor) {
    raise(version_, version);
    raise(floor_, floor);
  }
  // Up to here the strand was told which copies have changed; set on the strand.
  std::atomic<StoreVersion> heard = 0;

 private:
  static void raise(std::atomic<StoreVersion>& held, StoreVersion to) {
    StoreVersion now = held;
    while (now < to && !held.compare_exchange_weak(now, to)) continue;
  }

  std::atomic<StoreVersion> version_ = 0;
  std::atomic<StoreVersion> floor_ = 0;
};

struct Common {
  Common(Target t, PostgresSettings s, std::string process)
      : target(std::move(t)),
        settings(std::move(s)),
        health(Error(Code::Unavailable, "database " + target.name() + ": it was not reached yet; it is tried again")),
        lease(std::move(process), settings.lease) {}

  ConnectionOptions options(const char* also = "") const {
    ConnectionOptions options;
    options.schema = settings.schema;
    options.settings = also;
    return options;
  }

  const Target target;
  const PostgresSettings settings;
  Interrupt closing;
  Health health;
  Lease lease;
  Progress progress;
};

// Of a connection that was just made: where the database is in another life than it says, or knows less than was told,
// versions go on far above, older ones expire, and whoever held clusters is to take and measure them anew.
void meet_life(Connection& connection, const Common& common);

}  // namespace tinf::postgres
