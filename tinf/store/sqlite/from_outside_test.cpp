// What befalls a file from outside: somebody else alters it, or locks it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/store/sqlite/connection.h"
#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"
#include "tinf/testing/real_time.h"

namespace tinf {
namespace {

using ::testing::HasSubstr;

ObjectPtr state(const std::string& name, int version, const std::string& label = "web") {
  return Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + name +
                       R"(","namespace":"default","uid":"uid-)" + name + R"(","resourceVersion":")" +
                       std::to_string(version) + R"(","labels":{"app":")" + label +
                       R"("},"ownerReferences":[{"uid":"owner"}]}})")
      .value();
}

Scope configmaps() {
  Scope scope;
  scope.resource = Resource{"", "v1", "configmaps"};
  return scope;
}

struct SqliteFileFromOutside : ::testing::Test {
  void open() {
    store = open_sqlite_fleet_store(loop.runtime(), folder.file()).value();
    copy = store->open("c1", configmaps()).value();
  }
  void close() {
    copy = nullptr;
    store = nullptr;
  }
  Result<void> apply(std::vector<WatchEvent> events) {
    EventBatch batch;
    batch.events = std::move(events);
    batch.version = ResourceVersion(std::to_string(++position));
    return loop.await(copy->apply(std::move(batch)));
  }
  void fill(int count) {
    std::vector<WatchEvent> events;
    for (int i = 0; i < count; ++i) events.push_back(WatchEvent::added(state("n" + std::to_string(i), i)));
    ASSERT_TRUE(apply(std::move(events)));
  }
  Fingerprint measured() const {
    Fingerprint all;
    const auto entries = copy->measure(ObjectKey(), 1000).value();
    for (const InventoryEntry& entry : entries) all.add(entry.hash);
    return all;
  }
  std::int64_t number(const char* sql) {
    return sqlite::Connection(folder.file(), sqlite::Connection::Mode::ReadOnly).number(sql);
  }
  void run(const char* sql) { sqlite::Connection(folder.file(), sqlite::Connection::Mode::ReadWrite).run(sql); }

  testing::RealTime loop;
  Folder folder;
  std::unique_ptr<FleetStore> store;
  std::unique_ptr<Store> copy;
  int position = 0;
};

TEST_F(SqliteFileFromOutside, RowsThatSomebodyTookAwayAreNotCountedOnceTheyWereMissed) {
  open();
  fill(10);
  run("/*test*/ DELETE FROM object WHERE name = 'n9'");
  run("/*test*/ UPDATE object SET name = 'stranger' WHERE name = 'n8'");
  const Fingerprint there = measured();
  EXPECT_NE(there, copy->fingerprint());
  ASSERT_TRUE(
      apply({WatchEvent::deleted(state("stranger", 8)), WatchEvent::deleted(copy->get({"default", "stranger"}).value()),
             WatchEvent::modified(state("n8", 8)), WatchEvent::modified(state("n9", 9))}));
  EXPECT_EQ(measured(), copy->fingerprint());
  EXPECT_EQ(copy->size(), copy->list().value().size());
  // What pointed at a row that is no more does not come to point at another one.
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM label WHERE object NOT IN (SELECT id FROM object)"), 0);
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM label"), number("/*test*/ SELECT count(*) FROM object"));
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM owner"), number("/*test*/ SELECT count(*) FROM object"));
}

TEST_F(SqliteFileFromOutside, AnAlteredBodyLeavesNoLabelBehindThatItsObjectNoLongerHas) {
  open();
  fill(3);
  run("/*test*/ UPDATE object SET body = 'nothing' WHERE name = 'n1'");
  run("/*test*/ UPDATE object SET body = replace(body, 'web', 'evil') WHERE name = 'n2'");
  ASSERT_TRUE(apply({WatchEvent::modified(state("n1", 10, "shop")), WatchEvent::modified(state("n2", 11, "till"))}));
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM label"), 3);
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM label JOIN object ON id = object WHERE"
                   " value = json_extract(body, '$.metadata.labels.app')"),
            3);
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM owner"), 3);
}

// Its last transactions may be missing then, and versions that were told be given again.
TEST_F(SqliteFileFromOutside, AfterARestartOfTheMachineVersionsGoOnFarAboveAndOlderOnesExpire) {
  open();
  fill(10);
  const StoreVersion told = store->version();
  close();
  open();
  EXPECT_EQ(store->version(), told) << "the machine is the same";
  close();
  run("/*test*/ UPDATE meta SET value = 'of before' WHERE name = 'life'");
  open();
  EXPECT_GE(store->version(), told + (StoreVersion(1) << 32));
  EXPECT_EQ(store->watch("configmaps", told).error().code, Code::Expired);
  FleetQuery query;
  query.collection = "configmaps";
  query.version = told;
  EXPECT_EQ(loop.await(store->list(query)).error().code, Code::Expired);
  query.version.reset();
  EXPECT_EQ(loop.await(store->list(query))->objects.size(), 10u);
}

TEST_F(SqliteFileFromOutside, ALockOfSomebodyElseIsSaidAndDoesNotHoldUpTheEnd) {
  open();
  fill(10);
  sqlite::Connection other(folder.file(), sqlite::Connection::Mode::ReadWrite);
  auto locked = std::make_unique<sqlite::Transaction>(other, "BEGIN EXCLUSIVE");
  const auto refused = apply({WatchEvent::modified(state("n1", 100))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr(folder.file() + ": another process has locked it: end that"));
  EXPECT_EQ(copy->get({"default", "n1"}).value()->resource_version(), "1");
  loop.await([](SqliteFileFromOutside& self) -> Task<bool> {
    TaskGroup given_up(self.loop.runtime().executor);
    given_up.spawn([](Store& written) -> Task<void> {
      EventBatch batch;
      batch.events.push_back(WatchEvent::modified(state("n1", 101)));
      (void)co_await written.apply(std::move(batch));
    }(*self.copy));
    co_await given_up.stop();
    co_return true;
  }(*this));
  const auto began = std::chrono::steady_clock::now();
  close();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
  locked = nullptr;
  open();
  EXPECT_EQ(copy->get({"default", "n1"}).value()->resource_version(), "1");
  EXPECT_TRUE(apply({WatchEvent::modified(state("n1", 102))}));
}

TEST_F(SqliteFileFromOutside, WhatIsNotHeardOfYetIsNotCalledPresent) {
  open();
  FleetCluster cluster;
  cluster.name = "c1";
  cluster.present = true;
  ASSERT_TRUE(loop.await(store->put_cluster(cluster)));
  EXPECT_EQ(number("/*test*/ SELECT present FROM clusters"), 1);
  close();
  EXPECT_EQ(number("/*test*/ SELECT present FROM clusters"), 1) << "as it was when it was last heard of";
  open();
  EXPECT_EQ(number("/*test*/ SELECT present FROM clusters"), 0);
  EXPECT_FALSE(store->clusters().front().present);
}

TEST_F(SqliteFileFromOutside, ACopyThatHoldsNothingIsRememberedUntilItIsForgotten) {
  open();
  ASSERT_TRUE(apply({}));
  close();
  open();
  copy = nullptr;
  ASSERT_EQ(store->scopes().size(), 1u);
  EXPECT_EQ(store->scopes().front().resource, configmaps().resource);
  ASSERT_TRUE(loop.await(store->forget("c1", configmaps().resource, false)));
  EXPECT_TRUE(store->scopes().empty());
  store = nullptr;
  store = open_sqlite_fleet_store(loop.runtime(), folder.file()).value();
  EXPECT_TRUE(store->scopes().empty());
}

TEST_F(SqliteFileFromOutside, AStoreMayGoWhileItStillWrites) {
  const auto write = [](Store& to, int number) -> Task<void> {
    EventBatch batch;
    batch.events.push_back(WatchEvent::added(state("n" + std::to_string(number), number)));
    batch.version = ResourceVersion(std::to_string(number));
    auto stored = to.apply(std::move(batch));
    (void)co_await std::move(stored);
  };
  for (int life = 0; life < 30; ++life) {
    open();
    for (int i = 0; i < 20; ++i) loop.spawn(write(*copy, 20 * life + i));
    ASSERT_TRUE(apply({}));  // Then those before it are stored, too.
    for (int i = 0; i < 20; ++i) loop.spawn(write(*copy, 20 * life + i));
    bool handed_over = false;
    asio::post(loop.runtime().executor, [&] { handed_over = true; });
    loop.run_until([&] { return handed_over; });
    close();
  }
  open();
  EXPECT_EQ(copy->size(), 600u);
}

}  // namespace
}  // namespace tinf
