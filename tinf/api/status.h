// Status: what an API server says when it cannot say what was asked for.
// Answer<T>: a value or the Status that took its place; Error alone has no room for causes and details.
#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/base/error.h"
#include "tinf/object/resource.h"

namespace tinf::api {

// Messages quote what clients sent, and that need not be UTF-8, of which JSON and warnings are made: without the bytes
// that are none.
std::string readable(const std::string& text);

struct StatusCause {
  std::string reason;  // "FieldValueRequired", "ResourceVersionTooLarge", ...
  std::string message;
  std::string field;
};

// A meta.k8s.io/v1 Status. Messages read as kube-apiserver's, since people search for them.
struct Status {
  int code = 200;
  std::string reason;
  std::string message;

  // What it is about; empty members are left out.
  std::string group;
  std::string resource;
  std::string name;
  std::string uid;
  std::vector<StatusCause> causes;
  int retry_after_seconds = 0;

  static Status success(const Resource& about, std::string_view name, std::string_view uid);
  static Status bad_request(std::string message);
  static Status method_not_allowed();
  static Status not_acceptable(std::string_view offered);
  static Status unsupported_media_type(std::string message);
  static Status too_large(std::size_t limit);
  static Status unauthorized();
  static Status too_many_requests(std::string message);  // Try again in a second.
  static Status unavailable(std::string message);        // The same.
  static Status unknown_path();
  static Status not_found(const Resource& about, std::string_view name);
  static Status already_exists(const Resource& about, std::string_view name);
  static Status conflict(const Resource& about, std::string_view name, std::string_view why);
  static Status forbidden(const Resource& about, std::string_view name, std::string_view why,
                          std::vector<StatusCause> causes);
  static Status forbidden_path(std::string_view why);
  // `name` may be empty, as in queries. `what` is a kind or an options type.
  static Status invalid(const Resource& about, std::string_view what, std::string_view name,
                        std::vector<StatusCause> causes);
  static Status expired(std::string message);
  static Status version_too_large(std::string message);
  // What a store or a parser said.
  static Status of(const Error& error, const Resource& about, std::string_view name);

  std::string to_json() const;
};

template <class T>
using Answer = boost::system::result<T, Status>;

}  // namespace tinf::api
