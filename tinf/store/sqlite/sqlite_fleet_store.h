// SqliteFleetStore: the copies of many clusters in one SQLite file. docs/storage.md describes the file.
#pragma once

#include <memory>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/store/database/bodies.h"

namespace tinf {

struct SqliteOptions {
  std::uint64_t retained_changes = 65'536;   // Of the log, for watches and older versions.
  std::uint64_t retained_bytes = 256 << 20;  // Of the states in it.
  database::BodyOptions bodies;

  SqliteOptions() = default;
};

// Guarantees what FleetStore says. Nothing of an object stays in memory. The API's questions are read on threads of the
// store's own; a copy's Store reads on the calling thread. One process at a time may have a file open. A process that
// is killed loses nothing that a write has returned for; a machine that goes down may lose the last of it, which comes
// back from the clusters, and older versions expire then. It outlives its copies and watches.
// Errors: Invalid (no such file can be made; it is another program's; it was written by a newer version), AlreadyExists
// (another process has it open), Unavailable (it cannot be read or written now).
Result<std::unique_ptr<FleetStore>> open_sqlite_fleet_store(Runtime& runtime, std::string file,
                                                            SqliteOptions options = SqliteOptions());

}  // namespace tinf
