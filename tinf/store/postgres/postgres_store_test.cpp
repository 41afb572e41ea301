#include "tinf/contract/fleet_contract.h"
#include "tinf/store/postgres/database_for_tests.h"

namespace tinf::contract {
namespace {

FleetFactory in_a_database() {
  return [](Runtime& runtime, std::size_t retained_changes) {
    PostgresOptions options;
    options.retained_changes = retained_changes;
    auto store = open_postgres_fleet_store(runtime, postgres::TestDatabase().uri(), options).value();
    return std::shared_ptr<FleetStore>(std::move(store));
  };
}

INSTANTIATE_TEST_SUITE_P(PostgresFleetStore, FleetContract, ::testing::Values(in_a_database()));
INSTANTIATE_TEST_SUITE_P(PostgresFleetStore, StoreContract, ::testing::Values(store_of(in_a_database())));

}  // namespace
}  // namespace tinf::contract
