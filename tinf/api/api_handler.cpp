// Health first, since it needs no token; then what is served.
#include "tinf/api/api_handler.h"

#include "tinf/api/fleet_api.h"
#include "tinf/api/resource_api.h"

namespace tinf::api {
namespace {

bool is_health(std::string_view path) {
  for (const std::string_view name : {"/livez", "/readyz", "/healthz"}) {
    if (path == name || (path.starts_with(name) && path[name.size()] == '/')) return true;
  }
  return false;
}

}  // namespace

ApiHandler::ApiHandler(Runtime& runtime, VersionedStore& store, HandlerOptions options)
    : options_(std::move(options)), served_(std::make_unique<ResourceApi>(runtime, store)) {}

ApiHandler::ApiHandler(Runtime& runtime, FleetReader& fleet, HandlerOptions options)
    : options_(std::move(options)), served_(std::make_unique<FleetApi>(runtime, fleet)) {}

Task<ApiResponse> ApiHandler::handle(const ApiRequest& request) {
  Target target = Target::parse(request.target);
  if (is_health(target.path)) {
    if (request.method != "GET" && request.method != "HEAD")
      co_return ApiResponse(Status::method_not_allowed(request.method));
    const std::string lacking =
        target.path.starts_with("/readyz") && options_.not_ready ? options_.not_ready() : std::string();
    ApiResponse healthy(lacking.empty() ? "ok" : lacking);
    if (!lacking.empty()) healthy.status = 503;
    healthy.content_type = "text/plain; charset=utf-8";
    co_return healthy;
  }
  if (target.path != "/version" && !options_.tokens.allow(request.authorization)) {
    co_return ApiResponse(Status::unauthorized());
  }
  if (auto done = debug(request, target.path)) co_return std::move(*done);
  co_return co_await served_->handle(request, std::move(target));
}

std::optional<ApiResponse> ApiHandler::debug(const ApiRequest& request, std::string_view path) {
  if (!options_.debug_paths || !request.from_loopback || request.method != "POST") return std::nullopt;
  if (path == "/debug/compact") {
    compact();
  } else if (path == "/debug/cut-watches") {
    cut_watches();
  } else {
    return std::nullopt;
  }
  Status done;
  return ApiResponse(done.to_json());
}

}  // namespace tinf::api
