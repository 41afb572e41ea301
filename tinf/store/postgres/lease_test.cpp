// Several stores over one database, as several processes have them: each cluster is written by one of them at a time,
// and all of them tell the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/store/postgres/connection.h"
#include "tinf/store/postgres/database_for_tests.h"
#include "tinf/store/postgres/writer.h"

namespace tinf::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct PostgresLease : DatabaseTest {
  // Nobody is heard of again unless a test wants it.
  static PostgresOptions quiet() {
    PostgresOptions options;
    options.lease = 10min;
    return options;
  }
  void silence_holders() {
    database.query("UPDATE process SET until = now() - interval '1 s' WHERE id IN (SELECT holder FROM cluster)");
  }

  std::unique_ptr<FleetStore> one = open_store(quiet()), other = open_store(quiet());
};

TEST_F(PostgresLease, AClusterIsHeldByOneProcessWhichTheOthersName) {
  const auto copy = there(one->open("c1", configmaps()));
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
  const auto refused = other->open("c1", configmaps());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Conflict);
  const std::string pid = std::to_string(getpid());
  EXPECT_THAT(refused.error().message, HasSubstr("cluster c1 is held by process "));
  EXPECT_THAT(refused.error().message, HasSubstr("/" + pid + ", until "));
  EXPECT_THAT(other->held_by_another("c1").value_or("nobody"), HasSubstr("/" + pid));
  EXPECT_FALSE(one->held_by_another("c1"));
  FleetCluster known;
  known.name = "c1";
  EXPECT_EQ(loop.await(other->put_cluster(known)).error().code, Code::Conflict);
  ASSERT_TRUE(comes([&] { return other->scopes().size() == 1; }));
  EXPECT_EQ(loop.await(other->forget("c1", configmaps().resource, false)).error().code, Code::Conflict);
  EXPECT_TRUE(other->open("c2", configmaps()));
  EXPECT_EQ(listed(*other), listed(*one));
  EXPECT_THAT(listed(*other), SizeIs(1));
}

TEST_F(PostgresLease, WhatAProcessThatEndsHeldIsTakenAtOnceAsItWasLeft) {
  auto copy = there(one->open("c1", configmaps()));
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1)), WatchEvent::added(state("b", 1))}));
  const auto fingerprint = copy->fingerprint();
  const auto version = copy->version();
  ASSERT_FALSE(other->open("c1", configmaps()));
  copy = nullptr;
  one = nullptr;
  copy = there(other->open("c1", configmaps()));
  EXPECT_EQ(copy->fingerprint(), fingerprint);
  EXPECT_EQ(copy->version(), version);
  EXPECT_FALSE(other->held_by_another("c1"));
}

TEST_F(PostgresLease, WhoWasNotHeardOfWritesOverNothing) {
  auto copy = there(one->open("c1", configmaps()));
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
  silence_holders();
  auto taken = there(other->open("c1", configmaps()));
  ASSERT_TRUE(apply(*taken, {WatchEvent::modified(state("a", 2))}));
  const auto refused = apply(*copy, {WatchEvent::modified(state("a", 1)), WatchEvent::added(state("b", 1))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Conflict);
  EXPECT_EQ(loop.await(copy->replace(Snapshot())).error().code, Code::Conflict) << "and so it stays";
  EXPECT_EQ(database.query("SELECT name, resource_version FROM objects"), std::vector<std::string>{"a|2"});
  EXPECT_TRUE(one->lost("c1")) << "its copies are to be closed";
  ASSERT_TRUE(comes(
      [&] { return one->held_by_another("c1").value_or("").find(std::to_string(getpid())) != std::string::npos; }));
  copy = nullptr;
  taken = nullptr;
  other = nullptr;
  copy = comes_to_open(*one, "c1");
  EXPECT_EQ(copy->get({"default", "a"}).value()->resource_version(), "2");
  EXPECT_EQ(copy->size(), 1u);
  EXPECT_TRUE(apply(*copy, {WatchEvent::modified(state("a", 3))}));
}

TEST_F(PostgresLease, WhoIsInTheMidstOfATransactionIsNotTakenOut) {
  const auto copy = there(one->open("c1", configmaps()));
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
  const std::string token = database.query("SELECT holder FROM cluster").back();
  ConnectionOptions options;
  options.schema = "tinf";
  Connection writing(Target::parse(database.uri()).value(), options, nullptr);
  Array clusters = texts();
  clusters.add("c1");
  writing.run_script("BEGIN");
  writing.run("SELECT hold($1, $2)", Values().add(token).add(std::move(clusters)));
  silence_holders();
  EXPECT_EQ(other->open("c1", configmaps()).error().code, Code::Conflict);
  writing.run_script("COMMIT");
  EXPECT_TRUE(other->open("c1", configmaps()));
}

// A process takes its name in the database anew where it lost it; nothing that was opened before counts.
TEST_F(PostgresLease, WhoLostItsLeaseAndGotItBackTakesItsClustersAnew) {
  auto copy = there(one->open("c1", configmaps()));
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
  database.query("DELETE FROM process");
  EXPECT_EQ(apply(*copy, {WatchEvent::modified(state("a", 2))}).error().code, Code::Conflict);
  EXPECT_TRUE(one->lost("c1"));
  EXPECT_EQ(one->open("c1", configmaps()).error().code, Code::AlreadyExists);
  copy = nullptr;
  EXPECT_FALSE(one->lost("c1"));
  EXPECT_FALSE(one->held_by_another("c1"));
  copy = comes_to_open(*one, "c1");
  EXPECT_TRUE(apply(*copy, {WatchEvent::modified(state("a", 2))}));
}

TEST_F(PostgresLease, WhatNobodyHoldsIsNotTakenForOurs) {
  database.query(
      "CREATE FUNCTION unchanged() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
      " CREATE TRIGGER unchanged BEFORE UPDATE ON cluster FOR EACH ROW EXECUTE FUNCTION unchanged()");
  const auto refused = one->open("c1", configmaps());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Conflict);
  EXPECT_THAT(refused.error().message, HasSubstr("nobody any more"));
  database.query("DROP TRIGGER unchanged ON cluster");
  EXPECT_TRUE(one->open("c1", configmaps()));
}

TEST_F(PostgresLease, WhoEntersWaitsForNobodyWhoWrites) {
  database.query("INSERT INTO cluster(name, present, known) VALUES('of nobody', true, true)");
  ConnectionOptions options;
  options.schema = "tinf";
  Connection writing(Target::parse(database.uri()).value(), options, nullptr);
  writing.run_script("BEGIN; UPDATE clock SET version = version");
  PostgresOptions often = quiet();
  often.lease = 900ms;
  const auto third = open_store(often);
  EXPECT_TRUE(third->reachable());
  EXPECT_TRUE(third->open("c1", configmaps()));
  writing.run_script("COMMIT");
  EXPECT_TRUE(comes([&] { return database.number("SELECT count(*) FROM cluster WHERE present") == 0; }));
}

// The parts that write, by themselves: what the lease does meanwhile is up to the test.
struct PostgresWriter : PostgresLease {
  PostgresWriter() {
    common.lease.enter(connection);
    common.lease.take(connection, {"c1"});
    common.health.up();
    copy->hold_under(common.lease.token());
  }
  ConnectionOptions in_schema() const {
    ConnectionOptions options;
    options.schema = "tinf";
    return options;
  }
  Work bringing(ObjectPtr object) const {
    Work work;
    work.cluster = "c1";
    work.token = common.lease.token();
    CopyChange& change = work.change.emplace();
    change.copy = copy;
    change.scope = configmaps();
    change.events = {WatchEvent::modified(std::move(object))};
    return work;
  }
  Result<void> carry_out(Work work) {
    try {
      writer.carry_out({&work});
      return Result<void>();
    } catch (const Failure& failure) {
      return failure.error;
    }
  }
  CopyState nothing() const {
    CopyState state;
    state.resource = configmaps().resource;
    return state;
  }

  Common common{Target::parse(database.uri()).value(), PostgresSettings(), "by itself"};
  Connection connection{common.target, in_schema(), nullptr};
  const std::shared_ptr<Copy> copy = std::make_shared<Copy>("c1", "configmaps", nothing());
  Writer writer{common};
};

TEST_F(PostgresWriter, WhatWasDraftedUnderALeaseThatIsLostIsNotWrittenUnderTheNextOne) {
  ASSERT_TRUE(carry_out(bringing(state("a", 1))));
  const std::string first = common.lease.token();
  Connection locking(common.target, in_schema(), nullptr);
  locking.run_script("BEGIN; LOCK TABLE object IN ACCESS EXCLUSIVE MODE");
  Result<void> written;
  std::thread writing([&, work = bringing(state("a", 2))]() mutable { written = carry_out(std::move(work)); });
  EXPECT_TRUE(comes([&] {
    return database.number(
               "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
               " AND datname = current_database()") > 0;
  }));
  database.query("DELETE FROM process WHERE id = '" + first + "'");
  common.lease.lose(first);
  common.lease.enter(connection);
  common.lease.take(connection, {"c1"});
  locking.run_script("COMMIT");
  writing.join();
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::Conflict);
  EXPECT_EQ(database.query("SELECT name, resource_version FROM objects"), std::vector<std::string>{"a|1"});
  EXPECT_NE(common.lease.token(), first);
  EXPECT_FALSE(common.lease.token().empty()) << "the new lease is not lost with the old one";
}

TEST_F(PostgresWriter, WhoStopsInTheMidstOfATransactionIsEndedAndHoldsNobodyUp) {
  ASSERT_TRUE(carry_out(bringing(state("a", 1))));
  const auto before = database.number("SELECT version FROM clock");
  ConnectionOptions options = in_schema();
  options.settings = "SET idle_in_transaction_session_timeout = '200ms';";
  Connection stopping(common.target, options, nullptr);
  stopping.begin();
  stopping.send("UPDATE clock SET version = version + 7");
  stopping.send("SELECT octet_length($1)", Values().add(std::string(1 << 20, 'x')));  // Large: it is sent at once.
  EXPECT_TRUE(comes([&] { return !stopping.alive(); })) << "the rest never comes";
  EXPECT_TRUE(carry_out(bringing(state("a", 2))));
  EXPECT_EQ(database.number("SELECT version FROM clock"), before + 1);
}

TEST_F(PostgresWriter, AfterAFailureTheNextWriteAsksAndCountsWhatIsStored) {
  ASSERT_TRUE(carry_out(bringing(state("a", 1))));
  Work forgetting = bringing(state("a", 1));
  forgetting.change->kind = CopyChange::Kind::Forget;
  forgetting.change->only_if_empty = true;
  EXPECT_FALSE(carry_out(std::move(forgetting)));
  EXPECT_TRUE(copy->was_uncertain());
  Work next = bringing(state("a", 2));
  copy->doubt();
  database.query("DELETE FROM process");
  EXPECT_EQ(carry_out(std::move(next)).error().code, Code::Conflict);
  EXPECT_TRUE(copy->was_uncertain());
  EXPECT_TRUE(copy->was_doubted());
}

TEST_F(PostgresWriter, WhatHasNoRowInTheDatabaseIsNotCalledStored) {
  database.query("DELETE FROM cluster");
  const auto refused = carry_out(bringing(state("a", 1)));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("cluster c1 is not in it any more"));
}

TEST_F(PostgresWriter, WhoFindsThatItDoesNotHoldAClusterTakesAllOfItsAnewAtOnce) {
  common.lease.take(connection, {"c2"});
  database.query("UPDATE cluster SET holder = NULL WHERE name = 'c1'");
  EXPECT_THAT(carry_out(bringing(state("a", 1))).error().message, HasSubstr("does not hold c1 any more"));
  EXPECT_EQ(common.lease.token(), "");
  common.lease.enter(connection);
  EXPECT_THAT(common.lease.take(connection, {"c1", "c2"}).clusters, ElementsAre("c1", "c2"));
}

TEST_F(PostgresWriter, WhoIsNotEnteredTakesNothing) {
  common.lease.lose(common.lease.token());
  Work work;
  work.cluster = "c2";
  EXPECT_EQ(carry_out(std::move(work)).error().code, Code::Unavailable);
  EXPECT_EQ(database.number("SELECT count(*) FROM cluster WHERE name = 'c2'"), 0);
}

// Whoever writes may be the first to meet it: watches must not go on as if all were heard.
TEST_F(PostgresWriter, AnotherLifeIsToldWithTheFirstTransactionInIt) {
  ASSERT_TRUE(carry_out(bringing(state("a", 1))));
  EXPECT_FALSE(writer.take_committed().is_anew);
  database.query(
      "UPDATE clock SET life = 'another one''s'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
      " WHERE pid <> pg_backend_pid() AND datname = current_database()");
  Connection again(common.target, in_schema(), nullptr);
  EXPECT_TRUE(comes([&] {
    common.health.up();
    if (common.lease.token().empty()) common.lease.enter(again);
    try {
      copy->hold_under(common.lease.take(again, {"c1"}).token);
    } catch (const Failure&) {  // The other stores meet it as well, and take out whoever was there.
      return false;
    }
    return carry_out(bringing(state("a", 2))).has_value();
  }));
  EXPECT_TRUE(writer.take_committed().is_anew);
  ASSERT_TRUE(carry_out(bringing(state("a", 3))));
  EXPECT_FALSE(writer.take_committed().is_anew);
}

TEST_F(PostgresWriter, AStateIsNotToldOfAWriteUnderAnotherLease) {
  CopyState state = nothing();
  state.position = "7";
  copy->stored_under("another one", state);
  EXPECT_EQ(copy->state().position, "");
  copy->stored_under(common.lease.token(), state);
  EXPECT_EQ(copy->state().position, "7");
}

TEST_F(PostgresLease, ALeaseIsRenewedInTheBackground) {
  PostgresOptions short_lease;
  short_lease.lease = 900ms;
  const auto renewing = open_store(short_lease);
  const auto copy = there(renewing->open("c1", configmaps()));
  const std::string first = "SELECT max(until) FROM process WHERE id = (SELECT holder FROM cluster)";
  const auto until = database.query(first).back();
  ASSERT_TRUE(comes([&] { return database.query(first).back() > until; }));
  EXPECT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
}

TEST_F(PostgresLease, AllTellTheSameOfClustersAndCopies) {
  FleetCluster known;
  known.name = "c1";
  known.uid = "123";
  known.present = true;
  known.offer.emplace_back();
  known.offer.back().resource = configmaps().resource;
  int told = 0;
  other->on_clusters([&] { ++told; });
  ASSERT_TRUE(loop.await(one->put_cluster(known)));
  const auto copy = there(one->open("c1", configmaps()));
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1)), WatchEvent::added(state("b", 1))}));
  ASSERT_TRUE(comes([&] { return other->scopes().size() == 1 && other->scopes()[0].objects == 2; }));
  EXPECT_EQ(other->clusters(), one->clusters());
  EXPECT_EQ(other->scopes()[0].resource, configmaps().resource);
  EXPECT_GE(told, 2);
  known.present = false;
  ASSERT_TRUE(loop.await(one->put_cluster(known)));
  EXPECT_TRUE(comes([&] { return !other->clusters().empty() && !other->clusters()[0].present; }));
  ASSERT_TRUE(apply(*copy, {WatchEvent::deleted(state("b", 1))}));
  EXPECT_TRUE(comes([&] { return other->scopes()[0].objects == 1; }));
}

TEST_F(PostgresLease, AWatchGoesOnAtAnotherProcessWhereItStoodAndMissesNothing) {
  const auto first = there(one->open("c1", configmaps())), second = there(other->open("c2", configmaps()));
  const StoreVersion from = one->version();
  ASSERT_TRUE(loop.await(other->reach(from, loop.runtime().clock.now() + 10s)));
  const auto at_one = one->watch("configmaps", from, {}).value();
  auto at_other = other->watch("configmaps", from, {}).value();
  std::vector<StoreVersion> heard;
  const auto hear = [&](FleetWatch& watch) {
    auto batch = loop.await(watch.next(loop.runtime().clock.now() + 10s));
    EXPECT_TRUE(batch) << batch.error().message;
    std::vector<std::string> lines;
    for (const auto& change : batch->changes) {
      lines.push_back(change.cluster + "/" + std::string(change.object->name()));
      heard.push_back(change.version);
    }
    return std::pair(lines, batch->version);
  };
  for (int round = 0; round < 40; ++round) {
    const std::string name = "n" + std::to_string(round);
    Store& written = round % 3 == 0 ? *second : *first;
    ASSERT_TRUE(apply(written, {WatchEvent::added(state(name, round))}));
    std::vector<std::string> told;
    StoreVersion upto = 0;
    while (told.empty()) std::tie(told, upto) = hear(*at_other);
    EXPECT_THAT(told, ElementsAre((round % 3 == 0 ? "c2/" : "c1/") + name));
    if (round % 5 == 0) at_other = other->watch("configmaps", upto, {}).value();
  }
  EXPECT_TRUE(std::ranges::is_sorted(heard));
  const auto until_other = std::exchange(heard, {});
  while (heard.size() < until_other.size()) (void)hear(*at_one);
  EXPECT_EQ(heard, until_other);
  EXPECT_EQ(listed(*one), listed(*other));
}

// Versions rise in the order of commits, whoever commits: nobody who reads meanwhile misses a lower one.
TEST_F(PostgresLease, ManyWhoWriteAtOnceLeaveNoGapThatIsFilledLater) {
  constexpr int kRounds = 60;
  const auto first = there(one->open("c1", configmaps())), second = there(other->open("c2", configmaps()));
  const StoreVersion from = one->version();
  TaskGroup tasks(loop.runtime().executor);
  int done = 0;
  const auto write = [](Store& copy, int& ended) -> Task<void> {
    for (int round = 0; round < kRounds; ++round) {
      std::vector<WatchEvent> events;
      for (int i = 0; i < 5; ++i) events.push_back(WatchEvent::modified(state("n" + std::to_string(i), round)));
      EXPECT_TRUE(co_await copy.apply(batch_of(std::move(events), round)));
    }
    ++ended;
  };
  tasks.spawn(write(*first, done));
  tasks.spawn(write(*second, done));
  const auto watch = one->watch("configmaps", from, {}).value();
  std::size_t changes = 0;
  StoreVersion last = from;
  while (changes < 2 * 5 * kRounds) {
    auto batch = loop.await(watch->next(loop.runtime().clock.now() + 20s));
    ASSERT_TRUE(batch) << batch.error().message;
    ASSERT_GT(batch->version, 0u);
    for (const auto& change : batch->changes) {
      EXPECT_EQ(change.version, last + 1);
      last = change.version;
      ++changes;
    }
  }
  EXPECT_EQ(done, 2);
  EXPECT_EQ(last, from + 2 * 5 * kRounds);
  EXPECT_EQ(database.number("SELECT count(*) FROM change WHERE previous IS NULL AND type <> 0"), 0);
}

TEST_F(PostgresLease, WhoOnlyReadsWritesNothingAndTellsTheSame) {
  const auto copy = there(one->open("c1", configmaps()));
  ASSERT_TRUE(apply(*copy, {WatchEvent::added(state("a", 1))}));
  database.server.create_role("reader", "secret");
  database.query("GRANT USAGE ON SCHEMA tinf TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA tinf TO reader");
  const std::string uri = database.server.uri(database.name, "reader", "secret");
  const auto reader = there(open_postgres_fleet_reader(loop.runtime(), uri));
  EXPECT_EQ(listed(*reader), listed(*one));
  const auto watch = reader->watch("configmaps", reader->version(), {}).value();
  ASSERT_TRUE(apply(*copy, {WatchEvent::modified(state("a", 2))}));
  const auto batch = loop.await(watch->next(loop.runtime().clock.now() + 10s)).value();
  ASSERT_THAT(batch.changes, SizeIs(1));
  EXPECT_EQ(batch.changes[0].object->resource_version(), "2");
  EXPECT_THAT(database.query("SELECT id FROM process"), SizeIs(2)) << "it is not among those that write";
}

}  // namespace
}  // namespace tinf::postgres
