// What a daemon does beside its work for whoever reads a fleet's copies: serve them as a Kubernetes API.
#pragma once

#include <optional>

#include "tinf/api/api_server.h"
#include "tinf/base/runtime.h"

namespace tinf::daemon {

// Invalid: what would be served, to whom, is not what anybody wants: an address that others reach needs TLS and tokens.
Result<void> check_serve(const api::ApiOptions& options);

// Runs `work` until it ends or this is cancelled, and serves `fleet` meanwhile if there are options. Ends with what
// `work` says, or with why it cannot be served: then `work` has not begun. Nothing is served any more when it returns.
Task<Result<void>> serve_beside(Task<Result<void>> work, Runtime& runtime, FleetReader* fleet,
                                std::optional<api::ApiOptions> options);

}  // namespace tinf::daemon
