// What an API reads of the file: pages, objects and changes over many clusters, each as of one moment.
#pragma once

#include <string>
#include <vector>

#include "tinf/contract/fleet_store.h"
#include "tinf/store/sqlite/connection.h"

namespace tinf::sqlite {

// Which copies there are is read in the same transaction as what they hold: one that a cluster has just brought must
// not be missing from what is as of a version that has it.

// The page's version is what its objects are as of. Throws Failure; Expired where the log does not reach back to
// query.version.
FleetPage read_page(Connection& connection, const FleetQuery& query);

std::optional<FleetObject> read_object(Connection& connection, const std::string& collection, const FleetPlace& place);

// The next changes after `from`, at most `limit`. Expired as above.
FleetBatch read_changes(Connection& connection, const std::string& collection, StoreVersion from, std::size_t limit);

}  // namespace tinf::sqlite
