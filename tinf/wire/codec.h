// Protocol messages to transport messages and back: pure functions, no I/O.
// The form on the wire, with a grammar and a worked example, is docs/protocol.md.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/contract/transport.h"
#include "tinf/wire/messages.h"

namespace tinf::wire {

// Who speaks: the CloudEvents context that every message of one process carries.
class Sender {
 public:
  // `name` is the cluster's for a provider, the client id for an informer.
  Sender(std::string name, std::string instance) : source_(std::move(name) + "/" + std::move(instance)) {}

  const std::string& source() const { return source_; }
  std::string next_id() { return std::to_string(++count_); }

 private:
  std::string source_;
  std::uint64_t count_ = 0;
};

// A body ready to be sent to any topic, any number of times.
struct Encoded {
  std::string type;  // "tinf.v1.<kind>"
  std::string body;  // JSON, or zstd of it.
  bool compressed = false;
};

Encoded encode(const Body& body);

// As a presence lists them: for whoever keeps what a cluster offers.
std::string encode_resources(const std::vector<ResourceInfo>& resources);

// Frames and pages are written straight from the objects' bytes, without a value in between.
// A writer is used once: append until full() says so, then finish().
class EventsWriter {
 public:
  explicit EventsWriter(std::size_t target_bytes) : target_bytes_(target_bytes) {}

  // `sequence` is a frame's affair; 0 writes none.
  void put(const Object& object, std::uint64_t sequence = 0);
  // `base`: the low half of the hash of the bytes that `splices` are of.
  void patch(const ObjectKey& key, std::uint64_t base, const std::vector<Splice>& splices, std::uint64_t sequence);
  void remove(const ObjectKey& key, std::string_view uid, std::string_view resource_version, std::uint64_t sequence);

  std::size_t count() const { return count_; }
  bool full() const { return items_.size() >= target_bytes_; }

  // `head` names everything but the events.
  Encoded finish_frame(const Frame& head) &&;
  Encoded finish_page(const Page& head) &&;
  Encoded finish_objects(std::string_view scope, std::string_view snapshot) &&;

 private:
  void begin(std::uint64_t sequence);
  void name(const ObjectKey& key);

  std::size_t target_bytes_;
  std::size_t count_ = 0;
  std::string items_;
};

// The transport messages for `encoded`, each with at most `maximum_bytes` in all: one, or numbered parts.
std::vector<Message> to_messages(const Encoded& encoded, std::string_view topic, Sender& sender,
                                 std::size_t maximum_bytes, bool retain = false);

struct Decoded {
  std::string source;  // As the sender calls itself: "<name>/<instance>".
  Body body;
};

// What a hostile peer may make us hold or do.
struct DecodeLimits {
  std::size_t body_bytes = 64 << 20;     // After decompression and joining.
  std::size_t waiting_bytes = 64 << 20;  // Of all messages whose parts are not all there.
  std::size_t waiting_messages = 64;
};

// Joins parts and decodes. Confined to one strand; one per connection.
class Decoder {
 public:
  explicit Decoder(DecodeLimits limits = DecodeLimits()) : limits_(limits) {}

  // Nothing yet: a part of a message whose other parts are still under way.
  // Invalid: truncated, oversized, alien or contradictory; the message says which.
  // Conflict: the peer speaks another version of the protocol.
  Result<std::optional<Decoded>> decode(const Message& message);

  std::size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  struct Joining {
    std::map<std::size_t, std::string> parts;  // By number: no room for what is announced before it comes.
    std::size_t of = 0;
    std::size_t bytes = 0;
    std::uint64_t age = 0;
  };

  Result<std::optional<std::string>> join(const Message& message, std::string_view part);
  void forget(std::map<std::string, Joining>::iterator joining);
  void forget_oldest();

  DecodeLimits limits_;
  std::map<std::string, Joining> joining_;  // By topic, source and id.
  std::size_t waiting_bytes_ = 0;
  std::uint64_t clock_ = 0;
};

// One whole body, for the decoder and its fuzz target.
Result<Body> decode_body(std::string_view kind, std::string_view json);

}  // namespace tinf::wire
