// The whole way in one process, in virtual time: a source, a provider, a broker, a session, an informer and its store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/follower/broker_session.h"
#include "tinf/informer/reflect.h"
#include "tinf/informer/shared_informer.h"
#include "tinf/informer/shared_informer_factory.h"
#include "tinf/provider/provider.h"
#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/live_source.h"
#include "tinf/testing/virtual_time.h"
#include "tinf/transport/memory/memory_broker.h"

namespace tinf {

// Alters what is packed of an object, counted from behind its key, as a broken memory module would.
struct StoreBreaker {
  static void alter(CompressedMemoryStore& store, const ObjectKey& key, std::size_t at) {
    const auto* entry = store.find(KeyView{key.namespace_name, key.name});
    const std::string_view name = std::get<PackedObjectPtr>(entry->held)->key().name;
    const_cast<char*>(name.data() + name.size())[at] ^= 1;
  }
};

namespace {

using namespace std::chrono_literals;
using testing::configmaps;
using ::testing::HasSubstr;

template <class Component>
Task<void> keep_end(Component& component, std::optional<Error>& end) {
  const auto result = co_await component.run();
  end = result.error();
}

Task<Result<Snapshot>> list_of(ListerWatcher& source, Scope scope) {
  co_return co_await source.list(scope, ListOptions());
}

// A provider of cluster c1 with its API server.
struct Site {
  Site(testing::VirtualTime& time, MemoryBroker& broker, testing::LiveSource& source, std::string instance = "p1",
       std::int64_t started = 1, std::string client = "", std::string cluster = "c1", std::string claims = "")
      : time(time), source(source) {
    options.cluster = std::move(cluster);
    options.client = std::move(claims);
    options.instance = std::move(instance);
    options.host = "edge";
    options.started = started;
    MemoryTransportOptions connection(client.empty() ? "provider-" + options.instance : client);
    connection.last_will = Provider::last_will(options);
    transport = std::make_unique<MemoryTransport>(broker, connection);
    provider = std::make_unique<Provider>(
        time.runtime(), *transport, options, [this](Scope scope, StoreWriter& sink, SourceReport report) {
          return reflect(this->time.runtime(), std::move(scope), this->source, sink, std::move(report));
        });
    provider->offer(
        {ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}}, "uid",
        "v1");
    running = std::make_unique<TaskGroup>(time.runtime().executor);
    running->spawn(keep_end(*provider, end));
  }
  ~Site() { crash(); }

  void end_tasks() {
    if (!provider) return;
    time.await(stop_all());
    running = nullptr;
    provider = nullptr;
  }
  Task<bool> stop_all() {
    co_await running->stop();
    co_await provider->stop();
    co_return true;
  }
  void crash() {
    end_tasks();
    transport = nullptr;  // Not closed: its last will goes out.
  }
  void leave() {
    word = provider->farewell();
    end_tasks();
    time.await(say_goodbye());
    transport = nullptr;
  }
  Task<bool> say_goodbye() {
    co_await transport->close(word);
    co_return true;
  }

  testing::VirtualTime& time;
  testing::LiveSource& source;
  ProviderOptions options;
  std::unique_ptr<MemoryTransport> transport;
  std::unique_ptr<Provider> provider;
  std::unique_ptr<TaskGroup> running;
  std::optional<Error> end;
  std::optional<Message> word;
};

// One that packs its objects from the first on.
template <class AStore>
AStore empty_store() {
  if constexpr (std::is_same_v<AStore, CompressedMemoryStore>) {
    ObjectPackerOptions options;
    options.first_training = 1;
    return AStore(PackedForm(std::make_shared<ObjectPacker>(options)));
  } else {
    return AStore();
  }
}

// An informer of cluster c1's configmaps.
template <class AStore>
struct HubWith {
  HubWith(testing::VirtualTime& time, MemoryBroker& broker, std::string client = "hub", std::string instance = "h1",
          std::int64_t started = 1, std::vector<std::string> clusters = {}, bool store_is_known = true)
      : time(time),
        transport(std::make_unique<MemoryTransport>(broker, MemoryTransportOptions(client + "-" + instance))) {
    SessionOptions options;
    options.client = std::move(client);
    options.instance = std::move(instance);
    options.host = "control";
    options.started = started;
    options.clusters = std::move(clusters);
    session = std::make_unique<BrokerSession>(time.runtime(), *transport, options);
    running = std::make_unique<TaskGroup>(time.runtime().executor);
    running->spawn(keep_end(*session, end));
    follow(configmaps(), store_is_known);
  }
  ~HubWith() { stop(); }

  void follow(Scope scope, bool store_is_known = true) {
    source = session->open("c1", store_is_known ? &store : nullptr);
    informer = std::make_unique<SharedInformer>(time.runtime(), scope, *source, store, store);
    Handler handler;
    initial = 0;
    handler.on_add = [this](const ObjectPtr&, bool at_first) { initial += at_first ? 1 : 0; };
    handler.on_delete = [this](const ObjectPtr& last, bool) { deleted.insert(std::string(last->name())); };
    registration = *informer->add(std::move(handler));
    informer->start();
  }

  // The store stays.
  Task<bool> let_go() {
    co_await informer->stop();
    registration.reset();
    informer = nullptr;
    source = nullptr;
    co_return true;
  }

  void stop() {
    if (!session) return;
    time.await(stop_all());
    running = nullptr;
    session = nullptr;
  }
  void leave() {
    time.await(stop_all());
    time.await(close(session->last_word()));
    running = nullptr;
    session = nullptr;
  }
  Task<bool> close(std::optional<Message> word) {
    co_await transport->close(std::move(word));
    co_return true;
  }
  Task<bool> stop_all() {
    co_await informer->stop();
    registration.reset();
    informer = nullptr;
    source = nullptr;
    co_await running->stop();
    co_await session->stop();
    co_return true;
  }

  bool equals(const testing::LiveSource& source) const {
    const auto truth = source.objects();
    if (!informer->synced() || store.size() != truth.size()) return false;
    for (const ObjectPtr& object : truth) {
      const auto held = store.get(object->key());
      if (!held || !*held || (*held)->raw() != object->raw()) return false;
    }
    return true;
  }

  std::optional<TimePoint> proven_at() const {
    const auto standing = session->standing("c1", configmaps().id());
    return standing ? standing->proven_at : std::nullopt;
  }

  testing::VirtualTime& time;
  std::unique_ptr<MemoryTransport> transport;
  std::unique_ptr<BrokerSession> session;
  std::unique_ptr<TaskGroup> running;
  std::optional<Error> end;
  AStore store = empty_store<AStore>();
  std::unique_ptr<ListerWatcher> source;
  std::unique_ptr<SharedInformer> informer;
  SharedInformer::Registration registration;
  std::set<std::string> deleted;
  std::size_t initial = 0;  // Adds of what was there when it was told first.
};

using Hub = HubWith<MemoryStore>;

// As one on a disk that fails now and then.
struct StoreOnADisk final : Store {
  using Store::list;
  Result<ObjectPtr> get(const ObjectKey& key) const override { return held.get(key); }
  Result<std::vector<ObjectPtr>> list(std::string_view within) const override { return held.list(within); }
  std::size_t size() const override { return held.size(); }
  Fingerprint fingerprint() const override { return held.fingerprint(); }
  Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const override {
    if (fails) return Error(Code::Unavailable, "the disk cannot be read");
    return held.measure(from, limit);
  }
  ResourceVersion version() const override { return held.version(); }
  Task<Result<void>> replace(Snapshot all) override { return held.replace(std::move(all)); }
  Task<Result<void>> apply(EventBatch changes) override { return held.apply(std::move(changes)); }
  std::size_t memory_bytes() const override { return held.memory_bytes(); }

  MemoryStore held;
  bool fails = false;
};

struct ProvideAndFollow : ::testing::Test {
  template <class AHub>
  bool equal(const AHub& hub) {
    return time.run_until([&] { return hub.equals(source); });
  }
  // Handlers are told a moment after the store has it.
  template <class AHub>
  bool told_of_deletes(const AHub& hub, std::set<std::string> names) {
    return time.run_until([&] { return hub.deleted == names; });
  }
  // Waits for a proof that is younger than this moment.
  template <class AHub>
  bool proven(const AHub& hub) {
    const TimePoint now = time.now();
    return time.run_until([&] { return hub.proven_at() && *hub.proven_at() > now; });
  }
  std::uint64_t refused() { return time.runtime().metrics.counter("tinf_messages_refused_total", "")->value(); }

  testing::VirtualTime time;
  MemoryBroker broker{time.runtime()};
  testing::LiveSource source;
};

TEST_F(ProvideAndFollow, TheCopyFollowsAndIsProven) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  source.put("a", R"("x":1)");
  source.put("b");
  ASSERT_TRUE(equal(hub));
  source.remove("a");
  ASSERT_TRUE(equal(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"a"}));
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, WhoComesFirstWaitsForTheOther) {
  Hub hub(time, broker);
  time.run_for(10min);
  EXPECT_FALSE(hub.informer->synced());
  source.put("a");
  Site site(time, broker, source);
  EXPECT_TRUE(equal(hub));
}

TEST_F(ProvideAndFollow, ABrokerThatForgetsEverythingLosesNoDelete) {
  source.put("a");
  source.put("b");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  broker.stop();
  source.remove("a");
  source.put("c");
  time.run_for(5min);
  broker.start();
  ASSERT_TRUE(equal(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"a"}));
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, AProviderKilledAndStartedAgainLosesNoDelete) {
  source.put("a");
  source.put("b");
  auto site = std::make_unique<Site>(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  site->crash();
  ASSERT_TRUE(time.run_until([&] { return !hub.session->clusters().at("c1").present; }));  // Its last will.
  EXPECT_EQ(hub.store.size(), 2u);
  source.remove("a");
  site = std::make_unique<Site>(time, broker, source, "p2", 2);
  ASSERT_TRUE(equal(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"a"}));
}

TEST_F(ProvideAndFollow, AProviderThatLeavesTakesItsPresenceWithItAndTheCopyStays) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  site.leave();
  ASSERT_TRUE(time.run_until([&] { return !hub.session->clusters().at("c1").present; }));
  EXPECT_FALSE(broker.retained("/payload/c1/presence"));
  time.run_for(1h);
  EXPECT_EQ(hub.store.size(), 1u);
  EXPECT_TRUE(hub.deleted.empty());
}

TEST_F(ProvideAndFollow, AClusterThatLeavesAndReturnsThreeHundredTimesLeavesNothingBehind) {
  const auto series = [this] {
    std::size_t count = 0;
    for (const auto& family : time.runtime().metrics.collect()) count += family.samples.size();
    return count;
  };
  Hub hub(time, broker);
  std::size_t after_the_first = 0;
  for (int life = 0; life < 300; ++life) {
    source.put("o" + std::to_string(life % 3), "\"x\":" + std::to_string(life));
    Site site(time, broker, source, "p" + std::to_string(life), life + 1, "provider");
    ASSERT_TRUE(equal(hub)) << "in life " << life;
    if (life % 2 == 0) {
      site.leave();
    } else {
      site.crash();
    }
    time.run_for(1s);
    if (life == 1) after_the_first = series();  // Both ways of going have been taken.
  }
  EXPECT_EQ(series(), after_the_first);
  EXPECT_EQ(hub.store.size(), 3u);
  EXPECT_THAT(hub.deleted, ::testing::IsEmpty());
  EXPECT_LE(hub.session->clusters().size(), 1u);
}

TEST_F(ProvideAndFollow, AnExpiredHistoryOfTheApiServerLosesNoDelete) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  source.fail_with(Error(Code::Unavailable, "down"));
  source.end_watches(Code::Unavailable);
  source.remove("a");
  source.put("b");
  source.compact();
  time.run_for(1min);
  source.fail_with(std::nullopt);
  ASSERT_TRUE(equal(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"a"}));
}

TEST_F(ProvideAndFollow, AnApiServerThatIsAwayIsNotProvenToEqualAnything) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  source.fail_with(Error(Code::Unavailable, "down"));
  source.end_watches(Code::Unavailable);
  const TimePoint gone = time.now();
  time.run_for(10min);
  EXPECT_LE(*hub.proven_at(), gone + 2s);
  source.fail_with(std::nullopt);
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, ASmallUpdateOfALargeObjectTravelsAsAPatch) {
  const auto large = [](int i) { return R"("i":)" + std::to_string(i) + R"(,"p":")" + std::string(3000, 'p') + '"'; };
  source.put("a", large(0));
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  std::size_t whole = 0;
  broker.set_delivery_hook([&](const std::string&, const Message& message) {
    const std::string* const type = message.attribute("type");
    if (type != nullptr && *type == "tinf.v1.frame" && message_bytes(message) > 700) ++whole;
    return MemoryBroker::Delivery();
  });
  for (int i = 1; i <= 20; ++i) {
    source.put("a", large(i));
    ASSERT_TRUE(equal(hub)) << i;
  }
  EXPECT_TRUE(proven(hub));
  EXPECT_EQ(hub.session->standing("c1", configmaps().id())->counts.patches, 20u);
  EXPECT_EQ(whole, 0u);
}

TEST_F(ProvideAndFollow, WhoHasNoStoreToPatchIsSentWholeObjects) {
  const auto large = [](int i) { return R"("i":)" + std::to_string(i) + R"(,"p":")" + std::string(3000, 'p') + '"'; };
  source.put("a", large(0));
  Site site(time, broker, source);
  Hub hub(time, broker);
  Hub other(time, broker, "other", "o1", 1, {}, false);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(equal(other));
  source.put("a", large(1));
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(equal(other));
  EXPECT_EQ(hub.session->standing("c1", configmaps().id())->counts.patches, 0u);
  EXPECT_EQ(other.session->standing("c1", configmaps().id())->counts.gaps, 0u);
  other.leave();
  time.run_for(1s);
  source.put("a", large(2));
  ASSERT_TRUE(equal(hub));
  EXPECT_EQ(hub.session->standing("c1", configmaps().id())->counts.patches, 1u);
}

// Nothing ends a watch through a broker, and nothing needs to: digests show that the other side is there.
TEST_F(ProvideAndFollow, AQuietScopeStaysLiveForHoursAndCostsNoSecondSet) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  time.run_for(3h);
  EXPECT_EQ(site.provider->counts().snapshots, 1u);
  EXPECT_TRUE(hub.informer->live());
  EXPECT_FALSE(hub.informer->status().last_error);
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, ASetThatTheProviderIsListingAgainIsNotProven) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  source.compact();
  source.hold_lists(true);
  source.end_watches(Code::Expired);
  const TimePoint gone = time.now();
  time.run_for(9min);
  EXPECT_LE(*hub.proven_at(), gone);
  source.hold_lists(false);
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, LostRepeatedAndLateMessagesChangeNothingInTheEnd) {
  Random dice(7);
  broker.set_delivery_hook([&](const std::string&, const Message&) {
    MemoryBroker::Delivery delivery;
    delivery.copies = dice.chance(0.2) ? 0 : dice.chance(0.2) ? 2 : 1;
    delivery.delay = dice.between(0s, 3s);
    return delivery;
  });
  Site site(time, broker, source);
  Hub hub(time, broker);
  for (int i = 0; i < 200; ++i) {
    source.put("o" + std::to_string(i % 20), R"("i":)" + std::to_string(i) + R"(,"p":")" + std::string(500, 'p') + '"');
    if (i % 7 == 0) source.remove("o" + std::to_string(i % 20));
    time.run_for(1s);
  }
  EXPECT_TRUE(equal(hub));
  EXPECT_TRUE(proven(hub));
}

// Repair at the price of the difference, also across a provider's lives.
TEST_F(ProvideAndFollow, AProviderStartedAgainIsComparedWithAndOnlyTheDifferenceTravels) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  auto site = std::make_unique<Site>(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  EXPECT_EQ(site->provider->counts().snapshots, 1u);
  site->crash();
  source.remove("o7");
  source.put("o8", R"("x":1)");
  source.put("new");
  site = std::make_unique<Site>(time, broker, source, "p2", 2);
  ASSERT_TRUE(equal(hub));
  EXPECT_TRUE(proven(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"o7"}));
  EXPECT_EQ(site->provider->counts().snapshots, 0u);
  EXPECT_EQ(site->provider->counts().repairs, 1u);
  EXPECT_EQ(hub.session->standing("c1", configmaps().id())->counts.repairs, 1u);
}

// Roles and their like may have such names, and whoever may create one must not stop the others.
TEST_F(ProvideAndFollow, NamesThatJsonEscapesTravelThroughChangesDeletesAndRepairs) {
  const std::vector<std::string> names{R"(a\u0026b)", R"(\"quoted\")", R"(back\\slash)", R"(line\nend)",
                                       R"(\u003ctag\u003e)"};
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  for (const std::string& name : names) source.put(name);
  auto site = std::make_unique<Site>(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(hub.store.get(testing::key("a&b")).value());
  source.put(names[0], R"("x":1)");
  source.remove(names[1]);
  ASSERT_TRUE(equal(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"\"quoted\""}));
  site->crash();
  source.put(names[0], R"("x":2)");
  source.remove(names[2]);
  source.remove(names[3]);
  source.put(R"(new\u0026)");
  site = std::make_unique<Site>(time, broker, source, "p2", 2);
  ASSERT_TRUE(equal(hub));
  EXPECT_TRUE(proven(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"\"quoted\"", "back\\slash", "line\nend"}));
  EXPECT_EQ(site->provider->counts().repairs, 1u);
  EXPECT_EQ(site->provider->counts().snapshots, 0u);
  EXPECT_EQ(refused(), 0u);
}

TEST_F(ProvideAndFollow, AByteFlippedInTheStoreIsFoundAndRepairedWithinADigestsInterval) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  const ObjectPtr victim = *hub.store.get(testing::key("o123"));
  const_cast<char*>(victim->uid().data())[0] ^= 1;
  ASSERT_FALSE(hub.equals(source));
  EXPECT_TRUE(time.run_until([&] { return hub.equals(source); }, site.options.digest_interval));
  EXPECT_TRUE(proven(hub));
  EXPECT_EQ(site.provider->counts().snapshots, 1u);  // The first one: what was found cost no second.
}

// What is held under the wrong name is out of its order: no range of such a store can be relied on.
TEST_F(ProvideAndFollow, AByteFlippedInANameIsMadeGoodByTheWholeSet) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  const ObjectPtr victim = *hub.store.get(testing::key("o123"));
  const_cast<char*>(victim->name().data())[3] ^= 1;
  EXPECT_TRUE(
      time.run_until([&] { return hub.store.size() == 300 && hub.equals(source); }, 2 * site.options.digest_interval));
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, AByteFlippedInACompressedStoreIsFoundAndRepairedWithinADigestsInterval) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  Site site(time, broker, source);
  HubWith<CompressedMemoryStore> hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  // In the middle of what is packed; behind its key stand the frame's magic number and size.
  for (const std::size_t at : {4, 9, 20}) {
    StoreBreaker::alter(hub.store, testing::key("o123"), at);
    ASSERT_FALSE(hub.equals(source));
    EXPECT_TRUE(time.run_until([&] { return hub.equals(source); }, site.options.digest_interval)) << at;
    EXPECT_TRUE(proven(hub));
    time.run_for(5min);  // Altered again at once, the whole set would take its place.
  }
  EXPECT_EQ(site.provider->counts().snapshots, 1u);
  // Handlers do not keep what is gone, even where the store cannot say what it was.
  StoreBreaker::alter(hub.store, testing::key("o7"), 9);
  source.remove("o7");
  EXPECT_TRUE(equal(hub));
  EXPECT_TRUE(time.run_until([&] { return hub.deleted.contains("o7"); }));
}

TEST_F(ProvideAndFollow, ACompressedCopyFollowsByPatches) {
  const auto large = [](int i) { return R"("i":)" + std::to_string(i) + R"(,"p":")" + std::string(3000, 'p') + '"'; };
  for (int i = 0; i < 100; ++i) source.put("o" + std::to_string(i), large(0));
  Site site(time, broker, source);
  HubWith<CompressedMemoryStore> hub(time, broker);
  ASSERT_TRUE(equal(hub));
  for (int round = 0; round < 5; ++round) {
    source.remove("o" + std::to_string(round));
    for (int i = round + 1; i < 100; i += 3) source.put("o" + std::to_string(i), large(round + 1));
    ASSERT_TRUE(equal(hub));
  }
  EXPECT_GT(hub.session->standing("c1", configmaps().id())->counts.patches, 100u);
  EXPECT_TRUE(proven(hub));
  EXPECT_TRUE(told_of_deletes(hub, {"o0", "o1", "o2", "o3", "o4"}));
}

TEST_F(ProvideAndFollow, AStoreThatOutlivedItsInformerIsRepairedNotFilled) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  MemoryStore& kept = hub.store;
  hub.stop();
  source.remove("o7");
  source.put("new");

  MemoryTransport transport(broker, MemoryTransportOptions("second"));
  SessionOptions options;
  options.client = "second";
  BrokerSession session(time.runtime(), transport, options);
  TaskGroup running(time.runtime().executor);
  std::optional<Error> end;
  running.spawn(keep_end(session, end));
  auto again = session.open("c1", &kept);
  std::set<std::string> told;
  running.spawn([](ListerWatcher& from, MemoryStore& store, std::set<std::string>& names) -> Task<void> {
    WatchOptions where;
    where.from = store.version();
    auto stream = co_await from.watch(configmaps(), where);
    while (stream) {
      auto batch = co_await (*stream)->next();
      if (!batch) break;
      for (const WatchEvent& event : batch->events) names.insert(event.key.name);
      (void)co_await store.apply(std::move(*batch));
    }
  }(*again, kept, told));
  EXPECT_TRUE(time.run_until([&] { return told.size() == 2; }));
  EXPECT_EQ(told, (std::set<std::string>{"o7", "new"}));
  EXPECT_TRUE(time.run_until([&] {
    const auto standing = session.standing("c1", configmaps().id());
    return standing && standing->proven_at;
  }));
  EXPECT_EQ(kept.size(), 300u);
  time.await([](TaskGroup& tasks, BrokerSession& ending, std::unique_ptr<ListerWatcher>& from) -> Task<bool> {
    co_await tasks.stop();
    from = nullptr;
    co_await ending.stop();
    co_return true;
  }(running, session, again));
}

// The same through an informer, which takes the store up by itself.
TEST_F(ProvideAndFollow, AnInformerRepairsAStoreOfAnEarlierLifeAndIsSyncedWhenThatIsProven) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  auto site = std::make_unique<Site>(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  for (const bool provider_lives_on : {true, false}) {
    time.await(hub.let_go());
    source.remove(provider_lives_on ? "o7" : "o8");
    source.put(provider_lives_on ? "new" : "newer");
    if (!provider_lives_on) {
      site->crash();
      time.run_for(1s);
    }
    hub.deleted.clear();
    hub.follow(configmaps());
    time.run_for(1s);
    EXPECT_EQ(hub.initial, 300u);  // What the store holds is told at once.
    if (!provider_lives_on) {
      time.run_for(1min);
      EXPECT_FALSE(hub.informer->synced());
      EXPECT_FALSE(hub.informer->live());
      EXPECT_FALSE(hub.registration.synced());
      site = std::make_unique<Site>(time, broker, source, "p2", 2);
    }
    ASSERT_TRUE(time.run_until([&] { return hub.informer->synced(); }, 1min));
    EXPECT_TRUE(hub.equals(source));
    EXPECT_TRUE(hub.informer->live());
    EXPECT_TRUE(hub.proven_at());
    EXPECT_TRUE(time.run_until([&] { return hub.registration.synced(); }, 1s));
    EXPECT_TRUE(told_of_deletes(hub, {provider_lives_on ? "o7" : "o8"}));
    EXPECT_EQ(hub.initial, 300u);
    EXPECT_EQ(site->provider->counts().snapshots, provider_lives_on ? 1u : 0u);  // The very first one.
    EXPECT_FALSE(hub.informer->status().last_error);
  }
  source.put("last");
  EXPECT_TRUE(equal(hub));
}

TEST_F(ProvideAndFollow, AStoreOfAnEarlierLifeThatWasAlteredMeanwhileIsRepairedBeforeItCounts) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  time.await(hub.let_go());
  const ObjectPtr victim = *hub.store.get(testing::key("o123"));
  const_cast<char*>(victim->uid().data())[0] ^= 1;
  hub.follow(configmaps());
  ASSERT_TRUE(time.run_until([&] { return hub.informer->synced(); }, 1min));
  EXPECT_TRUE(hub.equals(source));
  EXPECT_EQ(site.provider->counts().snapshots, 1u);
}

// The provider would begin to send the whole set, four pages of which may be under way.
TEST_F(ProvideAndFollow, AnInformerOverAStoreOfAnEarlierLifeAsksForNothingElseFirst) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  time.await(hub.let_go());
  time.run_for(1s);
  int asked = 0;
  broker.set_delivery_hook([&](const std::string& client, const Message& message) {
    asked += client == "provider-p1" && message.topic == "/signal/c1" ? 1 : 0;
    return MemoryBroker::Delivery();
  });
  hub.follow(configmaps());
  ASSERT_TRUE(time.run_until([&] { return hub.informer->synced(); }, 1min));
  EXPECT_EQ(asked, 1);
}

TEST_F(ProvideAndFollow, AStoreThatCannotBeReadIsSaidNotProvenAndGoneOnWithWhenItCan) {
  for (int i = 0; i < 300; ++i) source.put("o" + std::to_string(i));
  Site site(time, broker, source);
  HubWith<StoreOnADisk> hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  for (const bool at_the_start : {false, true}) {
    if (at_the_start) time.await(hub.let_go());
    hub.store.fails = true;
    if (at_the_start) hub.follow(configmaps());
    ASSERT_TRUE(time.run_until([&] { return hub.informer->status().last_error && !hub.informer->live(); }, 1min));
    EXPECT_THAT(hub.informer->status().last_error->message, HasSubstr("the disk cannot be read"));
    source.put(at_the_start ? "later" : "meanwhile");
    const TimePoint broken = time.now();
    time.run_for(2min);
    EXPECT_FALSE(hub.informer->live());
    EXPECT_FALSE(hub.proven_at() && *hub.proven_at() > broken);
    hub.store.fails = false;
    ASSERT_TRUE(time.run_until([&] { return hub.informer->live() && hub.equals(source); }, 2min));
    EXPECT_TRUE(proven(hub));
  }
  EXPECT_EQ(site.provider->counts().snapshots, 1u);
}

TEST_F(ProvideAndFollow, ASecondFollowerOfAScopeInASessionIsRefusedByNameAndTheFirstGoesOn) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  auto second = hub.session->open("c1");
  const auto list = time.await(list_of(*second, configmaps()));
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, Code::AlreadyExists);
  EXPECT_THAT(list.error().message, HasSubstr("configmaps of cluster c1"));
  second = nullptr;
  source.put("b");
  EXPECT_TRUE(equal(hub));
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, AScopeThatIsLetGoAndFollowedAgainAtOnceIsFollowed) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  Scope here = configmaps();
  here.namespace_name = "default";
  std::vector<std::shared_ptr<MemoryStore>> stores;
  SharedInformerFactory factory(time.runtime(), [&](const Scope&) {
    InformerParts parts;
    auto store = std::make_shared<MemoryStore>();
    stores.push_back(store);
    parts.source = hub.session->open("c1", store.get());
    parts.reader = store.get();
    parts.writer = store.get();
    parts.store = std::move(store);
    return parts;
  });
  auto holder = factory.get(here);
  ASSERT_TRUE(time.run_until([&] { return holder->synced(); }, 1min));
  holder.reset();
  holder = factory.get(here);  // The life before is about to end.
  ASSERT_TRUE(time.run_until([&] { return holder->synced(); }, 5s));
  EXPECT_FALSE(holder->status().last_error);
  source.put("b");
  EXPECT_TRUE(time.run_until([&] { return stores[1]->size() == 2; }, 5s));
  holder.reset();
  time.await([](SharedInformerFactory& ending) -> Task<bool> {
    co_await ending.stop();
    co_return true;
  }(factory));
}

TEST_F(ProvideAndFollow, ACopyIsComparedWithASetThatIsListedForItAndLetGoOf) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  for (const Projection projection : {Projection::Full, Projection::Metadata}) {
    time.await(hub.let_go());
    Scope scope = configmaps();
    scope.projection = projection;
    hub.follow(scope);
    ASSERT_TRUE(time.run_until([&] { return hub.informer->synced(); }, 1min));
    const auto verified = time.await(hub.informer->verify());
    ASSERT_TRUE(verified) << verified.error().message;
    EXPECT_TRUE(verified->equal());
    EXPECT_TRUE(time.run_until([&] { return site.provider->counts().subscriptions == 1; }, 10s));
    source.put("more", "\"x\":" + std::to_string(static_cast<int>(projection)));
    EXPECT_TRUE(equal(hub));
    EXPECT_FALSE(hub.informer->status().last_error);
  }
}

TEST_F(ProvideAndFollow, WhoFollowsThroughASessionThatHasEndedIsToldHow) {
  source.put("a");
  Site site(time, broker, source);
  Hub elder(time, broker, "hub", "h1", 1);
  ASSERT_TRUE(equal(elder));
  auto waiting = elder.session->open("c2");
  std::optional<Error> told;
  TaskGroup tasks(time.runtime().executor);
  tasks.spawn([](ListerWatcher& from, std::optional<Error>& why) -> Task<void> {
    why = (co_await list_of(from, configmaps())).error();
  }(*waiting, told));
  Hub younger(time, broker, "hub", "h2", 2);
  ASSERT_TRUE(time.run_until([&] { return told.has_value(); }, 1min));
  EXPECT_EQ(told->code, Code::Conflict);
  EXPECT_TRUE(time.run_until([&] { return !elder.informer->live(); }, 1s));
  EXPECT_EQ(elder.informer->status().last_error->code, Code::Conflict);
  EXPECT_FALSE(elder.session->standing("c1", configmaps().id())->following);
}

TEST_F(ProvideAndFollow, AStoreThatIsAlteredBehindItsBackIsFoundAndRepaired) {
  const ObjectPtr truth = source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  EventBatch forged{
      {WatchEvent::modified(testing::object("a", 999, std::string(truth->uid())))}, hub.store.version(), false};
  ASSERT_TRUE(time.await([](MemoryStore& store, EventBatch batch) -> Task<Result<void>> {
    co_return co_await store.apply(std::move(batch));
  }(hub.store, std::move(forged))));
  ASSERT_FALSE(hub.equals(source));
  EXPECT_TRUE(proven(hub));  // The next digest shows it: no proof before it is mended.
  EXPECT_TRUE(hub.equals(source));
}

TEST_F(ProvideAndFollow, AStoreThatIsAlteredAgainAMomentAfterItsRepairIsNotProvenBeforeItIsRepaired) {
  const ObjectPtr truth = source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(proven(hub));
  const auto forge = [&](int version) {
    EventBatch forged{
        {WatchEvent::modified(testing::object("a", version, std::string(truth->uid())))}, hub.store.version(), false};
    ASSERT_TRUE(time.await([](MemoryStore& store, EventBatch batch) -> Task<Result<void>> {
      co_return co_await store.apply(std::move(batch));
    }(hub.store, std::move(forged))));
  };
  forge(998);
  ASSERT_TRUE(equal(hub));
  source.put("b");  // A digest follows in a second.
  ASSERT_TRUE(equal(hub));
  forge(999);
  auto last = hub.proven_at();
  bool lied = false;
  time.run_until(
      [&] {
        if (hub.proven_at() != last) lied = lied || !hub.equals(source);
        last = hub.proven_at();
        return false;
      },
      1min);
  EXPECT_FALSE(lied);
  EXPECT_TRUE(hub.equals(source));
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, ASecondProviderOfAClusterEndsTheElder) {
  Site elder(time, broker, source, "p1", 1);
  time.run_for(1s);
  Site younger(time, broker, source, "p2", 2);
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }));
  EXPECT_EQ(elder.end->code, Code::Conflict);
  EXPECT_THAT(elder.end->message, HasSubstr("cluster c1 is provided by another process"));
  time.run_for(1min);
  EXPECT_FALSE(younger.end);
}

// A message that is lost is lost for good; what is heard of both tells the informer, and it tells them.
TEST_F(ProvideAndFollow, TwoProvidersThatHaveNotHeardOfEachOtherAreToldAndTheEldersWordIsNotTaken) {
  source.put("a");
  testing::LiveSource old;  // What the elder sees: it is behind.
  old.put("a");
  Site elder(time, broker, old, "p1", 1);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  bool lost = false;
  broker.set_delivery_hook([&](const std::string& client, const Message& message) {
    MemoryBroker::Delivery delivery;
    if (client != "provider-p1" || message.topic != "/payload/c1/presence" || lost) return delivery;
    lost = true;
    delivery.copies = 0;
    return delivery;
  });
  source.put("b");
  Site younger(time, broker, source, "p2", 2);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(lost);
  ASSERT_FALSE(elder.end);
  old.remove("a");
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }, 1min));
  EXPECT_EQ(elder.end->code, Code::Conflict);
  EXPECT_TRUE(hub.deleted.empty());
  EXPECT_TRUE(hub.equals(source));
  time.run_for(1min);
  EXPECT_FALSE(younger.end);
  EXPECT_TRUE(proven(hub));
}

TEST_F(ProvideAndFollow, APresenceOfAnElderThatComesLateDoesNotTakeTheCopyBackWhileTheYoungerIsHeard) {
  source.put("a");
  auto elder = std::make_unique<Site>(time, broker, source, "p1", 1);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  const Message late = *broker.retained("/payload/c1/presence");
  auto younger = std::make_unique<Site>(time, broker, source, "p2", 2);
  const auto present = [&] { return hub.session->clusters().at("c1").presence.instance; };
  ASSERT_TRUE(time.run_until([&] { return elder->end && present() == "p2"; }));
  elder->crash();
  MemoryTransport slow(broker, MemoryTransportOptions("slow"));
  time.run_for(5min);
  ASSERT_TRUE(time.await(slow.publish(late)));
  time.run_for(1s);
  EXPECT_EQ(present(), "p2");
  // Clocks may be wrong: who is not heard any more is not the one that is there.
  younger->end_tasks();
  time.run_for(2min);
  ASSERT_TRUE(time.await(slow.publish(late)));
  time.run_for(1s);
  EXPECT_EQ(present(), "p1");
}

TEST_F(ProvideAndFollow, OfTwoProvidersUnderOneClientIdTheYoungerStays) {
  Site elder(time, broker, source, "p1", 1, "provider-c1");
  time.run_for(1s);
  Site younger(time, broker, source, "p2", 2, "provider-c1");
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }));
  EXPECT_EQ(elder.end->code, Code::Conflict);
  elder.leave();
  time.run_for(1min);
  EXPECT_FALSE(younger.end);
  EXPECT_TRUE(broker.retained("/payload/c1/presence"));
}

// A client id is one, whatever the process under it does; and there are brokers that do not say that it was taken.
TEST_F(ProvideAndFollow, OfAProviderAndAnInformerUnderOneClientIdTheElderEndsAndNamesTheOther) {
  MemoryBrokerOptions mute;
  mute.says_why = false;
  MemoryBroker silent(time.runtime(), mute);
  Site site(time, silent, source, "p1", 1, "hub-h1", "c1", "hub");
  ASSERT_TRUE(time.run_until([&] { return silent.retained("/signal/_client/hub").has_value(); }));
  Hub hub(time, silent, "hub", "h1", 2);
  ASSERT_TRUE(time.run_until([&] { return site.end.has_value(); }));
  EXPECT_EQ(site.end->code, Code::Conflict);
  EXPECT_THAT(site.end->message, HasSubstr("control"));
  site.crash();
  time.run_for(5min);
  EXPECT_FALSE(hub.end);
}

TEST_F(ProvideAndFollow, OfProvidersOfTwoClustersUnderOneClientIdTheElderEnds) {
  MemoryBrokerOptions mute;
  mute.says_why = false;
  MemoryBroker silent(time.runtime(), mute);
  Site elder(time, silent, source, "p1", 1, "same", "c1", "same");
  time.run_for(1s);
  Site younger(time, silent, source, "p2", 2, "same", "c2", "same");
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }));
  EXPECT_EQ(elder.end->code, Code::Conflict);
  EXPECT_THAT(elder.end->message, HasSubstr("edge"));
  elder.crash();
  time.run_for(5min);
  EXPECT_FALSE(younger.end);
}

TEST_F(ProvideAndFollow, APresenceThatSomebodyTookBackIsSaidAgain) {
  Site elder(time, broker, source, "p1", 1);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  Site younger(time, broker, source, "p2", 2);
  elder.leave();  // In good order, and none the wiser.
  time.run_for(1min);
  EXPECT_TRUE(broker.retained("/payload/c1/presence"));
  EXPECT_TRUE(hub.session->clusters().at("c1").present);
  source.put("a");
  EXPECT_TRUE(equal(hub));
}

// Its presence outlives it where the broker cannot know: the copy must not pass for one that is followed.
TEST_F(ProvideAndFollow, AProviderThatDoesNotAnswerIsSaidOnceAndItsCopyIsNotCalledFollowed) {
  source.put("a");
  auto site = std::make_unique<Site>(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  const auto standing = [&] { return *hub.session->standing("c1", configmaps().id()); };
  const auto told = [&](const std::string& words) {
    return std::ranges::count_if(time.log_lines(),
                                 [&](const std::string& line) { return line.find(words) != std::string::npos; });
  };
  EXPECT_TRUE(standing().following);
  EXPECT_FALSE(standing().unanswered);
  site->end_tasks();  // Its connection stands.
  EXPECT_TRUE(time.run_until([&] { return !standing().following; }, 3min));
  EXPECT_FALSE(standing().unanswered);
  EXPECT_TRUE(time.run_until([&] { return standing().unanswered; }, 30s));
  time.run_for(1h);
  EXPECT_EQ(told("does not answer"), 1);
  Hub late(time, broker, "late");
  time.run_for(10s);
  EXPECT_EQ(told("does not answer"), 1);  // Who has only just asked has no reason to complain.
  time.run_for(10s);
  EXPECT_EQ(told("does not answer"), 2);
  site = std::make_unique<Site>(time, broker, source, "p2", 2);
  EXPECT_TRUE(time.run_until([&] { return standing().following; }));
  EXPECT_FALSE(standing().unanswered);
  EXPECT_EQ(told("answers again"), 2);
}

TEST_F(ProvideAndFollow, ACopyFromAProviderWithoutItsApiServerIsKnownToBeOld) {
  source.put("a");
  Site site(time, broker, source);
  Hub first(time, broker, "first");
  ASSERT_TRUE(equal(first));
  source.fail_with(Error(Code::Unavailable, "away"));
  source.end_watches(Code::Unavailable);
  time.run_for(30s);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  const auto behind = [&] { return hub.session->standing("c1", configmaps().id())->behind; };
  EXPECT_GE(behind(), 30s);
  EXPECT_LE(behind(), 40s);
  source.fail_with(std::nullopt);
  EXPECT_TRUE(time.run_until([&] { return behind() == 0s; }));
}

TEST_F(ProvideAndFollow, AClusterWhosePresenceTheBrokerHoldsBackIsFoundByAskingForIt) {
  source.put("a");
  Site site(time, broker, source);
  Site other(time, broker, source, "p2", 1, "", "c2");
  time.run_for(1s);
  int held_back = 0;
  broker.set_delivery_hook([&](const std::string& client, const Message& message) {
    MemoryBroker::Delivery delivery;
    if (client == "hub-h1" && message.topic == "/payload/c1/presence" && held_back < 1) {
      ++held_back;
      delivery.copies = 0;  // One of many retained messages that a wildcard should have brought.
    }
    return delivery;
  });
  Hub hub(time, broker, "hub", "h1", 1, {"c1", "c2"});
  EXPECT_TRUE(equal(hub));
  EXPECT_EQ(held_back, 1);
  EXPECT_EQ(hub.session->clusters().size(), 2u);
}

TEST_F(ProvideAndFollow, RightsThatAreWithdrawnLaterAreWaitedFor) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  broker.set_access_rule([](const std::string&, MemoryBroker::Access access, const std::string&) {
    return access != MemoryBroker::Access::Subscribe;
  });
  broker.stop();
  broker.start();
  time.run_for(10min);
  EXPECT_FALSE(site.end);
  EXPECT_FALSE(hub.end);
  source.put("b");
  broker.set_access_rule(nullptr);
  EXPECT_TRUE(equal(hub));
}

TEST_F(ProvideAndFollow, ASecondInformerOfAClientIdEndsTheElder) {
  Hub elder(time, broker, "hub", "h1", 1);
  time.run_for(1s);
  Hub younger(time, broker, "hub", "h2", 2);
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }));
  EXPECT_EQ(elder.end->code, Code::Conflict);
  EXPECT_THAT(elder.end->message, HasSubstr("client id hub is in use"));
  time.run_for(1min);
  EXPECT_FALSE(younger.end);
}

// Clocks may be wrong: that a record was kept from before says more than what it holds.
TEST_F(ProvideAndFollow, ARecordOfADeadInformerWhoseClockWasAheadEndsNobody) {
  {
    Hub dead(time, broker, "hub", "h1", 1000);
    time.run_for(1s);
  }
  ASSERT_TRUE(broker.retained("/signal/_client/hub"));
  Hub hub(time, broker, "hub", "h2", 1);
  time.run_for(1min);
  EXPECT_FALSE(hub.end);
  wire::Decoder decoder;
  const auto said = decoder.decode(*broker.retained("/signal/_client/hub"));
  ASSERT_TRUE(said && *said);
  const auto& record = std::get<wire::ClientRecord>((*said)->body);
  EXPECT_EQ(record.instance, "h2");
  EXPECT_EQ(record.started, 1001);
  broker.disconnect("hub-h2");
  time.run_for(1min);
  EXPECT_FALSE(hub.end);
}

TEST_F(ProvideAndFollow, ASecondInformerWhoseClockIsBehindEndsTheElderAllTheSame) {
  Hub elder(time, broker, "hub", "h1", 1000);
  time.run_for(1s);
  Hub younger(time, broker, "hub", "h2", 1);
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }));
  EXPECT_EQ(elder.end->code, Code::Conflict);
  time.run_for(1min);
  EXPECT_FALSE(younger.end);
}

TEST_F(ProvideAndFollow, APresenceOfADeadProviderWhoseClockWasAheadEndsNobody) {
  auto dead = std::make_unique<Site>(time, broker, source, "p1", 1000);
  time.run_for(1s);
  Message presence = *broker.retained("/payload/c1/presence");
  dead = nullptr;
  MemoryTransport memory(broker, MemoryTransportOptions("disk"));
  time.run_for(1s);
  presence.retain = true;
  ASSERT_TRUE(time.await(memory.publish(presence)));  // As by a broker that was killed with it, and remembers.
  Site site(time, broker, source, "p2", 1);
  time.run_for(1min);
  EXPECT_FALSE(site.end);
  wire::Decoder decoder;
  const auto said = decoder.decode(*broker.retained("/payload/c1/presence"));
  ASSERT_TRUE(said && *said);
  const auto& now = std::get<wire::Presence>((*said)->body);
  EXPECT_EQ(now.instance, "p2");
  EXPECT_EQ(now.started, 1001);
  EXPECT_EQ(site.provider->unheard(), "");
}

TEST_F(ProvideAndFollow, ASecondProviderWhoseClockIsBehindEndsTheElderAllTheSame) {
  Site elder(time, broker, source, "p1", 1000);
  time.run_for(1s);
  Site younger(time, broker, source, "p2", 1);
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }));
  EXPECT_EQ(elder.end->code, Code::Conflict);
  time.run_for(1min);
  EXPECT_FALSE(younger.end);
}

TEST_F(ProvideAndFollow, AnInformerThatLeavesTellsTheProviderAndTakesItsRecordWithIt) {
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));
  ASSERT_TRUE(time.run_until([&] { return broker.retained("/signal/_client/hub").has_value(); }));
  time.run_for(1s);
  hub.leave();
  EXPECT_FALSE(broker.retained("/signal/_client/hub"));
  EXPECT_TRUE(time.run_until([&] { return site.provider->counts().scopes == 0; }, 10s));
}

TEST_F(ProvideAndFollow, AnInformerThatWasTakenForAnotherLeavesTheOthersRecord) {
  Hub elder(time, broker, "hub", "h1", 1);
  time.run_for(1s);
  Hub younger(time, broker, "hub", "h2", 2);
  ASSERT_TRUE(time.run_until([&] { return elder.end.has_value(); }));
  elder.leave();
  time.run_for(1s);
  EXPECT_TRUE(broker.retained("/signal/_client/hub"));
}

TEST_F(ProvideAndFollow, ATopicThatTheBrokerDeniesEndsBothWithItsName) {
  broker.set_access_rule([](const std::string&, MemoryBroker::Access access, const std::string&) {
    return access != MemoryBroker::Access::Subscribe;
  });
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(time.run_until([&] { return site.end && hub.end; }));
  EXPECT_EQ(site.end->code, Code::Forbidden);
  EXPECT_EQ(hub.end->code, Code::Forbidden);
  EXPECT_THAT(site.end->message, HasSubstr("/signal/c1"));
}

TEST_F(ProvideAndFollow, APresenceThatIsDeniedIsNamedAndSaidAgainUntilItIsNot) {
  broker.set_access_rule([](const std::string&, MemoryBroker::Access access, const std::string& topic) {
    return access != MemoryBroker::Access::Publish || topic != "/payload/c1/presence";
  });
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  time.run_for(1min);
  EXPECT_THAT(site.provider->unheard(), HasSubstr("/payload/c1/presence"));
  broker.set_access_rule(nullptr);
  EXPECT_TRUE(equal(hub));
  EXPECT_EQ(site.provider->unheard(), "");
}

TEST_F(ProvideAndFollow, HostileMessagesAreRefusedCountedAndHarmless) {
  source.put("a");
  Site site(time, broker, source);
  Hub hub(time, broker);
  ASSERT_TRUE(equal(hub));

  MemoryTransport enemy(broker, MemoryTransportOptions("enemy"));
  wire::Sender as_c1("c1", "x"), as_c2("c2", "x");
  wire::Frame forged;
  forged.scope = configmaps().id();
  forged.epoch = "guessed";
  forged.after = 0;
  forged.through = 1000;
  forged.events.push_back(testing::deleted("a", 1));
  forged.sequences.push_back(1);
  const std::string stream = "/payload/c1/stream/" + configmaps().id();
  std::vector<Message> messages;
  const auto add = [&](Message message) { messages.push_back(std::move(message)); };
  add(wire::to_messages(wire::encode(forged), stream, as_c2, 1 << 20)[0]);  // Another cluster's name.
  add(wire::to_messages(wire::encode(forged), stream, as_c1, 1 << 20)[0]);  // An epoch that nobody has.
  Message cut = wire::to_messages(wire::encode(forged), stream, as_c1, 1 << 20)[0];
  cut.body.resize(cut.body.size() / 2);
  add(cut);
  Message alien;
  alien.topic = stream;
  alien.body = "hello";
  add(alien);
  alien.topic = "/signal/c1";
  add(alien);
  alien.topic = "/payload/c1/presence";
  add(alien);
  for (Message& message : messages) {
    ASSERT_TRUE(time.await([](MemoryTransport& transport, Message message) -> Task<Result<void>> {
      co_return co_await transport.publish(std::move(message));
    }(enemy, std::move(message))));
  }
  time.run_for(1min);
  EXPECT_GE(refused(), 5u);
  EXPECT_TRUE(hub.deleted.empty());
  EXPECT_TRUE(equal(hub));
  EXPECT_FALSE(hub.end);
  EXPECT_FALSE(site.end);
}

TEST_F(ProvideAndFollow, APeerOfAnotherVersionIsRefusedAndToldSo) {
  Site site(time, broker, source);
  MemoryTransport stranger(broker, MemoryTransportOptions("stranger"));
  std::vector<Message> answers;
  TaskGroup tasks(time.runtime().executor);
  tasks.spawn([](MemoryTransport& transport, std::vector<Message>& heard) -> Task<void> {
    (void)co_await transport.subscribe("/payload/c1/reply/stranger");
    while (true) {
      TransportEvent event = co_await transport.receive();
      if (auto* message = std::get_if<Message>(&event)) heard.push_back(std::move(*message));
    }
  }(stranger, answers));
  time.run_for(1s);
  Message request;
  request.topic = "/signal/c1";
  request.attributes = {{"specversion", "1.0"}, {"id", "1"}, {"source", "stranger/i"}, {"type", "tinf.v2.watch"}};
  request.body = "{}";
  const auto say = [](MemoryTransport& transport, Message message) -> Task<Result<void>> {
    co_return co_await transport.publish(std::move(message));
  };
  ASSERT_TRUE(time.await(say(stranger, request)));
  ASSERT_TRUE(time.run_until([&] { return !answers.empty(); }));
  wire::Decoder decoder;
  const auto notice = std::get<wire::Notice>((*decoder.decode(answers[0]))->body);
  EXPECT_EQ(notice.code, Code::Conflict);
  EXPECT_THAT(notice.message, HasSubstr("upgrade the older of the two"));

  // And the other way: a provider that speaks only another version is not asked.
  Hub hub(time, broker);
  Message presence;
  presence.topic = "/payload/c2/presence";
  presence.attributes = {{"specversion", "1.0"}, {"id", "1"}, {"source", "c2/i"}, {"type", "tinf.v1.presence"}};
  presence.body = R"({"state":"present","cluster":"c2","instance":"i","versions":[2,3],"resources":[]})";
  const auto before = refused();
  ASSERT_TRUE(time.await(say(stranger, presence)));
  ASSERT_TRUE(time.run_until([&] { return refused() > before; }));
  EXPECT_EQ(hub.session->clusters().count("c2"), 0u);
  time.await([](TaskGroup& ending) -> Task<bool> {
    co_await ending.stop();
    co_return true;
  }(tasks));
}

TEST_F(ProvideAndFollow, ManyInformersShareOneWatchAtTheSource) {
  Site site(time, broker, source);
  std::vector<std::unique_ptr<Hub>> hubs;
  for (int i = 0; i < 5; ++i) hubs.push_back(std::make_unique<Hub>(time, broker, "hub" + std::to_string(i)));
  source.put("a");
  for (const auto& hub : hubs) ASSERT_TRUE(equal(*hub));
  EXPECT_EQ(source.open_streams(), 1u);
  EXPECT_EQ(site.provider->counts().subscriptions, 5u);
  hubs.clear();
  time.run_for(1min);
  EXPECT_EQ(source.open_streams(), 0u);  // Nobody asks: nothing is watched.
}

}  // namespace
}  // namespace tinf
