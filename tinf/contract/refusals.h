// Refusals: messages from a broker that are not what they must be, counted and logged at a bounded rate: an enemy must
// not fill the disk.
#pragma once

#include "tinf/base/runtime.h"
#include "tinf/contract/transport.h"

namespace tinf {

// Confined to one strand. Counts in tinf_messages_refused_total; logs once in ten seconds at most, with the number
// since.
class Refusals {
 public:
  Refusals(Runtime& runtime, Log log);

  void add(const Message& message, const Error& why);

 private:
  Clock& clock_;
  const Log log_;
  const std::shared_ptr<Counter> count_;
  TimePoint logged_at_{};
  std::uint64_t unlogged_ = 0;
};

}  // namespace tinf
