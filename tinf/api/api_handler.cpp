// Health first, since it needs no name; then who calls, whether there is room and whether they may; then what is
// served; at last the form in which it goes out.
#include "tinf/api/api_handler.h"

#include <algorithm>

#include "tinf/api/body_filter.h"
#include "tinf/api/entity_tag.h"
#include "tinf/api/fleet_api.h"
#include "tinf/api/fleet_question.h"
#include "tinf/api/resource_api.h"

namespace tinf::api {
namespace {

constexpr Duration kReadinessHolds = std::chrono::seconds(1);
constexpr std::size_t kCompressFrom = 128 * 1024;  // As kube-apiserver: below it costs more time than it saves.

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

// What one caller may know of is not for the caches of others.
void keep_from_others(ApiResponse& response) {
  constexpr std::string_view kPublic = "public";
  for (auto& [name, value] : response.headers) {
    if (name == "Cache-Control" && value.starts_with(kPublic)) value.replace(0, kPublic.size(), "private");
  }
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
    : ApiHandler(runtime, std::make_unique<ResourceApi>(runtime, store), std::move(options), false) {}

ApiHandler::ApiHandler(Runtime& runtime, FleetReader& fleet, HandlerOptions options)
    : ApiHandler(runtime, std::make_unique<FleetApi>(runtime, fleet), std::move(options), true) {}

ApiHandler::ApiHandler(Runtime& runtime, std::unique_ptr<Served> served, HandlerOptions options, bool is_fleet)
    : options_(std::move(options)),
      is_fleet_(is_fleet),
      clock_(runtime.clock),
      ledger_(std::make_shared<Ledger>(runtime, options_.audit)),
      served_(std::move(served)),
      authenticator_(runtime, options_.authentication),
      limits_(options_.limits) {}

void ApiHandler::use(std::shared_ptr<const BearerTokens> tokens) {
  authenticator_.use(std::move(tokens));
  cut_watches();
}

void ApiHandler::use(std::shared_ptr<const AuthorizationPolicy> policy) {
  policy_ = std::move(policy);
  cut_watches();
}

// Also those that are being opened, which nobody has in hand yet: handle() sees to them.
void ApiHandler::cut_watches() {
  ++cuts_;
  served_->cut_watches();
}

Task<ApiResponse> ApiHandler::handle(ApiRequest request) {
  Target target = Target::parse(request.target);
  const std::string path = target.path;
  // Of all that is served: below a cluster's path, too, where clients look for it that know this cluster's alone.
  if (std::string below = is_fleet_ ? FleetPath::parse(path).path : path; is_health(below))
    co_return co_await health(request, std::move(below));
  auto exchange = ledger_->open(request, question_of(request.method, target));
  const auto cuts = cuts_;
  auto response = co_await answer(request, std::move(target), *exchange);
  const bool is_watch = response.stream != nullptr && !response.stream->ends_by_itself();
  if (policy_ != nullptr) keep_from_others(response);
  if (is_watch && cuts_ != cuts) response.stream->cut();  // Who asked may be nobody any more.
  // A watch goes out as it is: every event at once.
  if (!is_watch) response = co_await in_form(request, std::move(response), path);
  exchange->answers(response.status, is_watch);
  response.exchange = std::move(exchange);
  co_return response;
}

// As the client wants it to be sent.
Task<ApiResponse> ApiHandler::in_form(const ApiRequest& request, ApiResponse response, std::string_view path) {
  if (is_known_already(request, response)) {
    response.status = 304;
    response.content_type.clear();
    response.body.clear();
  }
  const bool streams = response.stream != nullptr;
  if (goes_out_pretty(request, response, path)) response = co_await filtered(std::move(response), pretty_json());
  if (request.method == "GET" && takes_gzip(request.accept_encoding) &&
      (streams || response.body.size() > kCompressFrom)) {
    response = co_await filtered(std::move(response), gzip());
    response.headers.emplace_back("Content-Encoding", "gzip");
  }
  co_return response;
}

// All copies are looked at for it, and anybody may ask, as often as they like.
std::string ApiHandler::lacking() {
  if (options_.not_ready && clock_.now() >= lacking_until_) {
    lacking_ = options_.not_ready();
    lacking_until_ = clock_.now() + kReadinessHolds;
  }
  return lacking_;
}

// Whether all is well is for everybody who can reach us, as probes have no names; what is not, names clusters.
Task<ApiResponse> ApiHandler::health(const ApiRequest& request, std::string path) {
  if (request.method != "GET" && request.method != "HEAD") co_return ApiResponse(Status::method_not_allowed());
  std::string lacks = path.starts_with("/readyz") ? lacking() : std::string();
  if (!lacks.empty() && !authenticator_.is_open()) {
    auto who = co_await authenticator_.authenticate(request);
    AccessQuestion question;
    question.verb = "get";
    question.path = std::move(path);
    if (!who || !Access(std::move(*who), policy_).decide(question).allowed) lacks = "not ready";
  }
  ApiResponse healthy(lacks.empty() ? "ok" : lacks);
  if (!lacks.empty()) healthy.status = 503;
  healthy.content_type = "text/plain; charset=utf-8";
  co_return healthy;
}

Task<ApiResponse> ApiHandler::answer(ApiRequest& request, Target target, Exchange& exchange) {
  const AccessQuestion& question = exchange.question();
  if (target.path == "/version") {  // As every cluster tells everybody.
    exchange.was_allowed("");
    co_return co_await served_->handle(request, std::move(target));
  }
  auto who = co_await authenticator_.authenticate(request);
  if (!who) {
    if (who.error().code == Status::unauthorized().code) ledger_->failed_to_authenticate();
    co_return ApiResponse(who.error());
  }
  exchange.is_of(*who);
  if (!request.impersonated.empty() && !authenticator_.is_open()) {  // They would take the answer for that one's.
    exchange.was_refused();
    const Resource users{"", "", "users"};
    const std::string why = "User \"" + who->user + "\" cannot impersonate resource \"users\" in API group \"\"";
    co_return ApiResponse(Status::forbidden(users, request.impersonated, why + " at the cluster scope", {}));
  }
  const std::string user = authenticator_.is_open() ? std::string() : who->user;
  const bool is_watch = question.verb == "watch";
  // A watch that is being opened is work as a list is.
  auto opening = limits_.take(user, false);
  auto place = is_watch && opening != nullptr ? limits_.take(user, true) : opening;
  if (place == nullptr) {
    ledger_->was_throttled();
    exchange.was_throttled();
    co_return ApiResponse(Status::too_many_requests("too many requests, please try again later"));
  }
  exchange.holds(std::move(place), std::move(opening));
  request.access = std::make_shared<const Access>(std::move(*who), policy_);
  if (const auto verdict = served_->judge(request, question); verdict.refusal) {
    exchange.was_refused();
    co_return ApiResponse(*verdict.refusal);
  } else {
    exchange.was_allowed(verdict.rule);
  }
  exchange.is_of_resource(served_->label_of(question));
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
