#include "tinf/contract/fleet_contract.h"
#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"

namespace tinf::contract {
namespace {

FleetFactory in_a_file(database::BodyFormat format) {
  return [format](Runtime& runtime, std::size_t retained_changes) {
    struct InAFolder {
      Folder folder;
      std::unique_ptr<FleetStore> store;  // The first to go.
    };
    auto both = std::make_shared<InAFolder>();
    SqliteOptions options;
    options.retained_changes = retained_changes;
    options.bodies.format = format;
    options.bodies.learn_from_bytes = 4000;
    both->store = open_sqlite_fleet_store(runtime, both->folder.file(), options).value();
    return std::shared_ptr<FleetStore>(both, both->store.get());
  };
}

constexpr auto kJson = database::BodyFormat::Json;
constexpr auto kZstd = database::BodyFormat::Zstd;

INSTANTIATE_TEST_SUITE_P(SqliteFleetStore, FleetContract, ::testing::Values(in_a_file(kJson), in_a_file(kZstd)));
INSTANTIATE_TEST_SUITE_P(SqliteFleetStore, StoreContract,
                         ::testing::Values(store_of(in_a_file(kJson)), store_of(in_a_file(kZstd))));

}  // namespace
}  // namespace tinf::contract
