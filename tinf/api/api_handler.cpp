// Health first, since it needs no token; then what is served; at last the form in which it goes out.
#include "tinf/api/api_handler.h"

#include <algorithm>

#include "tinf/api/body_filter.h"
#include "tinf/api/entity_tag.h"
#include "tinf/api/fleet_api.h"
#include "tinf/api/resource_api.h"

namespace tinf::api {
namespace {

constexpr std::size_t kCompressFrom = 128 * 1024;  // As kube-apiserver: below it costs more time than it saves.

// Of all that is served: below a cluster's path, too, where clients look for it that know this cluster's alone.
std::string_view without_cluster(std::string_view path) {
  constexpr std::string_view kClusters = "/clusters/";
  if (!path.starts_with(kClusters)) return path;
  return path.substr(std::min(path.find('/', kClusters.size()), path.size()));
}

bool is_health(std::string_view path) {
  for (const std::string_view name : {"/livez", "/readyz", "/healthz"}) {
    if (path == name || (path.starts_with(name) && path[name.size()] == '/')) return true;
  }
  return false;
}

bool is_known_already(const ApiRequest& request, const ApiResponse& response) {
  if (response.status != 200) return false;
  return std::ranges::any_of(response.headers, [&](const auto& header) {
    return header.first == "ETag" && is_named(header.second, request.if_none_match);
  });
}

// For people, but for documents that are for machines alone.
bool goes_out_pretty(const ApiRequest& request, const ApiResponse& response, std::string_view path) {
  if (!response.content_type.starts_with("application/json") || path.find("/openapi/") != std::string_view::npos) {
    return false;
  }
  return path.ends_with("/version") || wants_pretty(request);
}

}  // namespace

ApiHandler::ApiHandler(Runtime& runtime, VersionedStore& store, HandlerOptions options)
    : options_(std::move(options)), served_(std::make_unique<ResourceApi>(runtime, store)) {}

ApiHandler::ApiHandler(Runtime& runtime, FleetReader& fleet, HandlerOptions options)
    : options_(std::move(options)), is_fleet_(true), served_(std::make_unique<FleetApi>(runtime, fleet)) {}

Task<ApiResponse> ApiHandler::handle(const ApiRequest& request) {
  Target target = Target::parse(request.target);
  const std::string path = target.path;
  auto response = co_await route(request, std::move(target));
  if (is_known_already(request, response)) {
    response.status = 304;
    response.content_type.clear();
    response.body.clear();
  }
  const bool streams = response.stream != nullptr;
  if (streams && !response.stream->ends_by_itself()) co_return response;  // A watch: every event at once.
  if (goes_out_pretty(request, response, path)) response = co_await filtered(std::move(response), pretty_json());
  if (request.method == "GET" && takes_gzip(request.accept_encoding) &&
      (streams || response.body.size() > kCompressFrom)) {
    response = co_await filtered(std::move(response), gzip());
    response.headers.emplace_back("Content-Encoding", "gzip");
  }
  co_return response;
}

Task<ApiResponse> ApiHandler::route(const ApiRequest& request, Target target) {
  if (const auto path = is_fleet_ ? without_cluster(target.path) : target.path; is_health(path)) {
    if (request.method != "GET" && request.method != "HEAD") co_return ApiResponse(Status::method_not_allowed());
    const std::string lacking =
        path.starts_with("/readyz") && options_.not_ready ? options_.not_ready() : std::string();
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
