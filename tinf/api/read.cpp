// get and list: at which version, how many, and where the next page starts.
// The rules of resourceVersion and resourceVersionMatch are k8s.io/apimachinery's ValidateListOptions.
#include <algorithm>

#include "tinf/api/list_response.h"
#include "tinf/api/read_api.h"

namespace tinf::api {
namespace {

constexpr std::size_t kMostObjects = 10'000;  // Of a page; who asks for more gets a token for the rest.
constexpr Duration kVersionPatience = std::chrono::seconds(3);  // As kube-apiserver waits for a version to come.

bool is_negative_number(const std::string& text) {
  return text.starts_with('-') && number(text.substr(1));
}

// "version/namespace/name" of the last object handed out.
struct ContinueToken {
  StoreVersion version = 0;
  ObjectKey last;

  ContinueToken() = default;

  std::string text() const { return std::to_string(version) + "/" + last.namespace_name + "/" + last.name; }

  static std::optional<ContinueToken> parse(const std::string& text) {
    const auto first = text.find('/');
    const auto second = text.find('/', first + 1);
    if (first == std::string::npos || second == std::string::npos) return std::nullopt;
    ContinueToken token;
    const auto version = number(text.substr(0, first));
    token.last.namespace_name = text.substr(first + 1, second - first - 1);
    token.last.name = text.substr(second + 1);
    if (!version || token.last.name.empty()) return std::nullopt;
    token.version = *version;
    return token;
  }
};

Status invalid_options(std::string reason, std::string field, std::string message) {
  const Resource meta{"meta.k8s.io", "v1", ""};
  return Status::invalid(meta, "ListOptions", "",
                         {StatusCause{std::move(reason), std::move(message), std::move(field)}});
}

Answer<void> check_list_options(const Query& query) {
  const auto& match = query.get("resourceVersionMatch");
  const auto& version = query.get("resourceVersion");
  if (const auto& limit = query.get("limit"); !limit.empty() && !number(limit)) {
    return Status::bad_request(is_negative_number(limit)
                                   ? "limit=" + limit + ": must not be negative"
                                   : "strconv.ParseInt: parsing \"" + limit + "\": invalid syntax");
  }
  if (query.has("sendInitialEvents")) {
    return invalid_options("FieldValueForbidden", "sendInitialEvents",
                           "Forbidden: sendInitialEvents is forbidden for list");
  }
  if (!version.empty() && !number(version)) {
    return invalid_options("FieldValueInvalid", "resourceVersion",
                           "Invalid value: \"" + version + "\": must be a number");
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
                           "Unsupported value: \"" + match + "\": supported values: \"Exact\", \"NotOlderThan\"");
  }
  if (match == "Exact" && version == "0") {
    return invalid_options("FieldValueForbidden", "resourceVersionMatch",
                           "Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"");
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
  auto object = co_await reader_.get(call.of().collection, call.key());
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
    const auto token = ContinueToken::parse(text);
    if (!token) co_return Status::bad_request("continue key is not valid: " + text);
    if (!version.empty() && version != "0") {
      co_return Status::bad_request("specifying resource version is not allowed when using continue");
    }
    if (token->version > reader_.version()) {
      co_return Status::bad_request("continue key is not valid: " + text + ": there is no such version yet");
    }
    query.version = token->version;
    query.after = token->last;
  } else {
    auto reached = co_await reach(version);
    if (!reached) co_return reached.error();
    const auto wanted = number(version).value_or(0);
    const auto& match = call.query.get("resourceVersionMatch");
    if (wanted > 0 && (match == "Exact" || (match.empty() && limit_of(call) > 0))) query.version = wanted;
  }
  co_return ObjectPages(reader_, call.of().collection, std::move(*selection), std::move(query));
}

Task<ApiResponse> ReadApi::list(Call& call) {
  auto pages = co_await select(call);
  if (!pages) co_return ApiResponse(pages.error());
  const std::size_t limit = std::min(limit_of(call), kMostObjects);
  auto objects = co_await pages->next(limit > 0 ? limit : kObjectsAtOnce, limit > 0 ? 0 : kBytesAtOnce);
  if (!objects) co_return ApiResponse(objects.error());
  ListMeta meta;
  meta.version = pages->version();
  ApiResponse response;
  if (pages->of_other_versions() > 0) {
    // While there are more, those were counted that came before the last one read.
    response.warnings.push_back((pages->more() ? "at least " : "") + std::to_string(pages->of_other_versions()) +
                                " of " + call.of().collection +
                                " are left out: they are held in another version than " + call.of().api_version());
  }
  if (pages->more() && limit == 0) {
    response.stream = std::make_unique<ListResponse>(presentation(call), meta, std::move(*objects), std::move(*pages));
    co_return response;
  }
  if (pages->more()) {
    ContinueToken token;
    token.version = pages->version();
    token.last = pages->last();
    meta.continue_token = token.text();
    meta.remaining = pages->remaining();
  }
  response.body = presentation(call).list(*objects, meta);
  co_return response;
}

}  // namespace tinf::api
