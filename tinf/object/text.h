// Plain texts, as names and requests are made of. ASCII counts as such; other bytes are left as they are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tinf {

std::string lower_case(std::string text);

// What stands between the separators, empty pieces included: one piece at least. Views of `text`.
std::vector<std::string_view> split(std::string_view text, char separator);

}  // namespace tinf
