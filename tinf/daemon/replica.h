// A replica of the API: serves what informers keep in a shared store, and follows nothing itself.
#pragma once

#include "tinf/daemon/options.h"
#include "tinf/daemon/process.h"

namespace tinf::daemon {

// Serves `options.store` at `options.serve` until the process is told to stop; returns its exit code. It is ready while
// the store can be reached.
int run_replica(Process& process, const InformerDaemonOptions& options);

}  // namespace tinf::daemon
