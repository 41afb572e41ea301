// A file that an older version of the program has left.
#include "tinf/store/sqlite/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"
#include "tinf/testing/real_time.h"

namespace tinf::sqlite {
namespace {

using ::testing::ElementsAre;

constexpr const char* kRowsOfVersion1 = R"sql(
/*test*/ INSERT INTO cluster(id, name) VALUES(1, 'c1');
/*test*/ INSERT INTO scope VALUES(7, 1, 'pods', '', 'v1', 'pods', 'wanted', '40', 2, 0, 0);
/*test*/ INSERT INTO object(id, scope, namespace, name, uid, resource_version, version, hash_high, hash_low, body) VALUES
  (1, 7, 'default', 'a', 'ua', '11', 1, 0, 0,
   '{"metadata":{"name":"a","namespace":"default","uid":"ua","resourceVersion":"11","labels":{"app":"web","tier":"x"},'
   || '"ownerReferences":[{"uid":"rs"}]}}'),
  (2, 7, 'default', 'b', 'ub', '12', 2, 0, 0,
   '{"metadata":{"name":"b","namespace":"default","uid":"ub","resourceVersion":"12"}}');
/*test*/ INSERT INTO label VALUES('app', 'web', 1), ('tier', 'x', 1);
/*test*/ INSERT INTO owner VALUES('rs', 1);
)sql";

std::vector<std::string> names(testing::RealTime& loop, FleetStore& store, const FleetQuery& query) {
  std::vector<std::string> names;
  const auto page = loop.await(store.list(query));
  for (const FleetObject& one : page.value().objects) names.emplace_back(one.object->name());
  return names;
}

TEST(SqliteSchema, AFileOfVersion1IsTakenOverWithLabelsAndOwners) {
  const Folder folder;
  {
    Connection old(folder.file(), Connection::Mode::ReadWrite);
    prepare_schema(old, folder.file(), 1);
    old.run(kRowsOfVersion1);
  }
  testing::RealTime loop;
  const auto store = open_sqlite_fleet_store(loop.runtime(), folder.file()).value();
  EXPECT_GE(store->version(), 2u);
  FleetQuery query;
  query.collection = "pods";
  EXPECT_THAT(names(loop, *store, query), ElementsAre("a", "b"));
  FleetQuery labelled = query;
  labelled.labels = LabelSelector::parse("app=web").value();
  EXPECT_THAT(names(loop, *store, labelled), ElementsAre("a"));
  FleetQuery owned = query;
  owned.owner = "rs";
  EXPECT_THAT(names(loop, *store, owned), ElementsAre("a"));
  FleetQuery searched = query;
  searched.search = "WEB";
  EXPECT_THAT(names(loop, *store, searched), ElementsAre("a"));

  Connection file(folder.file(), Connection::Mode::ReadOnly);
  EXPECT_EQ(file.number("/*test*/ PRAGMA user_version"), kSchemaVersion);
  EXPECT_EQ(file.number("/*test*/ SELECT count(*) FROM objects WHERE labels ->> '$.tier' = 'x'"), 1);
  EXPECT_EQ(
      file.number("/*test*/ SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE '%!_1' ESCAPE '!'"),
      0);
}

}  // namespace
}  // namespace tinf::sqlite
