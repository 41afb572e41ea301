// The fleet's memory store passes both contracts in both forms, and goes on behind its former life.
#include "tinf/store/memory/fleet_memory_store.h"

#include <boost/asio/post.hpp>

#include "tinf/contract/fleet_contract.h"

namespace tinf::contract {
namespace {

FleetFactory fleet_store(bool compress) {
  return [compress](Runtime& runtime, std::size_t retained_changes) {
    FleetMemoryOptions options;
    options.compress = compress;
    options.retained_changes = retained_changes;
    return std::make_shared<FleetMemoryStore>(runtime.clock, options);
  };
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(FleetMemoryStore, FleetContract, ::testing::Values(fleet_store(false)));
INSTANTIATE_TEST_SUITE_P(CompressedFleetMemoryStore, FleetContract, ::testing::Values(fleet_store(true)));
INSTANTIATE_TEST_SUITE_P(CopyOfFleetMemoryStore, StoreContract, ::testing::Values(store_of(fleet_store(false))));
INSTANTIATE_TEST_SUITE_P(CopyOfCompressedFleetMemoryStore, StoreContract,
                         ::testing::Values(store_of(fleet_store(true))));

struct FleetMemoryStoreTest : FleetContract {};

INSTANTIATE_TEST_SUITE_P(Itself, FleetMemoryStoreTest, ::testing::Values(fleet_store(false)));

TEST_P(FleetMemoryStoreTest, BeginsBehindWhereAFormerLifeCanHaveBeen) {
  for (int i = 0; i < 100; ++i) add("c1", "n" + std::to_string(i), i);
  FleetMemoryStore next(loop_.runtime().clock);
  EXPECT_GT(next.version(), fleet().version());
  EXPECT_EQ(next.watch("configmaps", fleet().version(), {}).error().code, Code::Expired);
  FleetQuery asked = query();
  asked.version = fleet().version();
  EXPECT_EQ(await(next.list(asked)).error().code, Code::Expired);
}

TEST_P(FleetMemoryStoreTest, BoundsItsHistoryInBytes) {
  FleetMemoryOptions options;
  options.retained_bytes = 20'000;
  FleetMemoryStore store(loop_.runtime().clock, options);
  const auto copy = store.open("c1", configmaps()).value();
  for (int i = 0; i < 1000; ++i) {
    EventBatch batch;
    batch.events.push_back(WatchEvent::modified(object("n" + std::to_string(i % 10), i)));
    ASSERT_TRUE(await(copy->apply(std::move(batch))));
    ASSERT_LE(store.memory_bytes(), 20'000u);
  }
  EXPECT_GT(store.memory_bytes(), 15'000u);
}

// Longer than one turn on the strand: others write meanwhile, and the page is as of one version.
TEST_P(FleetMemoryStoreTest, ListsAsOfOneVersionWhileOthersWrite) {
  std::vector<ObjectPtr> many;
  for (int i = 0; i < 10'000; ++i) many.push_back(object("n" + std::to_string(i), i));
  replace("c1", std::move(many));
  add("c2", "a", 1);
  const StoreVersion before = fleet().version();
  struct Played {
    static Task<Result<FleetPage>> play(FleetStore& fleet, Store& copy, FleetQuery query) {
      TaskGroup group(co_await asio::this_coro::executor);
      group.spawn(write(copy));
      auto page = co_await fleet.list(std::move(query));
      co_await group.join();
      co_return page;
    }
    static Task<void> write(Store& copy) {
      co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);  // Behind the list's first turn.
      Snapshot nothing;
      EXPECT_TRUE(co_await copy.replace(std::move(nothing)));
    }
  };
  FleetStore& under_test = fleet();
  auto page = await(Played::play(under_test, copy("c1"), query()));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->version, before);
  EXPECT_EQ(page->objects.size(), 10'001u);
  EXPECT_EQ(listed().size(), 1u);
}

}  // namespace tinf::contract
