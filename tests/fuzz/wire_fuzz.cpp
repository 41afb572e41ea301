// Feeds the decoder what a hostile peer may send: any kind, whole or in parts, plain or compressed.
// Beyond "does not crash": parts join to what the whole is, and a value that was decoded survives being encoded again.
//
// An input is text, so that seeds can be read and written by hand:
//   kind    a letter, see kTypes
//   form    a digit, the sum of 1 (in parts), 2 (the body is compressed zstd) and 4 (say zstd of what is no zstd)
//   pieces  a digit: how the parts are cut and shuffled, and what their attribute looks like
//   body    the rest
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tinf/wire/codec.h"

namespace tinf::wire {
namespace {

constexpr const char* kTypes[] = {
    "tinf.v1.watch", "tinf.v1.renew",   "tinf.v1.unwatch", "tinf.v1.fetch",    "tinf.v1.hello",  "tinf.v1.frame",
    "tinf.v1.page",  "tinf.v1.notice",  "tinf.v1.digest",  "tinf.v1.presence", "tinf.v1.client", "tinf.v1.ranges",
    "tinf.v2.frame", "tinf.v1.unknown", "io.alien.page",   "tinf.v1.compare",  "tinf.v1.objects"};

DecodeLimits limits() {
  DecodeLimits limits;
  limits.body_bytes = 1 << 20;
  limits.waiting_bytes = 1 << 20;
  limits.waiting_messages = 4;
  return limits;
}

void demand(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

std::string compress(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

Message message_of(std::string type, std::string body, bool compressed) {
  Message message;
  message.topic = "/payload/fuzz";
  message.attributes = {{"specversion", "1.0"}, {"id", "1"}, {"source", "fuzz/1"}, {"type", std::move(type)}};
  if (compressed) message.attributes.emplace_back("encoding", "zstd");
  message.body = std::move(body);
  return message;
}

std::string bytes_of(const Body& body) {
  const Encoded encoded = encode(body);
  Decoder decoder;
  auto again = decoder.decode(message_of(encoded.type, encoded.body, encoded.compressed));
  demand(again.has_value() && again->has_value(), "what was encoded can be decoded");
  const Encoded twice = encode((*again)->body);
  demand(twice.type == encoded.type && twice.body == encoded.body, "a decoded value encodes to the same bytes");
  return encoded.body;
}

// The whole in 2 to 5 parts, in an order that `cut` chooses, one of them twice.
void in_parts(const Message& whole, unsigned cut, const Result<std::optional<Decoded>>& expected) {
  const std::size_t count = 2 + cut % 4;
  if (whole.body.size() < count) return;
  const std::size_t length = (whole.body.size() + count - 1) / count;
  std::vector<Message> parts;
  for (std::size_t i = 0; i * length < whole.body.size(); ++i) parts.push_back(whole);
  if (parts.size() < 2) return;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].attributes.emplace_back("part", std::to_string(i + 1) + "/" + std::to_string(parts.size()));
    parts[i].body = whole.body.substr(i * length, length);
  }
  std::rotate(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(cut % parts.size()), parts.end());

  Decoder decoder(limits());
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    for (int repeat = 0; repeat < 2; ++repeat) {
      auto waiting = decoder.decode(parts[i]);
      demand(waiting.has_value() && !waiting->has_value(), "a part waits for the others, also when it comes twice");
    }
  }
  auto joined = decoder.decode(parts.back());
  demand(joined.has_value() == expected.has_value(), "parts join to what the whole is");
  if (joined.has_value()) {
    demand(joined->has_value() && bytes_of((*joined)->body) == bytes_of((*expected)->body),
           "parts join to the value of the whole");
  }
  demand(decoder.waiting_bytes() == 0, "nothing waits once all parts were there");
}

void play(std::string_view input) {
  if (input.size() < 3) return;
  const std::string type = kTypes[static_cast<unsigned char>(input[0] - 'a') % std::size(kTypes)];
  const unsigned form = static_cast<unsigned char>(input[1] - '0');
  const unsigned pieces = static_cast<unsigned char>(input[2] - '0');
  const std::string_view text = input.substr(3);
  const Message whole = message_of(type, (form & 2) ? compress(text) : std::string(text), (form & 6) != 0);

  Decoder decoder(limits());
  const auto decoded = decoder.decode(whole);
  if (decoded.has_value()) {
    demand(decoded->has_value(), "a whole message does not wait");
    bytes_of((*decoded)->body);
  }
  if ((form & 1) && whole.body.size() >= 2) {
    // One that the decoder refuses before it looks at the body is refused in parts at once, too.
    Decoder first(limits());
    Message probe = whole;
    probe.attributes.emplace_back("part", "1/2");
    if (first.decode(probe).has_value()) in_parts(whole, pieces, decoded);
    // And a numbering that the peer made up.
    Message wild = whole;
    wild.attributes.emplace_back("part", std::string(text.substr(0, 8)));
    (void)first.decode(wild);
    (void)first.decode(probe);
    demand(first.waiting_bytes() <= (1 << 21), "what waits is bounded");
  }
}

}  // namespace
}  // namespace tinf::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  tinf::wire::play(std::string_view(reinterpret_cast<const char*>(bytes), size));
  return 0;
}
