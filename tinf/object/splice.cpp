// Why no general diff: updates of an object change few and short places (a version, a time, a counter) that stand far
// apart. Equal ends are cut off; in the middle the texts run side by side, and where they part, the next sixteen bytes
// that both have within reach bring them together again.
#include "tinf/object/splice.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tinf {
namespace {

constexpr std::size_t kAnchor = 16;         // Bytes that must agree before two texts count as together again.
constexpr std::size_t kStraightReach = 64;  // How far ahead, where as much came as went: the usual.
constexpr std::size_t kReach = 512;         // How far ahead otherwise.

std::uint64_t word_at(const char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  const std::size_t end = std::min(a.size(), b.size());
  std::size_t at = 0;
  while (at + sizeof(std::uint64_t) <= end && word_at(a.data() + at) == word_at(b.data() + at))
    at += sizeof(std::uint64_t);
  while (at < end && a[at] == b[at]) ++at;
  return at;
}

std::size_t common_suffix(std::string_view a, std::string_view b) {
  const std::size_t end = std::min(a.size(), b.size());
  std::size_t length = 0;
  while (length + sizeof(std::uint64_t) <= end && word_at(a.data() + a.size() - length - sizeof(std::uint64_t)) ==
                                                      word_at(b.data() + b.size() - length - sizeof(std::uint64_t)))
    length += sizeof(std::uint64_t);
  while (length < end && a[a.size() - length - 1] == b[b.size() - length - 1]) ++length;
  return length;
}

// A byte within a character of UTF-8, not its first.
bool is_inner(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

// How far both go on until they are together again; both ends if they are not within reach.
std::pair<std::size_t, std::size_t> until_together(std::string_view base, std::string_view next) {
  const std::pair<std::size_t, std::size_t> never{base.size(), next.size()};
  const std::size_t shorter = std::min(base.size(), next.size());
  std::size_t run = 0;
  for (std::size_t at = 0; at < std::min(shorter, kStraightReach + kAnchor); ++at) {
    run = base[at] == next[at] ? run + 1 : 0;
    if (run == kAnchor) return {at + 1 - kAnchor, at + 1 - kAnchor};
  }
  if (shorter < kAnchor) return never;
  // Where in the base which eight bytes stand, the first place of each: one more than it, 0 for none.
  constexpr std::size_t kSlots = 2 * kReach;
  const auto slot_of = [](const char* at) {
    return static_cast<std::size_t>((word_at(at) * 0x9e3779b97f4a7c15u) >> 54) % kSlots;
  };
  std::array<std::uint16_t, kSlots> places{};
  for (std::size_t at = std::min(kReach, base.size() - kAnchor + 1); at-- > 0;)
    places[slot_of(base.data() + at)] = static_cast<std::uint16_t>(at + 1);
  for (std::size_t at = 0; at < std::min(kReach, next.size() - kAnchor + 1); ++at) {
    const std::size_t place = places[slot_of(next.data() + at)];
    if (place > 0 && std::memcmp(base.data() + place - 1, next.data() + at, kAnchor) == 0) return {place - 1, at};
  }
  return never;
}

}  // namespace

std::vector<Splice> splices_between(std::string_view base, std::string_view next) {
  std::vector<Splice> splices;
  // Of two equal texts all is prefix. What is prefix is no suffix.
  std::size_t i = common_prefix(base, next), j = i;
  if (i == base.size() && i == next.size()) return splices;
  std::size_t suffix = common_suffix(base.substr(i), next.substr(j));
  while (suffix > 0 && is_inner(base[base.size() - suffix])) --suffix;
  const std::size_t base_end = base.size() - suffix, next_end = next.size() - suffix;

  std::size_t done = 0;  // The end of the last splice in the base.
  while (true) {
    // Here they part. What comes before is equal, so both step back over it.
    while (i > done && ((i < base.size() && is_inner(base[i])) || (j < next.size() && is_inner(next[j])))) --i, --j;
    auto [drop, insert] = splices.size() + 1 < kMaximumSplices
                              ? until_together(base.substr(i, base_end - i), next.substr(j, next_end - j))
                              : std::pair(base_end - i, next_end - j);
    // And here they are together for a while: both step on.
    while (j + insert < next_end && i + drop < base_end && is_inner(next[j + insert])) ++drop, ++insert;
    splices.push_back(Splice{i - done, drop, std::string(next.substr(j, insert))});
    i += drop;
    j += insert;
    done = i;
    const std::size_t equal = common_prefix(base.substr(i, base_end - i), next.substr(j, next_end - j));
    i += equal;
    j += equal;
    if (i == base_end && j == next_end) return splices;
  }
}

Result<void> splice(std::string_view base, const std::vector<Splice>& splices, std::size_t maximum_bytes,
                    std::string& made) {
  if (splices.size() > kMaximumSplices)
    return Error(Code::Invalid,
                 std::to_string(splices.size()) + " splices, above the limit of " + std::to_string(kMaximumSplices));
  std::size_t left = base.size(), inserted = 0, dropped = 0;
  for (const Splice& splice : splices) {
    if (splice.keep > left || splice.drop > left - splice.keep)
      return Error(Code::Invalid, "a splice that reaches beyond the end of its base");
    left -= splice.keep + splice.drop;
    dropped += splice.drop;
    inserted += splice.insert.size();
  }
  const std::size_t size = base.size() - dropped + inserted;
  if (size > maximum_bytes)
    return Error(Code::Invalid, "splices that make " + std::to_string(size) + " bytes, above the limit of " +
                                    std::to_string(maximum_bytes));
  made.clear();
  made.reserve(size);
  std::size_t at = 0;
  for (const Splice& splice : splices) {
    made.append(base.substr(at, splice.keep)).append(splice.insert);
    at += splice.keep + splice.drop;
  }
  made.append(base.substr(at));
  return {};
}

}  // namespace tinf
