// The wording follows k8s.io/apimachinery/pkg/api/errors.
#include "tinf/api/status.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

constexpr std::string_view kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

Status status(int code, std::string_view reason, std::string message) {
  Status made;
  made.code = code;
  made.reason = reason;
  made.message = std::move(message);
  return made;
}

Status about(Status made, const Resource& resource, std::string_view name) {
  made.group = resource.group;
  made.resource = resource.name;
  made.name = name;
  return made;
}

std::string quoted(const Resource& resource, std::string_view name) {
  return resource.group_resource() + " \"" + std::string(name) + "\"";
}

}  // namespace

std::string readable(const std::string& text) {
  const auto is_foreign = [](char c) { return (c & 0x80) != 0; };
  if (std::none_of(text.begin(), text.end(), is_foreign)) return text;
  if (parse_json(json_text(boost::json::value(text)))) return text;
  std::string made;
  for (const char c : text) made += is_foreign(c) ? "\uFFFD" : std::string(1, c);
  return made;
}

Status Status::success(const Resource& resource, std::string_view name, std::string_view uid) {
  Status made = about(status(200, "", ""), resource, name);
  made.uid = uid;
  return made;
}

Status Status::bad_request(std::string message) {
  return status(400, "BadRequest", std::move(message));
}

Status Status::method_not_allowed() {
  return status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

Status Status::not_acceptable(std::string_view offered) {
  return status(406, "NotAcceptable", "only the following media types can be answered with: " + std::string(offered));
}

Status Status::unsupported_media_type(std::string message) {
  return status(415, "UnsupportedMediaType", std::move(message));
}

Status Status::too_large(std::size_t limit) {
  return status(413, "RequestEntityTooLarge", "Request entity too large: limit is " + std::to_string(limit));
}

Status Status::unauthorized() {
  return status(401, "Unauthorized", "Unauthorized");
}

Status Status::too_many_requests(std::string message) {
  Status made = status(429, "TooManyRequests", std::move(message));
  made.retry_after_seconds = 1;
  return made;
}

Status Status::unavailable(std::string message) {
  Status made = status(503, "ServiceUnavailable", std::move(message));
  made.retry_after_seconds = 1;
  return made;
}

Status Status::unknown_path() {
  return status(404, "NotFound", "the server could not find the requested resource");
}

Status Status::not_found(const Resource& resource, std::string_view name) {
  return about(status(404, "NotFound", quoted(resource, name) + " not found"), resource, name);
}

Status Status::already_exists(const Resource& resource, std::string_view name) {
  return about(status(409, "AlreadyExists", quoted(resource, name) + " already exists"), resource, name);
}

Status Status::conflict(const Resource& resource, std::string_view name, std::string_view why) {
  return about(
      status(409, "Conflict", "Operation cannot be fulfilled on " + quoted(resource, name) + ": " + std::string(why)),
      resource, name);
}

Status Status::forbidden(const Resource& resource, std::string_view name, std::string_view why,
                         std::vector<StatusCause> causes) {
  const std::string what = name.empty() ? resource.group_resource() : quoted(resource, name);
  Status made = about(status(403, "Forbidden", what + " is forbidden: " + std::string(why)), resource, name);
  made.causes = std::move(causes);
  return made;
}

Status Status::forbidden_path(std::string_view why) {
  return status(403, "Forbidden", "forbidden: " + std::string(why));
}

Status Status::invalid(const Resource& resource, std::string_view what, std::string_view name,
                       std::vector<StatusCause> causes) {
  std::string message = std::string(what) + (resource.group.empty() ? "" : "." + resource.group) + " \"" +
                        std::string(name) + "\" is invalid: ";
  if (causes.size() > 1) message += "[";
  for (std::size_t i = 0; i < causes.size(); ++i) {
    message += (i == 0 ? "" : ", ") + causes[i].field + ": " + causes[i].message;
  }
  if (causes.size() > 1) message += "]";
  Status made = about(status(422, "Invalid", std::move(message)), resource, name);
  made.resource = what;
  made.causes = std::move(causes);
  return made;
}

Status Status::expired(std::string message) {
  return status(410, "Expired", std::move(message));
}

Status Status::version_too_large(std::string message) {
  Status made = status(504, "Timeout", "Timeout: " + std::move(message));
  made.causes.push_back(StatusCause{"ResourceVersionTooLarge", "Too large resource version", ""});
  made.retry_after_seconds = 1;
  return made;
}

Status Status::of(const Error& error, const Resource& resource, std::string_view name) {
  switch (error.code) {
    case Code::NotFound:
      return not_found(resource, name);
    case Code::AlreadyExists:
      return already_exists(resource, name);
    case Code::Conflict:
      return conflict(resource, name, kModified);
    case Code::Expired:
      return expired(error.message);
    case Code::Invalid:
      return about(bad_request(error.message), resource, name);
    default:
      return about(status(http_status(error.code), to_string(error.code), error.message), resource, name);
  }
}

std::string Status::to_json() const {
  namespace json = boost::json;
  json::object document{{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", json::object()}};
  document["status"] = code < 400 ? "Success" : "Failure";
  if (!message.empty()) document["message"] = readable(message);
  if (!reason.empty()) document["reason"] = reason;
  json::object details;
  if (!name.empty()) details["name"] = readable(name);
  if (!group.empty()) details["group"] = readable(group);
  if (!resource.empty()) details["kind"] = readable(resource);
  if (!uid.empty()) details["uid"] = uid;
  if (!causes.empty()) {
    auto& list = details["causes"].emplace_array();
    for (const auto& cause : causes) {
      json::object entry;
      if (!cause.reason.empty()) entry["reason"] = cause.reason;
      if (!cause.message.empty()) entry["message"] = readable(cause.message);
      if (!cause.field.empty()) entry["field"] = readable(cause.field);
      list.push_back(std::move(entry));
    }
  }
  if (retry_after_seconds > 0) details["retryAfterSeconds"] = retry_after_seconds;
  // kubectl debug looks into those of a 404 without a look whether there are any.
  if (!details.empty() || code == 404 || code == 405) document["details"] = std::move(details);
  if (code >= 400) {
    document["code"] = code;
  }
  return json_text(document);
}

}  // namespace tinf::api
