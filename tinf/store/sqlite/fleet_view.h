// What an API reads of the file: pages, objects and changes over many clusters, each as of one moment.
#pragma once

#include <string>
#include <vector>

#include "tinf/contract/fleet_store.h"
#include "tinf/store/sqlite/connection.h"

namespace tinf::sqlite {

// A copy that a question is about.
struct CopyName {
  std::int64_t row = 0;
  std::string cluster;
};

// In one transaction, so that the page's version is what its objects are as of. `copies` are those of the collection,
// by cluster. Throws Failure; Expired where the log does not reach back to query.version.
FleetPage read_page(Connection& connection, const std::vector<CopyName>& copies, const FleetQuery& query);

std::optional<FleetObject> read_object(Connection& connection, const CopyName& copy, const ObjectKey& key);

// The next changes after `from`, at most `limit`. Expired as above.
FleetBatch read_changes(Connection& connection, const std::vector<CopyName>& copies, const std::string& collection,
                        StoreVersion from, std::size_t limit);

}  // namespace tinf::sqlite
