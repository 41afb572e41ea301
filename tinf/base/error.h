// What can go wrong, in the words that Kubernetes uses for it.
// One table turns a code into an HTTP status and a Status reason, and back.
#pragma once

#include <string>
#include <string_view>

namespace tinf {

enum class Code {
  NotFound,
  AlreadyExists,
  Conflict,
  Expired,  // The version or token asked for is gone: list again.
  Invalid,
  Unauthorized,
  Forbidden,
  TooManyRequests,
  Unavailable,  // The other side cannot be reached now; trying again may help.
  Timeout,
  Cancelled,
  Internal,
};

// The name of a code as Kubernetes writes it in Status.reason, e.g. "Expired".
std::string_view to_string(Code code);

// The code of that name; Internal for a name that is none of ours.
Code code_from_string(std::string_view reason);

// The HTTP status that carries `code`, e.g. 410 for Expired.
int http_status(Code code);

// The code that an HTTP status stands for; 200 to 299 must not be asked.
Code code_from_http_status(int status);

// An error names the thing that failed and, where there is one, the remedy.
struct Error {
  Code code = Code::Internal;
  std::string message;

  Error(Code error_code, std::string text) : code(error_code), message(std::move(text)) {}
};

}  // namespace tinf
