// Fingerprint: one small value that tells whether two sets of objects are equal, byte for byte.
// Count plus the sum of 128-bit hashes: order does not matter, and a change costs one subtraction and one addition.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "tinf/base/result.h"
#include "tinf/object/object.h"

namespace tinf {

struct Fingerprint {
  std::uint64_t count = 0;
  std::uint64_t high = 0;  // The sum modulo 2^128.
  std::uint64_t low = 0;

  void add(const EntryHash& entry);
  void remove(const EntryHash& entry);
  // The same for all objects of another set.
  void add(const Fingerprint& set);
  void remove(const Fingerprint& set);

  auto operator<=>(const Fingerprint&) const = default;

  std::string to_string() const;  // "<count>:<32 hexadecimal digits>"
  static Result<Fingerprint> from_string(std::string_view text);
};

}  // namespace tinf
