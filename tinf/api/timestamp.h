// Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds. WallTime's nanoseconds end in the year 2262; what
// clients write does not.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/clock.h"

namespace tinf::api {

// Of the years 0 to 9999.
std::string timestamp(std::chrono::sys_seconds time);
inline std::string timestamp(WallTime time) {
  return timestamp(std::chrono::floor<std::chrono::seconds>(time));
}

// Also takes fractions of a second, which it drops. Nothing: it is none in UTC.
std::optional<std::chrono::sys_seconds> parse_timestamp(std::string_view text);

}  // namespace tinf::api
