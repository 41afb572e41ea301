// reflect(): what a provider runs for each scope: a Reflector that takes no risk with what the source says, and tells
// all the time how current its sink is.
#pragma once

#include <functional>

#include "tinf/informer/reflector.h"

namespace tinf {

// Keeps `sink` equal to `scope` at `source` until it is cancelled. Calls `report` without an error while the sink is
// current, and otherwise with what keeps it from that; in both cases with the moment at which it was last known to be.
// Of `options` it sets for itself: after_outage (List), first_version (the latest), on_error and on_status.
Task<void> reflect(Runtime& runtime, Scope scope, ListerWatcher& source, StoreWriter& sink,
                   std::function<void(Result<void>, TimePoint)> report, ReflectorOptions options = ReflectorOptions());

}  // namespace tinf
