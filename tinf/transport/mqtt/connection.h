// Connection: one MQTT connection, from the name look-up to its end; a reconnect makes another one.
// libmosquitto as a state machine under Asio: we wait for its socket and tell it to read, write and look at its clock.
#pragma once

#include <mosquitto.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/transport/mqtt/mqtt_transport.h"
#include "tinf/transport/mqtt/tls_context.h"

namespace tinf::mqtt {

// What a connection tells its owner. Called while libmosquitto reads: must not call the connection.
class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  virtual void on_message(Message message) = 0;
  virtual bool may_read() const = 0;  // False: leave the bytes in the socket until Connection::resume_reading().
  virtual void on_publish_refused(const std::string& topic, Error reason) = 0;
  // The broker takes less than it has said: a message of so many message_bytes() was too much.
  virtual void on_too_large(const std::string& topic, std::size_t bytes) = 0;
};

// A fresh libmosquitto client for each connection: nothing it may have queued survives into the next one.
// Confined to the runtime's executor. The owner calls cut() before `events` or `options` go.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // Returns when the broker has said yes. Errors as MqttTransport's TransportDisconnected.
  static Task<Result<std::shared_ptr<Connection>>> open(Runtime& runtime, const MqttOptions& options,
                                                        ConnectionEvents& events);

  Connection(Runtime& runtime, const MqttOptions& options, ConnectionEvents& events);
  ~Connection();

  bool over() const { return reason_.has_value(); }
  Task<Error> wait_over();  // Why it ended.
  void cut();               // Without a word to the broker. Idempotent.
  // Sends DISCONNECT, so that the last will stays unsent, and waits for the broker to hang up: a socket that is closed
  // with bytes unread resets the connection, and the broker would lose what it has not read yet.
  Task<void> disconnect(TimePoint deadline);
  void resume_reading() { readable_.notify(); }

  std::size_t maximum_message_bytes() const { return maximum_message_bytes_; }

  // Waits for a place in the window and in the socket. False: the connection is over.
  Task<bool> wait_for_room();
  // Invalid: not a message that MQTT can carry. Unavailable: the connection is over.
  Result<void> publish(const Message& message);
  // True when everything is written and acknowledged; false when the deadline came first or the connection is over.
  Task<bool> wait_until_sent(TimePoint deadline);
  Task<bool> wait_until_written(TimePoint deadline);

  // One reason code a filter, below 0x80 if it was granted. Unavailable: the connection is over.
  Task<Result<std::vector<int>>> subscribe(const std::vector<std::string>& filters);
  Task<Result<void>> unsubscribe(const std::string& filter);

 private:
  struct Client;   // libmosquitto's, with what must live as long.
  struct Attempt;  // A connect() that blocks on a thread of its own.
  struct Callbacks;

  Task<Result<void>> connect();
  Result<std::shared_ptr<Client>> make_client();
  void adopt(std::shared_ptr<Client> client);
  Task<Result<std::vector<int>>> answer_to(int code, int packet);

  Task<void> read(std::shared_ptr<Connection> self);
  Task<void> write(std::shared_ptr<Connection> self);
  Task<void> tick(std::shared_ptr<Connection> self);
  Task<void> drain(std::shared_ptr<Connection> self);
  void read_available();
  void after(int code);  // Every call of libmosquitto that touches the socket.
  void end(Error reason);
  void look_for_acknowledgements();
  Error failure(int code, int system_error) const;
  bool has_room() const;

  // Constant after construction.
  Runtime& runtime_;
  const MqttOptions& options_;
  ConnectionEvents* events_;
  const std::string broker_;

  // Confined to the executor.
  std::shared_ptr<Client> client_;
  asio::posix::stream_descriptor descriptor_;  // A duplicate: libmosquitto closes its own whenever it likes.
  TaskGroup tasks_;
  std::optional<Error> reason_;        // Why it is over.
  std::optional<int> connack_;         // The broker's answer.
  bool hung_up_ = false;               // By the broker, after our DISCONNECT.
  std::optional<int> broker_goodbye_;  // The reason in its DISCONNECT.
  bool more_to_read_ = false;          // Left in the socket, or decrypted already: the socket may not say so again.
  std::size_t maximum_message_bytes_;
  std::size_t window_;
  struct Sent {
    std::string topic;
    std::size_t bytes;
  };
  std::unordered_map<int, Sent> unacknowledged_;            // By packet identifier.
  TimePoint acknowledged_at_;                               // The last one, or since when the first is awaited.
  std::map<int, std::optional<std::vector<int>>> answers_;  // To SUBSCRIBE and UNSUBSCRIBE.
  Signal changed_;                                          // Room, answers, the end: whoever waits looks again.
  Signal ended_;
  Signal readable_;
  Signal writable_;
};

}  // namespace tinf::mqtt
