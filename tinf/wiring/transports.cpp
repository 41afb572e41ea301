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
  mqtt.maximum_message_bytes = options.maximum_message_bytes;
  mqtt.last_will = std::move(last_will);
  auto opened = MqttTransport::open(runtime, std::move(mqtt));
  if (!opened) return opened.error();
  std::unique_ptr<Transport> transport = std::move(*opened);
  return transport;
}

Result<void> check_mqtt(const std::string& url) {
  const auto address = parse_broker_url(url);
  if (!address) return address.error();
  return Result<void>();
}

struct Driver {
  std::string_view scheme;
  Result<void> (*check)(const std::string& url);
  Result<std::unique_ptr<Transport>> (*open)(Runtime&, const BrokerOptions&, std::optional<Message>);
};

constexpr Driver kDrivers[] = {
    {"tcp", check_mqtt, open_mqtt},   {"mqtt", check_mqtt, open_mqtt}, {"ssl", check_mqtt, open_mqtt},
    {"mqtts", check_mqtt, open_mqtt}, {"", check_mqtt, open_mqtt},  // host:port alone
};

Result<const Driver*> driver_of(const std::string& url) {
  const auto end = url.find("://");
  const std::string scheme = end == std::string::npos ? "" : url.substr(0, end);
  for (const Driver& driver : kDrivers) {
    if (driver.scheme == scheme) return &driver;
  }
  return Error(Code::Invalid, "there is no transport \"" + scheme + "\"; use tcp://, mqtt://, ssl:// or mqtts://");
}

}  // namespace

Result<void> check_broker_url(const std::string& url) {
  const auto driver = driver_of(url);
  if (!driver) return driver.error();
  return (*driver)->check(url);
}

Result<std::unique_ptr<Transport>> open_transport(Runtime& runtime, const BrokerOptions& options,
                                                  std::optional<Message> last_will) {
  const auto driver = driver_of(options.url);
  if (!driver) return driver.error();
  return (*driver)->open(runtime, options, std::move(last_will));
}

}  // namespace tinf::wiring
