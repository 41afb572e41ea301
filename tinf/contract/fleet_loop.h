// What tests of stores run on.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <stdexcept>

#include "tinf/base/runtime.h"

namespace tinf::contract {

// An event loop of its own on the real clock, since a store may work on threads of its own.
class FleetLoop {
 public:
  Runtime& runtime() { return runtime_; }

  // Runs one task to its end; what does not end in time fails the test.
  template <class T>
  T await(Task<T> task) {
    std::optional<T> result;
    TaskGroup group(loop_.get_executor());
    group.spawn(keep(std::move(task), result));
    const auto end = clock_.now() + std::chrono::seconds(30);
    while (!result && clock_.now() < end) loop_.run_one_until(end);
    if (!result) throw std::runtime_error("the awaited task did not end in time");
    return std::move(*result);
  }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  asio::io_context loop_;
  asio::executor_work_guard<asio::io_context::executor_type> waits_{loop_.get_executor()};
  RealClock clock_;
  Metrics metrics_;
  Random random_{1};
  Runtime runtime_{loop_.get_executor(), clock_, Log(), metrics_, random_};
};

}  // namespace tinf::contract
