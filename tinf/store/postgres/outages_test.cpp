// A database that is away, comes back, or does not let us in: what is said, and what is stored all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/store/postgres/database_for_tests.h"

namespace tinf::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// With a server of its own, which it stops and starts.
struct PostgresOutage : ::testing::Test {
  static void SetUpTestSuite() {
    server = std::make_unique<testing::PostgresServer>();
    server->start();
  }
  static void TearDownTestSuite() { server = nullptr; }
  ~PostgresOutage() override {
    copy = nullptr;
    store = nullptr;
  }

  void open() {
    store = there(open_postgres_fleet_store(loop.runtime(), server->uri(database)));
    copy = there(store->open("c1", configmaps()));
  }
  Result<void> add(const std::string& name) {
    return loop.await(copy->apply(batch_of({WatchEvent::added(state(name, 1))})));
  }
  // Whether it comes to be within half a minute.
  bool comes(const std::function<bool()>& done) {
    const auto end = loop.runtime().clock.now() + 30s;
    while (!done()) {
      if (loop.runtime().clock.now() > end) return false;
      (void)loop.await([](Clock& clock) -> Task<bool> {
        co_await clock.sleep_for(10ms);
        co_return true;
      }(loop.runtime().clock));
    }
    return true;
  }
  // As a reflector does it: until it is stored. After another life of the database, as where it was killed, what was
  // held is taken anew.
  bool comes_to_add(const std::string& name) {
    return comes([&] {
      if (!copy) {
        auto opened = store->open("c1", configmaps());
        if (!opened) return false;
        copy = std::move(*opened);
      }
      const auto added = add(name);
      if (!added && added.error().code == Code::Conflict) copy = nullptr;
      return added.has_value();
    });
  }

  static std::unique_ptr<testing::PostgresServer> server;
  const std::string database = server->create_database();
  testing::RealTime loop;
  std::unique_ptr<FleetStore> store;
  std::unique_ptr<Store> copy;
};

std::unique_ptr<testing::PostgresServer> PostgresOutage::server;

TEST_F(PostgresOutage, WhileItIsAwayWhoeverAsksIsToldAtOnceAndAfterwardsAllGoesOn) {
  open();
  ASSERT_TRUE(add("a"));
  EXPECT_TRUE(store->reachable());
  const StoreVersion told = store->version();
  const auto watch = store->watch("configmaps", told, {}).value();
  server->stop();
  const auto refused = add("b");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Unavailable);
  EXPECT_THAT(refused.error().message,
              HasSubstr("database postgresql://postgres@127.0.0.1:" + std::to_string(server->port()) + "/" + database));
  ASSERT_TRUE(comes([&] {
    const auto there = store->reachable();
    return !there && there.error().message.find("it cannot be reached: is the server running") != std::string::npos;
  }));
  EXPECT_EQ(copy->get({"default", "a"}).error().code, Code::Unavailable);
  EXPECT_EQ(store->version(), told);
  EXPECT_EQ(copy->size(), 1u);
  server->start();
  ASSERT_TRUE(comes([&] { return store->reachable().has_value(); }));
  ASSERT_TRUE(comes_to_add("c"));
  EXPECT_EQ(copy->size(), 2u);
  EXPECT_EQ(store->version(), told + 1) << "a restart is no other life";
  ASSERT_TRUE(comes([&] {
    const auto batch = loop.await(watch->next(loop.runtime().clock.now() + 10s));
    return batch && batch->changes.size() == 1 && batch->changes[0].object->name() == "c";
  }));
  EXPECT_THAT(loop.log_lines(), Contains(HasSubstr("it cannot be reached")));
  EXPECT_THAT(loop.log_lines(), Contains(HasSubstr("the database is reached again")));
}

TEST_F(PostgresOutage, OneThatIsAwayAtFirstIsWaitedFor) {
  server->stop();
  store = there(open_postgres_fleet_store(loop.runtime(), server->uri(database)));
  EXPECT_EQ(store->reachable().error().code, Code::Unavailable);
  EXPECT_EQ(store->open("c1", configmaps()).error().code, Code::Unavailable);
  EXPECT_EQ(loop.await(store->list(FleetQuery())).error().code, Code::Unavailable);
  EXPECT_EQ(store->watch("configmaps", 0, {}).error().code, Code::Unavailable);
  server->start();
  ASSERT_TRUE(comes([&] { return store->reachable().has_value(); }));
  copy = there(store->open("c1", configmaps()));
  EXPECT_TRUE(add("a"));
}

TEST_F(PostgresOutage, WhatIsAcknowledgedOutlivesTheServersDeath) {
  open();
  std::set<std::string> acknowledged;
  for (int kill = 0; kill < 3; ++kill) {
    for (int i = 0; i < 20; ++i) {
      const std::string name = "n" + std::to_string(kill) + "-" + std::to_string(i);
      if (i == 10) server->kill();
      if (i == 12) server->start();
      if (i == 12) {
        ASSERT_TRUE(comes_to_add(name));
      } else if (!add(name)) {
        continue;
      }
      acknowledged.insert(name);
    }
  }
  std::set<std::string> held;
  const auto objects = copy->list();
  for (const ObjectPtr& object : objects.value()) held.insert(std::string(object->name()));
  for (const std::string& name : acknowledged) EXPECT_TRUE(held.contains(name)) << name;
  Fingerprint counted;
  for (const ObjectPtr& object : objects.value()) counted.add(object->hash());
  EXPECT_EQ(copy->fingerprint(), counted);
}

TEST_F(PostgresOutage, AServerThatSaysNothingIsGivenUpAndWaitedFor) {
  open();
  ASSERT_TRUE(add("a"));
  server->freeze();
  const auto read = copy->get({"default", "a"});
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("the server says nothing"));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(copy->get({"default", "a"}).error().code, Code::Unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s) << "known to be away";
  server->thaw();
  EXPECT_TRUE(comes([&] { return copy->get({"default", "a"}).has_value(); }));
}

TEST_F(PostgresOutage, ItEndsSoonAlsoWhileTheServerSaysNothing) {
  open();
  ASSERT_TRUE(add("a"));
  server->freeze();
  const auto began = std::chrono::steady_clock::now();
  copy = nullptr;
  store = nullptr;
  EXPECT_LT(std::chrono::steady_clock::now() - began, 20s);
  server->thaw();
}

struct PostgresDoor : DatabaseTest {
  Error refused(const std::string& uri, PostgresOptions options = PostgresOptions()) {
    auto opened = open_postgres_fleet_store(loop.runtime(), uri, options);
    if (opened) return Error(Code::Internal, "it was opened");
    EXPECT_EQ(opened.error().code, Code::Invalid);
    EXPECT_THAT(opened.error().message, Not(HasSubstr("s3cret")));
    return opened.error();
  }
  std::string uri_of(const std::string& role) const { return database.server.uri(database.name, role, "s3cret"); }
  // A name that no test before has taken.
  std::string new_role() {
    const std::string role = "role_" + database.name;
    database.server.create_role(role, "s3cret");
    return role;
  }
};

TEST_F(PostgresDoor, WhatDoesNotMendByItselfIsSaidWithTheRemedy) {
  database.server.create_role("locked_out", "another");
  EXPECT_THAT(refused(uri_of("locked_out")).message, HasSubstr("look at the user, the password (PGPASSWORD"));
  EXPECT_THAT(refused(uri_of("nobody_at_all")).message, HasSubstr("the server does not let this user in"));
  EXPECT_THAT(refused(database.server.uri("no_such_database")).message, HasSubstr("there is no such database"));
  EXPECT_THAT(refused(database.uri() + "?sslmode=require").message, HasSubstr("look at sslmode"));
  EXPECT_THAT(refused("postgresql://me:s3cret@[h/d").message, HasSubstr("is no PostgreSQL URI"));
}

TEST_F(PostgresDoor, ARightThatIsMissingIsNamedByTheGrantThatGivesIt) {
  const std::string role = new_role();
  EXPECT_THAT(refused(uri_of(role)).message,
              AllOf(HasSubstr("CREATE SCHEMA \"tinf\" AUTHORIZATION \"" + role + "\""),
                    HasSubstr("GRANT CREATE ON DATABASE \"" + database.name + "\" TO \"" + role + "\"")));
  database.query("CREATE SCHEMA tinf");
  EXPECT_THAT(refused(uri_of(role)).message, HasSubstr("GRANT USAGE ON SCHEMA \"tinf\" TO \"" + role + "\""));
  database.query("GRANT USAGE ON SCHEMA tinf TO " + role);
  EXPECT_THAT(refused(uri_of(role)).message, HasSubstr("GRANT USAGE, CREATE ON SCHEMA \"tinf\" TO \"" + role + "\""));
  (void)open_store();  // Somebody else makes its tables.
  EXPECT_THAT(refused(uri_of(role)).message,
              HasSubstr("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"tinf\" TO \"" + role + "\""));
  database.query("GRANT SELECT ON ALL TABLES IN SCHEMA tinf TO " + role);
  EXPECT_THAT(refused(uri_of(role)).message, HasSubstr("may not write all of the schema tinf"));
  database.query("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tinf TO " + role);
  const auto store = there(open_postgres_fleet_store(loop.runtime(), uri_of(role)));
  const auto copy = there(store->open("c1", configmaps()));
  EXPECT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
}

TEST_F(PostgresDoor, ARoleThatOwnsItsSchemaNeedsNoMore) {
  const std::string role = new_role();
  database.query("CREATE SCHEMA tinf AUTHORIZATION " + role);
  const auto store = there(open_postgres_fleet_store(loop.runtime(), uri_of(role)));
  const auto copy = there(store->open("c1", configmaps()));
  EXPECT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
  EXPECT_THAT(listed(*store), SizeIs(1));
}

TEST_F(PostgresDoor, ANewerSchemaAndAnotherProgramsAreRefused) {
  (void)open_store();
  database.query("UPDATE meta SET value = '99' WHERE name = 'schema_version'");
  EXPECT_THAT(refused(database.uri()).message, HasSubstr("has version 99, this program knows up to"));
  database.query("UPDATE meta SET value = 'shop' WHERE name = 'application'");
  EXPECT_THAT(refused(database.uri()).message, HasSubstr("holds another program's tables"));
  PostgresOptions options;
  options.schema = "theirs";
  database.query("CREATE SCHEMA theirs; CREATE TABLE theirs.orders(id int)");
  EXPECT_THAT(refused(database.uri(), options).message, HasSubstr("the schema theirs holds another program's tables"));
  database.query("CREATE TABLE theirs.meta(id int)");
  EXPECT_THAT(refused(database.uri(), options).message, HasSubstr("holds another program's tables"));
  options.schema = "ours";
  EXPECT_TRUE(open_postgres_fleet_store(loop.runtime(), database.uri(), options));
}

TEST_F(PostgresDoor, ManyWhoOpenAnEmptyDatabaseAtOnceMakeOneSchema) {
  std::vector<std::thread> threads;
  std::atomic<int> opened = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      testing::RealTime own;
      const auto store = open_postgres_fleet_store(own.runtime(), database.uri());
      EXPECT_TRUE(store) << store.error().message;
      ++opened;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(opened, 4);
  EXPECT_EQ(database.number("SELECT count(*) FROM clock"), 1);
}

}  // namespace
}  // namespace tinf::postgres
