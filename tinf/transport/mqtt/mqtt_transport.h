// MqttTransport: messages through an MQTT 5 broker.
// libmosquitto speaks the protocol, Asio moves the bytes; nothing of either's threads is used but one for name
// look-ups.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/contract/transport.h"

namespace tinf {

struct MqttTlsOptions {
  bool enabled = false;
  std::string ca_file;  // Neither file nor path: the system's certificates.
  std::string ca_path;
  std::string certificate_file;  // Ours, with its key; both or none.
  std::string key_file;
  std::string server_name;  // The name the broker's certificate must carry, where it is not the host's.
  bool insecure = false;    // Believes any certificate.

  MqttTlsOptions() = default;
};

struct MqttOptions {
  std::string host = "localhost";
  int port = 1883;
  std::string client_id;  // Unique at the broker: two with one id throw each other out.
  int qos = 1;            // 0, 1 or 2, of publishing, of subscribing and of the last will.
  std::string username;
  std::string password;  // Never logged.
  MqttTlsOptions tls;
  std::optional<Message> last_will;
  std::size_t maximum_message_bytes = 256 * 1024;  // Of message_bytes(), both ways.
  int window = 64;  // Unacknowledged messages at QoS 1 and 2; the broker may allow fewer.
  // What may wait for receive() before the broker is not read any more.
  std::size_t receive_queue_messages = 1000;
  std::size_t receive_queue_bytes = 8 * 1024 * 1024;
  Duration keepalive = std::chrono::seconds(60);        // At least five seconds.
  Duration connect_timeout = std::chrono::seconds(10);  // From the first packet to the broker's yes.
  Duration peer_timeout =
      std::chrono::seconds(15);  // A network that swallows everything is found after about this long.
  // A broker that answers pings but acknowledges nothing is left after this long: the window would stay full for ever.
  // As long as the keepalive, within which the slowest line must carry the largest message anyway.
  Duration acknowledge_timeout = std::chrono::seconds(60);
  BackoffOptions reconnect = quick_reconnect();

  MqttOptions() = default;
  static BackoffOptions quick_reconnect();  // 100 ms doubling to 10 s, half of it again as jitter.
};

// Guarantees what Transport says. Sessions are clean: the broker keeps nothing for us while we are away. Inbound
// messages of QoS 1 are acknowledged when they are read from the socket, not when they are dealt with: the
// acknowledgements that count are those of the protocol above. A broker that acknowledges with "packet too large"
// without having announced a limit lowers our own, to a quarter of what it refused and 2 KiB at least; at QoS 0 no
// broker says so. Connects for ever; that the broker is away is no error, and is logged once per outage.
// TransportDisconnected is also reported when connecting fails, once per kind of reason: Unauthorized (credentials,
// certificates), Forbidden, Invalid (client id refused, no MQTT 5), Conflict (another client took our id).
//
// While the receive queue is full acknowledgements are not read either, so that publish() may wait for receive(): never
// await both in one task. A receiver that stalls for longer than the keepalive loses the connection. Confined to the
// runtime's executor. Destroyed without close(): the connection is cut, and the broker sends the last will.
class MqttTransport final : public Transport {
 public:
  // Starts connecting on a later turn of the executor. Invalid: the options contradict themselves or the protocol.
  // `runtime` must outlive the transport and its executor's pending work.
  static Result<std::unique_ptr<MqttTransport>> open(Runtime& runtime, MqttOptions options);
  ~MqttTransport() override;

  // A topic that the broker has refused asynchronously fails at its next publish(), once; then it is tried again.
  Task<Result<void>> publish(Message message) override;
  Task<Result<void>> subscribe(std::string filter) override;
  Task<Result<void>> unsubscribe(std::string filter) override;
  Task<TransportEvent> receive() override;
  bool connected() const override;
  // Waits for the acknowledgements of all that was published, the last word included, but two seconds at most.
  Task<void> close(std::optional<Message> last_word) override;

 private:
  class Session;
  MqttTransport(Runtime& runtime, MqttOptions options);

  std::shared_ptr<Session> session_;  // Shared with tasks that are still unwinding.
  TaskGroup tasks_;
};

}  // namespace tinf
