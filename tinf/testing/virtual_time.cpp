#include "tinf/testing/virtual_time.h"

namespace tinf::testing {

VirtualTime::VirtualTime(std::uint64_t seed)
    : random_(seed),
      runtime_{context_.get_executor(), *this,
               Log(
                   [this](const LogRecord& record) {
                     log_lines_.push_back(std::string(to_string(record.level)) + " " + std::string(record.message));
                   },
                   LogLevel::Debug),
               metrics_, random_},
      group_(context_.get_executor()) {}

VirtualTime::~VirtualTime() {
  group_.cancel();
  context_.restart();
  context_.poll();  // Frames unwind while what they refer to still lives.
}

void VirtualTime::arm(asio::steady_timer& timer, TimePoint deadline) {
  disarm(timer);
  armed_[&timer] = deadlines_.emplace(deadline, &timer);
}

void VirtualTime::disarm(asio::steady_timer& timer) {
  const auto armed = armed_.find(&timer);
  if (armed == armed_.end()) return;
  deadlines_.erase(armed->second);
  armed_.erase(armed);
}

bool VirtualTime::advance(TimePoint limit) {
  const auto next = deadlines_.begin();
  if (next == deadlines_.end() || next->first > limit) return false;
  now_ = std::max(now_, next->first);
  asio::steady_timer* timer = next->second;
  armed_.erase(next->second);
  deadlines_.erase(next);
  timer->cancel();
  return true;
}

void VirtualTime::run_for(Duration limit) {
  const TimePoint end = now_ + limit;
  run_until([] { return false; }, limit);
  now_ = std::max(now_, end);
}

bool VirtualTime::run_until(const std::function<bool()>& done, Duration limit) {
  const TimePoint end = now_ + limit;
  while (true) {
    context_.restart();
    // One handler at a time, so that `done` is seen as soon as it holds.
    while (!done()) {
      if (context_.poll_one() == 0) break;
    }
    if (done()) return true;
    if (!advance(end)) return false;
  }
}

}  // namespace tinf::testing
