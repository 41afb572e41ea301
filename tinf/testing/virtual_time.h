// VirtualTime: an event loop whose clock moves only when nothing else can happen.
// A test that takes an hour of backoff takes a millisecond, and takes it the same way each time.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "tinf/base/runtime.h"

namespace tinf::testing {

class VirtualTime final : public Clock {
 public:
  // `seed` is that of the runtime's generator.
  explicit VirtualTime(std::uint64_t seed = 1);
  ~VirtualTime() override;

  TimePoint now() const override { return now_; }
  WallTime wall_now() const override {
    return WallTime(std::chrono::duration_cast<WallTime::duration>(now_ - start_ + wall_set_by_) +
                    std::chrono::hours(24 * 365 * 50));
  }
  // Somebody sets the wall clock, forward or back; now() knows nothing of it.
  void set_wall_by(Duration jump) { wall_set_by_ += jump; }
  void arm(asio::steady_timer& timer, TimePoint deadline) override;
  void disarm(asio::steady_timer& timer) override;

  // A Runtime on this loop, with a seeded generator, a log kept in log_lines() and fresh metrics.
  Runtime& runtime() { return runtime_; }
  const std::vector<std::string>& log_lines() const { return log_lines_; }
  // Waits that have a deadline and are not over: none once everything has ended.
  std::size_t waiting() const { return deadlines_.size(); }

  // Starts a task beside the test; it is cancelled when this object goes.
  void spawn(Task<void> task) { group_.spawn(std::move(task)); }

  // Runs until nothing can happen any more or `limit` of virtual time has passed; pending sleeps beyond it stay.
  void run_for(Duration limit);

  // Runs until `done` holds; false if that did not come within `limit` of virtual time.
  bool run_until(const std::function<bool()>& done, Duration limit = std::chrono::hours(1));

  // Runs one task to its end and returns its result. The test fails if it does not end within an hour of virtual time.
  template <class T>
  T await(Task<T> task) {
    std::optional<T> result;
    spawn(store_result(std::move(task), result));
    if (!run_until([&] { return result.has_value(); })) throw std::runtime_error("the awaited task did not end");
    return std::move(*result);
  }

 private:
  template <class T>
  static Task<void> store_result(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  // Moves the clock to the next deadline not after `limit`; false if there is none.
  bool advance(TimePoint limit);

  asio::io_context context_;
  const TimePoint start_{std::chrono::hours(1)};
  TimePoint now_ = start_;
  Duration wall_set_by_{};
  using Deadlines = std::multimap<TimePoint, asio::steady_timer*>;
  Deadlines deadlines_;
  std::unordered_map<asio::steady_timer*, Deadlines::iterator> armed_;
  Metrics metrics_;
  Random random_;
  std::vector<std::string> log_lines_;
  Runtime runtime_;
  TaskGroup group_;
};

}  // namespace tinf::testing
