// Base64 as JSON carries bytes in it: RFC 4648, padded.
#pragma once

#include <string>
#include <string_view>

namespace tinf {

std::string base64(std::string_view bytes);

}  // namespace tinf
