// Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/clock.h"

namespace tinf::api {

std::string timestamp(WallTime time);

// Also takes fractions of a second, which it drops. Nothing: it is none in UTC.
std::optional<WallTime> parse_timestamp(std::string_view text);

}  // namespace tinf::api
