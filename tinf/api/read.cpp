// get and list: at which version, how many, and where the next page starts.
// The rules of resourceVersion and resourceVersionMatch are k8s.io/apimachinery's ValidateListOptions.
#include <algorithm>

#include "tinf/api/list_response.h"
#include "tinf/api/read_api.h"

namespace tinf::api {
namespace {

constexpr std::size_t kMostObjects = 10'000;  // Of a page; who asks for more gets a token for the rest.
constexpr Duration kVersionPatience = std::chrono::seconds(3);  // As kube-apiserver waits for a version to come.

Status invalid_options(std::string reason, std::string field, std::string message) {
  const Resource meta{"meta.k8s.io", "v1", ""};
  return Status::invalid(meta, "ListOptions", "",
                         {StatusCause{std::move(reason), std::move(message), std::move(field)}});
}

Answer<void> check_list_options(const Query& query) {
  const auto& match = query.get("resourceVersionMatch");
  const auto& version = query.get("resourceVersion");
  if (auto read = check_numbers(query); !read) return read.error();
  if (query.has("sendInitialEvents")) {
    return invalid_options("FieldValueForbidden", "sendInitialEvents",
                           "Forbidden: sendInitialEvents is forbidden for list");
  }
  if (!version.empty() && !number(version)) {
    return Status::bad_request("invalid resource version: resourceVersion: Invalid value: \"" + version +
                               "\": strconv.ParseUint: parsing \"" + version + "\": invalid syntax");
  }
  if (match.empty()) return {};
  if (!query.get("continue").empty()) {
    return invalid_options("FieldValueForbidden", "resourceVersionMatch",
                           "Forbidden: resourceVersionMatch is forbidden when continue is provided");
  }
  if (version.empty()) {
    return invalid_options("FieldValueForbidden", "resourceVersionMatch",
                           "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (match != "Exact" && match != "NotOlderThan") {
    return invalid_options("FieldValueNotSupported", "resourceVersionMatch",
                           "Unsupported value: \"" + match + "\": supported values: \"Exact\", \"NotOlderThan\", \"\"");
  }
  if (match == "Exact" && version == "0") {
    return invalid_options("FieldValueForbidden", "resourceVersionMatch",
                           "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
  }
  return {};
}

}  // namespace

Task<Answer<void>> ReadApi::reach(const std::string& version) {
  const auto wanted = number(version);
  if (!version.empty() && !wanted) co_return Status::bad_request("resourceVersion \"" + version + "\" is not a number");
  if (!wanted || *wanted <= reader_.version()) co_return Answer<void>();
  auto reached = co_await reader_.reach(*wanted, runtime_.clock.now() + kVersionPatience);
  if (!reached) co_return Status::version_too_large(reached.error().message);
  co_return Answer<void>();
}

Task<ApiResponse> ReadApi::get(Call& call) {
  auto reached = co_await reach(call.query.get("resourceVersion"));
  if (!reached) co_return ApiResponse(reached.error());
  auto object = co_await call.reader->get(call.of().collection, call.key());
  if (!object) co_return ApiResponse(Status::of(object.error(), call.of().resource(), call.path.name));
  if (*object == nullptr) co_return ApiResponse(Status::not_found(call.of().resource(), call.path.name));
  if (!is_of_version(call.of(), **object)) {
    Status other = Status::not_found(call.of().resource(), call.path.name);
    other.message +=
        " in version " + call.of().api_version() + ": it is held in " + std::string((*object)->api_version());
    co_return ApiResponse(other);
  }
  co_return answer(call, **object);
}

std::size_t ReadApi::limit_of(const Call& call) {
  return number(call.query.get("limit")).value_or(0);
}

Task<Answer<ObjectPages>> ReadApi::select(Call& call) {
  auto selection = Selection::parse(call.type, call.path, call.query);
  if (!selection) co_return selection.error();
  if (auto fits = check_list_options(call.query); !fits) co_return fits.error();
  PageQuery query = selection->query();
  const auto& version = call.query.get("resourceVersion");
  if (const auto& text = call.query.get("continue"); !text.empty()) {
    call.from = ContinueToken::parse(text);
    if (!call.from) co_return Status::bad_request("continue key is not valid: " + text);
    if (!version.empty() && version != "0") {
      co_return Status::bad_request("specifying resource version is not allowed when using continue");
    }
    // Another server may have told it, or a reader of the store a moment before we hear of it.
    auto reached = co_await reach(std::to_string(call.from->version));
    if (!reached) co_return reached.error();
    if (call.ordering.empty() != call.from->order.empty()) {
      co_return Status::bad_request("continue key is not valid: " + text + ": it is of a list in another order");
    }
    query.version = call.from->version;
    if (call.ordering.empty()) query.after = call.from->last;
  } else {
    auto reached = co_await reach(version);
    if (!reached) co_return reached.error();
    const auto wanted = number(version).value_or(0);
    const auto& match = call.query.get("resourceVersionMatch");
    if (wanted > 0 && (match == "Exact" || (match.empty() && limit_of(call) > 0))) query.version = wanted;
  }
  co_return ObjectPages(call.reader, call.of().collection, std::move(*selection), std::move(query),
                        call.from ? call.from->remaining : std::nullopt);
}

namespace {

// What a client should know of a list beyond its objects.
void warn_of_left_out(const ObjectPages& pages, ApiResponse& response) {
  if (pages.of_other_versions() == 0) return;
  // While there are more, those were counted that came before the last one read.
  response.warnings.push_back((pages.more() ? "at least " : "") + std::to_string(pages.of_other_versions()) + " of " +
                              pages.type().collection + " are left out: they are held in another version than " +
                              pages.type().api_version());
}

}  // namespace

Task<ApiResponse> ReadApi::list(Call& call) {
  if (call.of().mirrored) {
    auto ordering = Ordering::parse(call.query.get("orderBy"));
    if (!ordering) co_return ApiResponse(ordering.error());
    call.ordering = std::move(*ordering);
    if (!call.ordering.empty()) co_return co_await list_in_order(call);
  }
  auto pages = co_await select(call);
  if (!pages) co_return ApiResponse(pages.error());
  const std::size_t limit = std::min(limit_of(call), kMostObjects);
  auto objects = co_await pages->next(limit > 0 ? limit : kObjectsAtOnce, limit > 0 ? kPageBytes : kBytesAtOnce);
  if (!objects) co_return ApiResponse(objects.error());
  ListMeta meta;
  meta.version = pages->version();
  ApiResponse response;
  warn_of_left_out(*pages, response);
  if (pages->more() && limit == 0) {
    response.stream = std::make_unique<ListResponse>(presentation(call), meta, std::move(*objects), std::move(*pages));
    co_return response;
  }
  if (pages->more()) {
    ContinueToken token;
    token.version = pages->version();
    token.last = pages->last();
    if (pages->remaining().value_or(0) > 0) token.remaining = meta.remaining = pages->remaining();
    meta.continue_token = token.text();
  }
  auto form = presentation(call);
  response.body = co_await form.list_in_turns(*objects, meta);
  co_return response;
}

// Every page reads all that is selected: the order is nobody's but this request's.
Task<ApiResponse> ReadApi::list_in_order(Call& call) {
  auto pages = co_await select(call);
  if (!pages) co_return ApiResponse(pages.error());
  std::optional<OrderedPlace> after;
  if (call.from) {
    auto values = call.ordering.parse_values(call.from->order);
    if (!values) {
      co_return ApiResponse(Status::bad_request("continue key is not valid: " + call.query.get("continue") +
                                                ": it is of a list in another order"));
    }
    after.emplace();
    after->values = std::move(*values);
    after->key = call.from->last;
  }
  const bool bounded = limit_of(call) > 0;
  const std::size_t most = bounded ? std::min(limit_of(call), kMostObjects) : kMostObjects;
  auto page = co_await read_in_order(*pages, call.ordering, std::move(after), most);
  if (!page) co_return ApiResponse(page.error());
  if (!bounded && page->behind > 0) {
    co_return ApiResponse(Status::bad_request(
        "orderBy: " + std::to_string(page->objects.size() + page->behind) + " objects are selected, and at most " +
        std::to_string(most) +
        ", of 16 MiB together, are put in order at once: ask for them in pages with limit, or select fewer"));
  }
  ListMeta meta;
  meta.version = pages->version();
  ApiResponse response;
  warn_of_left_out(*pages, response);
  if (page->behind > 0) {
    ContinueToken token;
    token.version = meta.version;
    token.last = page->last.key;
    token.order = Ordering::text(page->last.values);
    meta.continue_token = token.text();
    if (!pages->selects_some()) meta.remaining = page->behind;
  }
  auto form = presentation(call);
  response.body = co_await form.list_in_turns(page->objects, meta);
  co_return response;
}

}  // namespace tinf::api
