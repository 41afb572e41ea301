#include "tinf/transport/mqtt/reasons.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>

namespace tinf::mqtt {
namespace {

Code code_of(int reason) {
  switch (reason) {
    case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
    case MQTT_RC_BAD_AUTHENTICATION_METHOD:
      return Code::Unauthorized;
    case MQTT_RC_NOT_AUTHORIZED:
    case MQTT_RC_BANNED:
      return Code::Forbidden;
    case MQTT_RC_CLIENTID_NOT_VALID:
    case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
    case MQTT_RC_MALFORMED_PACKET:
    case MQTT_RC_PROTOCOL_ERROR:
    case MQTT_RC_PACKET_TOO_LARGE:
    case MQTT_RC_TOPIC_NAME_INVALID:
    case MQTT_RC_TOPIC_FILTER_INVALID:
    case MQTT_RC_PAYLOAD_FORMAT_INVALID:
    case MQTT_RC_RETAIN_NOT_SUPPORTED:
    case MQTT_RC_QOS_NOT_SUPPORTED:
    case MQTT_RC_WILDCARD_SUBS_NOT_SUPPORTED:
      return Code::Invalid;
    case MQTT_RC_SESSION_TAKEN_OVER:
      return Code::Conflict;
    case MQTT_RC_QUOTA_EXCEEDED:
    case MQTT_RC_MESSAGE_RATE_TOO_HIGH:
      return Code::TooManyRequests;
    default:
      return Code::Unavailable;
  }
}

std::string named(int reason) {
  return std::string(mosquitto_reason_string(reason)) + " (reason " + std::to_string(reason) + ")";
}

}  // namespace

Error connect_refused(int reason, const std::string& broker, const std::string& client_id) {
  const std::string refused = "the broker " + broker + " refused the connection: ";
  switch (reason) {
    case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
      return Error(Code::Unauthorized, refused + "user name or password are wrong");
    case MQTT_RC_NOT_AUTHORIZED:
      return Error(
          Code::Forbidden,
          refused + "client " + client_id +
              " is not authorised; check the credentials, the broker's access rules and the last will's topic");
    case MQTT_RC_CLIENTID_NOT_VALID:
      return Error(Code::Invalid, refused + "it does not accept the client id \"" + client_id + "\"; choose another");
    case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
      return Error(Code::Invalid,
                   refused + "it speaks only MQTT 3.1.1; use one that speaks MQTT 5, such as mosquitto 2");
    default:
      return Error(code_of(reason), refused + named(reason));
  }
}

Error disconnected_by_broker(int reason, const std::string& broker, const std::string& client_id) {
  if (reason == MQTT_RC_SESSION_TAKEN_OVER) {
    return Error(Code::Conflict, "another client connected to the broker " + broker + " with our client id \"" +
                                     client_id + "\"; give each its own");
  }
  return Error(code_of(reason), "the broker " + broker + " ended the connection: " + named(reason));
}

Error subscribe_refused(int reason, const std::string& filter) {
  if (reason == MQTT_RC_NOT_AUTHORIZED) {
    return Error(Code::Forbidden,
                 "the broker's access rules do not let us subscribe to " + filter + "; allow us to read it");
  }
  return Error(code_of(reason), "the broker refused the subscription to " + filter + ": " + named(reason));
}

Error publish_refused(int reason, const std::string& topic) {
  if (reason == MQTT_RC_NOT_AUTHORIZED) {
    return Error(Code::Forbidden,
                 "the broker's access rules do not let us publish to " + topic + "; allow us to write it");
  }
  return Error(code_of(reason), "the broker refused a message to " + topic + ": " + named(reason));
}

}  // namespace tinf::mqtt
