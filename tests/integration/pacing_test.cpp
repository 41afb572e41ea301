// A hub whose thousand clusters all come back at once: it asks a few at a time, in turn, and all are equal soon.
// TINF_PACING_CLUSTERS=n sets how many.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "tinf/follower/broker_session.h"
#include "tinf/informer/reflect.h"
#include "tinf/provider/provider.h"
#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/live_source.h"
#include "tinf/testing/virtual_time.h"
#include "tinf/transport/memory/memory_broker.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using testing::configmaps;

std::size_t clusters() {
  const char* const text = std::getenv("TINF_PACING_CLUSTERS");
  return text == nullptr ? 1000 : std::strtoull(text, nullptr, 10);
}

template <class Component>
Task<void> run(Component& component) {
  (void)co_await component.run();
}

struct Member {
  Member(testing::VirtualTime& time, MemoryBroker& broker, testing::LiveSource& source, std::size_t number) {
    ProviderOptions options;
    options.cluster = "c" + std::to_string(number);
    options.instance = "i" + std::to_string(number);
    MemoryTransportOptions connection("provider-" + options.instance);
    connection.last_will = Provider::last_will(options);
    connection.reconnect_after = 1s;
    transport = std::make_unique<MemoryTransport>(broker, connection);
    provider = std::make_unique<Provider>(
        time.runtime(), *transport, options, [&time, &source](Scope scope, StoreWriter& sink, SourceReport report) {
          return reflect(time.runtime(), std::move(scope), source, sink, std::move(report));
        });
    provider->offer(
        {ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}}, "", "");
    tasks = std::make_unique<TaskGroup>(time.runtime().executor);
    tasks->spawn(run(*provider));
  }

  Task<void> stop() {
    co_await tasks->stop();
    co_await provider->stop();
  }

  std::unique_ptr<MemoryTransport> transport;
  std::unique_ptr<Provider> provider;
  std::unique_ptr<TaskGroup> tasks;
};

struct Copy {
  Copy(testing::VirtualTime& time, BrokerSession& session, std::string name)
      : cluster(std::move(name)),
        source(session.open(cluster, &store)),
        reflector(std::make_unique<Reflector>(time.runtime(), configmaps(), *source, store)) {}

  const std::string cluster;
  MemoryStore store;
  std::unique_ptr<ListerWatcher> source;
  std::unique_ptr<Reflector> reflector;
};

TEST(Pacing, AThousandClustersThatReturnAtOnceAreAskedAFewAtATime) {
  testing::VirtualTime time;
  MemoryBrokerOptions limits;
  limits.maximum_queue_messages = 100000;
  MemoryBroker broker(time.runtime(), limits);
  testing::LiveSource source;
  for (int i = 0; i < 20; ++i) source.put("o" + std::to_string(i));

  MemoryTransport transport(broker, MemoryTransportOptions("hub"));
  SessionOptions options;
  options.client = "hub";
  BrokerSession session(time.runtime(), transport, options);
  TaskGroup tasks(time.runtime().executor);
  std::vector<std::unique_ptr<Copy>> copies;
  std::set<std::string> known;
  session.on_cluster([&](const ClusterView& cluster) {
    if (!cluster.present || !known.insert(cluster.name).second) return;
    copies.push_back(std::make_unique<Copy>(time, session, cluster.name));
    tasks.spawn(copies.back()->reflector->run());
  });
  tasks.spawn(run(session));
  std::vector<std::unique_ptr<Member>> members;
  for (std::size_t i = 0; i < clusters(); ++i) members.push_back(std::make_unique<Member>(time, broker, source, i));

  std::size_t peak = 0;
  const auto proven_since = [&](TimePoint then) {
    std::size_t checked = 0;
    return time.run_until([&] {
      peak = std::max(peak, session.asking());
      for (; checked < copies.size(); ++checked) {
        const auto standing = session.standing(copies[checked]->cluster, configmaps().id());
        if (!standing || !standing->proven_at || *standing->proven_at < then) return false;
      }
      return checked == clusters();
    });
  };
  TimePoint began = time.now();
  ASSERT_TRUE(proven_since(began));
  const double first = std::chrono::duration<double>(time.now() - began).count();
  EXPECT_LE(peak, options.admission.at_once);

  broker.stop();
  source.remove("o1");
  source.put("o2", R"("x":1)");
  time.run_for(1min);
  peak = 0;
  broker.start();
  began = time.now();
  ASSERT_TRUE(proven_since(began));
  std::printf(
      "%zu clusters: first sync %.1f s, all back after %.1f s of virtual time, at most %zu of them asking at once\n",
      clusters(), first, std::chrono::duration<double>(time.now() - began).count(), peak);
  EXPECT_LE(peak, options.admission.at_once);
  for (const auto& copy : copies) EXPECT_EQ(copy->store.fingerprint(), copies.front()->store.fingerprint());

  time.await([&]() -> Task<bool> {
    co_await tasks.stop();
    copies.clear();
    co_await session.stop();
    for (auto& member : members) co_await member->stop();
    co_return true;
  }());
}

}  // namespace
}  // namespace tinf
