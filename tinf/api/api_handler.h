// ApiHandler: the whole API without sockets: a request in, its answer out.
#pragma once

#include <cstdint>
#include <functional>

#include "tinf/api/authenticator.h"
#include "tinf/api/authorization_policy.h"
#include "tinf/api/ledger.h"
#include "tinf/api/message.h"
#include "tinf/api/request_limits.h"
#include "tinf/api/served.h"
#include "tinf/base/runtime.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

struct HandlerOptions {
  AuthenticationOptions authentication;
  RequestLimitOptions limits;
  AuditSink audit;                         // None: no lines.
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

  Task<ApiResponse> handle(ApiRequest request);

  // The tokens, and the rules, from now on (no rules: who is known may read everything). Watches end, so that
  // they are asked for anew, by whom that is still allowed.
  void use(std::shared_ptr<const BearerTokens> tokens);
  void use(std::shared_ptr<const AuthorizationPolicy> policy);

  // Forgets the history, so that watches and pages from before expire.
  void compact() { served_->compact(); }
  void cut_watches();
  std::size_t open_watches() const { return served_->open_watches(); }

 private:
  ApiHandler(Runtime& runtime, std::unique_ptr<Served> served, HandlerOptions options, bool is_fleet);

  std::string lacking();
  Task<ApiResponse> health(const ApiRequest& request, std::string path);
  Task<ApiResponse> in_form(const ApiRequest& request, ApiResponse response, std::string_view path);
  Task<ApiResponse> answer(ApiRequest& request, Target target, Exchange& exchange);
  std::optional<ApiResponse> debug(const ApiRequest& request, std::string_view path);

  // Constant after construction.
  const HandlerOptions options_;
  const bool is_fleet_;
  Clock& clock_;
  const std::shared_ptr<Ledger> ledger_;
  const std::unique_ptr<Served> served_;

  // Confined to the strand.
  Authenticator authenticator_;
  RequestLimits limits_;
  std::shared_ptr<const AuthorizationPolicy> policy_;
  std::uint64_t cuts_ = 0;  // How often watches were ended.
  std::string lacking_;     // What was not ready when it was last asked for.
  TimePoint lacking_until_{};
};

}  // namespace tinf::api
