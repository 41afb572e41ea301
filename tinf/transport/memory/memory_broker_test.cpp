// The memory broker passes the suite of all transports; the rest is about the faults it can make.
#include "tinf/transport/memory/memory_broker.h"

#include "tinf/contract/transport_contract.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

struct MemoryHarness {
  static constexpr std::size_t kMaximumMessageBytes = 64 * 1024;

  MemoryHarness() {
    broker.set_access_rule([](const std::string&, MemoryBroker::Access, const std::string& topic) {
      return !topic.starts_with("forbidden/");
    });
  }

  std::unique_ptr<Transport> connect(std::string client_id, std::optional<Message> last_will) {
    MemoryTransportOptions options(std::move(client_id));
    options.last_will = std::move(last_will);
    options.maximum_message_bytes = kMaximumMessageBytes;
    return std::make_unique<MemoryTransport>(broker, std::move(options));
  }
  void stop_broker() { broker.stop(); }
  void start_broker() { broker.start(); }
  template <class T>
  T await(Task<T> task) {
    return time.await(std::move(task));
  }

  testing::VirtualTime time;
  MemoryBroker broker{time.runtime()};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Memory, TransportContract, MemoryHarness);

struct MemoryBrokerTest : ::testing::Test {
  // What a client heard, in order: bodies, "+" connected, "-" disconnected.
  struct Ear {
    explicit Ear(MemoryBroker& broker, testing::VirtualTime& time, std::string id)
        : time(time), transport(broker, MemoryTransportOptions(std::move(id))), listening(time.runtime().executor) {
      listening.spawn(listen(transport, heard));
      time.run_for(Duration::zero());
    }
    ~Ear() {
      listening.cancel();
      time.run_for(Duration::zero());
    }
    static Task<void> listen(Transport& transport, std::vector<std::string>& heard) {
      while (true) {
        TransportEvent event = co_await transport.receive();
        if (auto* message = std::get_if<Message>(&event)) {
          heard.push_back(message->body);
        } else {
          heard.push_back(std::holds_alternative<TransportConnected>(event) ? "+" : "-");
        }
      }
    }
    testing::VirtualTime& time;
    MemoryTransport transport;
    std::vector<std::string> heard;
    TaskGroup listening;
  };

  void say(Transport& transport, std::string body) {
    Message message;
    message.topic = "t";
    message.body = std::move(body);
    EXPECT_TRUE(time.await(transport.publish(std::move(message))).has_value());
  }

  static MemoryBrokerOptions short_queues() {
    MemoryBrokerOptions options;
    options.maximum_queue_messages = 3;
    return options;
  }

  testing::VirtualTime time;
  MemoryBroker broker{time.runtime(), short_queues()};
};

TEST_F(MemoryBrokerTest, TheHookDropsRepeatsAndDelaysPerDelivery) {
  Ear a(broker, time, "a"), b(broker, time, "b");
  (void)time.await(a.transport.subscribe("t"));
  (void)time.await(b.transport.subscribe("t"));
  broker.set_delivery_hook([](const std::string& client, const Message& message) {
    MemoryBroker::Delivery delivery;
    if (client == "a" && message.body == "lost") delivery.copies = 0;
    if (client == "a" && message.body == "twice") delivery.copies = 2;
    if (client == "a" && message.body == "late") delivery.delay = 1s;
    return delivery;
  });
  for (const char* body : {"late", "lost", "twice"}) {
    say(a.transport, body);
    time.run_for(Duration::zero());
  }
  time.run_for(2s);
  EXPECT_THAT(a.heard, ElementsAre("+", "twice", "twice", "late"));
  EXPECT_THAT(b.heard, ElementsAre("+", "late", "lost", "twice"));
}

TEST_F(MemoryBrokerTest, ADelayedMessageDiesWithItsConnection) {
  Ear a(broker, time, "a");
  (void)time.await(a.transport.subscribe("t"));
  broker.set_delivery_hook([](const std::string&, const Message&) {
    MemoryBroker::Delivery late;
    late.delay = 1s;
    return late;
  });
  say(a.transport, "late");
  broker.disconnect("a");
  time.run_for(5s);
  EXPECT_THAT(a.heard, ElementsAre("+", "-", "+"));
}

TEST_F(MemoryBrokerTest, AnUnreachableClientComesBackOnlyWhenReachable) {
  Ear a(broker, time, "a");
  broker.set_reachable("a", false);
  time.run_for(60s);
  EXPECT_THAT(a.heard, ElementsAre("+", "-"));
  broker.set_reachable("a", true);
  time.run_for(1s);
  EXPECT_THAT(a.heard, ElementsAre("+", "-", "+"));
}

TEST_F(MemoryBrokerTest, AClientThatDoesNotReceiveLosesWhatExceedsItsQueue) {
  MemoryTransport silent(broker, MemoryTransportOptions("silent"));
  Ear a(broker, time, "a");
  (void)time.await(silent.subscribe("t"));
  for (const char* body : {"1", "2", "3", "4", "5"}) say(a.transport, body);
  EXPECT_EQ(broker.lost_messages(), 2u);
}

TEST_F(MemoryBrokerTest, ConnectionsThatComeAndGoUnseenLeaveAFewEvents) {
  MemoryTransport silent(broker, MemoryTransportOptions("silent"));
  for (int i = 0; i < 100; ++i) {
    time.run_for(1s);
    broker.disconnect("silent");
  }
  time.run_for(1s);
  std::vector<std::size_t> kinds;
  for (int i = 0; i < 3; ++i) kinds.push_back(time.await(silent.receive()).index());
  EXPECT_THAT(kinds, ElementsAre(1u, 2u, 1u));
  EXPECT_TRUE(silent.connected());
}

TEST_F(MemoryBrokerTest, TwoClientsWithOneIdDoNotThrowEachOtherOutInATightLoop) {
  Ear a(broker, time, "same"), b(broker, time, "same");
  time.run_for(60s);
  EXPECT_LE(a.heard.size() + b.heard.size(), 16u);
}

}  // namespace
}  // namespace tinf
