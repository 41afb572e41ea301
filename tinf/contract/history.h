// What stores that keep a history have in common: who waits for a version to come, and what is said of one that has
// gone.
#pragma once

#include <functional>
#include <list>

#include "tinf/base/clock.h"
#include "tinf/contract/versioned_store.h"

namespace tinf {

// Expired: the history has every change after `floor` alone.
Error too_old(StoreVersion asked, StoreVersion floor);

// Those that wait until a store has reached a version: its reach(). Confined to the store's strand; outlives the waits.
class VersionWaiters {
 public:
  // Returns when `now()` is at least `wanted`. Timeout: it was not by `deadline`.
  Task<Result<void>> reach(Clock& clock, StoreVersion wanted, TimePoint deadline, std::function<StoreVersion()> now);

  // The store has moved on.
  void notify();

 private:
  std::list<Signal*> waiting_;
};

}  // namespace tinf
