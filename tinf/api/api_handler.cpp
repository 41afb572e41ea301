// Health first, since it needs no token; then documents; then resources.
#include "tinf/api/api_handler.h"

#include "tinf/api/discovery.h"

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
    : options_(std::move(options)), store_(store), resources_(runtime, store) {}

Task<ApiResponse> ApiHandler::handle(const ApiRequest& request) {
  Target target = Target::parse(request.target);
  if (is_health(target.path)) {
    ApiResponse healthy("ok");
    healthy.content_type = "text/plain; charset=utf-8";
    co_return healthy;
  }
  if (target.path != "/version" && !options_.tokens.allow(request.authorization)) {
    co_return ApiResponse(Status::unauthorized());
  }
  if (auto done = debug(request, target.path)) co_return std::move(*done);
  if (request.method == "GET") {
    if (auto document = discovery(resources_.catalog(), target.path, request.accept)) co_return std::move(*document);
    if (auto document = openapi(resources_.catalog(), target.path)) co_return std::move(*document);
  }
  auto path = ResourcePath::parse(target.path);
  if (!path) co_return ApiResponse(Status::unknown_path());
  co_return co_await resources_.handle(request, std::move(*path), std::move(target.query));
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
