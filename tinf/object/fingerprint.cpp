// Why the bytes alone are the hash input: an object's key, uid and version stand in them.
#include "tinf/object/fingerprint.h"

#include <charconv>
#include <cinttypes>
#include <cstdio>

namespace tinf {

void Fingerprint::add(const EntryHash& entry) {
  add(Fingerprint{1, entry.high, entry.low});
}

void Fingerprint::remove(const EntryHash& entry) {
  remove(Fingerprint{1, entry.high, entry.low});
}

void Fingerprint::add(const Fingerprint& set) {
  count += set.count;
  low += set.low;
  high += set.high + (low < set.low ? 1 : 0);
}

void Fingerprint::remove(const Fingerprint& set) {
  count -= set.count;
  high -= set.high + (low < set.low ? 1 : 0);
  low -= set.low;
}

std::string Fingerprint::to_string() const {
  char text[64];
  const int length = std::snprintf(text, sizeof text, "%" PRIu64 ":%016" PRIx64 "%016" PRIx64, count, high, low);
  return std::string(text, static_cast<std::size_t>(length));
}

Result<Fingerprint> Fingerprint::from_string(std::string_view text) {
  Fingerprint parsed;
  const char* const end = text.data() + text.size();
  const auto [colon, count_error] = std::from_chars(text.data(), end, parsed.count);
  if (count_error == std::errc() && end - colon == 33 && *colon == ':') {
    const char* const middle = colon + 17;
    const auto high = std::from_chars(colon + 1, middle, parsed.high, 16);
    const auto low = std::from_chars(middle, end, parsed.low, 16);
    if (high.ec == std::errc() && low.ec == std::errc() && high.ptr == middle && low.ptr == end) return parsed;
  }
  return Error(Code::Invalid, "a fingerprint must look like <count>:<32 hexadecimal digits>");
}

}  // namespace tinf
