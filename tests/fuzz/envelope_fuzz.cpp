// The envelope around the protocol's bodies: topics, CloudEvents attributes and parts, of several messages at a time,
// as an MQTT broker hands them over.
//
// An input is text: messages one after another, each
//   <topic>
//   <attribute>=<value>     any number of them
//                           a line without anything
//   <body>
//   ---
#include <algorithm>
#include <map>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tinf/transport/mqtt/message_properties.h"
#include "tinf/wire/codec.h"
#include "tinf/wire/topics.h"

namespace tinf::fuzz {
namespace {

constexpr std::size_t kMostMessages = 64;

std::vector<Message> messages_of(std::string_view input) {
  std::vector<Message> messages;
  while (!input.empty() && messages.size() < kMostMessages) {
    Message& message = messages.emplace_back();
    std::string_view text = take(input, "\n---\n");
    message.topic = take(text);
    while (!text.empty()) {
      std::string_view line = take(text);
      if (line.empty()) break;
      const auto name = take(line, "=");
      message.attributes.emplace_back(name, line);
    }
    message.body = text;
  }
  return messages;
}

// What a decoder said, in a form that can be compared: nothing yet, the body's bytes, or a refusal.
std::string said(wire::Decoder& decoder, const Message& message) {
  const auto decoded = decoder.decode(message);
  if (!decoded) {
    const auto& error = decoded.error();
    demand(error.code == Code::Invalid || error.code == Code::Conflict, "a message is refused as what it is");
    demand(!error.message.empty() && error.message.size() < 1024, "a refusal fits a line of the log", error.message);
    return "refused: " + error.message;
  }
  if (!*decoded) return "waits";
  demand((*decoded)->source == *message.attribute("source"), "a message keeps its source");
  const auto encoded = wire::encode((*decoded)->body);
  return encoded.type + " " + encoded.body;
}

// One decoder for all of them, in its bounds.
std::vector<std::string> told_together(const std::vector<Message>& messages, const wire::DecodeLimits& limits) {
  std::vector<std::string> told;
  wire::Decoder decoder(limits);
  for (const auto& message : messages) {
    told.push_back(said(decoder, message));
    // One message may always wait for its parts, and a part costs a little beside its bytes.
    demand(decoder.waiting_bytes() <= std::max(limits.waiting_bytes, limits.body_bytes + kMostMessages * 256),
           "what waits is bounded");
  }
  return told;
}

// A decoder for each message alone: that which is told by topic, source and id.
std::vector<std::string> told_apart(const std::vector<Message>& messages, const wire::DecodeLimits& limits) {
  std::vector<std::string> told;
  std::map<std::vector<std::string>, wire::Decoder> decoders;
  for (const auto& message : messages) {
    const auto value = [&](std::string_view name) {
      const auto* found = message.attribute(name);
      return found == nullptr ? std::string() : *found;
    };
    std::vector<std::string> key{message.topic, value("source"), value("id")};
    told.push_back(said(decoders.try_emplace(std::move(key), limits).first->second, message));
  }
  return told;
}

bool is_text(const std::string& text) {
  return text.size() <= 65535 &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; });
}

// To libmosquitto's properties and back.
void carry(const Message& message) {
  const auto properties = mqtt::to_properties(message);
  if (!properties) {
    demand(properties.error().code == Code::Invalid, "what MQTT cannot carry is Invalid");
    const bool plain = is_text(message.content_type) &&
                       std::all_of(message.attributes.begin(), message.attributes.end(),
                                   [](const auto& pair) { return is_text(pair.first) && is_text(pair.second); });
    demand(!plain, "plain text can be carried", properties.error().message);
    return;
  }
  std::string topic = message.topic;
  std::string body = message.body;
  mosquitto_message received{};
  received.topic = topic.data();
  received.payload = body.data();
  received.payloadlen = static_cast<int>(body.size());
  const Message came = mqtt::to_message(received, properties->get());
  demand(
      came.attributes == message.attributes && came.body == message.body && came.content_type == message.content_type,
      "what was carried is what came");
}

void look_at_topic(const std::string& topic) {
  const wire::Topics topics("/signal", "/payload");
  const auto cluster = topics.cluster_of(topic);
  if (cluster) {
    demand(topic_matches("/payload/+/#", topic), "a cluster's topic is below the payload base", topic);
    demand(topic.starts_with("/payload/" + std::string(*cluster) + "/"), "a cluster is a level of its topic", topic);
  }
  if (wire::check_cluster_name(topic)) {
    for (const auto& one : {topics.digest(topic), topics.presence(topic), topics.stream(topic, "s")}) {
      demand(topics.cluster_of(one) == topic, "a topic names its cluster", one);
    }
    demand(topics.signal(topic) != topics.signal_all(), "no cluster is called as all of them are");
  }
  if (wire::check_client_id(topic)) {
    demand(topics.cluster_of(topics.reply("c", topic)) == "c", "a client's topic names the cluster", topic);
    demand(topic_matches("/payload/c/reply/+", topics.reply("c", topic)), "a client is one level of a topic", topic);
    demand(topics.signal(topic) != topics.client(topic), "a client is no cluster", topic);
  }
  if (wire::check_topic_base("--payload-topic", topic)) {
    const wire::Topics below(topic, topic);
    demand(below.cluster_of(below.presence("c")) == "c", "any good base will do", topic);
    demand(topic_matches(topic + "/+/presence", below.presence("c")), "a base can be subscribed below", topic);
    demand(topic_matches(topic + "/#", topic), "a base is its own", topic);
  }
}

void play(std::string_view input) {
  const auto messages = messages_of(input);
  for (const auto& message : messages) {
    carry(message);
    look_at_topic(message.topic);
    if (const auto* source = message.attribute("source")) look_at_topic(*source);
  }
  wire::DecodeLimits wide;
  wide.body_bytes = wide.waiting_bytes = 1 << 20;
  demand(told_together(messages, wide) == told_apart(messages, wide), "messages do not disturb each other");
  wire::DecodeLimits narrow;
  narrow.body_bytes = 64;
  narrow.waiting_bytes = 256;
  narrow.waiting_messages = 2;
  (void)told_together(messages, narrow);
}

}  // namespace
}  // namespace tinf::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  tinf::fuzz::play(std::string_view(reinterpret_cast<const char*>(bytes), size));
  return 0;
}
