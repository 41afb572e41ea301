// What the rows of a database say of objects, copies and clusters, whichever database it is.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/object/fingerprint.h"
#include "tinf/object/inventory.h"
#include "tinf/object/object.h"
#include "tinf/object/resource.h"
#include "tinf/object/watch_event.h"

namespace tinf::database {

// What stands in the row of a copy: one resource of one cluster.
struct CopyState {
  std::int64_t row = 0;  // 0: it has none yet.
  Resource resource;     // In the version that its objects were last written in.
  std::string wanted;    // The id of the scope that it was last written for.
  std::string position;  // Empty: it is not what any position stands for.
  Fingerprint fingerprint;

  // Written for `scope` now, and where that says so, up to `version`.
  void stand_at(const Scope& scope, const ResourceVersion& version);
  // What StoreReader::version() says of it; empty where it was written for another scope.
  ResourceVersion version_for(const Scope& scope) const;
  // Also of a copy that is empty something is known. What was forgotten, or never written, has neither.
  bool is_there() const { return fingerprint.count > 0 || !position.empty(); }
  // Whether all that a copy holds, hashed anew, comes to what its row says.
  bool is_sum_of(const std::vector<InventoryEntry>& all) const;
};

// What an object is found by beside its key; sorted.
struct Marks {
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::string> owners;  // Their uids.

  static Marks of(const Object& object);
  // The labels as a JSON object.
  std::string labels_json() const;
};

// FleetReader::scopes() and clusters(), of what a store knows: copies by cluster and collection, each a shared `copy`
// with a state() and whether it is `open`; clusters by name.
template <class Copies>
std::vector<FleetScope> scopes_of(const Copies& copies) {
  std::vector<FleetScope> all;
  for (const auto& [name, one] : copies) {
    const CopyState state = one.copy->state();
    if (!one.open && !state.is_there()) continue;
    FleetScope scope;
    scope.cluster = name.first;
    scope.resource = state.resource;
    scope.objects = state.fingerprint.count;
    all.push_back(std::move(scope));
  }
  return all;
}
std::vector<FleetCluster> clusters_of(const std::map<std::string, FleetCluster>& clusters);

// What a body is as an object: its key and nothing else where it can no longer be read.
ObjectPtr object_of(std::string_view namespace_name, std::string_view name, std::string_view body);

// The set that replaces another, in key order. A set in pages may name a key twice; the later state wins.
// Invalid: there is a null among them.
Result<std::vector<ObjectPtr>> in_key_order(std::vector<ObjectPtr> objects);

// Invalid: an event that needs an object carries none.
Result<void> check(const std::vector<WatchEvent>& events);

// What a cluster offers, as wire::encode_resources() wrote it. It may have been altered by hand: what cannot be read is
// left out.
std::vector<ResourceInfo> offer_of_json(std::string_view text);

}  // namespace tinf::database
