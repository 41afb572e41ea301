// Reasons are those of k8s.io/apimachinery's StatusReason.
// The three forms of "too large": a cause's reason (1.19 on), a cause's message (1.17 and 1.18), the message alone
// (before).
#include "tinf/kube/api_status.h"

#include <simdjson.h>

#include <array>
#include <utility>

namespace tinf::kube {
namespace {

constexpr std::array<std::pair<std::string_view, Code>, 19> kReasons{{
    {"Unauthorized", Code::Unauthorized},
    {"Forbidden", Code::Forbidden},
    {"NotFound", Code::NotFound},
    {"AlreadyExists", Code::AlreadyExists},
    {"Conflict", Code::Conflict},
    {"Gone", Code::Expired},
    {"Expired", Code::Expired},
    {"Invalid", Code::Invalid},
    {"BadRequest", Code::Invalid},
    {"MethodNotAllowed", Code::Invalid},
    {"NotAcceptable", Code::Invalid},
    {"RequestEntityTooLarge", Code::Invalid},
    {"UnsupportedMediaType", Code::Invalid},
    {"TooManyRequests", Code::TooManyRequests},
    {"Timeout", Code::Timeout},
    {"ServerTimeout", Code::Timeout},
    {"ServiceUnavailable", Code::Unavailable},
    {"InternalError", Code::Internal},
    {"StoreReadError", Code::Internal},
}};

constexpr std::string_view kTooLarge = "Too large resource version";

std::string text_of(simdjson::dom::element object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) ? std::string() : std::string(text);
}

}  // namespace

std::optional<ApiStatus> ApiStatus::parse(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(json.data(), json.size()).get(root) || text_of(root, "kind") != "Status") return std::nullopt;
  ApiStatus status;
  std::int64_t number = 0;
  if (!root["code"].get(number)) status.code = static_cast<int>(number);
  status.reason = text_of(root, "reason");
  status.message = text_of(root, "message");
  status.version_too_large = status.message.find(kTooLarge) != std::string::npos;
  simdjson::dom::element details;
  if (!root["details"].get(details)) {
    if (!details["retryAfterSeconds"].get(number)) status.retry_after_seconds = static_cast<int>(number);
    simdjson::dom::array causes;
    if (!details["causes"].get(causes)) {
      for (const simdjson::dom::element cause : causes) {
        status.version_too_large |=
            text_of(cause, "reason") == "ResourceVersionTooLarge" || text_of(cause, "message") == kTooLarge;
      }
    }
  }
  return status;
}

Error ApiStatus::to_error() const {
  std::string text = message.empty() ? (reason.empty() ? "the server said no more" : reason) : message;
  if (version_too_large) return Error(Code::Expired, std::move(text));
  for (const auto& [name, meaning] : kReasons) {
    if (name == reason) return Error(meaning, std::move(text));
  }
  const bool is_failure = code >= 300 && code <= 599;
  return Error(is_failure ? code_from_http_status(code) : Code::Internal, std::move(text));
}

Error error_of_answer(int http_status, std::string_view body, std::string_view what) {
  const std::string prefix = std::string(what) + ": ";
  if (auto status = ApiStatus::parse(body)) {
    if (status->code == 0) status->code = http_status;
    Error error = status->to_error();
    return Error(error.code, prefix + error.message);
  }
  // A gateway's page, or the plain text that old servers send.
  std::string text = prefix + "HTTP " + std::to_string(http_status);
  if (!body.empty()) text += ": " + excerpt(body);
  return Error(code_from_http_status(http_status), std::move(text));
}

std::string excerpt(std::string_view bytes) {
  constexpr std::size_t kLongest = 200;
  std::string text(bytes.substr(0, kLongest));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (bytes.size() > kLongest) text += "...";
  return text;
}

}  // namespace tinf::kube
