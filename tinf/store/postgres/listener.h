// Listener: the one who looks after the database: makes the first connection and each one after a loss, renews the
// lease, and hears what other processes have changed.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tinf/contract/fleet_store.h"
#include "tinf/store/database/rows.h"
#include "tinf/store/postgres/shared.h"

namespace tinf::postgres {

// What was read since the last time.
struct News {
  struct CopyRow {
    database::CopyName name;
    database::CopyState state;
  };
  StoreVersion version = 0;
  std::set<database::CopyName> changed;  // Copies of which objects have changed.
  std::vector<CopyRow> copies;           // Whose rows have.
  std::vector<FleetCluster> clusters;    // Of which something else is known.
  bool is_all = false;                   // There are no others.
  bool is_anew = false;                  // Anything may have changed: older versions have expired.
};

// Called on the listener's thread, or by the one that opens it.
struct ListenerHooks {
  std::function<void(News)> news;
  std::function<void()> lost;                     // What was held is not any more.
  std::function<void(std::string trouble)> away;  // Empty: it was reached again.
};

// A notification is a hint, the version in the table is the truth: it is looked at every few seconds as well.
class Listener {
 public:
  Listener(Common& common, ListenerHooks hooks);
  ~Listener() { stop(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Connects and loads once, on the calling thread. An error that trying again would not mend is returned, as Invalid;
  // of others it has told its hooks.
  Result<void> open();
  void start();
  void stop();  // Common::closing was raised.

  // Thread-safe: others are to be told that something was committed; or look at once.
  void notify() {
    notify_ = true;
    wake_.raise();
  }
  void look() { wake_.raise(); }

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;

  void run();
  void connect();
  void turn();
  void read_news(bool is_anew = false);
  void renew();
  void wait(std::chrono::milliseconds longest);
  void fail(const Failure& failure);

  Common& common_;
  const ListenerHooks hooks_;
  Interrupt wake_;
  std::atomic<bool> notify_ = false;
  std::thread thread_;

  // The thread's, once it runs.
  std::unique_ptr<Connection> connection_;
  StoreVersion version_ = 0;  // Read up to here.
  std::int64_t roster_ = -1;
  std::string life_;
  bool is_told_ = false;  // By notifications.
  bool is_away_ = false;
  unsigned failures_ = 0;  // In a row.
  SteadyTime renew_at_{};
  SteadyTime said_at_{};
};

}  // namespace tinf::postgres
