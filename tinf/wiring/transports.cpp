#include "tinf/wiring/transports.h"

#include <fstream>
#include <string_view>

#include "tinf/transport/mqtt/broker_address.h"
#include "tinf/transport/mqtt/mqtt_transport.h"

namespace tinf::wiring {
namespace {

// The first line of a file, as secrets are mounted.
Result<std::string> read_secret(const std::string& option, const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line))
    return Error(Code::Invalid, option + " " + path + " cannot be read: it must hold the secret in its first line");
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

Result<std::unique_ptr<Transport>> open_mqtt(Runtime& runtime, const BrokerOptions& options,
                                             std::optional<Message> last_will) {
  const auto address = parse_broker_url(options.url);
  if (!address) return address.error();
  MqttOptions mqtt;
  mqtt.host = address->host;
  mqtt.port = address->port;
  mqtt.client_id = options.client_id;
  mqtt.qos = options.qos;
  mqtt.username = options.username;
  if (!options.password_file.empty()) {
    auto password = read_secret("--password-file", options.password_file);
    if (!password) return password.error();
    mqtt.password = std::move(*password);
  }
  mqtt.tls.enabled = address->tls || options.tls || !options.ca_file.empty() || !options.certificate_file.empty();
  mqtt.tls.ca_file = options.ca_file;
  mqtt.tls.certificate_file = options.certificate_file;
  mqtt.tls.key_file = options.key_file;
  mqtt.last_will = std::move(last_will);
  auto opened = MqttTransport::open(runtime, std::move(mqtt));
  if (!opened) return opened.error();
  std::unique_ptr<Transport> transport = std::move(*opened);
  return transport;
}

struct Driver {
  std::string_view scheme;
  Result<std::unique_ptr<Transport>> (*open)(Runtime&, const BrokerOptions&, std::optional<Message>);
};

constexpr Driver kDrivers[] = {
    {"tcp", open_mqtt},   {"mqtt", open_mqtt}, {"ssl", open_mqtt},
    {"mqtts", open_mqtt}, {"", open_mqtt},  // host:port alone
};

}  // namespace

Result<std::unique_ptr<Transport>> open_transport(Runtime& runtime, const BrokerOptions& options,
                                                  std::optional<Message> last_will) {
  const auto end = options.url.find("://");
  const std::string scheme = end == std::string::npos ? "" : options.url.substr(0, end);
  for (const Driver& driver : kDrivers) {
    if (driver.scheme == scheme) return driver.open(runtime, options, std::move(last_will));
  }
  return Error(Code::Invalid, "--broker " + options.url + ": there is no transport \"" + scheme +
                                  "\"; use tcp://, mqtt://, ssl:// or mqtts://");
}

}  // namespace tinf::wiring
