// What happens to an object between a client's body and the store: checks, what the server sets, defaults.
// Pure functions on trees; versions are given by the store at the commit.
#pragma once

#include <boost/json/value.hpp>

#include "tinf/api/request.h"
#include "tinf/api/resource_type.h"
#include "tinf/base/backoff.h"
#include "tinf/base/clock.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

// Checks that `tree` is an object of `type` at `path`; fills in kind, apiVersion and namespace where they are missing.
Answer<void> conform(const ResourceType& type, const ResourcePath& path, boost::json::value& tree);

// What a new object gets: a name if it asks for one, uid, creation time, generation, defaults, a first status.
Answer<void> prepare_create(const ResourceType& type, boost::json::value& tree, Random& random, WallTime now);

// What a replaced object keeps from `old`; status only moves through its own subresource.
Answer<void> prepare_update(const ResourceType& type, const ResourcePath& path, const boost::json::value& old,
                            boost::json::value& tree);

// True if the object waits for its finalizers, or for nothing any more.
bool is_deleting(const boost::json::value& tree);
bool has_finalizers(const boost::json::value& tree);
void mark_deleted(const ResourceType& type, boost::json::value& tree, WallTime now);

// The defaults and first status of the built-in kinds, as far as clients depend on them.
void apply_defaults(const ResourceType& type, boost::json::value& tree, WallTime now);
// What follows from the wanted state at every write: a Secret's stringData, an established definition.
void derive(const ResourceType& type, boost::json::value& tree, WallTime now);

// Makes the store's object out of a tree: members in the API server's order, the version set. The tree is
// shared by every call.
ObjectMaker maker_of(boost::json::value tree);
// The same for a tree that is not to be stored (dryRun); it keeps the version it has.
Result<ObjectPtr> made_without_commit(const boost::json::value& tree);

}  // namespace tinf::api
