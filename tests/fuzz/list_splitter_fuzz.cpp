// Fuzzing the list splitter: any bytes, cut anywhere, give what the same bytes give whole.
// What it takes for an item must end where it says, or Object::parse must refuse it.
#include <cstdlib>
#include <vector>

#include "tinf/kube/list_splitter.h"
#include "tinf/object/object.h"

namespace {

struct Outcome {
  std::vector<std::string> items;
  bool good = false;
  bool operator==(const Outcome&) const = default;
};

Outcome split(std::string_view bytes, std::size_t step) {
  Outcome outcome;
  tinf::kube::ListSplitter splitter([&](std::string_view item, const tinf::kube::ListEnvelope&) -> tinf::Result<void> {
    outcome.items.emplace_back(item);
    (void)tinf::Object::parse(item);
    return tinf::Result<void>();
  });
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const std::string_view piece = bytes.substr(at, step);
    const std::vector<char> exact(piece.begin(), piece.end());  // So that a read beyond it is seen.
    if (!splitter.feed(std::string_view(exact.data(), exact.size()))) return outcome;
  }
  outcome.good = splitter.finish().has_value();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (split(bytes, size) != split(bytes, data[0] % 130 + 1u)) std::abort();
  return 0;
}
