// What befalls the database from outside: somebody else alters rows, or it is put back to what it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tinf/store/postgres/database_for_tests.h"

namespace tinf::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct PostgresFromOutside : DatabaseTest {
  void open() {
    store = open_store();
    copy = there(store->open("c1", configmaps()));
  }
  void close() {
    copy = nullptr;
    store = nullptr;
  }
  void fill(int count) {
    std::vector<WatchEvent> events;
    for (int i = 0; i < count; ++i) events.push_back(WatchEvent::added(state("n" + std::to_string(i), i)));
    ASSERT_TRUE(apply(*copy, std::move(events)));
  }
  Fingerprint measured() const {
    Fingerprint all;
    const auto entries = copy->measure(ObjectKey(), 1000).value();
    for (const InventoryEntry& entry : entries) all.add(entry.hash);
    return all;
  }

  std::unique_ptr<FleetStore> store;
  std::unique_ptr<Store> copy;
};

TEST_F(PostgresFromOutside, RowsThatSomebodyTookAwayAreNotCountedOnceTheyWereMissed) {
  open();
  fill(10);
  database.query("DELETE FROM object WHERE name = 'n9'");
  database.query("UPDATE object SET name = 'stranger' WHERE name = 'n8'");
  EXPECT_NE(measured(), copy->fingerprint());
  ASSERT_TRUE(apply(*copy, {WatchEvent::deleted(state("stranger", 8)),
                            WatchEvent::deleted(copy->get({"default", "stranger"}).value()),
                            WatchEvent::modified(state("n8", 8)), WatchEvent::modified(state("n9", 9))}));
  EXPECT_EQ(measured(), copy->fingerprint());
  EXPECT_EQ(copy->size(), copy->list().value().size());
  EXPECT_EQ(copy->size(), 10u);
}

TEST_F(PostgresFromOutside, AnAlteredBodyIsFoundAndTakesItsOwnFormAgain) {
  open();
  fill(4);
  database.query("UPDATE object SET body = 'nothing', labels = NULL WHERE name = 'n1'");
  database.query("UPDATE object SET body = replace(body, 'web', 'evil') WHERE name = 'n2'");
  EXPECT_EQ(copy->get({"default", "n1"}).value()->raw(), "{}");
  EXPECT_NE(measured(), copy->fingerprint());
  // Also by a state whose hash is the one that is written beside the altered body.
  ASSERT_TRUE(apply(*copy, {WatchEvent::modified(state("n1", 1)), WatchEvent::modified(state("n2", 2))}));
  EXPECT_EQ(measured(), copy->fingerprint());
  EXPECT_EQ(copy->get({"default", "n2"}).value()->raw(), state("n2", 2)->raw());
  EXPECT_EQ(database.number("SELECT count(*) FROM object WHERE labels @> '{\"app\":\"web\"}'"), 4);
  database.query("UPDATE object SET body = replace(body, 'web', 'evil') WHERE name = 'n3'");
  Snapshot all;
  for (int i = 0; i < 4; ++i) all.objects.push_back(state("n" + std::to_string(i), i));
  ASSERT_TRUE(loop.await(copy->replace(std::move(all))));
  EXPECT_EQ(measured(), copy->fingerprint());
}

TEST_F(PostgresFromOutside, BytesAreGivenBackAsTheyCame) {
  open();
  const std::string text =
      "{\"metadata\": {\"name\":\"odd\",\n \"namespace\":\"default\",\"uid\":\"a\\u0000b\",\"labels\":"
      "{\"q\\\"\\\\\":\"\\u00e4\\ud83d\\ude00\",\"nul\\u0000\":\"x\",\"tab\\t\":\"\"}},"
      "\"data\":{\"n\":1.10,\"s\":\"\\u0000\\/\xc3\xa4\"}  }";
  const ObjectPtr odd = Object::parse(text).value();
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(odd)}));
  EXPECT_EQ(copy->get({"default", "odd"}).value()->raw(), text);
  EXPECT_EQ(measured(), copy->fingerprint());
  EXPECT_EQ(database.query("SELECT labels FROM object"), (std::vector<std::string>{R"({"q\"\\": "ä😀", "tab\t": ""})"}));
  ASSERT_TRUE(apply(*copy, {WatchEvent::deleted(odd)}));
  EXPECT_EQ(copy->size(), 0u);
}

TEST_F(PostgresFromOutside, AnOwnerOfAnyLengthIsStoredAndFound) {
  open();
  std::string endless;
  std::minstd_rand random;
  while (endless.size() < 6000) endless += static_cast<char>('!' + random() % 90);
  std::erase_if(endless, [](char c) { return c == '"' || c == '\\'; });
  const std::string text = R"({"metadata":{"name":"owned","namespace":"default","ownerReferences":[{"uid":")" +
                           endless + R"("},{"uid":"u1"},{"uid":"a\u0000b"}]}})";
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(Object::parse(text).value()), WatchEvent::added(state("a", 1))}));
  for (const std::string& owner : {endless, std::string("u1"), std::string("a\0b", 3)}) {
    FleetQuery query;
    query.owner = owner;
    const auto found = listed(*store, query);
    ASSERT_THAT(found, SizeIs(1)) << owner;
    EXPECT_TRUE(found[0].starts_with("c1/owned@")) << found[0];
  }
  EXPECT_EQ(database.query("SELECT owners FROM objects WHERE name = 'owned'"), std::vector<std::string>{"{u1}"});
}

TEST_F(PostgresFromOutside, ANameThatNoIndexTakesIsRefusedAndHoldsUpNoOtherCluster) {
  open();
  std::string name;
  std::minstd_rand random;
  while (name.size() < 6000) name += static_cast<char>('0' + random() % 10);
  const auto other = there(store->open("c2", configmaps()));
  std::optional<Result<void>> refused;
  TaskGroup tasks(loop.runtime().executor);
  const auto write = [](Store& into, EventBatch batch, std::optional<Result<void>>& result) -> Task<void> {
    result = co_await into.apply(std::move(batch));
  };
  tasks.spawn(write(*copy, batch_of({WatchEvent::added(state(name, 1))}), refused));
  EXPECT_TRUE(apply(*other, {WatchEvent::added(state("a", 1))}));
  ASSERT_TRUE(comes([&] { return refused.has_value(); }));
  ASSERT_FALSE(*refused);
  EXPECT_THAT(refused->error().message, HasSubstr("a name is longer than PostgreSQL's indexes take"));
  EXPECT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
}

// As after a failover to a standby that was behind, or where a backup or a dump was put back.
TEST_F(PostgresFromOutside, InAnotherLifeVersionsGoOnFarAboveAndOlderOnesExpireAndCopiesAreMeasuredAnew) {
  open();
  fill(10);
  const StoreVersion told = store->version();
  close();
  open();
  EXPECT_EQ(store->version(), told) << "the life is the same";
  auto watching = store->watch("configmaps", told, {}).value();
  auto quiet = store->watch("nodes", told, {}).value();
  database.query(
      "UPDATE clock SET life = 'another one''s', version = version - 5;"
      " SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
      " AND datname = current_database()");
  ASSERT_TRUE(comes([&] { return store->version() >= told + (StoreVersion(1) << 32); }));
  for (FleetWatch* watch : {watching.get(), quiet.get()}) {
    EXPECT_TRUE(comes([&] {
      const auto next = loop.await(watch->next(loop.runtime().clock.now() + 20s));
      EXPECT_FALSE(next);
      return next || next.error().code == Code::Expired;  // Until a broken connection was found to be one.
    }));
  }
  EXPECT_EQ(store->watch("configmaps", told, {}).error().code, Code::Expired);
  FleetQuery query;
  query.collection = "configmaps";
  query.version = told;
  EXPECT_TRUE(comes([&] { return listed(*store).size() == 10; }));
  EXPECT_EQ(loop.await(store->list(query)).error().code, Code::Expired);
  EXPECT_TRUE(
      comes([&] { return apply(*copy, {WatchEvent::modified(state("n1", 100))}).error().code == Code::Conflict; }));
  watching = nullptr;
  quiet = nullptr;
  copy = nullptr;
  copy = comes_to_open(*store, "c1");
  EXPECT_TRUE(apply(*copy, {WatchEvent::modified(state("n1", 100))}));
}

TEST_F(PostgresFromOutside, AnOlderStateUnderTheSameNameIsNotToldAsTheNewest) {
  open();
  fill(10);
  const StoreVersion told = store->version();
  database.query("UPDATE clock SET version = version - 5");
  database.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
      " AND datname = current_database()");
  ASSERT_TRUE(comes([&] { return store->version() >= told + (StoreVersion(1) << 32); }));
  EXPECT_EQ(store->watch("configmaps", told, {}).error().code, Code::Expired);
}

TEST_F(PostgresFromOutside, NoObjectIsReadOfADatabaseThatIsOlderThanWhatWasTold) {
  open();
  fill(1);
  const auto get = [&] { return loop.await(store->get("configmaps", {"c1", {"default", "n0"}})); };
  ASSERT_TRUE(get());
  database.query("UPDATE clock SET version = version - 1");
  const auto older = get();
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().code, Code::Unavailable);
}

TEST_F(PostgresFromOutside, WhatIsNotHeardOfYetIsNotCalledPresent) {
  open();
  FleetCluster cluster;
  cluster.name = "c1";
  cluster.present = true;
  ASSERT_TRUE(loop.await(store->put_cluster(cluster)));
  EXPECT_EQ(database.query("SELECT present FROM clusters"), std::vector<std::string>{"t"});
  close();
  EXPECT_EQ(database.query("SELECT present FROM clusters"), std::vector<std::string>{"t"}) << "as it was last heard of";
  open();
  EXPECT_EQ(database.query("SELECT present FROM clusters"), std::vector<std::string>{"f"});
  ASSERT_THAT(store->clusters(), SizeIs(1));
  EXPECT_FALSE(store->clusters().front().present);
}

TEST_F(PostgresFromOutside, TheLogIsCutALittleWithEveryWriteAndItsBytesAreCounted) {
  PostgresOptions options;
  options.retained_changes = 50;
  store = open_store(options);
  copy = there(store->open("c1", configmaps()));
  for (int round = 0; round < 300; ++round)
    ASSERT_TRUE(apply(*copy, {WatchEvent::modified(state("n" + std::to_string(round % 3), round))}));
  EXPECT_LE(database.number("SELECT count(*) FROM change"), 60);
  EXPECT_EQ(database.number("SELECT version - floor FROM clock"), 50);
  EXPECT_EQ(database.number("SELECT log_bytes FROM clock"),
            database.number("SELECT coalesce(sum(octet_length(previous)), 0) FROM change"));
}

}  // namespace
}  // namespace tinf::postgres
