// watch: what a client asked to see first, and from which version on.
// The meanings of resourceVersion "", "0" and N, and of sendInitialEvents, are those of kube-apiserver.
#include "tinf/api/read_api.h"

namespace tinf::api {
namespace {

constexpr std::uint64_t kShortestWatchSeconds = 1800;  // Without timeoutSeconds: between this and twice as much.
constexpr std::uint64_t kLongestWatchSeconds = 24 * 3600;

Answer<void> check_watch_options(const Query& query) {
  const Resource meta{"meta.k8s.io", "v1", ""};
  const std::string field = "resourceVersionMatch";
  const auto& match = query.get(field);
  std::vector<StatusCause> causes;
  const auto forbid = [&](const std::string& what) {
    causes.push_back(StatusCause{"FieldValueForbidden", "Forbidden: " + what, field});
  };
  if (query.has("sendInitialEvents")) {
    if (match == "NotOlderThan") return {};
    forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!match.empty()) {
      causes.push_back(StatusCause{"FieldValueNotSupported",
                                   "Unsupported value: \"" + match + "\": supported values: \"NotOlderThan\"", field});
    }
  } else if (!match.empty()) {
    forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
  }
  if (causes.empty()) return {};
  return Status::invalid(meta, "ListOptions", "", std::move(causes));
}

}  // namespace

Task<ApiResponse> ReadApi::watch(Call& call) {
  if (auto read = check_numbers(call.query); !read) co_return ApiResponse(read.error());
  if (auto fits = check_watch_options(call.query); !fits) co_return ApiResponse(fits.error());
  if (call.of().mirrored && !call.query.get("orderBy").empty()) {
    co_return ApiResponse(Status::bad_request("orderBy: a watch tells changes in the order in which they are made"));
  }
  auto selection = Selection::parse(call.type, call.path, call.query);
  if (!selection) co_return ApiResponse(selection.error());
  const auto& version = call.query.get("resourceVersion");
  auto reached = co_await reach(version);
  if (!reached) co_return ApiResponse(reached.error());

  const bool streaming_list = call.query.is_true("sendInitialEvents");
  const bool without_version = version.empty() || version == "0";
  WatchPlan plan;
  plan.bookmarks = call.query.is_true("allowWatchBookmarks");
  plan.initial_events_end = streaming_list && plan.bookmarks;
  const auto seconds = number(call.query.get("timeoutSeconds")).value_or(0);
  plan.end = runtime_.clock.now() +
             std::chrono::seconds(seconds > 0 ? std::min(seconds, kLongestWatchSeconds)
                                              : kShortestWatchSeconds + runtime_.random.below(kShortestWatchSeconds));
  plan.initial_version = without_version ? reader_.version() : number(version).value_or(0);
  if (streaming_list || (without_version && !call.query.has("sendInitialEvents"))) {
    ObjectPages pages(call.reader, call.of().collection, *selection, selection->query());
    auto first = co_await pages.next(kObjectsAtOnce, kWatchBytesAtOnce);
    if (!first) co_return ApiResponse(first.error());
    plan.initial = std::move(*first);
    plan.initial_version = pages.version();
    plan.rest.emplace(std::move(pages));
  }

  auto watch = call.reader->watch(call.of().collection, plan.initial_version, selection->query());
  ApiResponse response;
  if (!watch) {
    // The server's word for it is an event, not a status line: clients look there.
    if (watch.error().code != Code::Expired) {
      co_return ApiResponse(Status::of(watch.error(), call.of().resource(), ""));
    }
    response.body = Presentation::error_event(Status::expired(watch.error().message));
    co_return response;
  }
  response.stream = std::make_unique<WatchResponse>(call.type, std::move(*selection), presentation(call),
                                                    std::move(plan), std::move(*watch), runtime_.clock, open_);
  co_return response;
}

}  // namespace tinf::api
