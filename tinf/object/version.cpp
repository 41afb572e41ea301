#include "tinf/object/version.h"

#include <charconv>

namespace tinf {

std::optional<std::uint64_t> ResourceVersion::number() const {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
  if (error != std::errc() || end != text_.data() + text_.size() || text_.empty()) return std::nullopt;
  return value;
}

bool ResourceVersion::is_before(const ResourceVersion& other) const {
  const auto mine = number();
  const auto theirs = other.number();
  return mine && theirs && *mine < *theirs;
}

}  // namespace tinf
