// What a provider's reflector does otherwise than others.
#include <gtest/gtest.h>

#include "tinf/informer/reflect.h"
#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/scripted_source.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using testing::configmaps;
using testing::object;
using testing::version;

struct Reflect : ::testing::Test {
  void run() {
    time.spawn(reflect(time.runtime(), configmaps(), source, store, [this](Result<void> state, TimePoint current_at) {
      current = state.has_value();
      last_current_at = current_at;
    }));
  }

  testing::VirtualTime time;
  testing::ScriptedSource source{time};
  MemoryStore store;
  bool current = false;
  TimePoint last_current_at{};
};

// A provider that was started anew must not take its informers back to what a lagging replica holds.
TEST_F(Reflect, BeginsWithTheLatestAndNotWithWhatAReplicaHasAtHand) {
  source.expects_list(version("")).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1"));
  run();
  time.run_for(1s);
  EXPECT_TRUE(source.script_is_done()) << source.what_remains();
  EXPECT_TRUE(current);
}

// Silence is an outage, too: who was not heard for so long may have been set back to a backup.
TEST_F(Reflect, ListsASourceWhoseWatchFellSilent) {
  source.expects_list(version("")).replies({object("a", 1)}, version("1"));
  source.expects_watch(version("1")).waits(150s).falls_silent();
  source.expects_list(version("")).takes(10s).replies({object("a", 2)}, version("2"));
  source.expects_watch(version("2"));
  run();
  const TimePoint began = time.now();
  time.run_for(155s);
  EXPECT_FALSE(current);
  EXPECT_LE(last_current_at, began + 1s);
  time.run_for(10s);
  EXPECT_TRUE(source.script_is_done()) << source.what_remains();
  EXPECT_TRUE(current);
}

}  // namespace
}  // namespace tinf
