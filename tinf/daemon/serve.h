// What a daemon does beside its work for whoever reads a fleet's copies: serve them as a Kubernetes API.
#pragma once

#include <optional>
#include <string>

#include "tinf/api/api_server.h"
#include "tinf/base/runtime.h"

namespace tinf::daemon {

// As they stand on the command line.
struct ServeOptions {
  api::ApiOptions api;                  // Without what the next ones name.
  bool always_allow = false;            // Who is known may read everything.
  std::string token_review_kubeconfig;  // Of the cluster whose API server says whose a token is; empty: none does.
  std::string token_review_context;
  std::string audit_log;  // A file, or - for stderr; empty: none.

  ServeOptions() = default;
  bool asks_who_calls() const;
};

// Invalid: what would be served, to whom, is not what anybody wants: an address that others reach needs TLS, to know
// who calls, and to be told what they may read.
Result<void> check_serve(const ServeOptions& options);

// Runs `work` until it ends or this is cancelled, and serves `fleet` meanwhile if there are options. Ends with what
// `work` says, or with why it cannot be served: then `work` has not begun. Nothing is served any more when it returns.
Task<Result<void>> serve_beside(Task<Result<void>> work, Runtime& runtime, FleetReader* fleet,
                                std::optional<ServeOptions> options);

}  // namespace tinf::daemon
