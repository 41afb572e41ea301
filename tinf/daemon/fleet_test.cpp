// What a fleet does with a store that several processes share, in virtual time: it follows the clusters that the store
// gives it, waits for those that others hold, and leaves what was taken over to whom has it.
#include "tinf/daemon/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/informer/reflect.h"
#include "tinf/provider/provider.h"
#include "tinf/store/memory/fleet_memory_store.h"
#include "tinf/testing/live_source.h"
#include "tinf/testing/virtual_time.h"
#include "tinf/transport/memory/memory_broker.h"

namespace tinf::daemon {
namespace {

using namespace std::chrono_literals;
using testing::configmaps;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <class Component>
Task<void> run(Component& component) {
  (void)co_await component.run();
}

// A store as one of several processes sees it; the test says what the others do.
class SharedStore final : public FleetStore {
 public:
  explicit SharedStore(Clock& clock) : held_(clock, FleetMemoryOptions()) {}

  std::map<std::string, std::string> holders;  // By cluster: processes that are not this one.
  bool is_lost = false;                        // Until it is opened again.
  std::optional<Error> away;
  int opened = 0;

  Result<std::unique_ptr<Store>> open(const std::string& cluster, const Scope& scope) override {
    ++opened;
    if (away) return *away;
    if (holders.count(cluster) > 0) return Error(Code::Conflict, "cluster " + cluster + " is held");
    is_lost = false;
    return held_.open(cluster, scope);
  }
  Task<Result<void>> put_cluster(FleetCluster cluster) override {
    if (away) co_return *away;
    if (holders.count(cluster.name) > 0) co_return Error(Code::Conflict, "cluster " + cluster.name + " is held");
    co_return co_await held_.put_cluster(std::move(cluster));
  }
  Task<Result<void>> forget(std::string cluster, Resource resource, bool only_if_empty) override {
    return held_.forget(std::move(cluster), std::move(resource), only_if_empty);
  }
  std::optional<std::string> held_by_another(const std::string& cluster) const override {
    const auto found = holders.find(cluster);
    return found == holders.end() ? std::nullopt : std::optional(found->second);
  }
  bool lost(const std::string&) const override { return is_lost; }
  Result<void> reachable() const override { return away ? Result<void>(*away) : Result<void>(); }
  std::size_t memory_bytes() const override { return held_.memory_bytes(); }

  Task<Result<std::optional<FleetObject>>> get(std::string collection, FleetPlace place) const override {
    return held_.get(std::move(collection), std::move(place));
  }
  Task<Result<FleetPage>> list(FleetQuery query) const override { return held_.list(std::move(query)); }
  Result<std::unique_ptr<FleetWatch>> watch(std::string collection, StoreVersion from,
                                            std::vector<std::string> clusters) override {
    return held_.watch(std::move(collection), from, std::move(clusters));
  }
  StoreVersion version() const override { return held_.version(); }
  Task<Result<void>> reach(StoreVersion version, TimePoint deadline) override { return held_.reach(version, deadline); }
  std::vector<FleetCluster> clusters() const override { return held_.clusters(); }
  std::vector<FleetScope> scopes() const override { return held_.scopes(); }
  void on_clusters(std::function<void()> callback) override { held_.on_clusters(std::move(callback)); }

 private:
  FleetMemoryStore held_;
};

struct SharedFleetTest : ::testing::Test {
  SharedFleetTest() {
    ProviderOptions offering;
    offering.cluster = "c1";
    offering.instance = "p1";
    offering.host = "edge";
    offering.started = 1;
    MemoryTransportOptions connection("provider-c1");
    connection.last_will = Provider::last_will(offering);
    site = std::make_unique<MemoryTransport>(broker, connection);
    provider = std::make_unique<Provider>(
        time.runtime(), *site, offering, [this](Scope scope, StoreWriter& sink, SourceReport report) {
          return reflect(time.runtime(), std::move(scope), source, sink, std::move(report));
        });
    provider->offer(
        {ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}}, "uid",
        "v1");
    tasks.spawn(run(*provider));
    source.put("a");
  }
  ~SharedFleetTest() override { time.await(end()); }

  void follow() {
    // No memory: else a handler is told of each state, on a thread that knows no virtual time.
    options.store = "postgresql://host/fleet";
    options.output = OutputForm::None;
    SessionOptions words;
    words.client = "hub";
    words.instance = "h1";
    words.started = 1;
    session = std::make_unique<BrokerSession>(time.runtime(), hub, words);
    fleet = std::make_unique<Fleet>(time.runtime(), *session, options, printer, &store);
    tasks.spawn(run(*session));
    tasks.spawn(run(*fleet));
  }

  Task<bool> end() {
    if (fleet) co_await fleet->stop();
    co_await tasks.stop();
    if (session) co_await session->stop();
    co_await provider->stop();
    co_return true;
  }

  // Whether the store comes to hold so many objects of the cluster.
  bool comes_to(std::size_t objects) {
    return time.run_until([&] { return fleet->missing().empty() && held() == objects; }, 2min);
  }
  std::size_t held() const {
    std::size_t objects = 0;
    for (const FleetScope& scope : store.scopes()) objects += scope.objects;
    return objects;
  }
  double gauge(const std::string& name) {
    fleet->refresh_metrics();
    double sum = 0;
    for (const Metrics::Family& family : time.runtime().metrics.collect()) {
      if (family.name != name) continue;
      for (const auto& sample : family.samples) sum += sample.value;
    }
    return sum;
  }
  long said(const std::string& words) const {
    const auto& lines = time.log_lines();
    return std::count_if(lines.begin(), lines.end(),
                         [&](const std::string& line) { return line.find(words) != std::string::npos; });
  }

  testing::VirtualTime time;
  MemoryBroker broker{time.runtime()};
  testing::LiveSource source;
  std::unique_ptr<MemoryTransport> site;
  std::unique_ptr<Provider> provider;
  MemoryTransport hub{broker, MemoryTransportOptions("hub")};
  InformerDaemonOptions options;
  EventPrinter printer{OutputForm::None, false};
  SharedStore store{time};
  TaskGroup tasks{time.runtime().executor};
  std::unique_ptr<BrokerSession> session;
  std::unique_ptr<Fleet> fleet;
};

TEST_F(SharedFleetTest, ItIsReadyWhileAnotherProcessKeepsTheClusterAndSaysSoOnce) {
  store.holders["c1"] = "hub-2 (process 7 on b)";
  follow();
  time.run_for(1min);
  EXPECT_EQ(fleet->missing(), "");
  EXPECT_EQ(fleet->kept_by_others(), "c1 is held by hub-2 (process 7 on b)");
  EXPECT_EQ(said("another process keeps this cluster's copies"), 1);
  EXPECT_EQ(gauge("tinf_informer_clusters_held_by_others"), 1);
  EXPECT_EQ(gauge("tinf_informer_clusters_held"), 0);
  EXPECT_EQ(gauge("tinf_informer_held_by_another"), 1);
  EXPECT_THAT(store.clusters(), IsEmpty());  // What is known of it is the other's to say.
  EXPECT_EQ(store.opened, 1);                // While that is known to be there, nobody asks again.
}

TEST_F(SharedFleetTest, ItTakesOverWhenTheOtherHasGone) {
  store.holders["c1"] = "hub-2";
  follow();
  time.run_for(10s);
  store.holders.clear();
  ASSERT_TRUE(comes_to(1));
  EXPECT_EQ(fleet->kept_by_others(), "");
  EXPECT_THAT(time.log_lines(), Contains(HasSubstr("taken over")));
  EXPECT_EQ(gauge("tinf_informer_clusters_held_by_others"), 0);
  EXPECT_EQ(gauge("tinf_informer_clusters_held"), 1);
  EXPECT_EQ(gauge("tinf_informer_held_by_another"), 0);
  ASSERT_EQ(store.clusters().size(), 1u);
  EXPECT_TRUE(store.clusters()[0].present);
}

TEST_F(SharedFleetTest, WhatWasTakenOverIsLetGoOfAndTakenBackWhenItIsFree) {
  follow();
  ASSERT_TRUE(comes_to(1));
  store.holders["c1"] = "hub-2";
  ASSERT_TRUE(time.run_until([&] { return !fleet->kept_by_others().empty(); }, 1min));
  time.run_for(1min);
  EXPECT_EQ(said("another process has taken this cluster over"), 1);
  source.put("b");
  time.run_for(1min);
  EXPECT_EQ(held(), 1u);
  EXPECT_EQ(fleet->missing(), "");
  store.holders.clear();
  EXPECT_TRUE(comes_to(2));
}

TEST_F(SharedFleetTest, WhatWasLostToNobodyIsOpenedAgain) {
  follow();
  ASSERT_TRUE(comes_to(1));
  store.is_lost = true;
  source.put("b");
  ASSERT_TRUE(time.run_until([&] { return store.opened == 2; }, 1min));
  EXPECT_TRUE(comes_to(2));
  EXPECT_EQ(said("the copies are opened again"), 1);
  EXPECT_EQ(said("another process"), 0);
}

TEST_F(SharedFleetTest, AClusterThatIsAwayWhenItsHolderGoesIsStillKnownToBeAway) {
  store.holders["c1"] = "hub-2";
  follow();
  time.run_for(10s);
  broker.disconnect("provider-c1");  // Its last will goes out.
  broker.set_reachable("provider-c1", false);
  time.run_for(10s);
  store.holders.clear();
  ASSERT_TRUE(time.run_until([&] { return store.clusters().size() == 1; }, 1min));
  EXPECT_FALSE(store.clusters()[0].present);
  EXPECT_EQ(fleet->kept_by_others(), "");
}

TEST_F(SharedFleetTest, AStoreThatIsAwayIsSaidAndAskedAgain) {
  store.away = Error(Code::Unavailable, "database h/d cannot be reached: start it");
  follow();
  time.run_for(1min);
  EXPECT_EQ(fleet->missing(), "database h/d cannot be reached: start it");
  EXPECT_EQ(fleet->kept_by_others(), "");
  store.away.reset();
  EXPECT_TRUE(comes_to(1));
}

TEST_F(SharedFleetTest, WhoAsksOnceIsNotContentWithWhatAnotherProcessKeeps) {
  store.holders["c1"] = "hub-2";
  options.once = true;
  options.timeout = 20s;
  follow();
  const Result<void> outcome = time.await(fleet->run());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().message, "not everything was there within --timeout: c1 is held by hub-2");
}

}  // namespace
}  // namespace tinf::daemon
