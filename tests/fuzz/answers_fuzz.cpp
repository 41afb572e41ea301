// An API server's two long answers, a list and a watch: any bytes, cut anywhere, give what the same bytes give whole.
//
// An input is text:
//   l<character>   a list, cut in pieces: ' ' of one byte, '!' of two, and so on
//   <JSON>
//
//   w<character>   a watch; with i for w, one that begins with the initial events
//   <lines of JSON>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tinf/kube/list_splitter.h"
#include "tinf/kube/watch_decoder.h"
#include "tinf/object/object.h"

namespace tinf::fuzz {
namespace {

struct Outcome {
  std::vector<std::string> items;
  bool good = false;
  bool operator==(const Outcome&) const = default;
};

Outcome split(std::string_view bytes, std::size_t step) {
  Outcome outcome;
  kube::ListSplitter splitter([&](std::string_view item, const kube::ListEnvelope&) -> Result<void> {
    outcome.items.emplace_back(item);
    // An item must end where it says, or be refused here.
    (void)Object::parse(item);
    return Result<void>();
  });
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const Exact piece(bytes.substr(at, step));
    if (!splitter.feed(piece.view())) return outcome;
  }
  outcome.good = splitter.finish().has_value();
  return outcome;
}

std::vector<std::string> told(std::string_view bytes, std::size_t step, bool initial_events) {
  kube::WatchExpectation expectation;
  expectation.api_version = "v1";
  expectation.initial_events = initial_events;
  kube::WatchDecoder decoder(expectation);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    decoder.feed(std::string(bytes.substr(at, step)));
    while (const auto batch = decoder.next()) {
      if (!*batch) {
        lines.emplace_back(to_string(batch->error().code));
        return lines;
      }
      demand(!(*batch)->events.empty() || !(*batch)->version.empty(), "a batch says something");
      for (const auto& event : (*batch)->events) {
        lines.push_back(std::string(to_string(event.type)) + event.key.to_string() + "@" + event.resource_version);
      }
      if ((*batch)->initial_events_end) lines.push_back("complete " + (*batch)->version.text());
    }
  }
  return lines;
}

void play(std::string_view input) {
  if (input.size() < 2) return;
  const std::size_t step = (static_cast<unsigned char>(input[1]) - ' ') % 90u + 1;
  const std::string_view bytes = input.substr(2);
  const std::size_t whole = bytes.size() + 1;
  if (input[0] == 'l') {
    demand(split(bytes, whole) == split(bytes, step), "cutting a list changes nothing");
  } else if (input[0] == 'w' || input[0] == 'i') {
    const bool initial_events = input[0] == 'i';
    demand(told(bytes, whole, initial_events) == told(bytes, step, initial_events), "cutting a watch changes nothing");
  }
}

}  // namespace
}  // namespace tinf::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  tinf::fuzz::play(std::string_view(reinterpret_cast<const char*>(bytes), size));
  return 0;
}
