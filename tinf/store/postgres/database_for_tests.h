// What tests of this folder share: an empty database on the server that all tests of a program use, and objects.
#pragma once

#include "tinf/object/object.h"
#include "tinf/store/postgres/postgres_fleet_store.h"
#include "tinf/testing/postgres_server.h"
#include "tinf/testing/real_time.h"

namespace tinf::postgres {

inline Scope configmaps() {
  Scope scope;
  scope.resource = Resource{"", "v1", "configmaps"};
  return scope;
}

inline ObjectPtr state(const std::string& name, int version, const std::string& label = "web") {
  return Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + name +
                       R"(","namespace":"default","uid":"uid-)" + name + R"(","resourceVersion":")" +
                       std::to_string(version) + R"(","labels":{"app":")" + label +
                       R"("},"ownerReferences":[{"uid":"owner"}]}})")
      .value();
}

inline EventBatch batch_of(std::vector<WatchEvent> events, int position = 1) {
  EventBatch batch;
  batch.events = std::move(events);
  batch.version = ResourceVersion(std::to_string(position));
  return batch;
}

// Statements of tests themselves say so, for who looks at the plans of all others.
inline std::vector<std::string> query(const testing::PostgresServer& server, const std::string& database,
                                      const std::string& sql) {
  return server.query(database, "/*test*/ SET search_path = tinf; " + sql);
}

struct TestDatabase {
  testing::PostgresServer& server = testing::PostgresServer::shared();
  const std::string name = server.create_database();

  std::string uri() const { return server.uri(name); }
  std::vector<std::string> query(const std::string& sql) const { return postgres::query(server, name, sql); }
  // The one value of the last line.
  std::int64_t number(const std::string& sql) const { return std::stoll(query(sql).back()); }
};

// What is there, or what was said instead as the reason why the test fails.
template <class T>
T there(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

// Tests over one database, with as many stores as they like.
struct DatabaseTest : ::testing::Test {
  std::unique_ptr<FleetStore> open_store(PostgresOptions options = PostgresOptions()) {
    return there(open_postgres_fleet_store(loop.runtime(), database.uri(), options));
  }
  Result<void> apply(Store& copy, std::vector<WatchEvent> events) {
    return loop.await(copy.apply(batch_of(std::move(events), ++position)));
  }
  // Whether it comes to be within half a minute, by whoever does it.
  bool comes(const std::function<bool()>& done) {
    const auto end = loop.runtime().clock.now() + std::chrono::seconds(30);
    while (!done()) {
      if (loop.runtime().clock.now() > end) return false;
      (void)loop.await([](Clock& clock) -> Task<bool> {
        co_await clock.sleep_for(std::chrono::milliseconds(10));
        co_return true;
      }(loop.runtime().clock));
    }
    return true;
  }
  // The copy, as soon as this process may take the cluster: one that lost its lease first enters anew.
  std::unique_ptr<Store> comes_to_open(FleetStore& store, const std::string& cluster) {
    std::unique_ptr<Store> copy;
    EXPECT_TRUE(comes([&] {
      if (auto opened = store.open(cluster, configmaps())) copy = std::move(*opened);
      return copy != nullptr;
    }));
    return copy;
  }
  std::vector<std::string> listed(FleetReader& store, FleetQuery query = FleetQuery()) {
    query.collection = "configmaps";
    auto page = loop.await(store.list(query));
    if (!page) return {page.error().message};
    std::vector<std::string> lines;
    for (const FleetObject& one : page->objects) {
      lines.push_back(one.cluster + "/" + std::string(one.object->name()) + "@" +
                      std::string(one.object->resource_version()) + "#" + std::to_string(one.version));
    }
    return lines;
  }

  testing::RealTime loop;
  TestDatabase database;
  int position = 0;
};

}  // namespace tinf::postgres
