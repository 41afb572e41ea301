// A Reflector against a scripted source: each test reads as the conversation it is about.
#include "tinf/informer/reflector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/scripted_source.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using namespace testing;  // NOLINT: objects and events of tinf/testing.
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;

// Refuses writes as long as it is told to; what it takes goes into a real store.
struct StubbornStore final : StoreWriter {
  MemoryStore store;
  int refusals = 0;

  Task<Result<void>> replace(Snapshot all) override {
    if (refusals > 0) co_return refuse();
    co_return co_await store.replace(std::move(all));
  }
  Task<Result<void>> apply(EventBatch changes) override {
    if (refusals > 0) co_return refuse();
    co_return co_await store.apply(std::move(changes));
  }
  Error refuse() {
    --refusals;
    return Error(Code::Internal, "the disk is full");
  }
};

struct ReflectorTest : ::testing::Test {
  VirtualTime time;  // Nothing here waits for a wall clock.
  ScriptedSource source{time};
  StubbornStore stubborn;
  MemoryStore& store = stubborn.store;
  ReflectorOptions options;
  std::vector<Code> errors;
  std::vector<ScopeState> states;  // As on_status found them.
  std::unique_ptr<Reflector> reflector;
  TaskGroup tasks{time.runtime().executor};

  ~ReflectorTest() override { time.await(stopped()); }

  Task<bool> stopped() {
    co_await tasks.stop();
    co_return true;
  }

  void start() {
    options.on_error = [this](const Error& error) { errors.push_back(error.code); };
    options.on_status = [this] { states.push_back(reflector->status().state); };
    reflector = std::make_unique<Reflector>(time.runtime(), configmaps(), source, stubborn, options);
    tasks.spawn(reflector->run());
  }
  // Long enough for every wait, too short for a probe or a watch's own end.
  void run(Duration limit = 4min) {
    start();
    time.run_for(limit);
  }

  // For scripts of hours: nothing is asked beside what the test is about.
  void let_watches_last() {
    options.probe_after = Duration();
    options.shortest_watch = options.longest_watch = 1000h;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    const auto objects = store.list().value();
    for (const auto& held : objects) found.emplace_back(held->name());
    return found;
  }
};

#define EXPECT_SCRIPT_DONE() EXPECT_TRUE(source.script_is_done()) << source.what_remains()

TEST_F(ReflectorTest, ListsFromZeroInPagesAndWatchesFromTheListsVersion) {
  source.expects_list(version("0")).paged(500).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).sends(added("b", 2));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(names(), ElementsAre("a", "b"));
  EXPECT_TRUE(reflector->synced());
  EXPECT_TRUE(reflector->live());
  EXPECT_EQ(store.version(), version("2"));
  EXPECT_THAT(source.requests()[1].watch.timeout, AllOf(Ge(5min), Le(10min)));
  EXPECT_FALSE(source.requests()[1].watch.initial_events);
}

TEST_F(ReflectorTest, AsksASourceThatDoesNotKnowZeroForTheLatest) {
  source.scripted_traits = SourceTraits();
  source.expects_list(version("")).paged(0).replies({}, version("epoch/1"));
  source.expects_watch(version("epoch/1"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, BeginsWithTheLatestWhereACopyOlderThanAFormerLifeWouldHarm) {
  options.first_version = "";
  source.expects_list(version("")).paged(500).replies({object("a", 7)}, version("7"));
  source.expects_watch(version("7"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, RelistsWhenTheWatchExpires) {
  source.expects_list().replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).sends(added("b", 2)).ends_with(Code::Expired);
  source.expects_list(version("2")).paged(0).replies({object("b", 2), object("c", 3)}, version("3"));
  source.expects_watch(version("3"));
  run();
  EXPECT_THAT(names(), ElementsAre("b", "c"));  // "a" went while nobody watched.
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, RelistsWhenAWatchCannotStartBecauseItsVersionExpired) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).refuses(Code::Expired);
  source.expects_list(version("1")).replies({}, version("5"));
  source.expects_watch(version("5"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, GoesFromZeroToItsVersionToTheLatestAsEachExpires) {
  source.expects_list(version("0")).replies({object("a", 10)}, version("10"));
  source.expects_watch(version("10")).bookmark(version("11")).ends_with(Code::Expired);
  source.expects_list(version("11")).paged(0).refuses(Code::Expired);
  source.expects_list(version("")).paged(500).replies({object("a", 12)}, version("12"));
  source.expects_watch(version("12"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, AsksForTheLatestWhenItsVersionIsTooLargeForAReplica) {
  source.expects_list().replies({object("a", 10)}, version("10"));
  source.expects_watch(version("10")).bookmark(version("11")).ends_with(Code::Expired);
  source.expects_list(version("11")).refuses(Code::Timeout, "Too large resource version: 11, current: 9");
  source.expects_list(version("")).replies({object("a", 12)}, version("12"));
  source.expects_watch(version("12")).bookmark(version("13")).ends_with(Code::Timeout, "too large resource version");
  source.expects_list(version("13")).replies({}, version("14"));
  source.expects_watch(version("14"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, FallsBackToOneUnpagedListWhenAPageExpires) {
  source.expects_list(version("0")).paged(500).refuses(Code::Expired);
  source.expects_list(version("")).paged(0).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, WaitsWhenEvenTheWholeLatestListExpires) {
  source.expects_list(version("0")).refuses(Code::Expired);
  source.expects_list(version("")).paged(0).refuses(Code::Expired);
  source.expects_list(version("")).after(800ms).replies({}, version("1"));
  source.expects_watch(version("1"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, ResumesWithoutAListWhenOnlyTheConnectionBroke) {
  source.expects_list().replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).sends(modified("a", 5)).ends_with(Code::Unavailable);
  source.expects_watch(version("5")).after(800ms);  // One backoff step, no list but for the version.
  source.expects_list(version("")).version_only().replies({}, version("5"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, WatchesAgainAtOnceAndWithoutAListWhenAWatchEndsWell) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).waits(1min).ends_with(Code::Timeout);
  source.expects_watch(version("1")).bookmark(version("7")).ends_with(Code::Timeout);
  source.expects_watch(version("7"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_TRUE(errors.empty());
}

TEST_F(ReflectorTest, ListsAgainWhenAServerDropsAStaleWatchWithoutSayingExpired) {
  options.probe_after = Duration();
  source.expects_list().replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).ends_at_once().times(Reflector::kWatchesWithoutProgress);
  source.expects_list(version("")).after(800ms).replies({object("a", 7)}, version("7"));
  source.expects_watch(version("7"));
  run();
  EXPECT_EQ(store.get(key("a")).value()->resource_version(), "7");
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, KeepsABoundedPaceWithAServerThatEndsEveryWatchAtOnce) {
  struct Closing final : ListerWatcher {
    struct Ended final : WatchStream {
      Task<Result<EventBatch>> next() override { co_return Error(Code::Timeout, "over"); }
    };
    int requests = 0;
    SourceTraits traits() const override { return SourceTraits(); }
    Task<Result<Snapshot>> list(const Scope&, ListOptions) override {
      ++requests;
      Snapshot all;
      all.version = ResourceVersion("1");
      co_return all;
    }
    Task<Result<std::unique_ptr<WatchStream>>> watch(const Scope&, WatchOptions) override {
      ++requests;
      co_return std::unique_ptr<WatchStream>(std::make_unique<Ended>());
    }
  } closing;
  Reflector pacing(time.runtime(), configmaps(), closing, stubborn, options);
  TaskGroup group(time.runtime().executor);
  group.spawn(pacing.run());
  time.run_for(1h);
  EXPECT_LT(closing.requests, 200);  // 30 s to 60 s apart once the backoff has grown.
  EXPECT_GT(closing.requests, 60);
  EXPECT_LT(time.log_lines().size(), 100u);
  tasks.spawn(group.stop());
  time.run_for(1s);
}

TEST_F(ReflectorTest, ConvergesWhenAListTakesLongerThanTheSourceKeepsItsHistory) {
  source.expects_list().paged(500).takes(6min).replies({}, version("1"));
  source.expects_watch(version("1")).refuses(Code::Expired);
  source.expects_list(version("1")).takes(6min).replies({}, version("2"));
  source.expects_watch(version("2")).refuses(Code::Expired);
  source.expects_list(version("")).paged(250).after(800ms).takes(6min).replies({}, version("3"));
  source.expects_watch(version("3")).refuses(Code::Expired);
  source.expects_list(version("")).paged(125).after(800ms).replies({}, version("4"));
  source.expects_watch(version("4"));
  run(20min);
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, SurvivesFailuresOfListAndWatchAndReportsEach) {
  source.expects_list().refuses(Code::Internal);
  source.expects_list().after(800ms).refuses(Code::Unavailable);
  source.expects_list().after(1600ms).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).refuses(Code::Internal);
  source.expects_watch(version("1")).after(800ms).sends(modified("a", 2)).ends_with(Code::Internal);
  source.expects_list(version("")).version_only().replies({}, version("1"));
  source.expects_watch(version("2")).after(800ms);
  source.expects_list(version("")).version_only().replies({}, version("2"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(errors, ElementsAre(Code::Internal, Code::Unavailable, Code::Internal, Code::Internal));
}

TEST_F(ReflectorTest, BacksOffAndDoesNotListWhileTheConnectionIsRefused) {
  let_watches_last();
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).refuses(Code::Unavailable).times(8);
  source.expects_watch(version("1")).after(30s);
  run(10min);
  EXPECT_SCRIPT_DONE();
  EXPECT_EQ(source.lists(), 1);
}

TEST_F(ReflectorTest, BacksOffOnTooManyRequestsOnBothPathsAndDoesNotListForIt) {
  let_watches_last();
  source.expects_list().refuses(Code::TooManyRequests);
  source.expects_list().after(800ms).replies({}, version("1"));
  source.expects_watch(version("1")).refuses(Code::TooManyRequests).times(7);
  source.expects_watch(version("1")).after(30s);
  run(10min);
  EXPECT_SCRIPT_DONE();
  EXPECT_EQ(source.lists(), 2);
}

TEST_F(ReflectorTest, MovesItsVersionWithEveryEventAndBookmark) {
  source.expects_list().replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"))
      .sends(added("b", 2))
      .sends(modified("a", 3))
      .sends(deleted("b", 4))
      .bookmark(version("9"))
      .ends_with(Code::Unavailable);
  source.expects_watch(version("9"));
  source.expects_list(version("")).version_only().replies({}, version("9"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(names(), ElementsAre("a"));
  EXPECT_EQ(store.version(), version("9"));
}

TEST_F(ReflectorTest, DoesNotMoveItsVersionPastWhatTheStoreHasTaken) {
  source.expects_list().replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).waits(1s).sends(modified("a", 2)).sends(modified("a", 3));
  source.expects_watch(version("1")).after(800ms).sends(modified("a", 2));
  source.expects_list(version("")).version_only().replies({}, version("3"));
  start();
  time.run_for(500ms);
  stubborn.refusals = 1;
  time.run_for(600ms);
  EXPECT_EQ(reflector->status().state, ScopeState::StoreRefuses);
  EXPECT_THAT(reflector->status().last_error->message, HasSubstr("disk"));
  EXPECT_EQ(reflector->version(), version("1"));
  time.run_for(1min);
  EXPECT_SCRIPT_DONE();
  EXPECT_EQ(store.version(), version("2"));
  EXPECT_TRUE(reflector->live());
}

TEST_F(ReflectorTest, ListsAgainWhenTheStoreRefusedTheList) {
  stubborn.refusals = 2;
  source.expects_list().replies({object("a", 1)}, version("1")).times(2);
  source.expects_list().after(1600ms).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_TRUE(reflector->synced());
}

TEST_F(ReflectorTest, NeverGoesBackToWhatALaggingReplicaLists) {
  source.expects_list().replies({object("a", 10)}, version("10"));
  source.expects_watch(version("10")).ends_with(Code::Expired);
  source.expects_list(version("10")).replies({object("a", 8)}, version("8"));
  source.expects_list(version("")).replies({object("a", 12)}, version("12"));
  source.expects_watch(version("12"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, FollowsASourceThatWasRestoredWhenABookmarkTellsOfIt) {
  source.expects_list().replies({object("a", 100), object("b", 90)}, version("100"));
  source.expects_watch(version("100")).bookmark(version("40"));
  source.expects_list(version("")).replies({object("a", 30)}, version("41"));
  source.expects_watch(version("41"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(names(), ElementsAre("a"));
  EXPECT_EQ(store.version(), version("41"));
}

TEST_F(ReflectorTest, FollowsASourceThatWasRestoredWhenAnEventTellsOfIt) {
  source.expects_list().replies({object("a", 100)}, version("100"));
  source.expects_watch(version("100")).sends(modified("a", 40));
  source.expects_list(version("")).replies({object("a", 40)}, version("41"));
  source.expects_watch(version("41"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, AsksASourceThatWasAwayWhereItStandsAndFollowsItsBackup) {
  source.expects_list().replies({object("a", 90), object("b", 95)}, version("100"));
  source.expects_watch(version("100")).ends_with(Code::Timeout);  // As by a server that shuts down politely.
  source.expects_watch(version("100")).refuses(Code::Unavailable);
  source.expects_watch(version("100"));  // Says nothing until its version comes, perhaps in hours.
  source.expects_list(version("")).paged(1).version_only().refuses(Code::Unavailable);
  source.expects_watch(version("100"));
  source.expects_list(version("")).version_only().replies({}, version("40"));
  source.expects_list(version("")).paged(500).replies({object("a", 40)}, version("40"));
  source.expects_watch(version("40"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(names(), ElementsAre("a"));
}

// Versions of the time after the backup have been given to other states: nothing but the set itself tells of it.
TEST_F(ReflectorTest, ListsASourceThatWasAwayWhereItsBackupMayHaveWrittenMoreThanItHadLost) {
  options.after_outage = AfterOutage::List;
  source.expects_list().replies({object("a", 90), object("b", 95)}, version("100"));
  source.expects_watch(version("100")).waits(10s).bookmark(version("100")).ends_with(Code::Unavailable);
  source.expects_list(version("")).paged(500).refuses(Code::TooManyRequests);  // As by a server that has just started.
  source.expects_list(version("")).paged(500).takes(20s).replies({object("a", 80)}, version("140"));
  source.expects_watch(version("140")).sends(added("c", 141));
  start();
  const TimePoint began = time.now();
  time.run_for(15s);
  EXPECT_FALSE(reflector->live());
  EXPECT_EQ(reflector->current_at(), began + 10s);
  time.run_for(1min);
  EXPECT_SCRIPT_DONE();
  EXPECT_TRUE(reflector->live());
  EXPECT_THAT(names(), ElementsAre("a", "c"));
}

TEST_F(ReflectorTest, ProbesAQuietWatchAndFollowsASourceThatWasRestored) {
  source.expects_list().replies({object("a", 100)}, version("100"));
  source.expects_watch(version("100"));
  source.expects_list(version("")).paged(1).version_only().after(5min).replies({}, version("200"));
  source.expects_list(version("")).version_only().after(5min).refuses(Code::Unavailable);
  source.expects_list(version("")).version_only().after(5min).replies({}, version("40"));
  source.expects_list(version("")).replies({object("a", 39)}, version("41"));
  source.expects_watch(version("41"));
  options.shortest_watch = options.longest_watch = 1h;
  run(19min);
  EXPECT_SCRIPT_DONE();
  EXPECT_EQ(store.version(), version("41"));
}

TEST_F(ReflectorTest, DoesNotProbeAWatchWhoseBookmarksComeInTime) {
  source.expects_list().replies({}, version("1"));
  auto& watch = source.expects_watch(version("1"));
  for (int minute = 2; minute < 60; ++minute) watch.waits(1min).bookmark(version(std::to_string(minute)));
  options.shortest_watch = options.longest_watch = 2h;
  run(58min);
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, TakesAWatchForDeadThatOutlivesItsTime) {
  options.shortest_watch = options.longest_watch = 4min;
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1"));  // Its peer has vanished without a word.
  source.expects_watch(version("1"));
  source.expects_list(version("")).version_only().replies({}, version("1"));
  run(6min);
  EXPECT_SCRIPT_DONE();
  EXPECT_EQ(source.open_streams(), 1);
}

// A source behind a broker ends no watch: quiet is no fault there.
TEST_F(ReflectorTest, KeepsAQuietWatchOfASourceThatEndsNone) {
  source.scripted_traits = SourceTraits();
  source.expects_list().replies({}, version("epoch/1"));
  source.expects_watch(version("epoch/1"));
  run(3h);
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_TRUE(reflector->live());
}

TEST_F(ReflectorTest, IsNotLiveWhileNoWatchIsOpen) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).waits(1min).ends_with(Code::Timeout);
  source.expects_watch(version("1")).takes(10s).ends_with(Code::Expired);
  source.expects_list().takes(1min).replies({}, version("2"));
  source.expects_watch(version("2"));
  start();
  const TimePoint began = time.now();
  time.run_for(65s);
  EXPECT_EQ(reflector->status().state, ScopeState::Resuming);
  EXPECT_EQ(reflector->current_at(), began + 1min);
  EXPECT_EQ(states.back(), ScopeState::Resuming);
  time.run_for(35s);
  EXPECT_EQ(reflector->status().state, ScopeState::Listing);
  EXPECT_EQ(reflector->current_at(), began + 1min);  // The second had expired before it said a word.
  EXPECT_EQ(states.back(), ScopeState::Listing);
  time.run_for(1min);
  EXPECT_TRUE(reflector->live());
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, IsNotLiveWhileItListsBecauseItWasAskedTo) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1"));
  source.expects_list(version("")).takes(1min).replies({}, version("1"));
  source.expects_watch(version("1"));
  start();
  time.run_for(10s);
  reflector->relist();
  time.run_for(10s);
  EXPECT_EQ(reflector->status().state, ScopeState::Listing);
  time.run_for(1min);
  EXPECT_TRUE(reflector->live());
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, WasLastCurrentWhenABrokenWatchLastSpoke) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).waits(1min).bookmark(version("2")).waits(1min).ends_with(Code::Unavailable);
  source.expects_watch(version("2")).refuses(Code::Unavailable).times(100);
  start();
  const TimePoint began = time.now();
  time.run_for(5min);
  EXPECT_FALSE(reflector->live());
  EXPECT_EQ(reflector->current_at(), began + 1min);
}

TEST_F(ReflectorTest, WasNotCurrentWhileAWatchWasOpenThatHadExpired) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).waits(1min).bookmark(version("2")).ends_with(Code::Unavailable);
  source.expects_watch(version("2")).after(800ms).waits(5s).ends_with(Code::Expired);
  source.expects_list(version("")).version_only().replies({}, version("9"));
  source.expects_list(version("2")).takes(1min).replies({}, version("9"));
  source.expects_watch(version("9"));
  start();
  const TimePoint began = time.now();
  time.run_for(90s);
  EXPECT_FALSE(reflector->live());
  EXPECT_EQ(reflector->current_at(), began + 1min);
  time.run_for(2min);
  EXPECT_TRUE(reflector->live());
  EXPECT_SCRIPT_DONE();
}

// Of a set whose list took long nobody knows what happened meanwhile, until the watch after it has told.
class ReflectorAfterALongList : public ReflectorTest, public ::testing::WithParamInterface<Code> {};

TEST_P(ReflectorAfterALongList, IsAsOldAsTheListWhereTheWatchEndedWithoutAWord) {
  source.expects_list().takes(5min).replies({}, version("1"));
  source.expects_watch(version("1")).ends_with(GetParam());
  source.expects_watch(version("1")).takes(1h);
  start();
  const TimePoint began = time.now();
  time.run_for(5min + 10s);
  EXPECT_FALSE(reflector->live());
  EXPECT_EQ(reflector->current_at(), began);
}

INSTANTIATE_TEST_SUITE_P(Ends, ReflectorAfterALongList,
                         ::testing::Values(Code::Unavailable, Code::Internal, Code::Timeout));

// A polite end long before its time, and a gateway that answers for a server that is away, are outages.
TEST_F(ReflectorTest, ListsAfterAnEndBeforeItsTimeAndAfterATimeoutOfAGateway) {
  options.after_outage = AfterOutage::List;
  options.shortest_watch = options.longest_watch = 5min;
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).waits(10s).ends_with(Code::Timeout);
  source.expects_list(version("")).replies({}, version("2"));
  source.expects_watch(version("2")).waits(5min).ends_with(Code::Timeout);
  source.expects_watch(version("2")).takes(5s).refuses(Code::Timeout);
  source.expects_list(version("")).replies({}, version("3"));
  source.expects_watch(version("3"));
  run(7min);
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, WasLastCurrentWhenASilentWatchLastSpoke) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).waits(1min).bookmark(version("2")).waits(150s).falls_silent();
  source.expects_watch(version("2")).takes(1h);
  start();
  const TimePoint began = time.now();
  time.run_for(215s);
  EXPECT_FALSE(reflector->live());
  EXPECT_EQ(reflector->current_at(), began + 1min);
}

// Set back to a backup, it would keep quiet about it; and what it says of another history is worth nothing.
TEST_F(ReflectorTest, BelievesNoWatchOfASourceThatWasAwayBeforeItHasSaidWhereItStands) {
  let_watches_last();
  options.probe_after = 5min;
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).refuses(Code::Unavailable);
  auto& busy = source.expects_watch(version("1"));
  for (int i = 2; i < 600; ++i) busy.waits(100ms).sends(added("a", i));
  source.expects_list(version("")).version_only().takes(20s).replies({}, version("1"));
  start();
  time.run_for(15s);
  EXPECT_FALSE(reflector->live());
  time.run_for(10s);
  EXPECT_TRUE(reflector->live());
  EXPECT_EQ(source.lists(), 2);
}

TEST_F(ReflectorTest, GivesUpAListAndAWatchThatNeverAnswer) {
  source.expects_list();  // Silence before the headers.
  source.expects_list().paged(250).after(10min).replies({}, version("1"));
  source.expects_watch(version("1")).takes(24h);
  source.expects_watch(version("1"));
  source.expects_list(version("")).version_only().replies({}, version("1"));
  run(15min);
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(errors, ElementsAre(Code::Timeout, Code::Unavailable));
}

TEST_F(ReflectorTest, TakesForbiddenAndNotFoundForStatesAndSaysThemOnce) {
  let_watches_last();
  source.expects_list().refuses(Code::Forbidden, "configmaps is forbidden").times(100);
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1"));
  start();
  time.run_for(1h);
  EXPECT_EQ(reflector->status().state, ScopeState::Forbidden);
  EXPECT_EQ(reflector->status().last_error->message, "configmaps is forbidden");
  EXPECT_LT(source.lists(), 60);
  EXPECT_FALSE(reflector->synced());
  EXPECT_EQ(time.log_lines().size(), 1u);
  time.run_for(10h);
  EXPECT_SCRIPT_DONE();
  EXPECT_TRUE(reflector->live());
}

TEST_F(ReflectorTest, KeepsTheLastCopyOfAResourceThatIsGoneAndStartsANewLifeWhenItReturns) {
  let_watches_last();
  source.expects_list().replies({object("a", 50)}, version("50"));
  source.expects_watch(version("50")).ends_with(Code::NotFound);
  source.expects_list(version("")).refuses(Code::NotFound).times(5);
  source.expects_list(version("")).replies({}, version("7"));
  source.expects_watch(version("7"));
  start();
  time.run_for(30s);
  EXPECT_EQ(reflector->status().state, ScopeState::NotFound);
  EXPECT_TRUE(reflector->synced());
  EXPECT_FALSE(reflector->live());
  EXPECT_THAT(names(), ElementsAre("a"));
  time.run_for(20min);
  EXPECT_SCRIPT_DONE();
  EXPECT_TRUE(names().empty());
}

TEST_F(ReflectorTest, ResumesWhereItStoodWhenRotatedCredentialsWorkAgain) {
  source.expects_list().replies({}, version("1"));
  source.expects_watch(version("1")).bookmark(version("3")).ends_with(Code::Unauthorized);
  source.expects_watch(version("3")).refuses(Code::Unauthorized);
  source.expects_watch(version("3"));
  source.expects_list(version("")).version_only().replies({}, version("3"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_TRUE(reflector->live());
}

TEST_F(ReflectorTest, ListsAgainWhenItIsAskedTo) {
  source.expects_list().replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"));
  source.expects_list(version("")).replies({object("b", 2)}, version("2"));
  source.expects_watch(version("2"));
  run();
  reflector->relist();
  time.run_for(1s);
  EXPECT_SCRIPT_DONE();
  EXPECT_EQ(source.open_streams(), 1);
}

TEST_F(ReflectorTest, RefusesAListWithoutAVersion) {
  source.expects_list().replies({object("a", 1)}, version(""));
  source.expects_list().after(800ms).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(ReflectorTest, StopsWhileListingBackingOffOrWatchingWithItsStreamClosed) {
  for (int stage = 0; stage < 3; ++stage) {
    ScriptedSource scripted(time);
    if (stage == 0) scripted.expects_list();
    if (stage == 1) scripted.expects_list().refuses(Code::Unavailable).times(1000);
    if (stage == 2) {
      scripted.expects_list().replies({}, version("1"));
      scripted.expects_watch(version("1"));
    }
    Reflector stopping(time.runtime(), configmaps(), scripted, stubborn, options);
    TaskGroup group(time.runtime().executor);
    group.spawn(stopping.run());
    time.run_for(10s);
    EXPECT_EQ(scripted.open_streams(), stage == 2 ? 1 : 0);
    tasks.spawn(group.stop());
    time.run_for(0s);
    EXPECT_EQ(group.running(), 0u);
    EXPECT_EQ(scripted.open_streams(), 0);
    EXPECT_EQ(stopping.status().state, ScopeState::Stopped);
  }
}

struct StreamingListTest : ReflectorTest {
  StreamingListTest() { source.scripted_traits.streaming_list = true; }
};

TEST_F(StreamingListTest, IsSyncedOnlyAfterTheEndBookmarkAndGoesOnWithTheSameStream) {
  source.expects_streaming_list(version(""))
      .sends(added("b", 7))
      .sends(added("a", 3))
      .waits(10s)
      .initial_events_end(version("9"))
      .waits(10s)
      .sends(added("c", 10))
      .ends_with(Code::Unavailable);
  source.expects_watch(version("10"));
  source.expects_list(version("")).version_only().replies({}, version("10"));
  start();
  time.run_for(5s);
  EXPECT_FALSE(reflector->synced());
  EXPECT_EQ(store.size(), 0u);
  EXPECT_TRUE(reflector->version().empty());  // Initial events come in any order and say nothing of the set.
  time.run_for(10s);
  EXPECT_TRUE(reflector->synced());
  EXPECT_THAT(names(), ElementsAre("a", "b"));
  EXPECT_EQ(reflector->version(), version("9"));
  time.run_for(1min);
  EXPECT_THAT(names(), ElementsAre("a", "b", "c"));
  EXPECT_SCRIPT_DONE();
}

TEST_F(StreamingListTest, DoesNotTakeAPlainBookmarkForTheEnd) {
  source.expects_streaming_list().sends(added("a", 3)).bookmark(version("5"));
  start();
  time.run_for(10s);
  EXPECT_FALSE(reflector->synced());
}

TEST_F(StreamingListTest, AppliesChangesThatComeBeforeTheEnd) {
  source.expects_streaming_list()
      .sends(added("a", 1))
      .sends(added("b", 2))
      .sends(modified("a", 3))
      .sends(deleted("b", 4))
      .initial_events_end(version("4"));
  run();
  EXPECT_THAT(names(), ElementsAre("a"));
  EXPECT_EQ(store.get(key("a")).value()->resource_version(), "3");
}

TEST_F(StreamingListTest, ListsInPagesFromASourceThatRefusesTheRequestAndRemembersIt) {
  source.expects_streaming_list().refuses(Code::Invalid, "sendInitialEvents is forbidden");
  source.expects_list(version("0")).paged(500).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).ends_with(Code::Expired);
  source.expects_list(version("1")).replies({object("a", 1)}, version("2"));
  source.expects_watch(version("2"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_TRUE(errors.empty());  // That is an answer, and nobody needs to hear of it.
}

TEST_F(StreamingListTest, ListsInPagesWhenNoEndCameInTime) {
  source.expects_streaming_list().sends(added("partial", 1));
  source.expects_list(version("0")).after(0s).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(names(), ElementsAre("a"));  // The partial set was dropped.
}

TEST_F(StreamingListTest, ListsInPagesWhenTheEndHasNoVersionOrTheStreamBreaksTooOften) {
  source.expects_streaming_list().sends(added("a", 1)).ends_with(Code::Unavailable);
  source.expects_streaming_list().after(800ms).sends(added("a", 1)).ends_with(Code::Timeout);
  source.expects_streaming_list().after(1600ms).ends_with(Code::Unavailable);
  source.expects_list().replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"));
  run();
  EXPECT_SCRIPT_DONE();

  ScriptedSource versionless(time);
  versionless.scripted_traits.streaming_list = true;
  versionless.expects_streaming_list().initial_events_end(version(""));
  versionless.expects_list().replies({}, version("1"));
  versionless.expects_watch(version("1"));
  Reflector other(time.runtime(), configmaps(), versionless, stubborn, options);
  TaskGroup group(time.runtime().executor);
  group.spawn(other.run());
  time.run_for(1min);
  EXPECT_TRUE(versionless.script_is_done()) << versionless.what_remains();
  tasks.spawn(group.stop());
  time.run_for(0s);
}

TEST_F(StreamingListTest, AsksAfreshAfterAnEarlyEndWithoutKeepingThePartialSet) {
  source.expects_streaming_list().sends(added("gone", 1)).ends_with(Code::Unavailable);
  source.expects_streaming_list(version("")).after(800ms).sends(added("a", 2)).initial_events_end(version("2"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(names(), ElementsAre("a"));
}

TEST_F(StreamingListTest, IsTriedAgainAfterTooManyRequests) {
  source.expects_streaming_list().refuses(Code::TooManyRequests).times(5);
  source.expects_streaming_list().initial_events_end(version("2"));
  run();
  EXPECT_SCRIPT_DONE();
}

TEST_F(StreamingListTest, IsUsedForARelistToo) {
  source.expects_streaming_list(version(""))
      .sends(added("a", 1))
      .initial_events_end(version("2"))
      .sends(added("b", 3))
      .ends_with(Code::Expired);
  source.expects_streaming_list(version("3")).sends(added("b", 3)).initial_events_end(version("4"));
  run();
  EXPECT_SCRIPT_DONE();
  EXPECT_THAT(names(), ElementsAre("b"));
}

}  // namespace
}  // namespace tinf
