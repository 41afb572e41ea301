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

}  // namespace
}  // namespace tinf
