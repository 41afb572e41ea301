// The memory store passes the contract, and keeps its own promises about memory.
#include "tinf/store/memory/memory_store.h"

#include <malloc.h>

#include "tinf/contract/store_contract.h"

namespace tinf::contract {

INSTANTIATE_TEST_SUITE_P(MemoryStore, StoreContract, ::testing::Values(make_store<MemoryStore>()));
INSTANTIATE_TEST_SUITE_P(CompressedMemoryStoreWithFewObjects, StoreContract,
                         ::testing::Values(make_store<CompressedMemoryStore>()));
// The suite's objects are few and small: here everything is packed from the first one on.
INSTANTIATE_TEST_SUITE_P(CompressedMemoryStore, StoreContract, ::testing::Values(StoreFactory([] {
                           ObjectPackerOptions options;
                           options.first_training = 1;
                           auto packer = std::make_shared<ObjectPacker>(options);
                           auto store = std::make_shared<CompressedMemoryStore>(PackedForm(std::move(packer)));
                           return StoreUnderTest{store.get(), store.get(), store};
                         })));

struct MemoryStoreTest : StoreContract {};

INSTANTIATE_TEST_SUITE_P(Itself, MemoryStoreTest, ::testing::Values(make_store<MemoryStore>()));

TEST_P(MemoryStoreTest, KeepsTheObjectsItHasThroughTenThousandEqualLists) {
  const auto list = [] {
    std::vector<ObjectPtr> objects;
    for (int i = 0; i < 20; ++i) objects.push_back(object("n" + std::to_string(i), i));
    return objects;
  };
  ASSERT_TRUE(replace(list(), 1));
  const auto first = reader().list().value();
  const auto memory = dynamic_cast<MemoryStore&>(reader()).memory_bytes();
  const auto settled = mallinfo2().uordblks;
  for (int round = 0; round < 10'000; ++round) ASSERT_TRUE(replace(list(), 1));
  EXPECT_EQ(reader().list().value(), first);  // The same pointers: nothing was allocated that stays.
  EXPECT_EQ(dynamic_cast<MemoryStore&>(reader()).memory_bytes(), memory);
  EXPECT_LT(mallinfo2().uordblks, settled + 64 * 1024);
}

TEST_P(MemoryStoreTest, CostsAtMostAHundredBytesBesideAnObject) {
  std::vector<ObjectPtr> objects;
  for (int i = 0; i < 10'000; ++i) objects.push_back(object("n" + std::to_string(i), i));
  Snapshot all{objects, version(1)};
  const auto before = mallinfo2().uordblks;
  ASSERT_TRUE(replace(std::move(all.objects), 1));
  EXPECT_LE(mallinfo2().uordblks - before, 10'000u * 100u);
  std::size_t bytes = 0;
  for (const auto& held : objects) bytes += held->memory_bytes();
  EXPECT_EQ(dynamic_cast<MemoryStore&>(reader()).memory_bytes(), bytes + 10'000u * MemoryStore::kOverheadBytes);
}

TEST_P(MemoryStoreTest, LetsGoOfWhatWasReplaced) {
  auto old = object("a", 1);
  const std::weak_ptr<const Object> watched = old;
  ASSERT_TRUE(replace({std::move(old)}, 1));
  ASSERT_TRUE(replace({object("a", 2)}, 2));
  EXPECT_TRUE(watched.expired());
}

}  // namespace tinf::contract
