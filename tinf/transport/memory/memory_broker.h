// MemoryBroker and MemoryTransport: a message broker inside the process, and a client of it.
// For processes that need no network, and for every test and simulation: its faults are chosen by a function.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/contract/transport.h"

namespace tinf {

struct MemoryBrokerOptions {
  std::size_t maximum_message_bytes = 256 * 1024;
  // Deliveries that wait for one client, delayed ones included; further ones are lost, as with a broker's queue limit.
  std::size_t maximum_queue_messages = 1000;
  // Whether a client is told that another took its id; some brokers just close the connection.
  bool says_why = true;

  MemoryBrokerOptions() = default;
};

// Topics, wildcards, retained messages, last wills, takeover of a client id; sessions are clean.
// Without a delivery hook and within the queue limit nothing is lost and the order is that of the publishers.
// Confined to the runtime's executor, as are its clients. Outlives them.
class MemoryBroker {
 public:
  // What becomes of one message on its way to one client.
  struct Delivery {
    int copies = 1;    // 0: lost.
    Duration delay{};  // On the runtime's clock; what is delayed longer is overtaken.
  };
  // Must not call the broker.
  using DeliveryHook = std::function<Delivery(const std::string& client_id, const Message& message)>;

  enum class Access { Publish, Subscribe };
  // False: Forbidden. `topic` is the filter of a subscription.
  using AccessRule = std::function<bool(const std::string& client_id, Access access, const std::string& topic)>;

  explicit MemoryBroker(Runtime& runtime, MemoryBrokerOptions options = MemoryBrokerOptions());
  ~MemoryBroker();

  void set_delivery_hook(DeliveryHook hook) { hook_ = std::move(hook); }
  void set_access_rule(AccessRule rule) { rule_ = std::move(rule); }

  // Breaks one client's connection: its last will goes out, messages on their way to it are lost. It reconnects by
  // itself.
  void disconnect(const std::string& client_id);

  // An unreachable client is disconnected and stays so until it is reachable again.
  void set_reachable(const std::string& client_id, bool reachable);

  // A stopped broker knows no clients; no last will goes out. Retained messages are forgotten, as by a broker without a
  // disk, or not.
  void stop(bool forgets = true);
  void start();

  std::optional<Message> retained(const std::string& topic) const;
  std::size_t connected_clients() const { return sessions_.size(); }
  std::size_t lost_messages() const { return lost_; }  // To queue limits only.

 private:
  friend class MemoryTransport;
  struct Client;

  bool reachable(const Client& client) const;
  void attach(const std::shared_ptr<Client>& client);
  void detach(const std::shared_ptr<Client>& client, Error reason, bool with_last_will);
  bool allowed(const Client& client, Access access, const std::string& topic) const;
  void publish(Message message);
  void listen(const Client& client, const std::string& filter);
  void unlisten(const Client& client, const std::string& filter);
  void deliver(const std::shared_ptr<Client>& client, Message message);
  void deliver_retained(const std::shared_ptr<Client>& client, const std::string& filter);
  void wake_all();
  static void put(Client& client, TransportEvent event);
  static Task<void> deliver_later(MemoryBroker& broker, std::weak_ptr<Client> client, std::uint64_t session,
                                  Message message, Duration delay);

  // Constant after construction.
  Runtime& runtime_;
  const MemoryBrokerOptions options_;

  // Confined to the executor.
  DeliveryHook hook_;
  AccessRule rule_;
  bool running_ = true;
  std::map<std::string, Message> retained_;
  std::map<std::string, std::shared_ptr<Client>> sessions_;  // The connected ones, by client id.
  std::map<std::string, std::set<std::string>> listeners_;   // Ids of connected clients, by filter.
  std::set<std::string> wildcards_;                          // Those filters that are patterns.
  std::vector<Client*> clients_;                             // All that live, connected or not, as they came.
  std::set<std::string> unreachable_;
  std::uint64_t last_session_ = 0;
  std::size_t lost_ = 0;
  TaskGroup delayed_;
};

struct MemoryTransportOptions {
  std::string client_id;
  std::optional<Message> last_will;
  std::size_t maximum_message_bytes = 256 * 1024;
  Duration reconnect_after = std::chrono::milliseconds(100);  // Ten seconds after another client took our id.

  MemoryTransportOptions() = default;
  explicit MemoryTransportOptions(std::string id) : client_id(std::move(id)) {}
};

// Connects on a later turn of the executor. Destroyed without close(): its last will goes out.
class MemoryTransport final : public Transport {
 public:
  MemoryTransport(MemoryBroker& broker, MemoryTransportOptions options);
  ~MemoryTransport() override;

  Task<Result<void>> publish(Message message) override;
  Task<Result<void>> subscribe(std::string filter) override;
  Task<Result<void>> unsubscribe(std::string filter) override;
  Task<TransportEvent> receive() override;
  bool connected() const override;
  Task<void> close(std::optional<Message> last_word) override;

 private:
  static Task<void> stay_connected(MemoryBroker& broker, std::shared_ptr<MemoryBroker::Client> client);

  MemoryBroker& broker_;
  std::shared_ptr<MemoryBroker::Client> client_;  // Shared with the broker and with tasks that are still unwinding.
  TaskGroup tasks_;
};

}  // namespace tinf
