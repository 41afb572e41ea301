#include "tinf/contract/transport.h"

namespace tinf {

const std::string* Message::attribute(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::size_t message_bytes(const Message& message) {
  // MQTT 5, 3.3: fixed header 5, topic 2 + n, packet identifier 2, length of the properties 4, content type 3 + n,
  // user property 5 + n. The lengths are of variable size; these are the largest.
  std::size_t bytes = 13 + message.topic.size() + message.body.size();
  if (!message.content_type.empty()) bytes += 3 + message.content_type.size();
  for (const auto& [name, value] : message.attributes) bytes += 5 + name.size() + value.size();
  return bytes;
}

bool ends_session(const Error& reason, bool was_connected) {
  switch (reason.code) {
    case Code::Conflict:
      return true;
    case Code::Forbidden:
    case Code::Unauthorized:
    case Code::Invalid:
      return !was_connected;
    default:
      return false;
  }
}

bool topic_matches(std::string_view filter, std::string_view topic) {
  // Wildcards at the start do not match topics that begin with '$' (MQTT 5, 4.7.2).
  if (!topic.empty() && topic[0] == '$' && !filter.empty() && (filter[0] == '+' || filter[0] == '#')) return false;
  while (true) {
    const auto filter_end = filter.find('/');
    const auto topic_end = topic.find('/');
    const auto level = filter.substr(0, filter_end);
    if (level == "#") return true;
    if (level != "+" && level != topic.substr(0, topic_end)) return false;
    if (filter_end == std::string_view::npos) return topic_end == std::string_view::npos;
    if (topic_end == std::string_view::npos) return filter.substr(filter_end + 1) == "#";
    filter.remove_prefix(filter_end + 1);
    topic.remove_prefix(topic_end + 1);
  }
}

}  // namespace tinf
