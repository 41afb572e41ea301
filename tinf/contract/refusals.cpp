#include "tinf/contract/refusals.h"

namespace tinf {

Refusals::Refusals(Runtime& runtime, Log log)
    : clock_(runtime.clock),
      log_(std::move(log)),
      count_(runtime.metrics.counter("tinf_messages_refused_total",
                                     "Messages from the broker that were not what they must be.")) {}

void Refusals::add(const Message& message, const Error& why) {
  count_->add();
  ++unlogged_;
  const TimePoint now = clock_.now();
  if (logged_at_ != TimePoint() && now - logged_at_ < std::chrono::seconds(10)) return;
  logged_at_ = now;
  log_.warning("refused: " + why.message,
               {{"topic", message.topic.substr(0, 256)}, {"refused", std::to_string(unlogged_)}});
  unlogged_ = 0;
}

}  // namespace tinf
