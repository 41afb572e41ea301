// Base64 (RFC 4648, section 4), as kubeconfig files, HTTP and JSON carry bytes in it.
// Line breaks and blanks are passed over when decoding: YAML folds long texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tinf {

std::string base64_encode(std::string_view bytes);

// Nothing if `text` is not Base64.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace tinf
