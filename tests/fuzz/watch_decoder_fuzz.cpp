// Fuzzing the watch decoder: any bytes, cut anywhere, give the same events in the same order and the same end.
#include <cstdlib>
#include <string>
#include <vector>

#include "tinf/kube/watch_decoder.h"

namespace {

std::vector<std::string> told(std::string_view bytes, std::size_t step, bool initial_events) {
  tinf::kube::WatchExpectation expectation;
  expectation.api_version = "v1";
  expectation.initial_events = initial_events;
  tinf::kube::WatchDecoder decoder(expectation);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    decoder.feed(std::string(bytes.substr(at, step)));
    while (const auto batch = decoder.next()) {
      if (!*batch) {
        lines.emplace_back(tinf::to_string(batch->error().code));
        return lines;
      }
      if ((*batch)->events.empty() && (*batch)->version.empty()) std::abort();  // A batch of nothing.
      for (const auto& event : (*batch)->events) {
        lines.push_back(std::string(tinf::to_string(event.type)) + event.key.to_string() + "@" +
                        event.resource_version);
      }
      if ((*batch)->initial_events_end) lines.push_back("complete " + (*batch)->version.text());
    }
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool initial_events = (data[0] & 1) != 0;
  if (told(bytes, size, initial_events) != told(bytes, data[0] % 60 + 1u, initial_events)) std::abort();
  return 0;
}
