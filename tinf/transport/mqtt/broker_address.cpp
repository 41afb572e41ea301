#include "tinf/transport/mqtt/broker_address.h"

#include <charconv>

namespace tinf {
namespace {

constexpr int kPort = 1883;
constexpr int kTlsPort = 8883;

Error invalid(std::string_view url, const std::string& what) {
  return Error(Code::Invalid, "broker URL \"" + std::string(url) + "\": " + what);
}

}  // namespace

std::string BrokerAddress::to_string() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<BrokerAddress> parse_broker_url(std::string_view url) {
  BrokerAddress address;
  std::string_view rest = url;
  if (url.find('@') != std::string_view::npos) {
    return Error(Code::Invalid,
                 "broker URL: give the user name and the password as options of their own, not in the URL");
  }
  if (const auto end = url.find("://"); end != std::string_view::npos) {
    const std::string_view scheme = url.substr(0, end);
    rest = url.substr(end + 3);
    if (scheme == "ssl" || scheme == "mqtts") {
      address.tls = true;
    } else if (scheme != "tcp" && scheme != "mqtt") {
      return invalid(url, "unknown scheme; write tcp://, mqtt://, ssl:// or mqtts://");
    }
  }
  address.port = address.tls ? kTlsPort : kPort;
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#") != std::string_view::npos)
    return invalid(url, "a broker has no path; write only host and port");
  for (const char c : rest) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return invalid(url, "it has a space or a control character");
  }

  std::string_view port;
  bool has_port = false;
  if (rest.starts_with('[')) {
    const auto close = rest.find(']');
    if (close == std::string_view::npos) return invalid(url, "the bracket of the IPv6 address is not closed");
    address.host = rest.substr(1, close - 1);
    if (address.host.find(':') == std::string::npos) return invalid(url, "brackets are for IPv6 addresses only");
    rest.remove_prefix(close + 1);
    has_port = !rest.empty();
    if (has_port && rest[0] != ':') return invalid(url, "only :port may follow the IPv6 address");
    if (has_port) port = rest.substr(1);
  } else {
    const auto colon = rest.find(':');
    address.host = rest.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = rest.substr(colon + 1);
    if (port.find(':') != std::string_view::npos)
      return invalid(url, "write an IPv6 address in brackets, like [::1]:1883");
  }
  if (address.host.empty()) return invalid(url, "the host is missing");
  if (has_port) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
    if (error != std::errc() || end != port.data() + port.size() || address.port < 1 || address.port > 65535) {
      return invalid(url, "the port must be a number from 1 to 65535");
    }
  }
  return address;
}

}  // namespace tinf
