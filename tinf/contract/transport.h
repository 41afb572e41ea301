// A Transport moves messages through a broker: publish, subscribe, receive. It promises little, on purpose:
// a message may be lost, repeated, late or out of order; the protocol above makes that good.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/base/task.h"

namespace tinf {

// A message as every broker of ours can carry it. Attributes are CloudEvents context attributes by their plain names
// (MQTT 5: user properties; content_type has a place of its own).
struct Message {
  std::string topic;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::string content_type;
  std::string body;
  bool retain = false;  // Outbound: the broker keeps it. Inbound: it was kept.

  const std::string* attribute(std::string_view name) const;  // Null if absent.
};

// What a message counts against maximum_message_bytes: its parts and an upper bound of what MQTT 5 puts around them, so
// that a message which passes here also passes a broker that counts every byte of the packet.
std::size_t message_bytes(const Message& message);

// What receive() hands out, in the order in which it happened.
// Connected may come again without a Disconnected before it, when messages were refused as too large: they are lost,
// and the limit is lower.
struct TransportConnected {
  std::size_t maximum_message_bytes = 0;  // Of message_bytes(), the smaller of the configured limit and the broker's.
};
struct TransportDisconnected {
  Error reason = Error(Code::Unavailable, "");
};
using TransportEvent = std::variant<Message, TransportConnected, TransportDisconnected>;

// Reconnects by itself with backoff and subscribes again before it reports TransportConnected.
// Not thread-safe: call from one strand.
class Transport {
 public:
  virtual ~Transport() = default;

  // Sends one message. Returns when it has its place in the window of unacknowledged messages (waiting for one
  // is the backpressure), not when it has arrived: nothing but the receiver's own word proves that.
  // Unavailable: not connected; nothing is kept for later. Invalid: larger than the broker accepts.
  // Forbidden: the broker refuses this topic.
  virtual Task<Result<void>> publish(Message message) = 0;

  // Receives what matches `filter` (MQTT's wildcards: `+` one level, `#` the rest) from now on and after every
  // reconnect. Returns when the broker has said yes; at once if not connected (it is asked at the next connect, and a
  // refusal ends in receive() as TransportDisconnected with Forbidden). Forbidden: the broker's rules deny it; the
  // message names the filter.
  virtual Task<Result<void>> subscribe(std::string filter) = 0;
  virtual Task<Result<void>> unsubscribe(std::string filter) = 0;

  // Waits for the next event. One caller at a time. While nobody receives, a bounded number waits here and then the
  // broker is not read any more.
  virtual Task<TransportEvent> receive() = 0;

  virtual bool connected() const = 0;

  // Ends the session in good order: `last_word`, if given, is sent instead of the last will. Idempotent.
  virtual Task<void> close(std::optional<Message> last_word) = 0;
};

// Whether `reason` of a TransportDisconnected ends a daemon. What refuses us before we were ever connected is a mistake
// of whoever configured it; later it is an outage, to be waited out. Another client under our id ends us at any time.
bool ends_session(const Error& reason, bool was_connected);

// True if `topic` matches the subscription `filter`, by MQTT 5's rules (section 4.7).
bool topic_matches(std::string_view filter, std::string_view topic);

}  // namespace tinf
