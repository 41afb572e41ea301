// The suite that every store passes: what StoreReader and StoreWriter promise, asked of a real one.
// Include it in a store's test and name the stores: INSTANTIATE_TEST_SUITE_P(Name, StoreContract,
// ::testing::Values(factory)).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "tinf/contract/store.h"

namespace tinf::contract {

// An empty store, both halves; `keep_alive` owns it and what it stands on.
struct StoreUnderTest {
  StoreReader* reader = nullptr;
  StoreWriter* writer = nullptr;
  std::shared_ptr<void> keep_alive;
};

using StoreFactory = std::function<StoreUnderTest()>;

// The usual factory: a default-constructed T that is both halves.
template <class T>
StoreFactory make_store() {
  return [] {
    auto store = std::make_shared<T>();
    return StoreUnderTest{store.get(), store.get(), store};
  };
}

class StoreContract : public ::testing::TestWithParam<StoreFactory> {
 protected:
  static ObjectPtr object(const std::string& name, int version, const std::string& uid = "u",
                          const std::string& namespace_name = "default") {
    auto parsed = Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + name +
                                R"(","namespace":")" + namespace_name + R"(","uid":")" + uid + "-" + name +
                                R"(","resourceVersion":")" + std::to_string(version) + R"("}})");
    return std::move(parsed).value();
  }

  static ResourceVersion version(int number) { return ResourceVersion(std::to_string(number)); }

  Result<void> replace(std::vector<ObjectPtr> objects, int at) {
    return await(store_.writer->replace(Snapshot{std::move(objects), version(at)}));
  }

  Result<void> apply(std::vector<WatchEvent> events, int at) {
    return await(store_.writer->apply(EventBatch{std::move(events), version(at), false}));
  }

  Result<void> apply_unversioned(std::vector<WatchEvent> events) {
    return await(store_.writer->apply(EventBatch{std::move(events), ResourceVersion(), false}));
  }

  // "name@version" of all objects, in the store's order.
  std::vector<std::string> contents(std::string_view namespace_name = "") const {
    std::vector<std::string> names;
    auto objects = store_.reader->list(namespace_name);
    for (const auto& held : objects.value()) {
      names.push_back(std::string(held->name()) + "@" + std::string(held->resource_version()));
    }
    return names;
  }

  // What the fingerprint must be, counted anew.
  static Fingerprint counted(const std::vector<ObjectPtr>& objects) {
    Fingerprint sum;
    for (const auto& held : objects) sum.add(EntryHash::of(*held));
    return sum;
  }

  StoreReader& reader() { return *store_.reader; }

  Result<void> await(Task<Result<void>> task) {
    auto done = boost::asio::co_spawn(loop_, std::move(task), boost::asio::use_future);
    loop_.restart();
    loop_.run();
    return done.get();
  }

 private:
  boost::asio::io_context loop_;
  StoreUnderTest store_ = GetParam()();
};

TEST_P(StoreContract, IsEmptyAtFirst) {
  EXPECT_EQ(reader().size(), 0u);
  EXPECT_EQ(reader().get(ObjectKey{"default", "a"}).value(), nullptr);
  EXPECT_EQ(reader().fingerprint(), Fingerprint());
  EXPECT_TRUE(reader().version().empty());
}

TEST_P(StoreContract, HoldsExactlyWhatReplaceGaveIt) {
  ASSERT_TRUE(replace({object("b", 2), object("a", 1)}, 2));
  ASSERT_TRUE(replace({object("c", 4), object("b", 3)}, 4));
  EXPECT_THAT(contents(), ::testing::ElementsAre("b@3", "c@4"));
  EXPECT_EQ(reader().version(), version(4));
  EXPECT_EQ(reader().size(), 2u);
  EXPECT_EQ(reader().fingerprint(), counted(reader().list().value()));
}

TEST_P(StoreContract, ListsInKeyOrderAndByNamespace) {
  ASSERT_TRUE(replace(
      {object("x", 1, "u", "b"), object("b", 2, "u", "a"), object("a", 3, "u", "b"), object("c", 4, "u", "ab")}, 4));
  EXPECT_THAT(contents(), ::testing::ElementsAre("b@2", "c@4", "a@3", "x@1"));
  EXPECT_THAT(contents("a"), ::testing::ElementsAre("b@2"));
  EXPECT_THAT(contents("b"), ::testing::ElementsAre("a@3", "x@1"));
  EXPECT_TRUE(contents("none").empty());
}

TEST_P(StoreContract, AppliesChangesInTheirOrder) {
  ASSERT_TRUE(replace({object("a", 1)}, 1));
  ASSERT_TRUE(apply({WatchEvent::added(object("b", 2)), WatchEvent::modified(object("a", 3)),
                     WatchEvent::deleted(object("b", 4)), WatchEvent::added(object("c", 5))},
                    5));
  EXPECT_THAT(contents(), ::testing::ElementsAre("a@3", "c@5"));
  EXPECT_EQ(reader().version(), version(5));
  EXPECT_EQ(reader().fingerprint(), counted(reader().list().value()));
}

TEST_P(StoreContract, MeasuresItsBytesInKeyOrderPartByPart) {
  const auto a = object("a", 1), b = object("b", 2), c = object("c", 3);
  ASSERT_TRUE(replace({c, a, b}, 3));
  const auto entry = [](const ObjectPtr& one) { return InventoryEntry{one->key(), EntryHash::of(*one)}; };
  EXPECT_THAT(reader().measure(ObjectKey(), 2).value(), ::testing::ElementsAre(entry(a), entry(b)));
  EXPECT_THAT(reader().measure(b->key(), 10).value(), ::testing::ElementsAre(entry(b), entry(c)));
  EXPECT_TRUE(reader().measure(ObjectKey{"default", "d"}, 10).value().empty());
}

TEST_P(StoreContract, TakesAnAddOfWhatItHasAndAModifyOfWhatItLacksAsTheState) {
  ASSERT_TRUE(replace({object("a", 1)}, 1));
  ASSERT_TRUE(apply({WatchEvent::added(object("a", 2)), WatchEvent::modified(object("b", 3))}, 3));
  EXPECT_THAT(contents(), ::testing::ElementsAre("a@2", "b@3"));
}

TEST_P(StoreContract, EndsEqualWhenEventsComeTwice) {
  const auto once = std::vector<WatchEvent>{WatchEvent::added(object("a", 1)), WatchEvent::modified(object("a", 2)),
                                            WatchEvent::added(object("b", 3)), WatchEvent::deleted(object("b", 4))};
  ASSERT_TRUE(apply(once, 4));
  const auto fingerprint = reader().fingerprint();
  ASSERT_TRUE(apply(once, 4));
  EXPECT_THAT(contents(), ::testing::ElementsAre("a@2"));
  EXPECT_EQ(reader().fingerprint(), fingerprint);
}

TEST_P(StoreContract, DeletesByNameAloneWhereNoUidIsKnown) {
  ASSERT_TRUE(replace({object("a", 1)}, 1));
  ASSERT_TRUE(apply({WatchEvent::deleted(ObjectKey{"default", "a"}, "", "2")}, 2));
  EXPECT_EQ(reader().size(), 0u);
  EXPECT_EQ(reader().fingerprint(), Fingerprint());
}

TEST_P(StoreContract, IgnoresTheDeleteOfAnotherUidAndOfWhatIsNotThere) {
  ASSERT_TRUE(replace({object("a", 5, "new")}, 5));
  ASSERT_TRUE(apply({WatchEvent::deleted(object("a", 3, "old")), WatchEvent::deleted(object("b", 3))}, 6));
  EXPECT_THAT(contents(), ::testing::ElementsAre("a@5"));
  EXPECT_EQ(reader().version(), version(6));
}

TEST_P(StoreContract, TakesAKeyThatComesSeveralTimesInABatchEventByEvent) {
  ASSERT_TRUE(replace({object("a", 1), object("c", 1), object("d", 1), object("f", 1)}, 1));
  ASSERT_TRUE(apply(
      {WatchEvent::added(object("e", 2)), WatchEvent::modified(object("a", 3)),
       WatchEvent::deleted(object("d", 1, "other")), WatchEvent::added(object("b", 4)),
       WatchEvent::deleted(object("a", 3)), WatchEvent::modified(object("c", 5)), WatchEvent::deleted(object("b", 4)),
       WatchEvent::added(object("a", 6, "v")), WatchEvent::modified(object("c", 1)),
       WatchEvent::deleted(object("a", 6)), WatchEvent::modified(object("d", 7)),
       WatchEvent::deleted(object("e", 2, "other")), WatchEvent::added(object("e", 2)),
       WatchEvent::deleted(object("f", 1)), WatchEvent::deleted(object("f", 1))},
      7));
  EXPECT_THAT(contents(), ::testing::ElementsAre("a@6", "c@1", "d@7", "e@2"));
  EXPECT_EQ(reader().get(ObjectKey{"default", "a"}).value()->uid(), "v-a");
  EXPECT_EQ(reader().get(ObjectKey{"default", "b"}).value(), nullptr);
  EXPECT_EQ(reader().fingerprint(), counted(reader().list().value()));
  EXPECT_EQ(reader().version(), version(7));
}

TEST_P(StoreContract, MovesItsVersionByABookmarkAndNotByABatchWithoutOne) {
  ASSERT_TRUE(replace({object("a", 1)}, 1));
  ASSERT_TRUE(apply({}, 9));
  EXPECT_EQ(reader().version(), version(9));
  ASSERT_TRUE(apply_unversioned({WatchEvent::modified(object("a", 10))}));
  EXPECT_EQ(reader().version(), version(9));
}

TEST_P(StoreContract, RefusesAnEventWithoutAnObjectAsAWhole) {
  ASSERT_TRUE(replace({object("a", 1)}, 1));
  auto broken = WatchEvent(EventType::Modified, ObjectKey{"default", "a"}, "u-a", nullptr, "3");
  const auto refused = apply({WatchEvent::added(object("b", 2)), broken}, 3);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Invalid);
  EXPECT_THAT(contents(), ::testing::ElementsAre("a@1"));
  EXPECT_EQ(reader().version(), version(1));
}

TEST_P(StoreContract, TakesTheLaterOfTwoStatesThatAListNames) {
  ASSERT_TRUE(replace({object("a", 1), object("b", 2), object("a", 3)}, 3));
  EXPECT_THAT(contents(), ::testing::ElementsAre("a@3", "b@2"));
  EXPECT_EQ(reader().fingerprint(), counted(reader().list().value()));
}

TEST_P(StoreContract, ShowsReadersTheOldSetOrTheNewOneWhileItIsWritten) {
  constexpr int kObjects = 64;
  const auto generation = [](int number) {
    std::vector<ObjectPtr> objects;
    // Even generations hold other keys than odd ones, and half of them are common.
    for (int i = 0; i < kObjects; ++i) {
      objects.push_back(object("n" + std::to_string(number % 2 == 0 ? i : i + kObjects / 2), number));
    }
    return objects;
  };
  ASSERT_TRUE(replace(generation(0), 0));
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto objects = reader().list().value();
        bool whole = objects.size() == kObjects;
        for (const auto& held : objects)
          whole = whole && held->resource_version() == objects.front()->resource_version();
        if (!whole) ++torn;
        const auto one = reader().get(ObjectKey{"default", "n40"}).value();
        if (!one || one->name() != "n40") ++torn;
        if (reader().fingerprint().count != kObjects || reader().size() != kObjects) ++torn;
      }
    });
  }
  for (int number = 1; number <= 200; ++number) {
    if (number % 3 == 0) {
      // The same step as one batch of events.
      std::vector<WatchEvent> events;
      for (const auto& held : generation(number - 1)) events.push_back(WatchEvent::deleted(held));
      for (const auto& fresh : generation(number)) events.push_back(WatchEvent::added(fresh));
      ASSERT_TRUE(apply(std::move(events), number));
    } else {
      ASSERT_TRUE(replace(generation(number), number));
    }
  }
  stop = true;
  for (auto& thread : readers) thread.join();
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(reader().fingerprint(), counted(reader().list().value()));
}

TEST_P(StoreContract, KeepsItsFingerprintThroughRandomChanges) {
  unsigned seed = 1;
  const auto random = [&seed](unsigned bound) { return (seed = seed * 1103515245u + 12345u) / 65536u % bound; };
  for (int step = 1; step <= 300; ++step) {
    const std::string name = "n" + std::to_string(random(20));
    const auto state = object(name, step, random(4) == 0 ? "other" : "u");
    std::vector<WatchEvent> events;
    events.push_back(random(3) == 0 ? WatchEvent::deleted(state) : WatchEvent::modified(state));
    ASSERT_TRUE(apply(std::move(events), step));
    if (random(50) == 0) {
      ASSERT_TRUE(replace(reader().list().value(), step));
    }
  }
  const auto objects = reader().list().value();
  EXPECT_EQ(reader().fingerprint(), counted(objects));
  EXPECT_EQ(reader().size(), objects.size());
}

}  // namespace tinf::contract
