// TaskGroup over Asio's cancellation slots.
// Why the state is shared: completion handlers run after the group's destructor when nobody awaited stop().
#include "tinf/base/task.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <list>

namespace tinf {

struct TaskGroup::State {
  explicit State(Executor e) : executor(std::move(e)), all_ended(executor, asio::steady_timer::time_point::max()) {}

  Executor executor;
  asio::steady_timer all_ended;  // Never fires; cancelled to wake join().
  std::list<asio::cancellation_signal> running;
  std::list<asio::cancellation_signal> ended;  // Until their last cancel() has run into the void.
};

namespace {

bool is_cancellation(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& error) {
    return error.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

}  // namespace

TaskGroup::TaskGroup(Executor executor) : state_(std::make_shared<State>(std::move(executor))) {}

TaskGroup::~TaskGroup() {
  cancel();
}

void TaskGroup::spawn(Task<void> task) {
  auto state = state_;
  auto self = state->running.emplace(state->running.end());
  asio::co_spawn(state->executor, std::move(task),
                 asio::bind_cancellation_slot(self->slot(), [state, self](std::exception_ptr failure) {
                   // A cancel() from another turn is on its way to this signal's slot: it goes one turn later.
                   state->ended.splice(state->ended.end(), state->running, self);
                   asio::post(state->executor, [state, self] { state->ended.erase(self); });
                   if (state->running.empty()) state->all_ended.cancel();
                   if (failure && !is_cancellation(failure)) std::rethrow_exception(failure);
                 }));
}

void TaskGroup::cancel() {
  // emit() may run a task to its end at once and so erase its own element: step on before.
  for (auto it = state_->running.begin(); it != state_->running.end();) {
    auto& signal = *it++;
    signal.emit(asio::cancellation_type::terminal);
  }
}

Task<void> TaskGroup::stop() {
  cancel();
  co_await join();
}

Task<void> TaskGroup::join() {
  auto state = state_;
  // A joiner that is itself cancelled still waits: owners rely on it before they destroy what tasks use.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  while (!state->running.empty()) {
    boost::system::error_code ignored;
    co_await state->all_ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

std::size_t TaskGroup::running() const {
  return state_->running.size();
}

}  // namespace tinf
