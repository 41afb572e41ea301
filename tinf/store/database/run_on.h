// Blocking work of a strand's on threads that may block.
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>

#include "tinf/base/clock.h"
#include "tinf/base/task.h"

namespace tinf::database {

// Runs `function` on one of `threads`, and returns what it gave on the caller's executor. It is kept until it has run,
// also where the caller is cancelled meanwhile.
template <class Function>
auto run_on(asio::thread_pool& threads, Function function) -> Task<decltype(function())> {
  // Shared by who waits and the thread that works: either may be gone first.
  struct Outcome {
    Signal told;
    std::optional<decltype(function())> result;
  };
  const auto outcome = std::make_shared<Outcome>();
  const Executor home = co_await asio::this_coro::executor;
  asio::post(threads, [outcome, home, function = std::move(function)]() mutable {
    auto result = function();
    asio::post(home, [outcome, result = std::move(result)]() mutable {
      outcome->result = std::move(result);
      outcome->told.notify();
    });
  });
  while (!outcome->result) co_await outcome->told.wait();
  co_return std::move(*outcome->result);
}

}  // namespace tinf::database
