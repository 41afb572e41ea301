// What an API reads of the database: pages, objects and changes over many clusters, each as of one moment.
#pragma once

#include <set>
#include <string>

#include "tinf/store/database/page_builder.h"
#include "tinf/store/postgres/shared.h"

namespace tinf::postgres {

using database::PageSoFar;

// Which copies there are is read in the same transaction as what they hold: one that a cluster has just brought must
// not be missing from what is as of a version that has it.

// Looks on at the next `rows` objects or so. The page's version is what its objects are as of: with a second slice the
// query asks for the version of the first. Throws Failure; Expired where the log does not reach back to query.version;
// Unavailable where the database is older than what was told, as a standby may be.
PageSoFar read_slice(Connection& connection, Progress& progress, const FleetQuery& query, PageSoFar so_far,
                     std::size_t rows);

std::optional<FleetObject> read_object(Connection& connection, Progress& progress, const std::string& collection,
                                       const FleetPlace& place);

// The next changes after `from`, at most `limit`; of these clusters, or of all. Expired and Unavailable as above.
FleetBatch read_changes(Connection& connection, Progress& progress, const std::string& collection,
                        const std::set<std::string>& clusters, StoreVersion from, std::size_t limit);

}  // namespace tinf::postgres
