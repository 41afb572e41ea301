#include "tinf/transport/mqtt/mqtt_transport.h"

#include <boost/asio/post.hpp>
#include <deque>
#include <map>
#include <set>

#include "tinf/transport/mqtt/broker_address.h"
#include "tinf/transport/mqtt/connection.h"
#include "tinf/transport/mqtt/reasons.h"
#include "tinf/transport/mqtt/tls_context.h"

namespace tinf {
namespace {

constexpr Duration kGoodbye = std::chrono::seconds(2);
constexpr std::size_t kFiltersPerRequest = 100;
constexpr std::size_t kRememberedTopics = 1000;
constexpr std::size_t kSmallestLimit = 2048;  // What every broker must take: docs/protocol.md.
constexpr int kPublishesPerTurn = 64;         // A flood lets others on this executor have their turn.

Error invalid(const std::string& what) {
  return Error(Code::Invalid, "MQTT options: " + what);
}

bool is_publishable(const std::string& topic) {
  return !topic.empty() && topic.size() <= 65535 &&
         topic.find_first_of(std::string_view("+#\0", 3)) == std::string::npos;
}

}  // namespace

BackoffOptions MqttOptions::quick_reconnect() {
  BackoffOptions options;
  options.initial = std::chrono::milliseconds(100);
  options.maximum = std::chrono::seconds(10);
  options.jitter = 0.5;
  options.reset_after = std::chrono::seconds(30);
  return options;
}

// The state, apart from its face so that tasks which outlive the transport for a turn find it alive.
class MqttTransport::Session final : public mqtt::ConnectionEvents {
 public:
  Session(Runtime& runtime, MqttOptions options)
      : runtime_(runtime),
        options_(std::move(options)),
        broker_(BrokerAddress{options_.host, options_.port, options_.tls.enabled}.to_string()),
        log_(runtime.log.with("mqtt")),
        backoff_(runtime.clock, runtime.random, options_.reconnect) {}

  static Task<void> run(std::shared_ptr<Session> self);

  Task<Result<void>> publish(Message message);
  Task<Result<void>> subscribe(std::string filter);
  Task<Result<void>> unsubscribe(std::string filter);
  Task<TransportEvent> receive(std::shared_ptr<Session> self);
  Task<void> say_goodbye(std::optional<Message> last_word);

  bool connected() const { return connected_ && connection_ && !connection_->over(); }
  bool closing() const { return closing_; }
  void closed();

  void on_message(Message message) override;
  bool may_read() const override;
  void on_publish_refused(const std::string& topic, Error reason) override;
  void on_too_large(const std::string& topic, std::size_t bytes) override;

 private:
  Task<Error> connect_and_stay();
  Task<Result<void>> subscribe_again(std::shared_ptr<mqtt::Connection> connection);
  void lost(const Error& reason, bool was_connected);
  void put(TransportEvent event);
  void show_depth() { depth_->set(static_cast<double>(waiting_messages_)); }

  // Constant after construction.
  Runtime& runtime_;
  const MqttOptions options_;
  const std::string broker_;
  const Log log_;

  // Confined to the executor.
  Backoff backoff_;
  std::shared_ptr<mqtt::Connection> connection_;  // Null between connections.
  bool connected_ = false;                        // Subscriptions included.
  bool closing_ = false;
  std::uint64_t round_ = 0;                       // Counts connections.
  std::map<std::string, std::uint64_t> filters_;  // With the connection that the broker granted them for.
  std::deque<TransportEvent> events_;
  std::size_t waiting_messages_ = 0;
  std::size_t waiting_bytes_ = 0;
  Signal arrived_;
  std::map<std::string, Error> refused_topics_;  // Each waits for the next publish to hear of it.
  std::set<std::string> warned_topics_;
  std::optional<Code> outage_;  // What was last reported of this outage.
  bool ever_connected_ = false;
  std::size_t limit_ = options_.maximum_message_bytes;  // Lower where the broker has refused what it had not ruled out.
  bool warned_of_size_ = false;
  int publishes_this_turn_ = 0;

  const std::shared_ptr<Counter> sent_messages_ =
      runtime_.metrics.counter("tinf_transport_sent_messages_total", "Messages handed to the broker");
  const std::shared_ptr<Counter> sent_bytes_ =
      runtime_.metrics.counter("tinf_transport_sent_bytes_total", "Their bytes, headers included");
  const std::shared_ptr<Counter> received_messages_ =
      runtime_.metrics.counter("tinf_transport_received_messages_total", "Messages that came from the broker");
  const std::shared_ptr<Counter> received_bytes_ =
      runtime_.metrics.counter("tinf_transport_received_bytes_total", "Their bytes, headers included");
  const std::shared_ptr<Counter> reconnects_ =
      runtime_.metrics.counter("tinf_transport_reconnects_total", "Connections after the first");
  const std::shared_ptr<Counter> refused_ =
      runtime_.metrics.counter("tinf_transport_refused_messages_total",
                               "Messages refused: by the broker's rules, or inbound ones above the size limit");
  const std::shared_ptr<Gauge> depth_ =
      runtime_.metrics.gauge("tinf_transport_receive_queue_messages", "Messages that wait to be received");
};

Task<void> MqttTransport::Session::run(std::shared_ptr<Session> self) {
  // Also when this task is cancelled: the socket closes now, not when the last frame goes.
  struct CutOnExit {
    explicit CutOnExit(Session& s) : session(s) {}
    ~CutOnExit() {
      if (session.connection_) session.connection_->cut();
    }
    Session& session;
  } guard(*self);

  while (true) {
    const Error reason = co_await self->connect_and_stay();
    const bool was_connected = self->connected_;
    self->connected_ = false;
    if (self->connection_) self->connection_->cut();
    self->connection_.reset();
    if (self->closing_) co_return;
    self->lost(reason, was_connected);
    Duration pause = self->backoff_.next();
    // Whoever took our id will be thrown out by our return: no faster than this.
    if (reason.code == Code::Conflict) pause = std::max(pause, self->options_.reconnect.maximum);
    co_await self->runtime_.clock.sleep_for(pause);
  }
}

Task<Error> MqttTransport::Session::connect_and_stay() {
  Result<std::shared_ptr<mqtt::Connection>> opened = co_await mqtt::Connection::open(runtime_, options_, *this);
  if (!opened) co_return opened.error();
  const auto connection = *opened;  // close() takes the member away.
  connection_ = connection;
  ++round_;
  const Result<void> subscribed = co_await subscribe_again(connection);
  if (!subscribed) co_return subscribed.error();
  if (closing_) co_return Error(Code::Cancelled, "closing");

  if (round_ > 1) reconnects_->add();
  refused_topics_.clear();
  warned_topics_.clear();
  outage_.reset();
  connected_ = ever_connected_ = true;
  TransportConnected connected;
  connected.maximum_message_bytes = std::min(limit_, connection->maximum_message_bytes());
  log_.info("connected",
            {{"broker", broker_}, {"maximum_message_bytes", std::to_string(connected.maximum_message_bytes)}});
  put(connected);
  const Error reason = co_await connection->wait_over();
  co_return reason;
}

Task<Result<void>> MqttTransport::Session::subscribe_again(std::shared_ptr<mqtt::Connection> connection) {
  while (true) {
    std::vector<std::string> missing;
    for (const auto& [filter, granted] : filters_) {
      if (granted != round_ && missing.size() < kFiltersPerRequest) missing.push_back(filter);
    }
    if (missing.empty()) break;
    const Result<std::vector<int>> reasons = co_await connection->subscribe(missing);
    if (!reasons) {
      // The connection's own reason says more than that the answer did not come.
      if (connection->over()) co_return co_await connection->wait_over();
      co_return reasons.error();
    }
    for (std::size_t i = 0; i < missing.size(); ++i) {
      const int reason = (*reasons)[i];
      if (reason >= 0x80) co_return mqtt::subscribe_refused(reason, missing[i]);
      if (const auto found = filters_.find(missing[i]); found != filters_.end()) found->second = round_;
    }
  }
  co_return Result<void>();
}

void MqttTransport::Session::lost(const Error& reason, bool was_connected) {
  if (!was_connected && outage_ == reason.code) {  // Said already.
    return log_.debug("still no connection", {{"broker", broker_}, {"reason", reason.message}});
  }
  outage_ = reason.code;
  // What ends the session is said by whoever it ends.
  if (!ends_session(reason, ever_connected_)) {
    log_.warning(was_connected ? "connection lost" : "cannot connect; trying on",
                 {{"broker", broker_}, {"reason", reason.message}});
  }
  put(TransportDisconnected{reason});
}

void MqttTransport::Session::put(TransportEvent event) {
  if (std::holds_alternative<TransportDisconnected>(event)) {
    // A connection that came and went while nobody received leaves one event, not a growing number.
    const auto last_is = [&](auto* kind) {
      return !events_.empty() && std::holds_alternative<std::remove_pointer_t<decltype(kind)>>(events_.back());
    };
    if (events_.size() > 1 && last_is(static_cast<TransportConnected*>(nullptr))) events_.pop_back();
    if (last_is(static_cast<TransportDisconnected*>(nullptr))) events_.pop_back();
  }
  events_.push_back(std::move(event));
  arrived_.notify();
}

void MqttTransport::Session::on_message(Message message) {
  if (closing_) return;
  const std::size_t bytes = message_bytes(message);
  if (bytes > options_.maximum_message_bytes) {
    refused_->add();
    if (!warned_of_size_) {
      log_.warning("a message above the size limit was refused; further ones are only counted",
                   {{"topic", message.topic}, {"bytes", std::to_string(bytes)}});
    }
    warned_of_size_ = true;
    return;
  }
  received_messages_->add();
  received_bytes_->add(bytes);
  ++waiting_messages_;
  waiting_bytes_ += bytes;
  show_depth();
  put(std::move(message));
}

bool MqttTransport::Session::may_read() const {
  return closing_ ||
         (waiting_messages_ < options_.receive_queue_messages && waiting_bytes_ < options_.receive_queue_bytes);
}

void MqttTransport::Session::on_publish_refused(const std::string& topic, Error reason) {
  refused_->add();
  if (warned_topics_.size() < kRememberedTopics && warned_topics_.insert(topic).second) {
    log_.warning(reason.message, {{"topic", topic}});
  }
  if (refused_topics_.size() < kRememberedTopics) refused_topics_.insert_or_assign(topic, std::move(reason));
}

void MqttTransport::Session::on_too_large(const std::string& topic, std::size_t bytes) {
  refused_->add();
  // Steps are large: whoever waits for what was refused asks again later each time.
  const std::size_t smaller = std::max(kSmallestLimit, bytes / 4);
  if (smaller >= limit_) return;  // One of several that were on their way.
  if (limit_ == options_.maximum_message_bytes) {
    log_.warning(
        "the broker refuses messages of a size that it had not ruled out: they are made smaller until it takes "
        "them; raise its limit (mosquitto: message_size_limit) or give a smaller --maximum-message-size",
        {{"broker", broker_}, {"topic", topic}, {"bytes", std::to_string(bytes)}});
  }
  limit_ = smaller;
  // What was refused is lost, and what is sent from here on is cut otherwise: as after a reconnect.
  TransportConnected again;
  again.maximum_message_bytes = limit_;
  if (connected_) put(again);
}

Task<TransportEvent> MqttTransport::Session::receive(std::shared_ptr<Session> self) {
  while (events_.empty()) co_await arrived_.wait();
  TransportEvent event = std::move(events_.front());
  events_.pop_front();
  if (const auto* message = std::get_if<Message>(&event)) {
    const bool was_full = !may_read();
    --waiting_messages_;
    waiting_bytes_ -= message_bytes(*message);
    show_depth();
    if (was_full && may_read() && connection_) connection_->resume_reading();
  }
  (void)self;
  co_return event;
}

Task<Result<void>> MqttTransport::Session::publish(Message message) {
  const auto unavailable = [&] {
    return Error(Code::Unavailable,
                 "not connected to the broker " + broker_ + ": the message to " + message.topic + " was not sent");
  };
  if (closing_ || !connected()) co_return unavailable();
  if (!is_publishable(message.topic))
    co_return Error(Code::Invalid, "\"" + message.topic + "\" is not a topic to publish to");
  const auto connection = connection_;
  const std::size_t bytes = message_bytes(message);
  const std::size_t limit = std::min(limit_, connection->maximum_message_bytes());
  if (bytes > limit) {
    co_return Error(Code::Invalid, "the message to " + message.topic + " has " + std::to_string(bytes) +
                                       " bytes, the limit is " + std::to_string(limit));
  }
  if (const auto refused = refused_topics_.find(message.topic); refused != refused_topics_.end()) {
    const Error reason = refused->second;
    refused_topics_.erase(refused);
    co_return reason;
  }
  if (++publishes_this_turn_ >= kPublishesPerTurn) {
    publishes_this_turn_ = 0;
    co_await asio::post(runtime_.executor, asio::use_awaitable);
  }
  const bool room = co_await connection->wait_for_room();
  if (!room || closing_) co_return unavailable();
  const Result<void> sent = connection->publish(message);
  if (sent) {
    sent_messages_->add();
    sent_bytes_->add(bytes);
  }
  co_return sent;
}

Task<Result<void>> MqttTransport::Session::subscribe(std::string filter) {
  filters_.try_emplace(filter, 0);
  if (closing_ || !connected()) co_return Result<void>();
  const auto connection = connection_;
  std::vector<std::string> one(1, filter);
  const Result<std::vector<int>> reasons = co_await connection->subscribe(one);
  if (!reasons) {
    if (connection->over()) co_return Result<void>();  // The next connection asks for it.
    filters_.erase(filter);
    co_return reasons.error();
  }
  if (reasons->front() >= 0x80) {
    filters_.erase(filter);
    co_return mqtt::subscribe_refused(reasons->front(), filter);
  }
  if (const auto found = filters_.find(filter); found != filters_.end() && connection == connection_)
    found->second = round_;
  co_return Result<void>();
}

Task<Result<void>> MqttTransport::Session::unsubscribe(std::string filter) {
  filters_.erase(filter);
  if (closing_ || !connected()) co_return Result<void>();
  const auto connection = connection_;
  const Result<void> answered = co_await connection->unsubscribe(filter);
  if (!answered && !connection->over()) co_return answered.error();
  co_return Result<void>();
}

Task<void> MqttTransport::Session::say_goodbye(std::optional<Message> last_word) {
  closing_ = true;
  const bool was_connected = connected_;
  connected_ = false;
  // Ours alone from here: run() would cut it as soon as it ends.
  struct CutOnExit {
    explicit CutOnExit(std::shared_ptr<mqtt::Connection> c) : connection(std::move(c)) {}
    ~CutOnExit() {
      if (connection) connection->cut();
    }
    const std::shared_ptr<mqtt::Connection> connection;
  } guard(std::move(connection_));
  connection_ = nullptr;
  const auto connection = guard.connection;
  if (!connection || connection->over()) co_return;
  connection->resume_reading();
  const TimePoint deadline = runtime_.clock.now() + kGoodbye;
  if (last_word && was_connected && message_bytes(*last_word) <= connection->maximum_message_bytes()) {
    const Result<void> said = connection->publish(*last_word);
    if (!said) log_.warning("the last word was not sent", {{"reason", said.error().message}});
  }
  const bool sent = co_await connection->wait_until_sent(deadline);
  if (!sent)
    log_.warning("the connection was closed before the broker had acknowledged everything", {{"broker", broker_}});
  co_await connection->disconnect(deadline);
}

void MqttTransport::Session::closed() {
  connected_ = false;
  put(TransportDisconnected{Error(Code::Cancelled, "the transport was closed")});
}

Result<std::unique_ptr<MqttTransport>> MqttTransport::open(Runtime& runtime, MqttOptions options) {
  if (options.host.empty()) return invalid("the host is missing");
  if (options.port < 1 || options.port > 65535) return invalid("the port must be from 1 to 65535");
  if (options.client_id.empty() || options.client_id.size() > 65535)
    return invalid("the client id is missing or too long");
  if (options.qos < 0 || options.qos > 2) return invalid("the quality of service must be 0, 1 or 2");
  if (options.window < 1 || options.window > 65535) return invalid("the window must be from 1 to 65535");
  if (options.keepalive < std::chrono::seconds(5) || options.keepalive > std::chrono::seconds(65535)) {
    return invalid("the keepalive must be from 5 to 65535 seconds");
  }
  if (options.username.empty() && !options.password.empty()) return invalid("a password needs a user name");
  if (options.tls.certificate_file.empty() != options.tls.key_file.empty()) {
    return invalid("a client certificate needs its key, and a key its certificate");
  }
  if (options.tls.enabled) {
    // Files that do not fit are found now; at a later connect, when they may have been replaced, they are an outage.
    const auto tls = mqtt::TlsContext::make(options.tls, options.host);
    if (!tls) return tls.error();
  }
  if (options.last_will) {
    if (!is_publishable(options.last_will->topic)) return invalid("the last will's topic is missing or has a wildcard");
    if (message_bytes(*options.last_will) > options.maximum_message_bytes)
      return invalid("the last will is above the size limit");
  }
  return std::unique_ptr<MqttTransport>(new MqttTransport(runtime, std::move(options)));
}

MqttTransport::MqttTransport(Runtime& runtime, MqttOptions options)
    : session_(std::make_shared<Session>(runtime, std::move(options))), tasks_(runtime.executor) {
  tasks_.spawn(Session::run(session_));
}

MqttTransport::~MqttTransport() = default;

Task<Result<void>> MqttTransport::publish(Message message) {
  return session_->publish(std::move(message));
}

Task<Result<void>> MqttTransport::subscribe(std::string filter) {
  return session_->subscribe(std::move(filter));
}

Task<Result<void>> MqttTransport::unsubscribe(std::string filter) {
  return session_->unsubscribe(std::move(filter));
}

Task<TransportEvent> MqttTransport::receive() {
  return session_->receive(session_);
}

bool MqttTransport::connected() const {
  return !session_->closing() && session_->connected();
}

Task<void> MqttTransport::close(std::optional<Message> last_word) {
  const auto session = session_;
  if (session->closing()) co_return;
  co_await session->say_goodbye(std::move(last_word));
  co_await tasks_.stop();
  session->closed();
}

}  // namespace tinf
