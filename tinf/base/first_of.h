// first_of: two tasks side by side, the first to end wins and the other is unwound before the winner's result is out.
// What deadlines and watchdogs are made of.
#pragma once

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <optional>
#include <variant>

#include "tinf/base/clock.h"

namespace tinf {

namespace first_of_detail {

template <class T>
using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
Task<void> keep(Task<T> task, std::optional<Value<T>>& result) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    result.emplace();
  } else {
    result.emplace(co_await std::move(task));
  }
}

// Whatever is not the end of a cancelled task is a bug, and bugs are not swallowed.
inline void rethrow_unless_cancelled(const std::exception_ptr& thrown) {
  if (!thrown) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted) throw;
  }
}

}  // namespace first_of_detail

// Index 0: `a` ended first; index 1: `b` did. Void tasks give std::monostate. Cancelling it cancels both and
// waits for both, so neither outlives what it refers to. What either throws comes out of here.
template <class A, class B>
auto first_of(Task<A> a, Task<B> b) -> Task<std::variant<first_of_detail::Value<A>, first_of_detail::Value<B>>> {
  using First = std::variant<first_of_detail::Value<A>, first_of_detail::Value<B>>;
  std::optional<first_of_detail::Value<A>> of_a;
  std::optional<first_of_detail::Value<B>> of_b;
  const auto executor = co_await asio::this_coro::executor;
  const auto [order, thrown_a, thrown_b] =
      co_await asio::experimental::make_parallel_group(
          asio::co_spawn(executor, first_of_detail::keep<A>(std::move(a), of_a), asio::deferred),
          asio::co_spawn(executor, first_of_detail::keep<B>(std::move(b), of_b), asio::deferred))
          .async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  first_of_detail::rethrow_unless_cancelled(thrown_a);
  first_of_detail::rethrow_unless_cancelled(thrown_b);
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() == asio::cancellation_type::none) {
    if (order[0] == 0 && of_a) co_return First(std::in_place_index<0>, std::move(*of_a));
    if (order[0] == 1 && of_b) co_return First(std::in_place_index<1>, std::move(*of_b));
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
