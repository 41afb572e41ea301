#include "tinf/transport/mqtt/message_properties.h"

#include <mqtt_protocol.h>

#include <cstdlib>

namespace tinf::mqtt {
namespace {

bool is_string(const std::string& text) {
  // A broker ends the connection over a text that is not one; no control characters either.
  return text.size() <= 65535 &&
         mosquitto_validate_utf8(text.data(), static_cast<int>(text.size())) == MOSQ_ERR_SUCCESS;
}

// libmosquitto hands out copies that are ours to free.
struct Text {
  ~Text() { std::free(text); }
  std::string str() const { return text == nullptr ? std::string() : std::string(text); }
  char* text = nullptr;
};

}  // namespace

Result<Properties> to_properties(const Message& message) {
  mosquitto_property* list = nullptr;
  Properties owner;
  const auto refused = [&](const std::string& name) {
    return Error(Code::Invalid,
                 "the message to " + message.topic + ": " + name +
                     " is not a text that MQTT can carry (UTF-8 without control characters, at most 65535 bytes)");
  };
  if (!message.content_type.empty()) {
    const int code = is_string(message.content_type)
                         ? mosquitto_property_add_string(&list, MQTT_PROP_CONTENT_TYPE, message.content_type.c_str())
                         : MOSQ_ERR_INVAL;
    owner.reset(list);
    if (code != MOSQ_ERR_SUCCESS) return refused("its content type");
  }
  for (const auto& [name, value] : message.attributes) {
    const int code =
        is_string(name) && is_string(value)
            ? mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, name.c_str(), value.c_str())
            : MOSQ_ERR_INVAL;
    if (!owner) owner.reset(list);  // The head stays; what is added comes behind it.
    if (code != MOSQ_ERR_SUCCESS) return refused("its attribute " + name);
  }
  return owner;
}

Message to_message(const mosquitto_message& received, const mosquitto_property* properties) {
  Message message;
  message.topic = received.topic;
  if (received.payloadlen > 0) {
    message.body.assign(static_cast<const char*>(received.payload), static_cast<std::size_t>(received.payloadlen));
  }
  message.retain = received.retain;
  for (const mosquitto_property* at = properties; at != nullptr; at = mosquitto_property_next(at)) {
    switch (mosquitto_property_identifier(at)) {
      case MQTT_PROP_CONTENT_TYPE: {
        Text value;
        mosquitto_property_read_string(at, MQTT_PROP_CONTENT_TYPE, &value.text, false);
        message.content_type = value.str();
        break;
      }
      case MQTT_PROP_USER_PROPERTY: {
        Text name, value;
        mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &name.text, &value.text, false);
        message.attributes.emplace_back(name.str(), value.str());
        break;
      }
      default:
        break;
    }
  }
  return message;
}

}  // namespace tinf::mqtt
