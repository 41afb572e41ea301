// Every statement that any test of this program makes the store run finds by an index what it looks for: the server
// tells its plans, by auto_explain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "tinf/store/postgres/connection.h"
#include "tinf/store/postgres/database_for_tests.h"

namespace tinf::postgres {
namespace {

// Tables that grow with the objects and their changes; the others have a row for each copy, cluster or process.
const std::set<std::string> kLarge = {"object", "change"};

// The steps of a plan that read the whole of a large table, whatever they read it by.
std::vector<std::string> whole_readings(const std::string& plan) {
  static const std::regex step(
      R"((Seq Scan|Index Scan|Index Only Scan|Bitmap Heap Scan)( Backward)?( using \w+)? on (?:tinf\.)?(\w+))");
  std::vector<std::string> found;
  std::istringstream lines(plan);
  std::string reading;  // An index scan of which no condition was seen yet.
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (line.find("Index Cond:") != std::string::npos) reading.clear();
    if (!std::regex_search(line, match, step)) continue;
    if (!reading.empty()) found.push_back(reading);
    reading.clear();
    if (!kLarge.contains(match[4])) continue;
    if (match[1] == "Seq Scan") found.push_back(line);
    if (match[1] == "Index Scan" || match[1] == "Index Only Scan") reading = line;
  }
  if (!reading.empty()) found.push_back(reading);
  return found;
}

// The plans in a server's log, with the texts of their statements.
std::vector<std::string> plans_in(const std::string& log) {
  std::vector<std::string> plans;
  std::istringstream lines(log);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("\t")) inside = line.find("  plan:") != std::string::npos;
    if (!inside) continue;
    if (!line.starts_with("\t")) plans.emplace_back();
    plans.back() += line + "\n";
  }
  return plans;
}

class Plans : public ::testing::Environment {
 public:
  void SetUp() override {
    std::ofstream(server().folder() + "/data/postgresql.auto.conf", std::ios::app)
        << "session_preload_libraries = 'auto_explain'\n"
           "auto_explain.log_min_duration = 0\n"
           "auto_explain.log_nested_statements = on\n";
    (void)server().query("postgres", "SELECT pg_reload_conf()");
    const std::string loaded = "SELECT count(*) FROM pg_settings WHERE name = 'auto_explain.log_min_duration'";
    while (server().query("postgres", loaded).back() != "1") std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  void TearDown() override {
    std::set<std::string> statements;
    for (const std::string& plan : plans_in(server().log())) {
      if (plan.find("/*test*/") != std::string::npos) continue;
      const std::size_t text = plan.find("Query Text:");
      if (!statements.insert(plan.substr(text, plan.find("(cost=") - text)).second) continue;
      EXPECT_THAT(whole_readings(plan), ::testing::IsEmpty()) << plan;
    }
    const auto& all = *::testing::UnitTest::GetInstance();
    if (all.test_to_run_count() < all.total_test_count()) return;  // Some were chosen by hand.
    EXPECT_GT(statements.size(), 5u) << "the server tells its plans";
  }

 private:
  static testing::PostgresServer& server() { return testing::PostgresServer::shared(); }
};

[[maybe_unused]] const auto* const kPlans = ::testing::AddGlobalTestEnvironment(new Plans);

TEST(PostgresPlans, TellWhatReadsAWholeTable) {
  TestDatabase database;
  testing::RealTime loop;
  const auto store = there(open_postgres_fleet_store(loop.runtime(), database.uri()));
  const auto plan_of = [&](const std::string& sql) {
    std::string plan;
    for (const std::string& line : database.query("SET enable_seqscan = off; EXPLAIN " + sql)) plan += line + "\n";
    return plan;
  };
  EXPECT_THAT(whole_readings(plan_of("SELECT body FROM object WHERE uid = 'x'")), ::testing::SizeIs(1));
  EXPECT_THAT(whole_readings(plan_of("SELECT body FROM object ORDER BY scope, namespace, name")), ::testing::SizeIs(1));
  EXPECT_THAT(whole_readings(plan_of("SELECT body FROM object WHERE scope = 1 AND name > 'a'")), ::testing::IsEmpty());
}

// What SQL users are told to write, by the indexes as well: each names, labels and owners.
TEST(PostgresPlans, FindWhatSqlUsersLookForByNameLabelAndOwner) {
  TestDatabase database;
  testing::RealTime loop;
  const auto store = there(open_postgres_fleet_store(loop.runtime(), database.uri()));
  const auto plan_of = [&](const std::string& sql) {
    std::string plan;
    for (const std::string& line : database.query("SET enable_seqscan = off; EXPLAIN " + sql)) plan += line + "\n";
    return plan;
  };
  for (const std::string condition : {"labels @> '{\"app\":\"web\"}'", "owners @> ARRAY['uid']",
                                      "cluster = 'c1' AND resource = 'pods' AND namespace = 'x' AND name = 'y'"}) {
    EXPECT_THAT(whole_readings(plan_of("SELECT name FROM objects WHERE " + condition)), ::testing::IsEmpty())
        << condition;
  }
}

}  // namespace
}  // namespace tinf::postgres
