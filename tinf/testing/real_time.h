// RealTime: an event loop on the real clock, for tests against real sockets and processes.
// It waits for events with a deadline; what does not come in time fails the test.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"

namespace tinf::testing {

class RealTime {
 public:
  RealTime();
  ~RealTime();

  // A Runtime on this loop, with a log kept in log_lines() (level, message and fields) and fresh metrics.
  Runtime& runtime() { return runtime_; }
  const std::vector<std::string>& log_lines() const { return log_lines_; }

  // Starts a task beside the test; it is cancelled when this object goes.
  void spawn(Task<void> task) { group_.spawn(std::move(task)); }

  // Runs until `done` holds; false if that did not come in time.
  bool run_until(const std::function<bool()>& done, Duration limit = std::chrono::seconds(30));

  // Runs one task to its end and returns its result. Throws, which fails the test, if it does not end in time.
  template <class T>
  T await(Task<T> task, Duration limit = std::chrono::seconds(30)) {
    std::optional<T> result;
    TaskGroup group(context_.get_executor());
    group.spawn(store_result(std::move(task), result));
    const bool ended = run_until([&] { return result.has_value(); }, limit);
    if (!ended) {
      group.cancel();
      run_until([&] { return group.running() == 0; }, std::chrono::seconds(1));
      throw std::runtime_error("the awaited task did not end in time");
    }
    return std::move(*result);
  }

 private:
  template <class T>
  static Task<void> store_result(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> waits_for_events_{context_.get_executor()};
  RealClock clock_;
  Metrics metrics_;
  Random random_ = Random::from_entropy();
  std::vector<std::string> log_lines_;
  Runtime runtime_;
  TaskGroup group_;
};

}  // namespace tinf::testing
