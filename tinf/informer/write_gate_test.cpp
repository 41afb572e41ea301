// A key waits for its own writes, and only for them.
#include "tinf/informer/write_gate.h"

#include <gtest/gtest.h>

#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/objects.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using namespace testing;  // NOLINT

struct WriteGateTest : ::testing::Test {
  VirtualTime time;
  MemoryStore store;
  WriteGate gate{time.runtime(), store};

  void apply(WatchEvent event, const std::string& at) {
    EventBatch batch;
    batch.events.push_back(std::move(event));
    batch.version = version(at);
    ASSERT_TRUE(time.await(store.apply(std::move(batch))));
  }
  void bookmark(const std::string& at) {
    EventBatch batch;
    batch.version = version(at);
    ASSERT_TRUE(time.await(store.apply(std::move(batch))));
  }
};

TEST_F(WriteGateTest, StaysClosedUntilTheCacheShowsTheWrite) {
  apply(added("a", 5), "5");
  EXPECT_TRUE(gate.open(key("a")));
  gate.wrote(key("a"), "uid-a", version("8"));
  EXPECT_FALSE(gate.open(key("a")));
  EXPECT_TRUE(gate.open(key("b")));
  apply(modified("a", 7), "7");  // Somebody else's write, before ours.
  EXPECT_FALSE(gate.open(key("a")));
  apply(modified("a", 8), "8");
  EXPECT_TRUE(gate.open(key("a")));
  EXPECT_EQ(gate.pending(), 0u);
}

TEST_F(WriteGateTest, OpensForAnObjectCreatedAndDeletedBetweenTwoLooks) {
  gate.wrote(key("a"), "uid-a", version("8"));
  EXPECT_FALSE(gate.open(key("a")));
  bookmark("9");
  EXPECT_TRUE(gate.open(key("a")));
}

TEST_F(WriteGateTest, OpensWhenAnObjectThatCameLaterStandsInItsPlace) {
  gate.wrote(key("a"), "first", version("8"));
  apply(added("a", 10, "second"), "");
  EXPECT_TRUE(gate.open(key("a")));
}

TEST_F(WriteGateTest, WaitsForADeleteToShow) {
  apply(added("a", 5), "5");
  gate.deleted(key("a"), "uid-a", version(""));
  EXPECT_FALSE(gate.open(key("a")));
  apply(deleted("a", 6), "6");
  EXPECT_TRUE(gate.open(key("a")));
}

TEST_F(WriteGateTest, LearnsOfADeleteFromItsInformerWhereVersionsCannotBeCompared) {
  bookmark("epoch/7");
  gate.wrote(key("a"), "uid-a", version("8"));
  EXPECT_FALSE(gate.open(key("a")));
  gate.saw_delete(key("a"), "another");
  EXPECT_FALSE(gate.open(key("a")));
  gate.saw_delete(key("a"), "uid-a");
  EXPECT_TRUE(gate.open(key("a")));
}

TEST_F(WriteGateTest, TakesTheLaterOfTwoAnswersThatCrossed) {
  gate.wrote(key("a"), "uid-a", version("9"));
  gate.wrote(key("a"), "uid-a", version("8"));
  apply(added("a", 8), "8");
  EXPECT_FALSE(gate.open(key("a")));
}

TEST_F(WriteGateTest, GivesUpAWriteThatNeverShows) {
  gate.wrote(key("a"), "uid-a", version("8"));
  time.run_for(59s);
  EXPECT_FALSE(gate.open(key("a")));
  time.run_for(1s);
  EXPECT_TRUE(gate.open(key("a")));
  EXPECT_EQ(time.runtime().metrics.counter("tinf_write_gate_given_up_total", "")->value(), 1u);
}

}  // namespace
}  // namespace tinf
