// Scopes are shared while they are held, and leave nothing behind.
#include "tinf/informer/shared_informer_factory.h"

#include <gtest/gtest.h>

#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/live_source.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using namespace testing;  // NOLINT

struct SharedInformerFactoryTest : ::testing::Test {
  VirtualTime time;
  std::vector<std::weak_ptr<MemoryStore>> stores;
  std::vector<LiveSource*> sources;  // Alive as long as their store.
  SharedInformerFactory factory{time.runtime(), [this](const Scope&) {
                                  InformerParts parts;
                                  auto source = std::make_unique<LiveSource>();
                                  source->put("a");
                                  sources.push_back(source.get());
                                  auto store = std::make_shared<MemoryStore>();
                                  stores.push_back(store);
                                  parts.source = std::move(source);
                                  parts.reader = store.get();
                                  parts.writer = store.get();
                                  parts.store = std::move(store);
                                  return parts;
                                }};

  ~SharedInformerFactoryTest() override { time.await(stopped()); }
  Task<bool> stopped() {
    co_await factory.stop();
    co_return true;
  }
};

TEST_F(SharedInformerFactoryTest, SharesOneInformerAScopeUntilTheLastHolderLetsGo) {
  auto first = factory.get(configmaps());
  auto second = factory.get(configmaps());
  Scope other = configmaps();
  other.namespace_name = "kube-system";
  const auto third = factory.get(other);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, third);
  time.run_for(1s);
  EXPECT_TRUE(first->live());
  first.reset();
  time.run_for(1s);
  EXPECT_EQ(sources[0]->open_streams(), 1u);
  second.reset();
  EXPECT_EQ(sources[0]->open_streams(), 1u);  // Closed on the next turn, not inside the holder's.
  time.run_for(0s);
  EXPECT_TRUE(stores[0].expired());
  EXPECT_FALSE(stores[1].expired());
  EXPECT_EQ(factory.open(), 1u);
}

TEST_F(SharedInformerFactoryTest, StartsANewLifeForAScopeThatComesBack) {
  auto holder = factory.get(configmaps());
  time.run_for(1s);
  holder.reset();
  holder = factory.get(configmaps());  // Before the old life has ended.
  time.run_for(1s);
  EXPECT_EQ(stores.size(), 2u);
  EXPECT_TRUE(stores[0].expired());
  EXPECT_TRUE(holder->live());
  EXPECT_EQ(factory.open(), 1u);
}

TEST_F(SharedInformerFactoryTest, LeavesNothingBehindScopesThatCameAndWentAThousandTimes) {
  const auto series = [&] {
    std::size_t count = 0;
    for (const auto& family : time.runtime().metrics.collect()) count += family.samples.size();
    return count;
  };
  const auto before = series();
  for (int i = 0; i < 1000; ++i) {
    Scope scope = configmaps();
    scope.resource.name = "things" + std::to_string(i);
    const auto holder = factory.get(scope);
    const auto registration = holder->add(Handler());
    time.run_for(1ms);
  }
  time.run_for(1ms);
  EXPECT_EQ(series(), before);
  EXPECT_EQ(factory.open(), 0u);
  EXPECT_EQ(factory.closing(), 0u);
  for (const auto& store : stores) EXPECT_TRUE(store.expired());
}

TEST_F(SharedInformerFactoryTest, DoesNotLetItsDefaultsReplaceAnInformersOwnOptions) {
  int own = 0;
  SharedInformerOptions options;
  options.transform = [&](const ObjectPtr& object) -> Result<ObjectPtr> {
    ++own;
    return object;
  };
  const auto first = factory.get(configmaps(), options);
  const auto second = factory.get(configmaps());
  time.run_for(1s);
  EXPECT_EQ(own, 1);
}

TEST_F(SharedInformerFactoryTest, MayBeLetGoOfFromInsideAHandler) {
  auto holder = factory.get(configmaps());
  Handler handler;
  handler.on_add = [&](const ObjectPtr&, bool) { holder.reset(); };
  const auto registration = holder->add(handler);
  time.run_for(1s);
  EXPECT_EQ(holder, nullptr);
  EXPECT_TRUE(stores[0].expired());
}

}  // namespace
}  // namespace tinf
