// The memory store passes the contract in both forms, and keeps its own promises about memory.
#include "tinf/store/memory/memory_store.h"

#include <malloc.h>

#include <set>

#include "tinf/contract/store_contract.h"

namespace tinf {

// Alters what is held as a broken memory module would.
struct StoreBreaker {
  // The first byte of the key's name, or the `at`th of what is packed.
  static void alter_name(CompressedMemoryStore& store, const ObjectKey& key) {
    const_cast<char*>(packed(store, key).key().name.data())[0] ^= 1;
  }
  static void alter_frame(CompressedMemoryStore& store, const ObjectKey& key, std::size_t at) {
    const KeyView view = packed(store, key).key();
    const_cast<char*>(view.name.data() + view.name.size())[at] ^= 1;
  }

 private:
  static const PackedObject& packed(CompressedMemoryStore& store, const ObjectKey& key) {
    return *std::get<PackedObjectPtr>(store.find(KeyView{key.namespace_name, key.name})->held);
  }
};

namespace contract {
namespace {

// The suite's objects are few and small: here they are packed from the first one on.
StoreUnderTest packing_store() {
  ObjectPackerOptions options;
  options.first_training = 1;
  auto store = std::make_shared<CompressedMemoryStore>(PackedForm(std::make_shared<ObjectPacker>(options)));
  return StoreUnderTest{store.get(), store.get(), store};
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(MemoryStore, StoreContract, ::testing::Values(make_store<MemoryStore>()));
INSTANTIATE_TEST_SUITE_P(CompressedMemoryStore, StoreContract, ::testing::Values(StoreFactory(packing_store)));
INSTANTIATE_TEST_SUITE_P(CompressedMemoryStoreOfFewObjects, StoreContract,
                         ::testing::Values(make_store<CompressedMemoryStore>()));

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

struct CompressedMemoryStoreTest : StoreContract {
  CompressedMemoryStore& store() { return dynamic_cast<CompressedMemoryStore&>(reader()); }
  // Of some 2 KiB, most of it common to all.
  static ObjectPtr large(int number, int version) {
    std::string data;
    for (int i = 0; i < 60; ++i) {
      data += (i > 0 ? "," : "") + ("\"property." + std::to_string(i)) + "\":\"value " +
              std::to_string(number * 7919 % 1000 * i % 977) + " of many\"";
    }
    const std::string name = "n" + std::to_string(1000 + number);
    return Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + name +
                         R"(","namespace":"default","uid":"u-)" + name + R"(","resourceVersion":")" +
                         std::to_string(version) + R"(","labels":{"a\u0026b":"c"}},"data":{)" + data + "}}")
        .value();
  }
  static std::vector<ObjectPtr> many(int count, int version = 1) {
    std::vector<ObjectPtr> objects;
    for (int i = 0; i < count; ++i) objects.push_back(large(i, version));
    return objects;
  }
  static ObjectKey key(int number) { return ObjectKey{"default", "n" + std::to_string(1000 + number)}; }
};

INSTANTIATE_TEST_SUITE_P(Itself, CompressedMemoryStoreTest, ::testing::Values(StoreFactory(packing_store)));

TEST_P(CompressedMemoryStoreTest, GivesBackEachObjectByteForByteWithAllThatIsKnownOfIt) {
  const auto objects = many(300);
  ASSERT_TRUE(replace(objects, 1));
  const auto listed = reader().list().value();
  ASSERT_EQ(listed.size(), objects.size());
  for (std::size_t i = 0; i < objects.size(); ++i) {
    for (const ObjectPtr& read : {listed[i], reader().get(objects[i]->key()).value()}) {
      EXPECT_TRUE(read->equals(*objects[i]));
      EXPECT_EQ(read->kind(), "ConfigMap");
      EXPECT_EQ(read->api_version(), "v1");
      EXPECT_EQ(read->key(), objects[i]->key());
      EXPECT_EQ(read->uid(), objects[i]->uid());
      EXPECT_EQ(read->resource_version(), "1");
      EXPECT_EQ(read->labels(), objects[i]->labels());
    }
  }
}

TEST_P(CompressedMemoryStoreTest, TakesAQuarterOfTheMemory) {
  std::size_t plain = 0;
  for (const ObjectPtr& each : many(1000)) plain += each->memory_bytes();
  const auto before = mallinfo2().uordblks;
  ASSERT_TRUE(replace(many(1000), 1));
  const auto held = store().memory_bytes();
  EXPECT_LT(held, plain / 4);
  // Beside what the store says there are a dictionary, tables and contexts of zstd.
  EXPECT_LT(mallinfo2().uordblks - before, held + (1 << 20));
}

TEST_P(CompressedMemoryStoreTest, LeavesAloneWhatGainsNothing) {
  std::string noise;
  std::uint64_t state = 1;
  for (int i = 0; i < 3000; ++i)
    noise += static_cast<char>('!' + (state = state * 6364136223846793005u + 1442695040888963407u) / (1ull << 33) % 93);
  std::erase_if(noise, [](char c) { return c == '"' || c == '\\'; });
  const auto odd = Object::parse(R"({"metadata":{"name":"odd","namespace":"default","uid":"u"},"x":")" + noise + "\"}");
  ASSERT_TRUE(replace(many(100), 1));
  ASSERT_TRUE(apply({WatchEvent::added(odd.value())}, 2));
  EXPECT_EQ(reader().get(odd.value()->key()).value(), odd.value());  // The very same.
}

TEST_P(CompressedMemoryStoreTest, AnObjectThatWasAlteredIsMeasuredAsADifferenceAndReadAsItsKeyAlone) {
  const auto objects = many(5);
  ASSERT_TRUE(replace(objects, 1));
  const auto truth = reader().measure(ObjectKey(), 10).value();
  const std::size_t bytes = store().memory_bytes();
  std::size_t without_meaning = 0;
  for (std::size_t at = 0; at < 60; ++at) {
    StoreBreaker::alter_frame(store(), key(2), at);
    const auto measured = reader().measure(ObjectKey(), 10).value();
    ASSERT_EQ(measured.size(), 5u);
    EXPECT_EQ(measured[2].key, key(2));
    EXPECT_EQ(measured[3], truth[3]);
    EXPECT_EQ(reader().list().value().size(), 5u);
    const ObjectPtr read = reader().get(key(2)).value();
    ASSERT_NE(read, nullptr);
    EXPECT_EQ(read->key(), key(2));
    if (read->equals(*objects[2])) {  // zstd does not use every bit.
      ++without_meaning;
      EXPECT_EQ(measured[2], truth[2]);
      StoreBreaker::alter_frame(store(), key(2), at);
      continue;
    }
    EXPECT_NE(measured[2].hash, truth[2].hash) << at;
    for (const ObjectPtr& each : {read, reader().list().value()[2]}) {
      EXPECT_EQ(each->key(), key(2));
      EXPECT_TRUE(each->uid().empty());
      EXPECT_TRUE(each->resource_version().empty());
      EXPECT_TRUE(each->labels().empty());
      EXPECT_EQ(each->raw(), "{}");
    }
    ASSERT_TRUE(apply({WatchEvent::modified(objects[2])}, 2));  // The same state makes it good.
    EXPECT_EQ(reader().measure(ObjectKey(), 10).value(), truth) << at;
  }
  EXPECT_LT(without_meaning, 5u);
  EXPECT_EQ(store().memory_bytes(), bytes);
  StoreBreaker::alter_frame(store(), key(2), 20);
  ASSERT_TRUE(replace(objects, 3));
  EXPECT_EQ(reader().measure(ObjectKey(), 10).value(), truth);
  StoreBreaker::alter_frame(store(), key(2), 20);
  ASSERT_TRUE(apply({WatchEvent::deleted(objects[2])}, 4));  // Whatever its uid was.
  EXPECT_EQ(reader().size(), 4u);
}

TEST_P(CompressedMemoryStoreTest, ANameAlteredToAnotherOneLeadsNowhereThatIsGone) {
  ASSERT_TRUE(replace(many(40), 1));
  StoreBreaker::alter_name(store(), key(7));
  EXPECT_EQ(reader().get(key(7)).value(), nullptr);
  ASSERT_TRUE(replace(many(40, 2), 2));
  for (int i = 0; i < 40; ++i) EXPECT_EQ(reader().get(key(i)).value()->resource_version(), "2") << i;
  ASSERT_TRUE(replace({}, 3));
  for (int i = 0; i < 40; ++i) EXPECT_EQ(reader().get(key(i)).value(), nullptr) << i;
}

TEST_P(CompressedMemoryStoreTest, ReadersSeeWholeObjectsWhileDictionariesComeAndGo) {
  ObjectPackerOptions options;
  options.first_training = 1;
  options.next_training = 1 << 20;  // Reached amid what follows.
  const auto packer = std::make_shared<ObjectPacker>(options);
  CompressedMemoryStore own{PackedForm(packer)};
  ASSERT_TRUE(await(own.replace(Snapshot{many(50), version(1)})));
  ASSERT_EQ(packer->generation(), 1u);
  std::atomic<bool> stop = false;
  std::atomic<int> broken = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&, i] {
      for (int round = i; !stop; ++round) {
        const ObjectPtr read = own.get(key(round % 50)).value();
        if (!read || EntryHash::of(read->raw()) != read->hash()) ++broken;
      }
    });
  }
  for (int now = 2; now < 40; ++now) {
    std::vector<WatchEvent> events;
    for (int i = 0; i < 50; i += 1 + now % 3) events.push_back(WatchEvent::modified(large(i, now)));
    EXPECT_TRUE(await(own.apply(EventBatch{std::move(events), version(now), false})));
  }
  stop = true;
  for (auto& thread : readers) thread.join();
  EXPECT_EQ(broken, 0);
  EXPECT_GT(packer->generation(), 1u);
}

}  // namespace contract
}  // namespace tinf
