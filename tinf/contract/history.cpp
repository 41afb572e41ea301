#include "tinf/contract/history.h"

namespace tinf {

Error too_old(StoreVersion asked, StoreVersion floor) {
  return Error(Code::Expired,
               "too old resource version: " + std::to_string(asked) + " (" + std::to_string(floor) + ")");
}

Task<Result<void>> VersionWaiters::reach(Clock& clock, StoreVersion wanted, TimePoint deadline,
                                         std::function<StoreVersion()> now) {
  Signal moved;
  struct Registered {
    Registered(std::list<Signal*>& l, Signal* signal) : list(l), at(l.insert(l.end(), signal)) {}
    ~Registered() { list.erase(at); }
    Registered(const Registered&) = delete;
    Registered& operator=(const Registered&) = delete;
    std::list<Signal*>& list;
    std::list<Signal*>::iterator at;
  } registered(waiting_, &moved);
  while (now() < wanted) {
    if (!co_await moved.wait_until(clock, deadline) && now() < wanted) {
      co_return Error(Code::Timeout,
                      "Too large resource version: " + std::to_string(wanted) + ", current: " + std::to_string(now()));
    }
  }
  co_return Result<void>();
}

void VersionWaiters::notify() {
  for (Signal* waiter : waiting_) waiter->notify();
}

}  // namespace tinf
