// What tests of a store rely on: their server is there, goes away, freezes, and comes back with what it had.
#include "tinf/testing/postgres_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <iterator>

namespace tinf::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string failure(const PostgresServer& server, const std::string& database) {
  try {
    server.query(database, "SELECT 1");
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

// As /proc has it: 'T' is a stopped one.
char state_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return text.at(text.rfind(')') + 2);
}

TEST(PostgresServer, DatabasesOutliveStopAndKill) {
  PostgresServer server;
  server.start();
  const std::string database = server.create_database();
  server.query(database, "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'one'), (2, 'two')");
  server.stop();
  EXPECT_THAT(failure(server, database), HasSubstr("Connection refused"));
  server.start();
  server.query(database, "INSERT INTO t VALUES (3, 'three')");
  server.kill();
  server.start();
  EXPECT_THAT(server.query(database, "SELECT a, b FROM t ORDER BY a"), ElementsAre("1|one", "2|two", "3|three"));
}

TEST(PostgresServer, DatabasesAreEmptyAndTheOrderOfTextIsNotThatOfBytes) {
  PostgresServer& server = PostgresServer::shared();
  const std::string one = server.create_database(), other = server.create_database();
  EXPECT_NE(one, other);
  EXPECT_THAT(server.query(one, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"), IsEmpty());
  EXPECT_THAT(server.query(one, "SELECT 'a' < 'B', 'a' < 'B' COLLATE \"C\""), ElementsAre("t|f"));
}

TEST(PostgresServer, FrozenItStandsStillUntilItIsThawed) {
  PostgresServer server;
  server.start();
  const std::string database = server.create_database();
  server.freeze();
  EXPECT_EQ(state_of(server.process_id()), 'T');
  auto rows = std::async(std::launch::async, [&] { return server.query(database, "SELECT 1"); });
  server.thaw();
  EXPECT_THAT(rows.get(), ElementsAre("1"));
  EXPECT_NE(state_of(server.process_id()), 'T');
}

TEST(PostgresServer, TheUriOfARoleHasItsPasswordEscaped) {
  PostgresServer& server = PostgresServer::shared();
  server.create_role("reader", "s3cret/?@");
  EXPECT_EQ(server.uri("db", "reader", "s3cret/?@"),
            "postgresql://reader:s3cret%2F%3F%40@127.0.0.1:" + std::to_string(server.port()) + "/db");
}

TEST(PostgresServer, WhatItIsToldIsInItsConfiguration) {
  PostgresServer server("max_connections = 7");
  server.start();
  EXPECT_THAT(server.query("postgres", "SHOW max_connections"), ElementsAre("7"));
  EXPECT_THAT(failure(server, "nowhere"), HasSubstr("\"nowhere\" does not exist"));
  EXPECT_THAT(server.log(), HasSubstr("\"nowhere\" does not exist"));
}

TEST(PostgresServer, OneThatCannotBeStartedFailsTheTest) {
  PostgresServer server("no_such_setting = 1");
  EXPECT_THROW(server.start(), std::runtime_error);
}

}  // namespace
}  // namespace tinf::testing
