// A Message's attributes and content type as MQTT 5 properties, and back.
#pragma once

#include <mosquitto.h>

#include <memory>

#include "tinf/base/result.h"
#include "tinf/contract/transport.h"

namespace tinf::mqtt {

struct FreeProperties {
  void operator()(mosquitto_property* properties) const { mosquitto_property_free_all(&properties); }
};
using Properties = std::unique_ptr<mosquitto_property, FreeProperties>;

// Invalid: an attribute is longer than 65,535 bytes, or is not UTF-8 without control characters.
Result<Properties> to_properties(const Message& message);

Message to_message(const mosquitto_message& received, const mosquitto_property* properties);

}  // namespace tinf::mqtt
