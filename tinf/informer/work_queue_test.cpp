// The properties that controllers rely on, one by one.
#include "tinf/informer/work_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::VirtualTime;

struct WorkQueueTest : ::testing::Test {
  using Queue = WorkQueue<std::string>;
  VirtualTime time;
  Queue queue{time.runtime()};

  // The next item; "-" if there is none now.
  std::string next() {
    if (queue.size() == 0 && !queue.shutting_down()) {
      std::optional<std::string> got;
      bool unwound = false;
      TaskGroup group(time.runtime().executor);
      group.spawn(take(queue, got, unwound));
      time.run_for(0s);
      if (got) return *got;
      group.cancel();
      time.run_for(0s);
      return "-";
    }
    return time.await(queue.get()).value_or("shut down");
  }
  static Task<void> take(Queue& queue, std::optional<std::string>& got, bool& shut) {
    got = co_await queue.get();
    shut = !got;
  }
  std::string process() {
    const auto key = next();
    queue.done(key);
    return key;
  }
};

TEST_F(WorkQueueTest, HandsOutInOrderAndCollapsesDoubles) {
  queue.add("a"), queue.add("b"), queue.add("a");
  EXPECT_EQ(process(), "a");
  EXPECT_EQ(process(), "b");
  EXPECT_EQ(next(), "-");
}

TEST_F(WorkQueueTest, HandsOutOnceMoreWhatWasAddedWhileItWasProcessed) {
  queue.add("a");
  EXPECT_EQ(next(), "a");
  queue.add("a"), queue.add("a");
  EXPECT_EQ(next(), "-");  // Never twice at a time.
  queue.done("a");
  EXPECT_EQ(process(), "a");
  EXPECT_EQ(next(), "-");
}

TEST_F(WorkQueueTest, WakesAWaitingWorkerForEachItem) {
  std::optional<std::string> first, second;
  bool shut = false;
  time.spawn(take(queue, first, shut));
  time.spawn(take(queue, second, shut));
  time.run_for(1s);
  queue.add("a"), queue.add("b");
  time.run_for(0s);
  EXPECT_EQ(first, "a");
  EXPECT_EQ(second, "b");
}

TEST_F(WorkQueueTest, LetsTheEarlierOfTwoDelaysWinEitherWay) {
  queue.add_after("a", 10s), queue.add_after("a", 2s), queue.add_after("b", 2s), queue.add_after("b", 10s);
  time.run_for(1900ms);
  EXPECT_EQ(next(), "-");
  time.run_for(200ms);
  EXPECT_EQ(process(), "a");
  EXPECT_EQ(process(), "b");
  time.run_for(1min);
  EXPECT_EQ(next(), "-");
}

TEST_F(WorkQueueTest, WakesAWorkerWhenADelayIsOver) {
  std::optional<std::string> got;
  bool shut = false;
  time.spawn(take(queue, got, shut));
  time.run_for(1s);
  queue.add_after("a", 5s);
  time.run_for(4s);
  EXPECT_FALSE(got);
  time.run_for(1s);
  EXPECT_EQ(got, "a");
}

TEST_F(WorkQueueTest, DoublesTheWaitOfAnItemUntilItIsForgotten) {
  for (const auto wait : {5ms, 10ms, 20ms, 40ms}) {
    queue.add_rate_limited("a");
    time.run_for(wait - 1ms);
    EXPECT_EQ(next(), "-");
    time.run_for(1ms);
    EXPECT_EQ(process(), "a");
  }
  EXPECT_EQ(queue.failures("a"), 4);
  queue.forget("a");
  queue.add_rate_limited("a");
  time.run_for(5ms);
  EXPECT_EQ(process(), "a");
  for (int i = 0; i < 40; ++i) queue.add_rate_limited("b"), queue.add("b"), process();
  queue.add_rate_limited("b");
  time.run_for(999s);
  EXPECT_EQ(next(), "-");
  time.run_for(2s);
  EXPECT_EQ(process(), "b");
}

TEST_F(WorkQueueTest, LimitsRetriesOfAllItemsTogetherButNoFirstAdd) {
  for (int i = 0; i < 200; ++i) queue.add_rate_limited("r" + std::to_string(i));
  time.run_for(6ms);
  int taken = 0;
  while (process() != "-") ++taken;
  EXPECT_EQ(taken, 100);
  // 5,000 objects at the start do not delay a new one: first adds pass the limiter by.
  for (int i = 0; i < 5000; ++i) queue.add("initial" + std::to_string(i), kInitialPriority);
  queue.add("new");
  EXPECT_EQ(process(), "new");
  for (int i = 0; i < 5000; ++i) EXPECT_NE(process(), "-");
  time.run_for(5s);
  taken = 0;
  while (process() != "-") ++taken;
  EXPECT_EQ(taken, 50);
}

TEST_F(WorkQueueTest, PutsInitialItemsBehindOthersButNeverStarvesThem) {
  queue.add("initial", kInitialPriority);
  bool came = false;
  int others = 0;
  for (int i = 0; i < 1000 && !came; ++i) {
    queue.add("other" + std::to_string(i)), queue.add("more" + std::to_string(i));  // More than is taken.
    time.run_for(100ms);
    const auto key = process();
    came = key == "initial";
    others += !came;
  }
  EXPECT_TRUE(came);
  EXPECT_GT(others, 90);
}

TEST_F(WorkQueueTest, KeepsAPriorityThroughARequeueAndRaisesItByAHigherOne) {
  queue.add("low", kInitialPriority);
  EXPECT_EQ(next(), "low");
  queue.add_rate_limited("low");  // It failed; nobody said how urgent it is.
  queue.done("low");
  time.run_for(6ms);
  queue.add("normal");
  EXPECT_EQ(process(), "normal");
  queue.add("another"), queue.add("low", 10);
  EXPECT_EQ(process(), "low");
  EXPECT_EQ(process(), "another");
}

TEST_F(WorkQueueTest, DrainsWhatIsReadyAndWaitsForWhatIsProcessedWhenShutDown) {
  queue.add("a"), queue.add("b"), queue.add_after("late", 1h);
  EXPECT_EQ(next(), "a");
  bool drained = false;
  struct Drain {
    static Task<void> run(Queue& queue, bool& drained) {
      co_await queue.drain();
      drained = true;
    }
  };
  time.spawn(Drain::run(queue, drained));
  time.run_for(1s);
  queue.add("c");  // Too late.
  EXPECT_EQ(process(), "b");
  time.run_for(1s);
  EXPECT_FALSE(drained);
  queue.done("a");
  time.run_for(1s);
  EXPECT_TRUE(drained);
  EXPECT_EQ(next(), "shut down");
}

TEST_F(WorkQueueTest, EndsEveryWaitingWorkerWhenShutDown) {
  std::optional<std::string> got;
  bool first = false, second = false;
  time.spawn(take(queue, got, first));
  time.spawn(take(queue, got, second));
  time.run_for(1s);
  queue.shut_down();
  time.run_for(1s);
  EXPECT_TRUE(first && second);
}

TEST_F(WorkQueueTest, ShowsItsDepthAndWaits) {
  queue.add("a"), queue.add("b");
  time.run_for(3s);
  EXPECT_EQ(next(), "a");
  const Labels labels{{"queue", "controller"}};
  auto& metrics = time.runtime().metrics;
  EXPECT_EQ(metrics.gauge("tinf_work_queue_depth", "", labels)->value(), 1);
  EXPECT_EQ(metrics.gauge("tinf_work_queue_processing", "", labels)->value(), 1);
  EXPECT_EQ(metrics.gauge("tinf_work_queue_wait_seconds", "", labels)->value(), 3);
  EXPECT_EQ(metrics.counter("tinf_work_queue_adds_total", "", labels)->value(), 2u);
}

}  // namespace
}  // namespace tinf
