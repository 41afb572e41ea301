#include "tinf/testing/real_time.h"

namespace tinf::testing {

RealTime::RealTime()
    : runtime_{context_.get_executor(), clock_,
               Log(
                   [this](const LogRecord& record) {
                     std::string line = std::string(to_string(record.level)) + " " + std::string(record.message);
                     for (const LogField& field : record.fields)
                       line += " " + std::string(field.name) + "=" + field.value;
                     log_lines_.push_back(std::move(line));
                   },
                   LogLevel::Debug),
               metrics_, random_},
      group_(context_.get_executor()) {}

RealTime::~RealTime() {
  group_.cancel();
  context_.restart();
  context_.poll();  // Frames unwind while what they refer to still lives.
}

bool RealTime::run_until(const std::function<bool()>& done, Duration limit) {
  const TimePoint end = clock_.now() + limit;
  while (!done()) {
    if (clock_.now() >= end) return false;
    context_.restart();
    context_.run_one_until(end);
  }
  return true;
}

}  // namespace tinf::testing
