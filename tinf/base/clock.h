// Clock: the only source of time, so that a test can own it. Signal: one coroutine wakes another.
// Real time here; virtual time in tinf/testing.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>

#include "tinf/base/task.h"

namespace tinf {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// Thread-safe to read; sleeping is done on the caller's executor.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual TimePoint now() const = 0;      // Monotone.
  virtual WallTime wall_now() const = 0;  // May jump; for display and for expiry dates only.

  Task<void> sleep_for(Duration duration);
  Task<void> sleep_until(TimePoint deadline);

  // Makes a wait on `timer` end at `deadline` of this clock. disarm() follows every arm().
  virtual void arm(asio::steady_timer& timer, TimePoint deadline) = 0;
  virtual void disarm(asio::steady_timer& timer) = 0;
};

class RealClock final : public Clock {
 public:
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  WallTime wall_now() const override { return std::chrono::system_clock::now(); }
  void arm(asio::steady_timer& timer, TimePoint deadline) override { timer.expires_at(deadline); }
  void disarm(asio::steady_timer&) override {}
};

// Wakes its waiters. A notify() that nobody waits for is remembered once, so none is lost between
// looking at a state and waiting for its change. Confined to one strand.
class Signal {
 public:
  void notify();

  Task<void> wait();

  // True if notified, false if `deadline` came first.
  Task<bool> wait_until(Clock& clock, TimePoint deadline);

 private:
  struct Waiter {
    explicit Waiter(const Executor& executor) : timer(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer timer;
    bool notified = false;
  };

  std::list<Waiter> waiters_;
  bool pending_ = false;
};

}  // namespace tinf
