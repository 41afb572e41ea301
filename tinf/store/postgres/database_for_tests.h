// An empty database for a test, on the server that all tests of a program share.
#pragma once

#include "tinf/store/postgres/postgres_fleet_store.h"
#include "tinf/testing/postgres_server.h"

namespace tinf::postgres {

struct TestDatabase {
  testing::PostgresServer& server = testing::PostgresServer::shared();
  const std::string name = server.create_database();

  std::string uri() const { return server.uri(name); }
  std::vector<std::string> query(const std::string& sql) const {
    return server.query(name, "SET search_path = tinf; " + sql);
  }
  // The one value of the last line.
  std::int64_t number(const std::string& sql) const { return std::stoll(query(sql).back()); }
};

}  // namespace tinf::postgres
