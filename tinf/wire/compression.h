// zstd for bodies, with the protocol's dictionary: what small messages have in common does not travel.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/result.h"

namespace tinf::wire {

// Nothing if the body is so small, or so without pattern, that it is better left as it is.
std::optional<std::string> compress(std::string_view body);

// Invalid: not zstd, or more than `limit` bytes, or not as many as it says. Takes no more memory than what comes out.
Result<std::string> decompress(std::string_view bytes, std::size_t limit);

}  // namespace tinf::wire
