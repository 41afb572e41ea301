// The coalescing table, row by row.
#include "tinf/informer/event_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/testing/objects.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::object;
using testing::VirtualTime;

struct EventQueueTest : ::testing::Test {
  VirtualTime time;
  EventQueue queue{time.runtime(), {{"handler", "1"}}};

  void add(const std::string& name, int version, const std::string& uid = "") {
    queue.push(Notification::added(object(name, version, uid), false));
  }
  void update(const std::string& name, int from, int to) {
    queue.push(Notification::updated(object(name, from), object(name, to)));
  }
  void remove(const std::string& name, int version, const std::string& uid = "") {
    queue.push(Notification::deleted(object(name, version, uid), true));
  }
  void resync(const std::string& name, int version) { queue.push(Notification::resync(object(name, version))); }

  std::string next() {
    const auto taken = time.await(queue.pop(1));
    const auto told = taken.empty() ? std::nullopt : std::optional(taken.front());
    if (!told) return "closed";
    const auto state = [](const ObjectPtr& o) { return std::string(o->name()) + std::string(o->resource_version()); };
    switch (told->type) {
      case Notification::Type::Added:
        return "+" + state(told->now);
      case Notification::Type::Updated:
        return state(told->old) + ">" + state(told->now);
      case Notification::Type::Deleted:
        return "-" + state(told->old);
      case Notification::Type::Resync:
        return "=" + state(told->now);
      case Notification::Type::Synced:
        return "synced";
    }
    return "";
  }
  std::vector<std::string> all() {
    std::vector<std::string> told;
    while (queue.depth() > 0) told.push_back(next());
    return told;
  }
};

TEST_F(EventQueueTest, TellsChangesInTheirOrder) {
  add("a", 1), add("b", 2), update("c", 1, 3), remove("d", 4);
  EXPECT_THAT(all(), ElementsAre("+a1", "+b2", "c1>c3", "-d4"));
}

TEST_F(EventQueueTest, TellsOnlyTheLatestStateOfAKey) {
  add("a", 1), update("b", 1, 2), update("a", 1, 5), update("b", 2, 3), update("b", 3, 4);
  EXPECT_EQ(queue.depth(), 2u);
  EXPECT_THAT(all(), ElementsAre("+a5", "b1>b4"));
}

TEST_F(EventQueueTest, TellsADeleteAndTheCreateAfterItAsBoth) {
  remove("a", 1, "old"), add("a", 2, "new"), update("a", 2, 3);
  EXPECT_THAT(all(), ElementsAre("-a1", "+a3"));
}

TEST_F(EventQueueTest, TellsTheDeletesOfOneListBeforeItsAddsAlsoOfTheSameKey) {
  remove("a", 1, "old"), remove("b", 2), add("c", 3), add("a", 4, "new");
  EXPECT_THAT(all(), ElementsAre("-a1", "-b2", "+c3", "+a4"));
}

TEST_F(EventQueueTest, TellsNothingOfAnObjectThatCameAndWentUntold) {
  add("a", 1), add("b", 2), remove("a", 3);
  EXPECT_THAT(all(), ElementsAre("+b2"));
  remove("c", 1), add("c", 2), remove("c", 3);
  EXPECT_THAT(all(), ElementsAre("-c1"));
}

TEST_F(EventQueueTest, TellsTheDeleteOfWhatWasTold) {
  add("a", 1);
  EXPECT_EQ(next(), "+a1");
  update("a", 1, 2), remove("a", 3);
  EXPECT_THAT(all(), ElementsAre("-a3"));
}

TEST_F(EventQueueTest, DoesNotResyncAKeyThatHasNewsWaiting) {
  update("a", 1, 2), resync("a", 2), resync("b", 1), resync("b", 1);
  EXPECT_THAT(all(), ElementsAre("a1>a2", "=b1"));
  resync("c", 1), update("c", 1, 2);
  EXPECT_THAT(all(), ElementsAre("c1>c2"));
}

TEST_F(EventQueueTest, TellsThatTheInitialSetIsOverBehindAllOfItAlsoWhenItWasDeletedMeanwhile) {
  queue.push(Notification::added(object("a", 1), true));
  queue.push(Notification::synced());
  add("b", 2), remove("a", 3);
  EXPECT_THAT(all(), ElementsAre("synced", "+b2"));
}

TEST_F(EventQueueTest, StaysBoundedByItsKeysWhileAHandlerBlocksForAnHour) {
  auto lag = time.runtime().metrics.gauge("tinf_handler_queue_lag_seconds", "", {{"handler", "1"}});
  int version = 0;
  for (int second = 0; second < 3600; ++second) {
    for (int i = 0; i < 20; ++i) {
      ++version;
      const std::string name = "n" + std::to_string(version % 50);
      if (version % 7 == 0) {
        remove(name, version), add(name, version, "u" + std::to_string(version));
      } else {
        update(name, version - 1, version);
      }
      add("short-lived-" + std::to_string(version), 1), remove("short-lived-" + std::to_string(version), 2);
    }
    time.run_for(1s);
  }
  EXPECT_LE(queue.depth(), 100u);
  EXPECT_EQ(lag->value(), 3599);
  EXPECT_GE(queue.lag(), 3600s);
  queue.measure();  // It grows without events, too.
  EXPECT_EQ(lag->value(), 3600);
  (void)all();
  EXPECT_EQ(lag->value(), 0);
}

TEST_F(EventQueueTest, GivesManyAtOnceAndTheWordThatAllWasToldAlone) {
  for (const char* name : {"a", "b", "c"}) add(name, 1);
  queue.push(Notification::synced());
  add("d", 1);
  EXPECT_EQ(time.await(queue.pop(2)).size(), 2u);
  EXPECT_EQ(time.await(queue.pop(9)).size(), 1u);
  const auto alone = time.await(queue.pop(9));
  ASSERT_EQ(alone.size(), 1u);
  EXPECT_EQ(alone.front().type, Notification::Type::Synced);
  EXPECT_EQ(next(), "+d1");
}

TEST_F(EventQueueTest, WakesItsConsumerWhenClosed) {
  std::optional<std::string> got;
  struct Consumer {
    static Task<void> run(EventQueue& queue, std::optional<std::string>& got) {
      got = (co_await queue.pop(1)).empty() ? "closed" : "something";
    }
  };
  time.spawn(Consumer::run(queue, got));
  time.run_for(1s);
  EXPECT_FALSE(got);
  queue.close();
  time.run_for(1s);
  EXPECT_EQ(got, "closed");
  add("a", 1);
  EXPECT_EQ(queue.depth(), 0u);
}

}  // namespace
}  // namespace tinf
