// Every statement that any test of this folder makes the store run finds by an index what it looks for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <mutex>
#include <regex>
#include <set>

#include "tinf/store/sqlite/connection.h"
#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/store/sqlite/schema.h"

namespace tinf::sqlite {
namespace {

// Those of tests themselves begin with a comment.
bool plans(const std::string& sql) {
  static const std::regex form(R"(\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b[^]*)");
  return std::regex_match(sql, form);
}

// What reads the whole of a large table because it wants all of it.
const std::set<std::string> kWantAll = {
    // After somebody has altered rows: no index leads from an object to its labels and owners.
    "DELETE FROM label WHERE object = ?",
    "DELETE FROM owner WHERE object = ?",
    "DELETE FROM label WHERE object NOT IN (SELECT id FROM object);",
    "DELETE FROM owner WHERE object NOT IN (SELECT id FROM object)",
};

// Rows of these are few: one a copy, one a cluster, and a handful.
const std::set<std::string> kSmall = {"scope", "cluster", "meta", "dictionary", "sqlite_master", "CONSTANT"};

// By the names that a plan calls them: SQLite tells the alias alone.
std::string table_of(const std::string& sql, const std::string& name) {
  std::smatch found;
  return std::regex_search(sql, found, std::regex(R"((?:FROM|JOIN) (\w+) )" + name + R"(\b)")) ? found[1].str() : name;
}

// An empty file to ask about plans.
class Planner {
 public:
  Planner() : connection_(folder_.file(), Connection::Mode::ReadWrite) { prepare_schema(connection_, folder_.file()); }

  // The steps that read the whole of a large table.
  std::vector<std::string> whole_readings(const std::string& sql) {
    const std::string& asked = *asked_.insert("EXPLAIN QUERY PLAN " + sql).first;
    std::vector<std::string> found;
    Query plan = connection_.query(asked.c_str());
    while (plan.step()) {
      const std::string step(plan.text(3));
      std::smatch scan;
      if (!std::regex_search(step, scan, std::regex(R"(^SCAN (?:\d+ )?(\w+))"))) continue;
      if (kSmall.count(table_of(sql, scan[1])) == 0) found.push_back(step);
    }
    return found;
  }

 private:
  const Folder folder_;
  Connection connection_;
  std::set<std::string> asked_;  // A connection knows a statement by where its text stands.
};

class Plans : public ::testing::Environment {
 public:
  void SetUp() override { sqlite3_auto_extension(reinterpret_cast<void (*)()>(&Plans::opened)); }

  void TearDown() override {
    sqlite3_reset_auto_extension();
    Planner planner;
    for (const std::string& sql : statements()) {
      if (!plans(sql) || kWantAll.count(sql) > 0) continue;
      EXPECT_THAT(planner.whole_readings(sql), ::testing::IsEmpty()) << sql;
    }
  }

  static std::set<std::string>& statements() {
    static std::set<std::string> all;
    return all;
  }

 private:
  static int opened(sqlite3* connection, char**, const void*) {
    return sqlite3_trace_v2(connection, SQLITE_TRACE_STMT, &Plans::ran, nullptr);
  }
  static int ran(unsigned, void*, void* statement, void*) {
    static std::mutex mutex;  // Statements run on several threads.
    const std::lock_guard guard(mutex);
    if (const char* sql = sqlite3_sql(static_cast<sqlite3_stmt*>(statement))) statements().insert(sql);
    return 0;
  }
};

[[maybe_unused]] const auto* const kPlans = ::testing::AddGlobalTestEnvironment(new Plans);

TEST(SqlitePlans, TellWhatReadsAWholeTable) {
  Planner planner;
  EXPECT_THAT(planner.whole_readings("SELECT c.name FROM change c WHERE c.type = 1"), ::testing::SizeIs(1));
  EXPECT_THAT(planner.whole_readings("DELETE FROM owner WHERE object = 1"), ::testing::SizeIs(1));
  EXPECT_THAT(planner.whole_readings("SELECT body FROM object WHERE scope = 1 AND namespace = 'a'"),
              ::testing::IsEmpty());
  EXPECT_THAT(Plans::statements(), ::testing::Not(::testing::IsEmpty()));
}

}  // namespace
}  // namespace tinf::sqlite
