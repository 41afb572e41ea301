// One history for all collections: versions in commit order, stable pages, watches that expire rather than grow.
#include "tinf/store/versioned_memory/versioned_memory_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using testing::VirtualTime;

ObjectMaker object(const std::string& name, const std::string& data = "") {
  return [=](StoreVersion version) {
    return Object::parse(R"({"metadata":{"name":")" + name + R"(","namespace":"default","uid":"u-)" + name +
                         R"(","resourceVersion":")" + std::to_string(version) + R"("},"data":")" + data + "\"}");
  };
}

ObjectKey key(const std::string& name) {
  return ObjectKey{"default", name};
}

std::string names(const Page& page) {
  std::string text;
  for (const auto& entry : page.objects) text += std::string(entry->name()) + " ";
  return text;
}

struct VersionedMemoryStoreTest : ::testing::Test {
  VirtualTime time;
  VersionedMemoryOptions options;
  std::optional<VersionedMemoryStore> made;

  VersionedMemoryStore& store() {
    if (!made) made.emplace(time, options);
    return *made;
  }
  Result<ObjectPtr> create(const std::string& name, const std::string& collection = "configmaps") {
    return time.await(store().create(collection, key(name), object(name)));
  }
  Result<ObjectPtr> replace(const std::string& name, WritePrecondition precondition = WritePrecondition()) {
    return time.await(store().replace("configmaps", key(name), precondition, object(name, "new")));
  }
  Result<ObjectPtr> remove(const std::string& name) {
    return time.await(store().remove("configmaps", key(name), WritePrecondition(), object(name)));
  }
  Result<Page> list(std::optional<StoreVersion> version = {}, std::size_t limit = 0, std::string after = "") {
    PageQuery query;
    query.version = version;
    query.limit = limit;
    if (!after.empty()) query.after = key(after);
    return time.await(store().list("configmaps", query));
  }
  Result<ChangeBatch> next(VersionedWatch& watch) { return time.await(watch.next(time.now() + 1min)); }
};

TEST_F(VersionedMemoryStoreTest, GivesEveryChangeOfAnyCollectionTheNextVersion) {
  EXPECT_EQ((*create("a"))->resource_version(), "2");
  EXPECT_EQ((*create("a", "secrets"))->resource_version(), "3");
  EXPECT_EQ((*replace("a"))->resource_version(), "4");
  EXPECT_EQ((*remove("a"))->resource_version(), "5");
  EXPECT_EQ(store().version(), 5u);
}

TEST_F(VersionedMemoryStoreTest, RefusesASecondObjectAndAStaleOrStrangeWrite) {
  ASSERT_TRUE(create("a"));
  EXPECT_EQ(create("a").error().code, Code::AlreadyExists);
  EXPECT_EQ(replace("b").error().code, Code::NotFound);
  WritePrecondition stale;
  stale.version = 1;
  EXPECT_EQ(replace("a", stale).error().code, Code::Conflict);
  WritePrecondition other;
  other.uid = "another";
  EXPECT_EQ(replace("a", other).error().code, Code::Conflict);
  EXPECT_EQ(store().version(), 2u);
}

TEST_F(VersionedMemoryStoreTest, PagesStayAtTheirVersionWhileObjectsComeGoAndChange) {
  for (auto name : {"a", "b", "c", "d"}) ASSERT_TRUE(create(name));
  const auto first = list({}, 2);
  EXPECT_EQ(names(*first), "a b ");
  EXPECT_EQ(first->remaining, 2u);
  ASSERT_TRUE(remove("c"));
  ASSERT_TRUE(replace("d"));
  ASSERT_TRUE(create("e"));
  const auto second = list(first->version, 2, "b");
  EXPECT_EQ(names(*second), "c d ");
  EXPECT_EQ(second->objects[1]->resource_version(), "5");
  EXPECT_EQ(second->remaining, 0u);
  EXPECT_FALSE(second->more);
  EXPECT_EQ(names(*list()), "a b d e ");
}

TEST_F(VersionedMemoryStoreTest, WatchTellsChangesAfterAVersionWithTheStateBefore) {
  ASSERT_TRUE(create("a"));
  auto watch = store().watch("configmaps", 2, {});
  ASSERT_TRUE(watch);
  ASSERT_TRUE(replace("a"));
  ASSERT_TRUE(remove("a"));
  const auto batch = next(**watch);
  ASSERT_EQ(batch->changes.size(), 2u);
  EXPECT_EQ(batch->changes[0].type, EventType::Modified);
  EXPECT_EQ(batch->changes[0].previous->resource_version(), "2");
  EXPECT_EQ(batch->changes[1].type, EventType::Deleted);
  EXPECT_EQ(batch->changes[1].object->resource_version(), "4");
  ASSERT_TRUE(create("a", "secrets"));
  const auto idle = next(**watch);
  EXPECT_TRUE(idle->changes.empty());
  EXPECT_EQ(idle->version, 5u) << "an idle watch learns how far the store is, for bookmarks";
}

TEST_F(VersionedMemoryStoreTest, WatchBelowTheRetainedHistoryExpiresAndOthersDoNot) {
  options.retained_changes = 2;
  for (auto name : {"a", "b", "c", "d"}) ASSERT_TRUE(create(name));
  EXPECT_EQ(store().watch("configmaps", 2, {}).error().code, Code::Expired);
  EXPECT_TRUE(store().watch("configmaps", 3, {}));
  EXPECT_TRUE(store().watch("secrets", 1, {}));
  EXPECT_EQ(list(2).error().code, Code::Expired);
}

TEST_F(VersionedMemoryStoreTest, CompactExpiresWhatIsBehind) {
  ASSERT_TRUE(create("a"));
  auto behind = store().watch("configmaps", 1, {});
  auto current = store().watch("configmaps", 2, {});
  store().compact();
  EXPECT_EQ(next(**behind).error().code, Code::Expired);
  EXPECT_TRUE(next(**current));
  EXPECT_EQ(list(1).error().code, Code::Expired);
}

TEST_F(VersionedMemoryStoreTest, CutEndsAWatchThatWaits) {
  auto watch = store().watch("configmaps", 1, {});
  std::optional<Result<ChangeBatch>> seen;
  const auto waiting = [&]() -> Task<void> { seen.emplace(co_await (*watch)->next(TimePoint::max())); };
  time.spawn(waiting());
  time.run_for(1s);
  EXPECT_FALSE(seen);
  (*watch)->cut();
  time.run_for(1s);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->error().code, Code::Cancelled);
}

TEST_F(VersionedMemoryStoreTest, ReachWaitsForAVersionAndGivesUpAtTheDeadline) {
  const auto start = time.now();
  const auto late = time.await(store().reach(2, time.now() + 3s));
  EXPECT_EQ(late.error().code, Code::Timeout);
  EXPECT_EQ(time.now() - start, 3s);
  ASSERT_TRUE(create("a"));
  EXPECT_TRUE(time.await(store().reach(2, time.now())));
}

}  // namespace
}  // namespace tinf
