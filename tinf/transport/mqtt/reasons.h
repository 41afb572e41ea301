// MQTT 5 reason codes (section 2.4) as errors that name the thing and the remedy. Pure functions.
#pragma once

#include <string>

#include "tinf/base/error.h"

namespace tinf::mqtt {

// `broker` is "host:port", `client_id` and the rest name what was refused.
Error connect_refused(int reason, const std::string& broker, const std::string& client_id);
Error disconnected_by_broker(int reason, const std::string& broker, const std::string& client_id);
Error subscribe_refused(int reason, const std::string& filter);
Error publish_refused(int reason, const std::string& topic);

}  // namespace tinf::mqtt
