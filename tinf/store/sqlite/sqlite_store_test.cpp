#include <filesystem>

#include "tinf/contract/store_contract.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"

namespace tinf::contract {
namespace {

namespace fs = std::filesystem;

// A file in a folder of its own, and what a store needs to live on it.
struct Place {
  Place() {
    std::string name = (fs::temp_directory_path() / "tinf-sqlite-XXXXXX").string();
    folder = mkdtemp(name.data());
  }
  ~Place() { fs::remove_all(folder); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  std::string file() const { return folder / "fleet.db"; }
  fs::path folder;
};

struct Opened {
  Opened() : store(open_sqlite_fleet_store(runtime, place.file()).value()) {}

  Place place;
  asio::io_context loop;
  RealClock clock;
  Metrics metrics;
  Random random{1};
  Runtime runtime{loop.get_executor(), clock, Log(), metrics, random};
  std::unique_ptr<FleetStore> store;
  std::unique_ptr<Store> copy;
};

StoreFactory one_copy() {
  return [] {
    auto opened = std::make_shared<Opened>();
    Scope scope;
    scope.resource = Resource{"", "v1", "configmaps"};
    opened->copy = opened->store->open("cluster1", scope).value();
    return StoreUnderTest{opened->copy.get(), opened->copy.get(), opened};
  };
}

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, ::testing::Values(one_copy()));

}  // namespace
}  // namespace tinf::contract
