// first_of: two tasks side by side, the first to end wins and the other is unwound before the winner's result is out.
// What deadlines and watchdogs are made of.
#pragma once

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <optional>
#include <variant>

#include "tinf/base/clock.h"

namespace tinf {

// Index 0: `a` ended first; index 1: `b` did. Void tasks give std::monostate. Cancelling it cancels both and
// waits for both, so neither outlives what it refers to.
template <class A, class B>
auto first_of(Task<A> a, Task<B> b) -> Task<std::variant<std::conditional_t<std::is_void_v<A>, std::monostate, A>,
                                                         std::conditional_t<std::is_void_v<B>, std::monostate, B>>> {
  using namespace asio::experimental::awaitable_operators;
  try {
    auto first = co_await (std::move(a) || std::move(b));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() == asio::cancellation_type::none) co_return first;
  } catch (const asio::multiple_exceptions&) {
    // Both were unwound.
  }
  // Cancelled from outside: say so in the one way that TaskGroup knows.
  throw boost::system::system_error(asio::error::operation_aborted);
}

// The task's result, or nothing if `deadline` came first.
template <class T>
Task<std::optional<T>> within(Clock& clock, TimePoint deadline, Task<T> task) {
  auto first = co_await first_of(std::move(task), clock.sleep_until(deadline));
  if (auto* result = std::get_if<0>(&first)) co_return std::move(*result);
  co_return std::nullopt;
}

}  // namespace tinf
