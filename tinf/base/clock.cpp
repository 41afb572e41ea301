// Sleeping and signalling on top of Asio timers that are cancelled rather than fired.
#include "tinf/base/clock.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

namespace tinf {
namespace {

// Keeps arm() and disarm() together when a task is cancelled in between.
class Armed {
 public:
  Armed(Clock& clock, asio::steady_timer& timer, TimePoint deadline) : clock_(clock), timer_(timer) {
    clock_.arm(timer_, deadline);
  }
  ~Armed() { clock_.disarm(timer_); }
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;

 private:
  Clock& clock_;
  asio::steady_timer& timer_;
};

}  // namespace

Task<void> Clock::sleep_for(Duration duration) {
  co_await sleep_until(now() + duration);
}

Task<void> Clock::sleep_until(TimePoint deadline) {
  Signal nobody;
  co_await nobody.wait_until(*this, deadline);
}

void Signal::notify() {
  if (waiters_.empty()) {
    pending_ = true;
    return;
  }
  for (Waiter& waiter : waiters_) {
    waiter.notified = true;
    waiter.timer.cancel();
  }
}

Task<void> Signal::wait() {
  RealClock never;
  co_await wait_until(never, TimePoint::max());
}

Task<bool> Signal::wait_until(Clock& clock, TimePoint deadline) {
  if (pending_) {
    pending_ = false;
    co_return true;
  }
  Executor executor = co_await asio::this_coro::executor;
  auto waiter = waiters_.emplace(waiters_.end(), executor);
  // Also on cancellation: the waiter leaves the list before its frame goes.
  struct Leave {
    std::list<Waiter>& list;
    std::list<Waiter>::iterator at;
    Leave(std::list<Waiter>& l, std::list<Waiter>::iterator a) : list(l), at(a) {}
    ~Leave() { list.erase(at); }
  } leave(waiters_, waiter);
  Armed armed(clock, waiter->timer, deadline);
  boost::system::error_code ignored;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  // A cancelled wait has seen neither its signal nor its deadline: nobody must go on as if it had.
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
  co_return waiter->notified;
}

}  // namespace tinf
