// The table from URL schemes to transports: the only place, with the sources beside it, that names drivers.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/contract/transport.h"

namespace tinf::wiring {

struct BrokerOptions {
  std::string url;
  std::string client_id;
  int qos = 1;
  bool tls = false;  // Also what ssl:// and mqtts:// mean.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string username;
  std::string password_file;
  std::size_t maximum_message_bytes = 256 * 1024;

  BrokerOptions() = default;
};

// Invalid: not the address of a broker that we have a transport to.
Result<void> check_broker_url(const std::string& url);

// Starts connecting and returns at once. Invalid: the URL, or files that are missing or do not fit; the message names
// which. `last_will` is what the broker says when it loses us.
Result<std::unique_ptr<Transport>> open_transport(Runtime& runtime, const BrokerOptions& options,
                                                  std::optional<Message> last_will);

}  // namespace tinf::wiring
