// ApiStatus: what a Kubernetes API server says when it says no, and the Error that stands for it here.
// One place decides which reason becomes which code, for answers and for ERROR events of a watch alike.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/error.h"

namespace tinf::kube {

// A v1 Status object, as far as a client acts on it.
struct ApiStatus {
  int code = 0;
  std::string reason;
  std::string message;
  bool version_too_large = false;  // The version asked for lies in this server's future.
  std::optional<int> retry_after_seconds;

  ApiStatus() = default;

  // Nothing if `json` is not a Status.
  static std::optional<ApiStatus> parse(std::string_view json);

  // The code follows the reason, where there is none the HTTP status. A version "too large", in any of the three
  // forms servers have had for it, is Expired: this server does not have it, and a list without a version helps.
  Error to_error() const;
};

// The Error for an answer with a status outside 200 to 299, whatever its body is. `what` names the request.
Error error_of_answer(int http_status, std::string_view body, std::string_view what);

// The first bytes of something unexpected, fit for a message: at most 200, control characters replaced.
std::string excerpt(std::string_view bytes);

}  // namespace tinf::kube
