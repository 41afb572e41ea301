// Messages to values: the envelope, parts joined, zstd. Everything here may have been written by an enemy.
#include <charconv>

#include "tinf/wire/codec.h"
#include "tinf/wire/compression.h"

namespace tinf::wire {
namespace {

constexpr std::size_t kMostParts = 65536;
constexpr std::size_t kPartOverhead = 128;  // Bytes that a part costs us beside its own, about.

Error invalid(std::string what) {
  return Error(Code::Invalid, std::move(what));
}

// "tinf.v1.frame" → "frame"; an error that tells another version from another protocol.
Result<std::string_view> kind_of(std::string_view type) {
  constexpr std::string_view kPrefix = "tinf.v";
  if (type.substr(0, kPrefix.size()) != kPrefix)
    return invalid("a message of the alien type \"" + std::string(type.substr(0, 64)) + "\"");
  int version = 0;
  const char* const end = type.data() + type.size();
  const auto [dot, error] = std::from_chars(type.data() + kPrefix.size(), end, version);
  if (error != std::errc() || dot == end || *dot != '.')
    return invalid("a message of the alien type \"" + std::string(type.substr(0, 64)) + "\"");
  if (version != kVersion) {
    return Error(Code::Conflict, "the peer speaks version " + std::to_string(version) +
                                     " of the protocol and this program only version " + std::to_string(kVersion) +
                                     ": upgrade the older of the two");
  }
  return std::string_view(dot + 1, static_cast<std::size_t>(end - dot - 1));
}

}  // namespace

Result<std::optional<Decoded>> Decoder::decode(const Message& message) {
  const std::string* const type = message.attribute("type");
  const std::string* const source = message.attribute("source");
  if (type == nullptr || source == nullptr || source->size() > 512)
    return invalid("a message without the CloudEvents attributes type and source");
  const auto kind = kind_of(*type);
  if (!kind) return kind.error();

  std::optional<std::string> joined;
  std::string_view bytes = message.body;
  if (const std::string* const part = message.attribute("part")) {
    auto whole = join(message, *part);
    if (!whole) return whole.error();
    if (!*whole) return std::optional<Decoded>();
    joined = std::move(*whole);
    bytes = *joined;
  }
  std::string plain;
  if (const std::string* const encoding = message.attribute("encoding")) {
    if (*encoding != "zstd") return invalid("a body in the unknown encoding \"" + encoding->substr(0, 32) + "\"");
    auto decompressed = decompress(bytes, limits_.body_bytes);
    if (!decompressed) return decompressed.error();
    plain = std::move(*decompressed);
    bytes = plain;
  }
  if (bytes.size() > limits_.body_bytes) return invalid("a body of " + std::to_string(bytes.size()) + " bytes");
  auto body = decode_body(*kind, bytes);
  if (!body) return body.error();
  return std::optional<Decoded>(Decoded{*source, std::move(*body)});
}

Result<std::optional<std::string>> Decoder::join(const Message& message, std::string_view part) {
  std::size_t number = 0, of = 0;
  const char* const end = part.data() + part.size();
  const auto [slash, first] = std::from_chars(part.data(), end, number);
  if (first != std::errc() || slash == end || *slash != '/') return invalid("a part without a number");
  const auto [stop, second] = std::from_chars(slash + 1, end, of);
  if (second != std::errc() || stop != end || number == 0 || number > of || of < 2 || of > kMostParts)
    return invalid("a part with the number \"" + std::string(part.substr(0, 32)) + "\"");
  const std::string* const id = message.attribute("id");
  if (id == nullptr || id->size() > 128) return invalid("a part without an id");

  const std::string key = message.topic + "\n" + *message.attribute("source") + "\n" + *id;
  Joining& joining = joining_[key];
  if (joining.of == 0) {
    joining.of = of;
    joining.age = ++clock_;
  }
  if (joining.of != of || message.body.empty()) {
    forget(joining_.find(key));
    return invalid("parts that disagree about their number");
  }
  if (!joining.parts.emplace(number, message.body).second) {
    return std::optional<std::string>();  // The broker repeats itself.
  }
  joining.bytes += message.body.size() + kPartOverhead;
  waiting_bytes_ += message.body.size() + kPartOverhead;
  if (joining.bytes > limits_.body_bytes + joining.parts.size() * kPartOverhead) {
    forget(joining_.find(key));
    return invalid("parts that join to more than " + std::to_string(limits_.body_bytes) + " bytes");
  }
  if (joining.parts.size() < of) {
    while (joining_.size() > 1 &&
           (waiting_bytes_ > limits_.waiting_bytes || joining_.size() > limits_.waiting_messages))
      forget_oldest();
    return std::optional<std::string>();
  }
  std::string whole;
  whole.reserve(joining.bytes);
  for (const auto& [position, piece] : joining.parts) whole += piece;
  forget(joining_.find(key));
  return std::optional<std::string>(std::move(whole));
}

void Decoder::forget(std::map<std::string, Joining>::iterator joining) {
  waiting_bytes_ -= joining->second.bytes;
  joining_.erase(joining);
}

// Parts whose siblings were lost must not stay for ever; what they belonged to is asked for again.
void Decoder::forget_oldest() {
  auto oldest = joining_.begin();
  for (auto it = joining_.begin(); it != joining_.end(); ++it) {
    if (it->second.age < oldest->second.age) oldest = it;
  }
  forget(oldest);
}

}  // namespace tinf::wire
