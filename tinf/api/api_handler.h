// ApiHandler: the whole API without sockets: a request in, its answer out.
#pragma once

#include "tinf/api/bearer_tokens.h"
#include "tinf/api/message.h"
#include "tinf/api/resource_api.h"

namespace tinf::api {

struct HandlerOptions {
  BearerTokens tokens;
  bool debug_paths = false;  // POST /debug/compact and /debug/cut-watches, for callers from loopback.

  HandlerOptions() = default;
};

// Confined to one strand. `runtime` and `store` outlive it and its streams.
class ApiHandler {
 public:
  ApiHandler(Runtime& runtime, VersionedStore& store, HandlerOptions options = HandlerOptions());

  // Before the first request.
  Task<Result<void>> start() { return resources_.start(); }

  Task<ApiResponse> handle(const ApiRequest& request);

  // Forgets the history, so that watches and pages from before expire.
  void compact() { store_.compact(); }
  void cut_watches() { resources_.cut_watches(); }
  std::size_t open_watches() const { return resources_.open_watches(); }

 private:
  std::optional<ApiResponse> debug(const ApiRequest& request, std::string_view path);

  // Constant after construction.
  const HandlerOptions options_;
  VersionedStore& store_;

  // Confined to the strand.
  ResourceApi resources_;
};

}  // namespace tinf::api
