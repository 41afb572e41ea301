// The one table between error codes, HTTP statuses and Status reasons.
// Reasons follow k8s.io/apimachinery's StatusReason constants.
#include "tinf/base/error.h"

#include <array>

namespace tinf {
namespace {

struct Row {
  Code code;
  int status;
  std::string_view reason;
};

constexpr std::array kRows{
    Row{Code::NotFound, 404, "NotFound"},
    Row{Code::AlreadyExists, 409, "AlreadyExists"},
    Row{Code::Conflict, 409, "Conflict"},
    Row{Code::Expired, 410, "Expired"},
    Row{Code::Invalid, 422, "Invalid"},
    Row{Code::Unauthorized, 401, "Unauthorized"},
    Row{Code::Forbidden, 403, "Forbidden"},
    Row{Code::TooManyRequests, 429, "TooManyRequests"},
    Row{Code::Unavailable, 503, "ServiceUnavailable"},
    Row{Code::Timeout, 504, "Timeout"},
    Row{Code::Cancelled, 499, "Cancelled"},
    Row{Code::Internal, 500, "InternalError"},
};

const Row& row_of(Code code) {
  for (const Row& row : kRows) {
    if (row.code == code) return row;
  }
  return kRows.back();
}

}  // namespace

std::string_view to_string(Code code) {
  return row_of(code).reason;
}

Code code_from_string(std::string_view reason) {
  for (const Row& row : kRows) {
    if (row.reason == reason) return row.code;
  }
  return Code::Internal;
}

int http_status(Code code) {
  return row_of(code).status;
}

Code code_from_http_status(int status) {
  switch (status) {
    case 400:
    case 405:
    case 406:
    case 415:
      return Code::Invalid;
    case 408:
      return Code::Timeout;
    case 409:  // Two codes share it; a caller that must tell them apart reads Status.reason.
      return Code::Conflict;
    case 502:
      return Code::Unavailable;
    default:
      for (const Row& row : kRows) {
        if (row.status == status) return row.code;
      }
      return status >= 500 ? Code::Internal : Code::Invalid;
  }
}

}  // namespace tinf
