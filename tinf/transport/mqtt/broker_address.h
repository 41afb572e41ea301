// Where a broker is: host, port and whether TLS is spoken, out of what users write.
// A pure function; nothing is resolved here.
#pragma once

#include <string>
#include <string_view>

#include "tinf/base/result.h"

namespace tinf {

struct BrokerAddress {
  std::string host;  // A name or an address, an IPv6 address without its brackets.
  int port = 1883;
  bool tls = false;

  bool operator==(const BrokerAddress&) const = default;

  std::string to_string() const;  // "host:port", IPv6 in brackets.
};

// Reads tcp:// and mqtt:// (port 1883 if none is given), ssl:// and mqtts:// (8883), or host[:port] alone (1883,
// without TLS). Invalid: anything else; the message says what to write instead and never repeats a password.
Result<BrokerAddress> parse_broker_url(std::string_view url);

}  // namespace tinf
