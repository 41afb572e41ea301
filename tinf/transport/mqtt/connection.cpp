#include "tinf/transport/mqtt/connection.h"

#include <mqtt_protocol.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>

#include "tinf/transport/mqtt/broker_address.h"
#include "tinf/transport/mqtt/message_properties.h"
#include "tinf/transport/mqtt/reasons.h"

namespace tinf::mqtt {
namespace {

constexpr int kPacketsPerTurn = 64;  // Then others on this executor have theirs.
constexpr Duration kTick = std::chrono::seconds(1);
// libmosquitto disconnects itself when a broker uses its allowance up to the last message at QoS 2, so it gets the
// largest.
constexpr int kReceiveMaximum = 65535;

void find_silent_peer(int socket, Duration timeout) {
  const auto seconds =
      std::max<int>(3, static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(timeout).count()));
  const unsigned unacknowledged_ms = static_cast<unsigned>(seconds) * 1000;
  const int on = 1, idle = std::max(1, seconds / 3), interval = std::max(1, seconds / 3), probes = 2;
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

}  // namespace

struct Connection::Client {
  std::unique_ptr<TlsContext> tls;
  mosquitto* mosq = nullptr;
  Connection* owner = nullptr;  // Null while the connecting thread has the client, and after cut().
  std::string last_log;         // libmosquitto's last error line: the only place where it tells of OpenSSL's errors.

  ~Client() {
    if (mosq != nullptr) mosquitto_destroy(mosq);
  }
};

// Shared with the thread, which may outlive the connection: a name server may take its time.
struct Connection::Attempt {
  Attempt(std::shared_ptr<Client> c, Executor e) : client(std::move(c)), executor(std::move(e)) {}

  std::shared_ptr<Client> client;
  int code = MOSQ_ERR_SUCCESS;
  int system_error = 0;

  std::mutex mutex;  // Guards `executor`: empty once nobody waits any more.
  Executor executor;

  bool done = false;  // Confined to the executor, as is `changed`.
  Signal changed;

  static void run(std::shared_ptr<Attempt> self, std::string host, int port, int keepalive) {
    errno = 0;
    self->code = mosquitto_connect_bind_v5(self->client->mosq, host.c_str(), port, keepalive, nullptr, nullptr);
    self->system_error = errno;
    const std::lock_guard lock(self->mutex);
    if (!self->executor) return;
    asio::post(self->executor, [self] {
      self->done = true;
      self->changed.notify();
    });
  }

  void abandon() {
    const std::lock_guard lock(mutex);
    executor = Executor();
  }
};

struct Connection::Callbacks {
  static Connection* owner(void* object) { return static_cast<Client*>(object)->owner; }

  static void on_connect(mosquitto*, void* object, int reason, int, const mosquitto_property* properties) {
    Connection* self = owner(object);
    if (self == nullptr) return;
    self->connack_ = reason;
    self->changed_.notify();
    std::uint32_t packet = 0;
    if (mosquitto_property_read_int32(properties, MQTT_PROP_MAXIMUM_PACKET_SIZE, &packet, false) != nullptr &&
        packet > 0) {
      self->maximum_message_bytes_ = std::min<std::size_t>(self->maximum_message_bytes_, packet);
    }
    std::uint16_t window = 0;
    if (mosquitto_property_read_int16(properties, MQTT_PROP_RECEIVE_MAXIMUM, &window, false) != nullptr && window > 0) {
      self->window_ = std::min<std::size_t>(self->window_, window);
    }
  }

  static void on_disconnect(mosquitto*, void* object, int reason, const mosquitto_property*) {
    Connection* self = owner(object);
    if (self != nullptr && reason >= 0x80) self->broker_goodbye_ = reason;  // Below: libmosquitto's own numbers.
  }

  static void on_message(mosquitto*, void* object, const mosquitto_message* received,
                         const mosquitto_property* properties) {
    Connection* self = owner(object);
    if (self == nullptr || self->events_ == nullptr) return;
    self->events_->on_message(to_message(*received, properties));
  }

  static void on_publish(mosquitto*, void* object, int packet, int reason, const mosquitto_property*) {
    Connection* self = owner(object);
    if (self == nullptr) return;
    const auto found = self->unacknowledged_.find(packet);
    if (found == self->unacknowledged_.end()) return;  // QoS 0: written.
    const Sent sent = std::move(found->second);
    self->unacknowledged_.erase(found);
    self->acknowledged_at_ = self->runtime_.clock.now();
    self->changed_.notify();
    if (reason < 0x80 || self->events_ == nullptr) return;
    if (reason == MQTT_RC_PACKET_TOO_LARGE) {
      self->events_->on_too_large(sent.topic, sent.bytes);
    } else {
      self->events_->on_publish_refused(sent.topic, publish_refused(reason, sent.topic));
    }
  }

  static void on_subscribe(mosquitto*, void* object, int packet, int count, const int* reasons,
                           const mosquitto_property*) {
    answer(owner(object), packet, std::vector<int>(reasons, reasons + count));
  }
  static void on_unsubscribe(mosquitto*, void* object, int packet, const mosquitto_property*) {
    answer(owner(object), packet, {});
  }
  static void answer(Connection* self, int packet, std::vector<int> reasons) {
    if (self == nullptr) return;
    if (const auto found = self->answers_.find(packet); found != self->answers_.end())
      found->second = std::move(reasons);
    self->changed_.notify();
  }

  static void on_log(mosquitto*, void* object, int level, const char* text) {
    if (level == MOSQ_LOG_ERR) static_cast<Client*>(object)->last_log = text;
  }
};

Connection::Connection(Runtime& runtime, const MqttOptions& options, ConnectionEvents& events)
    : runtime_(runtime),
      options_(options),
      events_(&events),
      broker_(BrokerAddress{options.host, options.port, options.tls.enabled}.to_string()),
      descriptor_(runtime.executor),
      tasks_(runtime.executor),
      maximum_message_bytes_(options.maximum_message_bytes),
      window_(static_cast<std::size_t>(options.window)) {}

Connection::~Connection() {
  if (client_) client_->owner = nullptr;
}

Task<Result<std::shared_ptr<Connection>>> Connection::open(Runtime& runtime, const MqttOptions& options,
                                                           ConnectionEvents& events) {
  const auto connection = std::make_shared<Connection>(runtime, options, events);
  struct CutUnlessKept {
    explicit CutUnlessKept(std::shared_ptr<Connection> c) : connection(std::move(c)) {}
    ~CutUnlessKept() {
      if (connection) connection->cut();
    }
    std::shared_ptr<Connection> connection;
  } guard(connection);
  const Result<void> connected = co_await connection->connect();
  if (!connected) co_return connected.error();
  guard.connection.reset();
  co_return connection;
}

Result<std::shared_ptr<Connection::Client>> Connection::make_client() {
  static std::once_flag once;
  std::call_once(once, [] { mosquitto_lib_init(); });

  auto client = std::make_shared<Client>();
  client->mosq = mosquitto_new(options_.client_id.c_str(), true, client.get());
  if (client->mosq == nullptr) {
    return Error(Code::Invalid, "the client id \"" + options_.client_id + "\" is not one that MQTT knows");
  }
  mosquitto_int_option(client->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  mosquitto_int_option(client->mosq, MOSQ_OPT_RECEIVE_MAXIMUM, kReceiveMaximum);
  mosquitto_int_option(client->mosq, MOSQ_OPT_SEND_MAXIMUM, options_.window);
  mosquitto_int_option(client->mosq, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_log_callback_set(client->mosq, Callbacks::on_log);
  mosquitto_connect_v5_callback_set(client->mosq, Callbacks::on_connect);
  mosquitto_disconnect_v5_callback_set(client->mosq, Callbacks::on_disconnect);
  mosquitto_message_v5_callback_set(client->mosq, Callbacks::on_message);
  mosquitto_publish_v5_callback_set(client->mosq, Callbacks::on_publish);
  mosquitto_subscribe_v5_callback_set(client->mosq, Callbacks::on_subscribe);
  mosquitto_unsubscribe_v5_callback_set(client->mosq, Callbacks::on_unsubscribe);
  if (!options_.username.empty() &&
      mosquitto_username_pw_set(client->mosq, options_.username.c_str(),
                                options_.password.empty() ? nullptr : options_.password.c_str()) != MOSQ_ERR_SUCCESS) {
    return Error(Code::Invalid, "the user name or the password is not one that MQTT can carry");
  }
  if (options_.last_will) {
    const Message& will = *options_.last_will;
    auto properties = to_properties(will);
    if (!properties) return properties.error();
    const int code = mosquitto_will_set_v5(client->mosq, will.topic.c_str(), static_cast<int>(will.body.size()),
                                           will.body.data(), options_.qos, will.retain, properties->get());
    if (code != MOSQ_ERR_SUCCESS) {
      return Error(Code::Invalid, "the last will for " + will.topic + ": " + mosquitto_strerror(code));
    }
    (void)properties->release();  // libmosquitto's now.
  }
  if (options_.tls.enabled) {
    auto tls = TlsContext::make(options_.tls, options_.host);
    if (!tls) return tls.error();
    client->tls = std::move(*tls);
    mosquitto_void_option(client->mosq, MOSQ_OPT_SSL_CTX, client->tls->get());
    mosquitto_int_option(client->mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
  }
  return client;
}

Task<Result<void>> Connection::connect() {
  auto client = make_client();
  if (!client) co_return client.error();
  const TimePoint deadline = runtime_.clock.now() + options_.connect_timeout;
  const Error late(Code::Unavailable, "no answer from the broker " + broker_ + " in time");

  const auto attempt = std::make_shared<Attempt>(*client, runtime_.executor);
  struct AbandonOnExit {
    explicit AbandonOnExit(std::shared_ptr<Attempt> a) : attempt(std::move(a)) {}
    ~AbandonOnExit() { attempt->abandon(); }
    std::shared_ptr<Attempt> attempt;
  } guard(attempt);
  const auto keepalive = std::chrono::duration_cast<std::chrono::seconds>(options_.keepalive).count();
  std::thread(Attempt::run, attempt, options_.host, options_.port, static_cast<int>(keepalive)).detach();
  while (!attempt->done) {
    const bool in_time = co_await attempt->changed.wait_until(runtime_.clock, deadline);
    if (!in_time && !attempt->done) co_return late;
  }
  client_ = std::move(attempt->client);
  if (attempt->code != MOSQ_ERR_SUCCESS) co_return failure(attempt->code, attempt->system_error);
  adopt(*client);
  while (!over() && !connack_) {
    const bool in_time = co_await changed_.wait_until(runtime_.clock, deadline);
    if (!in_time && !over() && !connack_) co_return late;
  }
  if (over()) co_return *reason_;
  co_return Result<void>();
}

void Connection::adopt(std::shared_ptr<Client> client) {
  client->owner = this;
  const int socket = mosquitto_socket(client->mosq);
  find_silent_peer(socket, options_.peer_timeout);
  descriptor_.assign(dup(socket));
  tasks_.spawn(read(shared_from_this()));
  tasks_.spawn(write(shared_from_this()));
  tasks_.spawn(tick(shared_from_this()));
}

Task<Error> Connection::wait_over() {
  const auto self = shared_from_this();
  while (!over()) co_await ended_.wait();
  co_return *reason_;
}

void Connection::cut() {
  end(Error(Code::Cancelled, "the connection was cut"));
  events_ = nullptr;
  tasks_.cancel();
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  if (client_) client_->owner = nullptr;
  client_.reset();  // Closes libmosquitto's socket.
}

Task<void> Connection::disconnect(TimePoint deadline) {
  const auto self = shared_from_this();
  if (over()) co_return;
  after(mosquitto_disconnect_v5(client_->mosq, MQTT_RC_NORMAL_DISCONNECTION, nullptr));
  co_await wait_until_written(deadline);
  // Once DISCONNECT is written libmosquitto has closed its socket; the duplicate is still open.
  end(Error(Code::Cancelled, "the connection was closed"));
  co_await tasks_.stop();
  if (!descriptor_.is_open()) co_return;
  tasks_.spawn(drain(self));
  while (!hung_up_) {
    const bool in_time = co_await changed_.wait_until(runtime_.clock, deadline);
    if (!in_time) co_return;
  }
}

Task<void> Connection::drain(std::shared_ptr<Connection> self) {
  shutdown(descriptor_.native_handle(), SHUT_WR);
  std::vector<char> unwanted(64 * 1024);
  while (true) {
    boost::system::error_code failed;
    co_await descriptor_.async_read_some(asio::buffer(unwanted), asio::redirect_error(asio::use_awaitable, failed));
    if (failed) break;
  }
  self->hung_up_ = true;
  self->changed_.notify();
}

void Connection::end(Error reason) {
  if (over()) return;
  reason_ = std::move(reason);
  changed_.notify();
  ended_.notify();
  readable_.notify();
  writable_.notify();
}

Error Connection::failure(int code, int system_error) const {
  const std::string broker = "the broker " + broker_;
  if (connack_ && *connack_ != 0) return connect_refused(*connack_, broker_, options_.client_id);
  if (broker_goodbye_) return disconnected_by_broker(*broker_goodbye_, broker_, options_.client_id);
  if (client_->tls && !client_->tls->refusal().empty()) {
    return Error(Code::Unauthorized, "the certificate of " + broker + " was refused: " + client_->tls->refusal() +
                                         "; give the certificate authority that signed it");
  }
  // The port was reached, be it that the end of the connection came before the connect was known to have succeeded.
  const bool reached =
      client_->owner != nullptr || system_error == EPROTO || system_error == ECONNRESET || system_error == EPIPE;
  if (!connack_ && client_->tls && reached) {
    // An alert may come with a text, without one, or be overtaken by the end of the connection.
    const bool alert = !client_->last_log.empty() || (code == MOSQ_ERR_ERRNO && system_error == EPROTO);
    return Error(alert ? Code::Unauthorized : Code::Unavailable,
                 "TLS with " + broker + " failed: " +
                     (client_->last_log.empty() ? "it ended the connection before it answered" : client_->last_log) +
                     "; check that the port speaks TLS and whether a client certificate is asked for");
  }
  if (!connack_ && (code == MOSQ_ERR_PROTOCOL || code == MOSQ_ERR_MALFORMED_PACKET)) {
    return Error(Code::Invalid, broker +
                                    " did not answer in MQTT 5; if it speaks only MQTT 3.1.1, use one that speaks " +
                                    "MQTT 5, such as mosquitto 2");
  }
  // Of two clients with one id each throws the other out, and most brokers do not say why. Nor does RabbitMQ
  // before 3.13 say why it will not have us; but a broker that is starting, or a proxy without one, does the same.
  const Error closed(
      Code::Unavailable,
      broker +
          (connack_
               ? " closed the connection; if that repeats, look for another client with our id " + options_.client_id
               : " closed the connection without an answer; if that repeats, it may speak only MQTT 3.1.1: use "
                 "one that speaks MQTT 5, such as mosquitto 2"));
  switch (code) {
    case MOSQ_ERR_EAI:
      return Error(Code::Unavailable, "the host of " + broker + " cannot be resolved");
    case MOSQ_ERR_ERRNO:
      if (system_error == 0) return closed;
      return Error(Code::Unavailable, (connack_ ? "the connection to " : "cannot connect to ") + broker +
                                          (connack_ ? " broke: " : ": ") + std::strerror(system_error));
    case MOSQ_ERR_KEEPALIVE:
      return Error(Code::Unavailable, broker + " did not answer within the keepalive");
    case MOSQ_ERR_CONN_LOST:
    case MOSQ_ERR_NO_CONN:
    case MOSQ_ERR_SUCCESS:
      return closed;
    default:
      return Error(Code::Unavailable, "the connection to " + broker + " broke: " + mosquitto_strerror(code));
  }
}

void Connection::after(int code) {
  const int system_error = errno;
  if (over()) return;
  const bool refused = connack_ && *connack_ != 0;
  if (code != MOSQ_ERR_SUCCESS || refused || mosquitto_socket(client_->mosq) < 0) {
    end(failure(code, system_error));
    return;
  }
  if (mosquitto_want_write(client_->mosq)) writable_.notify();
}

Task<void> Connection::read(std::shared_ptr<Connection> self) {
  while (!over()) {
    if (events_ != nullptr && !events_->may_read()) {
      co_await readable_.wait();
      continue;
    }
    if (more_to_read_) {
      co_await asio::post(runtime_.executor, asio::use_awaitable);
    } else {
      boost::system::error_code failed;
      co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                                      asio::redirect_error(asio::use_awaitable, failed));
      if (failed) continue;
    }
    if (!over()) read_available();
  }
  (void)self;
}

void Connection::read_available() {
  int code = MOSQ_ERR_SUCCESS;
  more_to_read_ = true;
  for (int i = 0; i < kPacketsPerTurn && events_->may_read(); ++i) {
    errno = 0;
    code = mosquitto_loop_read(client_->mosq, 1);
    if (code != MOSQ_ERR_SUCCESS || mosquitto_socket(client_->mosq) < 0) break;
    if (errno == EAGAIN) {  // Set anew by every read of libmosquitto's, and its reads end with one that finds nothing.
      const auto* ssl = static_cast<const SSL*>(mosquitto_ssl_get(client_->mosq));
      more_to_read_ = ssl != nullptr && SSL_pending(ssl) > 0;
      if (!more_to_read_) break;
    }
  }
  after(code);
}

Task<void> Connection::write(std::shared_ptr<Connection> self) {
  while (!over()) {
    if (!mosquitto_want_write(client_->mosq)) {
      co_await writable_.wait();
      continue;
    }
    boost::system::error_code failed;
    co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_write,
                                    asio::redirect_error(asio::use_awaitable, failed));
    if (failed || over()) continue;
    after(mosquitto_loop_write(client_->mosq, 1));
    if (!over() && !mosquitto_want_write(client_->mosq)) changed_.notify();
  }
  (void)self;
}

Task<void> Connection::tick(std::shared_ptr<Connection> self) {
  while (!over()) {
    co_await runtime_.clock.sleep_for(kTick);
    if (!over()) after(mosquitto_loop_misc(client_->mosq));
    if (!over()) look_for_acknowledgements();
  }
  (void)self;
}

void Connection::look_for_acknowledgements() {
  // Those that wait in the socket behind a slow receiver are not the broker's fault.
  if (events_ != nullptr && !events_->may_read()) acknowledged_at_ = runtime_.clock.now();
  if (unacknowledged_.empty() || runtime_.clock.now() - acknowledged_at_ < options_.acknowledge_timeout) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.acknowledge_timeout).count();
  end(Error(Code::Unavailable, "the broker " + broker_ + " has acknowledged none of " +
                                   std::to_string(unacknowledged_.size()) + " messages for " + std::to_string(seconds) +
                                   " s; look at its load and at what lies between"));
}

bool Connection::has_room() const {
  return unacknowledged_.size() < window_ && !mosquitto_want_write(client_->mosq);
}

Task<bool> Connection::wait_for_room() {
  const auto self = shared_from_this();
  while (!over() && !has_room()) co_await changed_.wait();
  co_return !over();
}

Task<bool> Connection::wait_until_written(TimePoint deadline) {
  const auto self = shared_from_this();
  while (!over() && mosquitto_want_write(client_->mosq)) {
    const bool in_time = co_await changed_.wait_until(runtime_.clock, deadline);
    if (!in_time) co_return false;
  }
  co_return !over();
}

Task<bool> Connection::wait_until_sent(TimePoint deadline) {
  const auto self = shared_from_this();
  while (!over() && !unacknowledged_.empty()) {
    const bool in_time = co_await changed_.wait_until(runtime_.clock, deadline);
    if (!in_time) co_return false;
  }
  const bool written = co_await wait_until_written(deadline);
  co_return written;
}

Result<void> Connection::publish(const Message& message) {
  if (over()) return *reason_;
  auto properties = to_properties(message);
  if (!properties) return properties.error();
  int packet = 0;
  const int code =
      mosquitto_publish_v5(client_->mosq, &packet, message.topic.c_str(), static_cast<int>(message.body.size()),
                           message.body.data(), options_.qos, message.retain, properties->get());
  switch (code) {
    case MOSQ_ERR_SUCCESS:
      if (options_.qos > 0) {
        if (unacknowledged_.empty()) acknowledged_at_ = runtime_.clock.now();
        unacknowledged_.emplace(packet, Sent{message.topic, message_bytes(message)});
      }
      after(code);
      return Result<void>();
    case MOSQ_ERR_INVAL:
    case MOSQ_ERR_MALFORMED_UTF8:
    case MOSQ_ERR_PAYLOAD_SIZE:
    case MOSQ_ERR_OVERSIZE_PACKET:
    case MOSQ_ERR_QOS_NOT_SUPPORTED:
    case MOSQ_ERR_RETAIN_NOT_SUPPORTED:
      return Error(Code::Invalid, "the message to " + message.topic + " cannot be sent: " + mosquitto_strerror(code));
    default:
      after(code);
      return Error(Code::Unavailable, over() ? reason_->message : mosquitto_strerror(code));
  }
}

Task<Result<std::vector<int>>> Connection::answer_to(int code, int packet) {
  const auto self = shared_from_this();
  if (code == MOSQ_ERR_INVAL || code == MOSQ_ERR_MALFORMED_UTF8) {
    co_return Error(Code::Invalid, std::string("not a filter that MQTT knows: ") + mosquitto_strerror(code));
  }
  answers_.emplace(packet, std::nullopt);
  after(code);
  while (!over() && !answers_[packet]) co_await changed_.wait();
  auto answer = std::move(answers_[packet]);
  answers_.erase(packet);
  if (!answer) co_return Error(Code::Unavailable, reason_->message);
  co_return std::move(*answer);
}

Task<Result<std::vector<int>>> Connection::subscribe(const std::vector<std::string>& filters) {
  if (over()) co_return Error(Code::Unavailable, reason_->message);
  std::vector<char*> names;
  for (const std::string& filter : filters) names.push_back(const_cast<char*>(filter.c_str()));
  int packet = 0;
  const int code = mosquitto_subscribe_multiple(client_->mosq, &packet, static_cast<int>(names.size()), names.data(),
                                                options_.qos, 0, nullptr);
  Result<std::vector<int>> reasons = co_await answer_to(code, packet);
  if (reasons && reasons->size() != filters.size()) {
    co_return Error(Code::Unavailable,
                    "the broker " + broker_ + " answered a subscription with the wrong number of reasons");
  }
  co_return reasons;
}

Task<Result<void>> Connection::unsubscribe(const std::string& filter) {
  if (over()) co_return Error(Code::Unavailable, reason_->message);
  int packet = 0;
  const int code = mosquitto_unsubscribe_v5(client_->mosq, &packet, filter.c_str(), nullptr);
  const Result<std::vector<int>> answered = co_await answer_to(code, packet);
  if (!answered) co_return answered.error();
  co_return Result<void>();
}

}  // namespace tinf::mqtt
