// ApiHandler: the whole API without sockets: a request in, its answer out.
#pragma once

#include <functional>

#include "tinf/api/bearer_tokens.h"
#include "tinf/api/message.h"
#include "tinf/api/served.h"
#include "tinf/base/runtime.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

struct HandlerOptions {
  BearerTokens tokens;
  bool debug_paths = false;                // POST /debug/compact and /debug/cut-watches, for callers from loopback.
  std::function<std::string()> not_ready;  // What /readyz says, with 503, unless it is empty. None: always ready.

  HandlerOptions() = default;
};

// Confined to one strand. `runtime`, `store` and `fleet` outlive it and its streams.
class ApiHandler {
 public:
  // The API of one cluster, which lives in `store`.
  ApiHandler(Runtime& runtime, VersionedStore& store, HandlerOptions options = HandlerOptions());
  // What is mirrored of many, to be read.
  ApiHandler(Runtime& runtime, FleetReader& fleet, HandlerOptions options = HandlerOptions());

  // Before the first request.
  Task<Result<void>> start() { return served_->start(); }

  Task<ApiResponse> handle(const ApiRequest& request);

  // Forgets the history, so that watches and pages from before expire.
  void compact() { served_->compact(); }
  void cut_watches() { served_->cut_watches(); }
  std::size_t open_watches() const { return served_->open_watches(); }

 private:
  Task<ApiResponse> route(const ApiRequest& request, Target target);
  std::optional<ApiResponse> debug(const ApiRequest& request, std::string_view path);

  // Constant after construction.
  const HandlerOptions options_;
  const bool is_fleet_ = false;
  const std::unique_ptr<Served> served_;
};

}  // namespace tinf::api
