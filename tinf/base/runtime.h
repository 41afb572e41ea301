// Runtime: what every component needs from the process it lives in.
#pragma once

#include "tinf/base/backoff.h"
#include "tinf/base/clock.h"
#include "tinf/base/log.h"
#include "tinf/base/metrics.h"
#include "tinf/base/task.h"

namespace tinf {

// Owned by the daemon, the library's face or a test; outlives every component that refers to it.
struct Runtime {
  Executor executor;  // One strand or one thread: components on it never meet a data race.
  Clock& clock;
  Log log;
  Metrics& metrics;
  Random& random;
};

}  // namespace tinf
