// What docs/storage.md tells SQL users: its views, and the queries that stand there, as they stand there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tinf/store/postgres/database_for_tests.h"

namespace tinf::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// The SQL of a section, in its order.
std::vector<std::string> queries_of(const std::string& section) {
  std::ifstream document(TINF_DOCS "/storage.md");
  std::vector<std::string> queries;
  bool inside = false, is_sql = false;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("#")) inside = line == section;
    if (!inside) continue;
    if (line == "```sql") {
      is_sql = true;
      queries.emplace_back();
    } else if (line == "```") {
      is_sql = false;
    } else if (is_sql) {
      queries.back() += line + "\n";
    }
  }
  return queries;
}

struct PostgresViews : DatabaseTest {
  void put(const std::string& cluster, const Resource& resource, const std::vector<std::string>& bodies) {
    Scope scope;
    scope.resource = resource;
    const auto copy = there(store->open(cluster, scope));
    std::vector<WatchEvent> events;
    for (const std::string& body : bodies) events.push_back(WatchEvent::added(Object::parse(body).value()));
    ASSERT_TRUE(apply(*copy, std::move(events)));
  }
  void SetUp() override {
    const auto pod = [](const std::string& name, const std::string& images) {
      return R"({"metadata":{"name":")" + name + R"(","namespace":"x","uid":"uid-)" + name +
             R"(","labels":{"app.kubernetes.io/name":"shop"},"ownerReferences":[{"uid":"4d3a2f0e-uid-of-the-owner"}]},"spec":{"containers":[)" +
             images + "]}}";
    };
    const Resource pods{"", "v1", "pods"}, deployments{"apps", "v1", "deployments"}, events{"", "v1", "events"};
    put("c1", pods, {pod("a", R"({"image":"web:1"},{"image":"db:1"})"), pod("b", R"({"image":"web:1"})")});
    put("c2", pods, {pod("a", R"({"image":"web:1"})")});
    put("c1", deployments,
        {R"({"metadata":{"name":"good","namespace":"x"},"spec":{"replicas":2},"status":{"availableReplicas":2}})",
         R"({"metadata":{"name":"bad","namespace":"x"},"spec":{"replicas":3},"status":{"availableReplicas":1}})",
         R"({"metadata":{"name":"none","namespace":"x"},"spec":{}})"});
    put("c2", events,
        {R"({"metadata":{"name":"e","namespace":"x"},"lastTimestamp":"2024-01-01T00:00:00Z","type":"Warning","reason":"Failed",)"
         R"("message":"no \u0000 image","involvedObject":{"kind":"Pod","name":"a"}})"});
  }

  std::unique_ptr<FleetStore> store = open_store();
};

TEST_F(PostgresViews, AnswerTheQueriesOfTheDocumentation) {
  const auto queries = queries_of("### In PostgreSQL's SQL");
  ASSERT_EQ(queries.size(), 4u);
  EXPECT_THAT(database.query(queries[0]), ElementsAre("web:1|3|2", "db:1|1|1"));
  EXPECT_THAT(database.query(queries[1]), UnorderedElementsAre("c1|x|bad|3|1", "c1|x|none||0"));
  const auto shop = UnorderedElementsAre("c1|pods|x|a", "c1|pods|x|b", "c2|pods|x|a");
  EXPECT_THAT(database.query(queries[2]), shop);
  EXPECT_THAT(database.query(queries[3]), shop);
}

TEST_F(PostgresViews, TellObjectsClustersEventsAndChanges) {
  FleetCluster cluster;
  cluster.name = "c1";
  cluster.uid = "123";
  cluster.kubernetes = "v1.34.0";
  cluster.present = true;
  cluster.offer.emplace_back();
  cluster.offer.back().resource = Resource{"", "v1", "pods"};
  ASSERT_TRUE(loop.await(store->put_cluster(cluster)));
  EXPECT_THAT(
      database.query("SELECT name, uid, kubernetes, present, objects, offer -> 0 ->> 'resource', held_until > now()"
                     " FROM clusters WHERE name = 'c1'"),
      ElementsAre("c1|123|v1.34.0|t|5|pods|t"));
  EXPECT_THAT(database.query("SELECT cluster, namespace, last_seen, type, reason, kind, name FROM events"),
              ElementsAre("c2|x|2024-01-01T00:00:00Z|Warning|Failed|Pod|a"));
  EXPECT_THAT(database.query("SELECT cluster, api_group, api_version, resource, type, namespace, name, previous FROM"
                             " changes WHERE resource = 'deployments' ORDER BY version LIMIT 1"),
              ElementsAre("c1|apps|v1|deployments|ADDED|x|bad|"));
  EXPECT_THAT(
      database.query("SELECT api_group, api_version, resource, uid, resource_version, labels, owners, version > 0"
                     " FROM objects WHERE cluster = 'c2' AND resource = 'pods'"),
      ElementsAre("|v1|pods|uid-a||{\"app.kubernetes.io/name\": \"shop\"}|{4d3a2f0e-uid-of-the-owner}|t"));
}

}  // namespace
}  // namespace tinf::postgres
