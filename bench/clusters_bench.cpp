// Measures one informer of many clusters, all in this process: a provider for each of them on a broker in memory.
//
//   clusters_bench [--clusters N] [--objects N]
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <memory>
#include <vector>

#include "tinf/follower/broker_session.h"
#include "tinf/informer/reflector.h"
#include "tinf/provider/provider.h"
#include "tinf/store/memory/memory_store.h"
#include "tinf/transport/memory/memory_broker.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;

Scope configmaps() {
  Scope scope;
  scope.resource = Resource{"", "v1", "configmaps"};
  return scope;
}

template <class Component>
Task<void> run(Component& component) {
  (void)co_await component.run();
}

// One cluster: a set that stays as it is, its provider, and the provider's connection.
class Member {
 public:
  Member(Runtime& runtime, MemoryBroker& broker, std::string name, int objects)
      : runtime_(runtime), name_(std::move(name)), objects_(objects), tasks_(runtime.executor) {
    ProviderOptions options;
    options.cluster = name_;
    options.instance = "instance-of-" + name_;
    MemoryTransportOptions connection("provider-" + name_);
    connection.last_will = Provider::last_will(options);
    transport_ = std::make_unique<MemoryTransport>(broker, connection);
    provider_ = std::make_unique<Provider>(
        runtime, *transport_, options,
        [this](Scope, StoreWriter& sink, SourceReport report) { return fill(sink, std::move(report)); });
    provider_->offer(
        {ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}}, "", "");
    tasks_.spawn(run(*provider_));
  }

  Task<void> stop() {
    co_await tasks_.stop();
    co_await provider_->stop();
  }

 private:
  Task<void> fill(StoreWriter& sink, SourceReport report) {
    Snapshot all;
    all.version = ResourceVersion("1");
    for (int i = 0; i < objects_; ++i) {
      const std::string number = std::to_string(i);
      all.objects.push_back(*Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"settings-)" +
                                           number + R"(","namespace":"default","uid":")" + name_ + "-" + number +
                                           R"(","resourceVersion":"1"},"data":{"filling":")" +
                                           std::string(kFilling, 'x') + R"("}})"));
    }
    (void)co_await sink.replace(std::move(all));
    report(Result<void>(), runtime_.clock.now());
    co_await unchanged_.wait();
  }

  static constexpr std::size_t kFilling = 3000;

  Runtime& runtime_;
  const std::string name_;
  const int objects_;
  Signal unchanged_;  // For ever.
  std::unique_ptr<MemoryTransport> transport_;
  std::unique_ptr<Provider> provider_;
  TaskGroup tasks_;
};

// Counts itself in `synced` once its set is stored and followed.
struct Copy {
  Copy(Runtime& runtime, BrokerSession& session, const std::string& cluster, std::size_t& synced)
      : source(session.open(cluster, &store)), reflector(runtime, configmaps(), *source, store, counting(synced)) {}

  ReflectorOptions counting(std::size_t& synced) {
    ReflectorOptions options;
    options.on_status = [this, &synced] {
      if (!counted && reflector.live()) ++synced;
      counted = counted || reflector.live();
    };
    return options;
  }

  MemoryStore store;
  std::unique_ptr<ListerWatcher> source;
  bool counted = false;
  Reflector reflector;
};

long resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtol(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

int measure(std::size_t clusters, int objects) {
  asio::io_context context(1);
  RealClock clock;
  Metrics metrics;
  Random random = Random::from_entropy();
  Runtime runtime{context.get_executor(), clock, Log(), metrics, random};
  MemoryBrokerOptions limits;
  limits.maximum_queue_messages = 100'000;
  MemoryBroker broker(runtime, limits);
  std::uint64_t messages = 0;
  broker.set_delivery_hook([&](const std::string&, const Message&) {
    ++messages;
    return MemoryBroker::Delivery();
  });

  std::vector<std::unique_ptr<Member>> members;
  for (std::size_t i = 0; i < clusters; ++i)
    members.push_back(std::make_unique<Member>(runtime, broker, "c" + std::to_string(i), objects));
  const auto began = clock.now();
  const std::clock_t used = std::clock();
  MemoryTransport transport(broker, MemoryTransportOptions("hub"));
  SessionOptions options;
  options.client = "hub";
  BrokerSession session(runtime, transport, options);
  TaskGroup tasks(runtime.executor);
  std::size_t synced = 0;
  std::map<std::string, std::unique_ptr<Copy>> copies;
  session.on_cluster([&](const ClusterView& cluster) {
    auto& copy = copies[cluster.name];
    if (copy) return;
    copy = std::make_unique<Copy>(runtime, session, cluster.name, synced);
    tasks.spawn(copy->reflector.run());
  });
  tasks.spawn(run(session));

  while (synced < clusters) context.run_one();
  std::printf(
      "{\"clusters\":%zu,\"objects\":%d,\"seconds\":%.3f,\"cpuSeconds\":%.3f,\"bytes\":%ld,\"messages\":%llu}\n",
      clusters, objects, std::chrono::duration<double>(clock.now() - began).count(),
      static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC, resident(), static_cast<unsigned long long>(messages));

  TaskGroup ending(runtime.executor);
  const auto end = [&]() -> Task<void> {
    co_await tasks.stop();
    copies.clear();
    co_await session.stop();
    for (auto& member : members) co_await member->stop();
  };
  ending.spawn(end());
  while (ending.running() > 0) context.run_one();
  return 0;
}

}  // namespace
}  // namespace tinf

int main(int argc, char** argv) {
  std::size_t clusters = 1;
  int objects = 100;
  CLI::App app("Measures one informer of many clusters in one process");
  app.add_option("--clusters", clusters)->check(CLI::Range(1, 100'000));
  app.add_option("--objects", objects, "of 3 KB in each cluster")->check(CLI::Range(1, 100'000));
  CLI11_PARSE(app, argc, argv);
  return tinf::measure(clusters, objects);
}
