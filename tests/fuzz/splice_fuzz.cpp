// Two texts become each other by their splices; splices that a peer made up are applied within bounds or refused.
//
// An input is two texts with a NUL between them; the second is also read as splices, three bytes each.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tinf/object/splice.h"

namespace tinf {
namespace {

void demand(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

void there_and_back(std::string_view base, std::string_view next) {
  const auto splices = splices_between(base, next);
  demand(splices.size() <= kMaximumSplices, "no more splices are made than are taken");
  std::string made;
  demand(splice(base, splices, next.size(), made).has_value() && made == next,
         "the splices between two texts make the one of the other");
}

void made_up(std::string_view base, std::string_view bytes) {
  std::vector<Splice> splices;
  for (; bytes.size() >= 3; bytes.remove_prefix(3)) {
    const auto number = [](char c) { return static_cast<std::uint64_t>(static_cast<std::int64_t>(c)); };  // Huge, too.
    splices.push_back(Splice{number(bytes[0]), number(bytes[1]), std::string(1, bytes[2])});
  }
  std::string made;
  if (splice(base, splices, 1 << 10, made).has_value()) demand(made.size() <= (1 << 10), "what is made is bounded");
}

}  // namespace
}  // namespace tinf

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const std::size_t middle = std::min(input.find('\0'), input.size());
  const std::string_view base = input.substr(0, middle);
  const std::string_view next = input.substr(std::min(middle + 1, input.size()));
  tinf::there_and_back(base, next);
  tinf::there_and_back(next, base);
  tinf::made_up(base, next);
  return 0;
}
