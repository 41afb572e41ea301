// Splices: what turns one text into another that is much like it, as an update turns a version of an object into the
// next. Pure and linear: meant for every change of a busy stream, so it finds the usual and never the perfect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/base/result.h"

namespace tinf {

// At a place that lies `keep` bytes behind the end of the splice before it, `drop` bytes of the base go and `insert`
// comes. What lies behind the last splice stays.
struct Splice {
  std::uint64_t keep = 0;
  std::uint64_t drop = 0;
  std::string insert;

  bool operator==(const Splice&) const = default;
};

// More of them in one text are refused, and not made.
inline constexpr std::size_t kMaximumSplices = 64;

// The splices that make `next` of `base`; of UTF-8 they cut whole characters. Texts that have little in common give
// few, long ones: whether they are worth it is the caller's to weigh.
std::vector<Splice> splices_between(std::string_view base, std::string_view next);

// Makes `made` the text that `splices` make of `base`.
// Invalid: they reach beyond its end, are too many, or make more than `maximum_bytes`.
Result<void> splice(std::string_view base, const std::vector<Splice>& splices, std::size_t maximum_bytes,
                    std::string& made);

}  // namespace tinf
