// PostgresFleetStore: the copies of many clusters in one PostgreSQL database, which several processes may share.
// docs/storage.md describes what it promises and what stands in the database.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/contract/fleet_store.h"

namespace tinf {

struct PostgresOptions {
  std::string schema = "tinf";               // Inside the database: everything is in it.
  std::uint64_t retained_changes = 65'536;   // Of the log, for watches and older versions.
  std::uint64_t retained_bytes = 256 << 20;  // Of the states in it.
  // After so long without a sign of life what a process holds is another's to take.
  std::chrono::milliseconds lease{10'000};
  // How often is looked for what others have changed, where no notification comes.
  std::chrono::milliseconds poll{2'000};

  PostgresOptions() = default;
};

// Invalid: no URI that libpq understands. Never repeats it, as a password may stand in it.
Result<void> check_postgres_uri(const std::string& uri);

// Guarantees what FleetStore says. Nothing of an object stays in memory. The API's questions are read on threads of the
// store's own; a copy's Store reads on the calling thread, and open() may ask the database on it, for seconds at most.
// A database that is away is reached again by itself: until then whatever needs it is Unavailable at once. Also where
// it is away at first: then the store knows nothing yet, and says so. It outlives its copies and watches. Errors:
// Invalid: what trying again does not mend (the URI, the user or password, the database or a right is missing, the
// schema is another program's or a newer version's).
Result<std::unique_ptr<FleetStore>> open_postgres_fleet_store(Runtime& runtime, const std::string& uri,
                                                              PostgresOptions options = PostgresOptions());

// The reading half, of a process that writes nothing and holds no cluster: SELECT is all that its role needs, and the
// database may be a standby that follows another one.
Result<std::unique_ptr<FleetReader>> open_postgres_fleet_reader(Runtime& runtime, const std::string& uri,
                                                                PostgresOptions options = PostgresOptions());

}  // namespace tinf
