// What handlers, readers and waiters of one informer may rely on.
#include "tinf/informer/shared_informer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/live_source.h"
#include "tinf/testing/scripted_source.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using namespace testing;  // NOLINT: objects and events of tinf/testing.
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct SharedInformerTest : ::testing::Test {
  VirtualTime time;
  LiveSource source;
  MemoryStore store;
  SharedInformerOptions options;
  std::unique_ptr<SharedInformer> informer_;

  ~SharedInformerTest() override {
    if (informer_) stop();
  }

  SharedInformer& informer() {
    if (!informer_) {
      options.reflector.shortest_watch = options.reflector.longest_watch = 1000h;
      options.reflector.probe_after = Duration();
      informer_ = std::make_unique<SharedInformer>(time.runtime(), configmaps(), source, store, store, options);
    }
    return *informer_;
  }
  void start() {
    informer().start();
    time.run_for(1ms);
  }
  void settle() { time.run_for(1ms); }
  static Task<bool> stopped(SharedInformer& informer) {
    co_await informer.stop();
    co_return true;
  }
  void stop() { time.await(stopped(*informer_)); }

  // Writes down what it is told: "+a" added, "^a" initially, "~a" updated, "=a" resynced, "-a" deleted, "?a" so by a
  // list.
  struct Recorder {
    std::vector<std::string> told;
    std::map<std::string, int> balance;

    Handler handler() {
      Handler made;
      made.on_add = [this](const ObjectPtr& object, bool initial) {
        note(initial ? "^" : "+", object), ++balance[std::string(object->name())];
      };
      made.on_update = [this](const ObjectPtr& old, const ObjectPtr& now) { note(old == now ? "=" : "~", now); };
      made.on_delete = [this](const ObjectPtr& last, bool unknown) {
        note(unknown ? "?" : "-", last), --balance[std::string(last->name())];
      };
      made.on_synced = [this] { told.push_back("synced"); };
      return made;
    }
    void note(const std::string& what, const ObjectPtr& object) { told.push_back(what + std::string(object->name())); }
    std::vector<std::string> take() { return std::exchange(told, {}); }
  };
  Recorder recorder;

  SharedInformer::Registration add(Handler handler, HandlerOptions chosen = HandlerOptions()) {
    auto added = informer().add(std::move(handler), std::move(chosen));
    EXPECT_TRUE(added);
    return std::move(*added);
  }
};

TEST_F(SharedInformerTest, TellsAHandlerTheInitialSetThenThatItIsSyncedThenChanges) {
  source.put("a"), source.put("b");
  const auto registration = add(recorder.handler());
  EXPECT_FALSE(registration.synced());
  start();
  EXPECT_THAT(recorder.take(), ElementsAre("^a", "^b", "synced"));
  EXPECT_TRUE(registration.synced());
  source.put("c"), source.put("a"), source.remove("b");
  settle();
  EXPECT_THAT(recorder.take(), ElementsAre("+c", "~a", "-b"));
}

TEST_F(SharedInformerTest, TellsOfNothingBeforeTheStoreHasIt) {
  Handler handler;
  int wrong = 0;
  handler.on_add = [&](const ObjectPtr& object, bool) { wrong += store.get(object->key()).value() == nullptr; };
  handler.on_update = [&](const ObjectPtr&, const ObjectPtr& now) { wrong += store.get(now->key()).value() != now; };
  handler.on_delete = [&](const ObjectPtr& last, bool) { wrong += store.get(last->key()).value() != nullptr; };
  source.put("a");
  const auto registration = add(handler);
  start();
  for (int i = 0; i < 10; ++i) {
    source.put("a"), source.put("b"), settle();
    source.remove("b"), settle();
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(SharedInformerTest, TellsWhatHappenedWhileNobodyWatchedDeletesFirst) {
  for (const auto* name : {"a", "b", "c", "same"}) source.put(name);
  const auto registration = add(recorder.handler());
  start();
  recorder.take();
  source.fail_with(Error(Code::Unavailable, "away"));
  source.end_watches(Code::Unavailable);
  settle();
  source.put("new"), source.put("a"), source.remove("c"), source.remove("b"), source.put("b");
  source.compact();
  source.fail_with(std::nullopt);
  time.run_for(1min);
  EXPECT_THAT(recorder.take(), ElementsAre("?b", "?c", "~a", "+b", "+new"));
  EXPECT_EQ(store.list().value(), source.objects());
}

TEST_F(SharedInformerTest, SeesADeleteAndCreateInOneGapAsTwoObjectsByUid) {
  source.put("a");
  std::vector<std::string> uids;
  Handler handler;
  handler.on_add = [&](const ObjectPtr& object, bool) { uids.push_back("+" + std::string(object->uid())); };
  handler.on_delete = [&](const ObjectPtr& last, bool unknown) {
    uids.push_back((unknown ? "?" : "-") + std::string(last->uid()));
  };
  const auto registration = add(handler);
  start();
  source.remove("a"), source.put("a");
  source.compact(), source.end_watches(Code::Expired);
  time.run_for(1min);
  ASSERT_EQ(uids.size(), 3u);
  EXPECT_EQ(uids[1].substr(1), uids[0].substr(1));
  EXPECT_NE(uids[2], uids[0]);
}

TEST_F(SharedInformerTest, TellsNobodyOfAnUnchangedSetThroughRelists) {
  for (int i = 0; i < 50; ++i) source.put("n" + std::to_string(i));
  const auto registration = add(recorder.handler());
  start();
  recorder.take();
  const auto held = store.list().value();
  for (int i = 0; i < 100; ++i) {
    source.put("other"), source.remove("other");  // So that the watch progresses and nothing backs off.
    settle();
    recorder.take();
    source.compact(), source.end_watches(Code::Expired);
    time.run_for(5s);
    EXPECT_THAT(recorder.take(), IsEmpty());
  }
  EXPECT_GT(source.lists(), 90);
  EXPECT_EQ(store.list().value(), held);  // The same objects: a relist reuses them.
}

TEST_F(SharedInformerTest, BalancesAddsAndDeletesUnderHammering) {
  const auto registration = add(recorder.handler());
  start();
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    const std::string name = "n" + std::to_string(random() % 20);
    if (random() % 3 == 0) {
      source.remove(name);
    } else {
      source.put(name);
    }
    if (random() % 100 == 0) source.compact(), source.end_watches(Code::Expired);
    if (random() % 50 == 0) source.end_watches(Code::Unavailable);
    if (random() % 5 == 0) settle();
  }
  time.run_for(5min);
  for (const auto& [name, count] : recorder.balance) {
    EXPECT_EQ(count, store.get(key(name)).value() ? 1 : 0) << name;
  }
  EXPECT_EQ(store.list().value().size(), source.objects().size());
}

TEST_F(SharedInformerTest, ReplaysThePresentSetToALateHandlerAndThenSaysSynced) {
  source.put("a"), source.put("b");
  start();
  ASSERT_TRUE(informer().synced());
  const auto registration = add(recorder.handler());
  EXPECT_FALSE(registration.synced());  // Its own flag waits for its own replay.
  settle();
  EXPECT_THAT(recorder.take(), ElementsAre("^a", "^b", "synced"));
  EXPECT_TRUE(registration.synced());
}

TEST_F(SharedInformerTest, GivesEachHandlerExactlyOneInitialAddWheneverItCame) {
  // A store whose writes take a turn, so that handlers can come in the middle of one.
  struct SlowStore final : StoreWriter {
    SlowStore(MemoryStore& s, Clock& c) : store(s), clock(c) {}
    Task<Result<void>> replace(Snapshot all) override {
      auto done = co_await store.replace(std::move(all));
      co_await clock.sleep_for(1s);
      co_return done;
    }
    Task<Result<void>> apply(EventBatch changes) override {
      co_await clock.sleep_for(1s);
      co_return co_await store.apply(std::move(changes));
    }
    MemoryStore& store;
    Clock& clock;
  } slow(store, time);
  for (int i = 0; i < 5; ++i) source.put("n" + std::to_string(i));
  informer_ = std::make_unique<SharedInformer>(time.runtime(), configmaps(), source, store, slow, options);
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::vector<SharedInformer::Registration> registrations;
  const auto come = [&] {
    recorders.push_back(std::make_unique<Recorder>());
    registrations.push_back(add(recorders.back()->handler()));
  };
  come();
  informer().start();
  for (int step = 0; step < 12; ++step) {
    if (step == 4) source.put("late"), source.put("n0");
    time.run_for(400ms);
    come();
  }
  time.run_for(1min);
  for (std::size_t i = 0; i < recorders.size(); ++i) {
    EXPECT_TRUE(registrations[i].synced()) << i;
    for (const auto& [name, count] : recorders[i]->balance) EXPECT_EQ(count, 1) << name << " of handler " << i;
    EXPECT_EQ(recorders[i]->balance.size(), 6u) << i;
  }
  EXPECT_EQ(std::ranges::count(recorders.front()->told, "synced"), 1);
  stop();
  registrations.clear();
  informer_.reset();  // Before the store that it writes to.
}

TEST_F(SharedInformerTest, ServesManyHandlersThatComeAndGo) {
  source.put("a");
  start();
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::vector<SharedInformer::Registration> registrations;
  for (int i = 0; i < 200; ++i) {
    recorders.push_back(std::make_unique<Recorder>());
    registrations.push_back(add(recorders.back()->handler()));
    if (i % 3 == 0) source.put("a");
    if (i % 2 == 0) registrations[static_cast<std::size_t>(i) / 2].reset();
    if (i % 5 == 0) settle();
  }
  settle();
  source.put("b"), settle();
  int told = 0;
  for (std::size_t i = 0; i < 200; ++i) told += recorders[i]->balance["b"];
  EXPECT_EQ(told, 100);
  EXPECT_EQ(informer().handlers(), 100u);
}

TEST_F(SharedInformerTest, LeavesNoSeriesBehindHandlersThatWentAThousandTimes) {
  start();
  const auto series = [&] {
    std::size_t count = 0;
    for (const auto& family : time.runtime().metrics.collect()) count += family.samples.size();
    return count;
  };
  const auto before = series();
  for (int i = 0; i < 1000; ++i) {
    auto registration = add(recorder.handler());
    settle();
  }
  source.put("a"), settle();
  EXPECT_EQ(series(), before);
}

TEST_F(SharedInformerTest, TwoOfOneScopeHaveSeriesOfTheirOwnIfTheyAreToldApart) {
  const auto series = [&](const std::string& cluster) {
    std::set<std::string> names;
    for (const auto& family : time.runtime().metrics.collect()) {
      for (const auto& sample : family.samples) {
        if (std::ranges::find(sample.labels, std::pair<std::string, std::string>("cluster", cluster)) !=
            sample.labels.end())
          names.insert(family.name);
      }
    }
    return names;
  };
  SharedInformerOptions options;
  options.reflector.labels = {{"cluster", "c2"}};
  MemoryStore second;
  SharedInformer other(time.runtime(), configmaps(), source, second, second, options);
  const auto registration = other.add(Handler());
  EXPECT_THAT(series("c2"),
              ::testing::IsSupersetOf({"tinf_reflector_live", "tinf_reflector_lists_total", "tinf_handler_queue_depth",
                                       "tinf_handler_queue_lag_seconds", "tinf_handler_exceptions_total",
                                       "tinf_transform_failures_total", "tinf_index_failures_total"}));
  EXPECT_THAT(series("c1"), IsEmpty());
}

TEST_F(SharedInformerTest, TellsAHandlerNothingOnceItsRegistrationIsGone) {
  source.put("a");
  auto registration = add(recorder.handler());
  start();
  recorder.take();
  source.put("b");
  registration.reset();
  settle();
  EXPECT_THAT(recorder.take(), IsEmpty());
}

TEST_F(SharedInformerTest, ResyncsOnlyTheHandlersThatAreDue) {
  source.put("a");
  Recorder often, seldom, never;
  HandlerOptions options;
  options.resync = 10ms;  // Too short: a second it is.
  const auto r1 = add(often.handler(), options);
  options.resync = 10s;
  const auto r2 = add(seldom.handler(), options);
  const auto r3 = add(never.handler());
  start();
  time.run_for(20500ms);
  EXPECT_EQ(std::ranges::count(often.told, "=a"), 20);
  EXPECT_EQ(std::ranges::count(seldom.told, "=a"), 2);
  EXPECT_EQ(std::ranges::count(never.told, "=a"), 0);
}

TEST_F(SharedInformerTest, DoesNotLetASlowHandlerDelayAnotherOrGrow) {
  asio::io_context elsewhere;  // Nobody runs it: its handler is blocked.
  Recorder blocked, quick;
  HandlerOptions chosen;
  chosen.executor = elsewhere.get_executor();
  auto slow = add(blocked.handler(), chosen);
  const auto fast = add(quick.handler());
  start();
  for (int i = 0; i < 5000; ++i) {
    source.put("n" + std::to_string(i % 10));
    settle();
  }
  EXPECT_EQ(quick.told.size(), 5001u);
  EXPECT_LE(slow.queued(), 11u);
  EXPECT_THAT(blocked.told, IsEmpty());
  while (slow.queued() > 0) {
    elsewhere.restart(), elsewhere.poll();
    settle();
  }
  elsewhere.restart(), elsewhere.poll();
  EXPECT_EQ(blocked.balance.size(), 10u);  // It got the latest of each in the end.
}

TEST_F(SharedInformerTest, StopsInBoundedTimeWhileAHandlerIsBlockedElsewhere) {
  asio::io_context elsewhere;
  HandlerOptions chosen;
  chosen.executor = elsewhere.get_executor();
  const auto registration = add(recorder.handler(), chosen);
  source.put("a");
  start();
  stop();
  elsewhere.poll();
  EXPECT_THAT(recorder.take(), IsEmpty());  // No callback begins after the stop.
}

TEST_F(SharedInformerTest, LivesOnWhenAHandlerThrowsAndSaysSoAtABoundedRate) {
  Handler broken;
  broken.on_add = [](const ObjectPtr&, bool) { throw std::runtime_error("boom"); };
  const auto r1 = add(broken);
  const auto r2 = add(recorder.handler());
  start();
  for (int i = 0; i < 100; ++i) source.put("n" + std::to_string(i));
  settle();
  EXPECT_EQ(recorder.balance.size(), 100u);
  EXPECT_EQ(
      std::ranges::count_if(time.log_lines(), [](const auto& line) { return line.find("threw") != std::string::npos; }),
      1);
  double thrown = 0;
  for (const auto& family : time.runtime().metrics.collect()) {
    if (family.name != "tinf_handler_exceptions_total") continue;
    for (const auto& sample : family.samples) thrown += sample.value;
  }
  EXPECT_EQ(thrown, 100);
}

TEST_F(SharedInformerTest, LetsAHandlerRemoveItselfAddAnotherAndReadFromInside) {
  SharedInformer::Registration self, other;
  std::size_t seen = 0;
  int calls = 0;
  Handler handler;
  handler.on_add = [&](const ObjectPtr&, bool) {
    ++calls;
    seen = informer().lister().list().value().size();
    other = add(recorder.handler());
    self.reset();
  };
  source.put("a"), source.put("b");
  self = add(handler);
  start();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(seen, 2u);
  EXPECT_THAT(recorder.take(), ElementsAre("^a", "^b", "synced"));
}

TEST_F(SharedInformerTest, LetsAHandlerStopTheInformerFromInside) {
  int calls = 0;
  Handler handler;
  handler.on_add = [&](const ObjectPtr&, bool) {
    ++calls;
    informer().request_stop();
  };
  source.put("a"), source.put("b");
  const auto registration = add(handler);
  start();
  stop();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(source.open_streams(), 0u);
}

TEST_F(SharedInformerTest, RefusesHandlersAfterItHasStopped) {
  start();
  stop();
  const auto refused = informer().add(recorder.handler());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Cancelled);
  stop();  // Once more does no harm.
}

TEST_F(SharedInformerTest, TransformsEachStateOnceAlsoThroughRelists) {
  int transforms = 0;
  options.transform = [&](const ObjectPtr& whole) -> Result<ObjectPtr> {
    ++transforms;
    EXPECT_EQ(std::string(whole->raw()).find("transformed"), std::string::npos);
    return object(std::string(whole->name()), std::stoi(std::string(whole->resource_version())),
                  std::string(whole->uid()), R"("annotations":{"transformed":"yes"})");
  };
  source.put("a"), source.put("b");
  const auto registration = add(recorder.handler());
  start();
  EXPECT_EQ(transforms, 2);
  for (int i = 0; i < 5; ++i) {
    source.bookmark(), settle();
    source.compact(), source.end_watches(Code::Expired);
    time.run_for(1min);
  }
  EXPECT_EQ(transforms, 2);
  source.put("a"), settle();
  EXPECT_EQ(transforms, 3);
  EXPECT_EQ(store.get(key("a")).value()->annotations().size(), 1u);
  EXPECT_THAT(recorder.take(), ElementsAre("^a", "^b", "synced", "~a"));
}

TEST_F(SharedInformerTest, LeavesOutWhatTheTransformRefusesAndPoisonsNothingElse) {
  options.transform = [](const ObjectPtr& whole) -> Result<ObjectPtr> {
    if (whole->name() == "bad") return Error(Code::Invalid, "I do not like it");
    if (whole->name() == "worse") throw std::runtime_error("I hate it");
    return whole;
  };
  source.put("a"), source.put("bad"), source.put("z");
  const auto registration = add(recorder.handler());
  start();
  source.put("worse"), source.put("y"), settle();
  EXPECT_THAT(recorder.take(), ElementsAre("^a", "^z", "synced", "+y"));
  EXPECT_EQ(informer().transform_failures(), 2u);
  EXPECT_THAT(informer().last_transform_error()->message, HasSubstr("default/worse"));
}

TEST_F(SharedInformerTest, LivesOnWhenAnIndexFunctionThrowsAndFindsTheOtherObjects) {
  const auto fussy = [](const Object& object) {
    if (object.name() == "bad") throw std::runtime_error("I hate it");
    return std::vector<std::string>{"all"};
  };
  ASSERT_TRUE(informer().add_index("fussy", fussy));
  source.put("a"), source.put("bad");
  const auto registration = add(recorder.handler());
  start();
  source.put("bad", R"("labels":{"x":"y"})"), source.put("z"), settle();
  EXPECT_THAT(recorder.take(), ElementsAre("^a", "^bad", "synced", "~bad", "+z"));
  source.remove("bad"), settle();
  EXPECT_THAT(recorder.take(), ElementsAre("-bad"));
  EXPECT_EQ(informer().lister().by_index("fussy", "all").value().size(), 2u);
  ASSERT_TRUE(informer().add_index("again", [](const Object&) -> std::vector<std::string> { throw 1; }));
  EXPECT_THAT(informer().lister().by_index("again", "all").value(), IsEmpty());
}

TEST_F(SharedInformerTest, KeepsItsIndexesInStep) {
  source.put("a", R"("labels":{"app":"web"})");
  start();
  const auto app = [](const Object& object) {
    std::vector<std::string> values;
    for (auto& [label, value] : object.labels()) values.push_back(value);
    return values;
  };
  ASSERT_TRUE(informer().add_index("app", app));  // While it runs.
  source.put("b", R"("labels":{"app":"web"})"), source.put("a", R"("labels":{"app":"db"})"), settle();
  const auto lister = informer().lister();
  EXPECT_EQ(lister.by_index("app", "web").value().size(), 1u);
  EXPECT_EQ(lister.by_index("app", "db").value().front()->name(), "a");
  source.remove("b"), source.compact(), source.end_watches(Code::Expired);
  time.run_for(1min);
  EXPECT_THAT(lister.by_index("app", "web").value(), IsEmpty());
  EXPECT_EQ(lister.list(LabelSelector::parse("app in (db)").value()).value().size(), 1u);
  EXPECT_THAT(lister.list(LabelSelector(), "elsewhere").value(), IsEmpty());
  EXPECT_EQ(lister.get(key("a")).value()->name(), "a");
}

TEST_F(SharedInformerTest, SaysWhyAScopeIsNotSynced) {
  source.fail_with(Error(Code::Forbidden, "user \"x\" cannot list configmaps"));
  start();
  const auto denied = time.await(informer().wait_synced(time.now() + 30s));
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, Code::Forbidden);
  EXPECT_THAT(denied.error().message,
              ::testing::AllOf(HasSubstr("configmaps"), HasSubstr("grant"), HasSubstr("user \"x\"")));
  source.fail_with(Error(Code::NotFound, "no such resource"));
  time.run_for(5min);
  EXPECT_THAT(time.await(informer().wait_synced(time.now() + 1s)).error().message, HasSubstr("CRD"));
  source.fail_with(Error(Code::Unavailable, "connection refused"));
  time.run_for(5min);
  EXPECT_THAT(time.await(informer().wait_synced(time.now() + 1s)).error().message, HasSubstr("connection refused"));
  source.fail_with(std::nullopt);
  EXPECT_TRUE(time.await(informer().wait_synced(time.now() + 5min)));
  source.fail_with(Error(Code::Unavailable, "away again"));
  source.end_watches(Code::Unavailable);
  settle();
  EXPECT_TRUE(informer().synced());  // Never false again.
  EXPECT_FALSE(informer().live());   // Another question.
}

TEST_F(SharedInformerTest, SaysThatAListWasTooSlowOrHadNoEnd) {
  ScriptedSource scripted(time);
  scripted.scripted_traits.streaming_list = true;
  scripted.expects_streaming_list().sends(added("a", 1));  // And no end bookmark.
  scripted.expects_list();                                 // Silence.
  SharedInformer slow(time.runtime(), configmaps(), scripted, store, store);
  slow.start();
  const auto late = time.await(slow.wait_synced(time.now() + 5min));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::Timeout);
  EXPECT_THAT(late.error().message, ::testing::AllOf(HasSubstr("not complete in time"), HasSubstr("no end bookmark")));
  time.await(stopped(slow));
  EXPECT_EQ(time.await(slow.wait_synced(time.now() + 5min)).error().code, Code::Cancelled);
}

TEST_F(SharedInformerTest, WaitsUntilOnesOwnWriteShows) {
  start();
  const auto written = source.put("a");
  EXPECT_TRUE(
      time.await(informer().wait_until(ResourceVersion(std::string(written->resource_version())), time.now() + 1s)));
  EXPECT_EQ(store.get(key("a")).value(), written);
  EXPECT_EQ(time.await(informer().wait_until(ResourceVersion("999999"), time.now() + 1s)).error().code, Code::Timeout);
  EXPECT_EQ(time.await(informer().wait_until(ResourceVersion("epoch/1"), time.now() + 1s)).error().code, Code::Invalid);
}

TEST_F(SharedInformerTest, WaitsUntilOneWrittenObjectOrWhatCameAfterItShows) {
  start();
  const auto written = source.put("a");
  EXPECT_TRUE(time.await(informer().wait_until(written, time.now() + 1s)));
  EXPECT_EQ(store.get(key("a")).value(), written);
  const auto passed = source.put("a");
  source.remove("a");
  source.put("a");
  EXPECT_TRUE(time.await(informer().wait_until(passed, time.now() + 1s)));
  const auto elsewhere = Object::parse(R"({"metadata":{"name":"b","uid":"u","resourceVersion":"999999"}})").value();
  EXPECT_EQ(time.await(informer().wait_until(elsewhere, time.now() + 1s)).error().code, Code::Timeout);
  const auto odd = Object::parse(R"({"metadata":{"name":"b","uid":"u","resourceVersion":"epoch/1"}})").value();
  EXPECT_EQ(time.await(informer().wait_until(odd, time.now() + 1s)).error().code, Code::Invalid);
}

TEST_F(SharedInformerTest, FindsAndRepairsADifferenceThatNoWatchToldOf) {
  source.put("a"), source.put("b");
  start();
  EXPECT_TRUE(time.await(informer().verify())->equal());
  source.corrupt("b"), source.corrupt("c");
  const auto found = time.await(informer().verify());
  ASSERT_TRUE(found);
  EXPECT_THAT(found->different, ElementsAre(key("b")));
  EXPECT_THAT(found->missing, ElementsAre(key("c")));
  settle();
  EXPECT_EQ(store.size(), 3u);
  EXPECT_TRUE(time.await(informer().verify())->equal());
}

TEST_F(SharedInformerTest, DoesNotTakeWhatIsMerelyOnItsWayForADifference) {
  source.put("a");
  start();
  source.put("b");  // In the stream, not yet in the store.
  const auto lists = source.lists();
  EXPECT_TRUE(time.await(informer().verify())->equal());
  settle();
  EXPECT_LE(source.lists(), lists + 2);
  EXPECT_EQ(store.size(), 2u);
}

}  // namespace
}  // namespace tinf
