// Topics are routed by name where a filter is one, so that thousands of clients cost no more than those who listen;
// filters with wildcards are compared one by one.
#include "tinf/transport/memory/memory_broker.h"

#include <boost/asio/post.hpp>

namespace tinf {
namespace {

constexpr Duration kAfterTakeover =
    std::chrono::seconds(10);  // Two with one id must not throw each other out in a tight loop.

bool has_wildcard(const std::string& filter) {
  return filter.find_first_of("+#") != std::string::npos;
}

}  // namespace

struct MemoryBroker::Client {
  explicit Client(MemoryTransportOptions o) : options(std::move(o)) {}

  const MemoryTransportOptions options;
  std::set<std::string> filters;
  std::deque<TransportEvent> events;
  std::size_t waiting_messages = 0;  // In `events` and delayed.
  std::uint64_t session = 0;         // 0: not connected. A delivery belongs to one session and dies with it.
  std::size_t maximum_message_bytes = 0;
  bool taken_over = false;
  bool closed = false;
  Signal arrived;  // Something in `events`.
  Signal changed;  // Connected, disconnected, reachable again.
};

MemoryBroker::MemoryBroker(Runtime& runtime, MemoryBrokerOptions options)
    : runtime_(runtime), options_(options), delayed_(runtime.executor) {}

MemoryBroker::~MemoryBroker() = default;

void MemoryBroker::disconnect(const std::string& client_id) {
  const auto found = sessions_.find(client_id);
  if (found == sessions_.end()) return;
  detach(found->second, Error(Code::Unavailable, "the connection of client " + client_id + " broke"), true);
}

void MemoryBroker::set_reachable(const std::string& client_id, bool reachable) {
  if (reachable) {
    unreachable_.erase(client_id);
    wake_all();
  } else {
    unreachable_.insert(client_id);
    disconnect(client_id);
  }
}

void MemoryBroker::stop(bool forgets) {
  running_ = false;
  if (forgets) retained_.clear();
  while (!sessions_.empty()) detach(sessions_.begin()->second, Error(Code::Unavailable, "the broker stopped"), false);
}

void MemoryBroker::start() {
  running_ = true;
  wake_all();
}

std::optional<Message> MemoryBroker::retained(const std::string& topic) const {
  const auto found = retained_.find(topic);
  return found == retained_.end() ? std::nullopt : std::optional<Message>(found->second);
}

bool MemoryBroker::reachable(const Client& client) const {
  return running_ && !unreachable_.contains(client.options.client_id);
}

void MemoryBroker::attach(const std::shared_ptr<Client>& client) {
  const std::string& id = client->options.client_id;
  if (const auto other = sessions_.find(id); other != sessions_.end()) {
    const auto loser = other->second;
    loser->taken_over = true;
    const Error taken(Code::Conflict, "another client connected with the client id " + id + "; give each its own");
    detach(loser, options_.says_why ? taken : Error(Code::Unavailable, "the broker closed the connection"), true);
  }
  for (const std::string& filter : client->filters) {
    if (allowed(*client, Access::Subscribe, filter)) continue;
    put(*client,
        TransportDisconnected{Error(Code::Forbidden, "the broker does not let " + id + " subscribe to " + filter)});
    return;
  }
  for (const std::string& filter : client->filters) listen(*client, filter);
  client->session = ++last_session_;
  client->maximum_message_bytes = std::min(options_.maximum_message_bytes, client->options.maximum_message_bytes);
  sessions_[id] = client;
  put(*client, TransportConnected{client->maximum_message_bytes});
  for (const std::string& filter : client->filters) deliver_retained(client, filter);
}

void MemoryBroker::detach(const std::shared_ptr<Client>& held, Error reason, bool with_last_will) {
  const auto client = held;  // `held` may be the element of sessions_ itself.
  sessions_.erase(client->options.client_id);
  for (const std::string& filter : client->filters) unlisten(*client, filter);
  client->session = 0;
  put(*client, TransportDisconnected{std::move(reason)});
  client->changed.notify();
  if (with_last_will && client->options.last_will) publish(*client->options.last_will);
}

bool MemoryBroker::allowed(const Client& client, Access access, const std::string& topic) const {
  return !rule_ || rule_(client.options.client_id, access, topic);
}

void MemoryBroker::publish(Message message) {
  if (message.retain) {
    if (message.body.empty()) {
      retained_.erase(message.topic);
    } else {
      retained_[message.topic] = message;
    }
    message.retain = false;  // Inbound it means "was kept", which of this copy is not true.
  }
  std::set<std::string> receivers;  // Once each, in a settled order, however many of their filters match.
  if (const auto by_name = listeners_.find(message.topic); by_name != listeners_.end()) receivers = by_name->second;
  for (const std::string& filter : wildcards_) {
    if (topic_matches(filter, message.topic))
      receivers.insert(listeners_.at(filter).begin(), listeners_.at(filter).end());
  }
  for (const std::string& id : receivers) deliver(sessions_.at(id), message);
}

void MemoryBroker::listen(const Client& client, const std::string& filter) {
  listeners_[filter].insert(client.options.client_id);
  if (has_wildcard(filter)) wildcards_.insert(filter);
}

void MemoryBroker::unlisten(const Client& client, const std::string& filter) {
  const auto found = listeners_.find(filter);
  if (found == listeners_.end()) return;
  found->second.erase(client.options.client_id);
  if (!found->second.empty()) return;
  listeners_.erase(found);
  wildcards_.erase(filter);
}

void MemoryBroker::deliver(const std::shared_ptr<Client>& client, Message message) {
  if (message_bytes(message) > client->maximum_message_bytes) return;  // As brokers do, in silence.
  const Delivery delivery = hook_ ? hook_(client->options.client_id, message) : Delivery();
  for (int copy = 0; copy < delivery.copies; ++copy) {
    if (client->waiting_messages >= options_.maximum_queue_messages) {
      ++lost_;
      continue;
    }
    ++client->waiting_messages;
    if (delivery.delay > Duration::zero()) {
      delayed_.spawn(deliver_later(*this, client, client->session, message, delivery.delay));
    } else {
      put(*client, message);
    }
  }
}

Task<void> MemoryBroker::deliver_later(MemoryBroker& broker, std::weak_ptr<Client> to, std::uint64_t session,
                                       Message message, Duration delay) {
  co_await broker.runtime_.clock.sleep_for(delay);
  const auto client = to.lock();
  if (!client) co_return;
  if (client->session == session) {
    put(*client, std::move(message));
  } else {
    --client->waiting_messages;
  }
}

void MemoryBroker::deliver_retained(const std::shared_ptr<Client>& client, const std::string& filter) {
  if (!has_wildcard(filter)) {
    if (const auto found = retained_.find(filter); found != retained_.end()) deliver(client, found->second);
    return;
  }
  for (const auto& [topic, message] : retained_) {
    if (topic_matches(filter, topic)) deliver(client, message);
  }
}

void MemoryBroker::wake_all() {
  for (Client* client : clients_) client->changed.notify();
}

void MemoryBroker::put(Client& client, TransportEvent event) {
  if (std::holds_alternative<TransportDisconnected>(event)) {
    // A connection that came and went while nobody received leaves one event, not a growing number.
    auto& events = client.events;
    const auto last_is_connected = [&] {
      return !events.empty() && std::holds_alternative<TransportConnected>(events.back());
    };
    const auto last_is_disconnected = [&] {
      return !events.empty() && std::holds_alternative<TransportDisconnected>(events.back());
    };
    if (last_is_connected() && events.size() > 1) events.pop_back();
    if (last_is_disconnected()) events.pop_back();
  }
  client.events.push_back(std::move(event));
  client.arrived.notify();
}

MemoryTransport::MemoryTransport(MemoryBroker& broker, MemoryTransportOptions options)
    : broker_(broker),
      client_(std::make_shared<MemoryBroker::Client>(std::move(options))),
      tasks_(broker.runtime_.executor) {
  broker_.clients_.push_back(client_.get());
  tasks_.spawn(stay_connected(broker_, client_));
}

MemoryTransport::~MemoryTransport() {
  std::erase(broker_.clients_, client_.get());
  client_->closed = true;
  if (client_->session != 0) broker_.detach(client_, Error(Code::Cancelled, "the transport is gone"), true);
}

Task<void> MemoryTransport::stay_connected(MemoryBroker& broker, std::shared_ptr<MemoryBroker::Client> client) {
  while (!client->closed) {
    while (!broker.reachable(*client)) co_await client->changed.wait();
    if (client->closed) co_return;
    broker.attach(client);
    while (client->session != 0) co_await client->changed.wait();
    if (client->closed) co_return;  // The broker may be gone, too.
    const Duration pause = client->taken_over ? kAfterTakeover : client->options.reconnect_after;
    client->taken_over = false;
    co_await broker.runtime_.clock.sleep_for(pause);
  }
}

Task<Result<void>> MemoryTransport::publish(Message message) {
  // Gives the receivers a turn, so that a flood ends in their queues only if they do not receive.
  co_await asio::post(broker_.runtime_.executor, asio::use_awaitable);
  if (!connected())
    co_return Error(Code::Unavailable, "not connected to the broker: " + message.topic + " was not published");
  if (message_bytes(message) > client_->maximum_message_bytes) {
    co_return Error(Code::Invalid, "the message for " + message.topic + " has " +
                                       std::to_string(message_bytes(message)) + " bytes, the limit is " +
                                       std::to_string(client_->maximum_message_bytes));
  }
  if (!broker_.allowed(*client_, MemoryBroker::Access::Publish, message.topic)) {
    co_return Error(Code::Forbidden,
                    "the broker does not let " + client_->options.client_id + " publish to " + message.topic);
  }
  broker_.publish(std::move(message));
  co_return Result<void>();
}

Task<Result<void>> MemoryTransport::subscribe(std::string filter) {
  if (connected()) {
    if (!broker_.allowed(*client_, MemoryBroker::Access::Subscribe, filter)) {
      co_return Error(Code::Forbidden,
                      "the broker does not let " + client_->options.client_id + " subscribe to " + filter);
    }
    client_->filters.insert(filter);
    broker_.listen(*client_, filter);
    broker_.deliver_retained(client_, filter);
  } else {
    client_->filters.insert(filter);
  }
  co_return Result<void>();
}

Task<Result<void>> MemoryTransport::unsubscribe(std::string filter) {
  client_->filters.erase(filter);
  if (connected()) broker_.unlisten(*client_, filter);
  co_return Result<void>();
}

Task<TransportEvent> MemoryTransport::receive() {
  const auto client = client_;  // A cancelled receive() may unwind after the transport has gone.
  while (client->events.empty()) co_await client->arrived.wait();
  TransportEvent event = std::move(client->events.front());
  client->events.pop_front();
  if (std::holds_alternative<Message>(event)) --client->waiting_messages;
  co_return event;
}

bool MemoryTransport::connected() const {
  return client_->session != 0;
}

Task<void> MemoryTransport::close(std::optional<Message> last_word) {
  if (client_->closed) co_return;
  if (last_word && connected()) {
    const Result<void> best_effort = co_await publish(std::move(*last_word));
    (void)best_effort;
  }
  client_->closed = true;
  const Error reason(Code::Cancelled, "the transport was closed");
  if (connected()) {
    broker_.detach(client_, reason, false);
  } else {
    MemoryBroker::put(*client_, TransportDisconnected{reason});
  }
  co_await tasks_.stop();
}

}  // namespace tinf
