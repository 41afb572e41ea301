// How the fleet's API tells an object of a cluster: by a name that no other cluster's object has, with the cluster in a
// label and the cluster's own resourceVersion in an annotation. Pure functions; bytes are spliced, never written anew.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/contract/fleet_store.h"
#include "tinf/object/object.h"

namespace tinf::api {

inline constexpr std::string_view kClusterLabel = "fleet.transport-informer.io/cluster";
inline constexpr std::string_view kClusterVersionAnnotation = "fleet.transport-informer.io/resource-version";

// Native: as the cluster names it. Fleet: the namespace "default" of cluster1 is "cluster1.default", its node "n" is
// "cluster1.n". A cluster's name has no dots, so the first one decides.
enum class Naming { Native, Fleet };

// By which key an object of a place goes in the fleet, and back. Nothing: the key names no cluster.
ObjectKey fleet_key(const FleetPlace& place);
std::optional<FleetPlace> fleet_place(const ObjectKey& key);
// The same for a namespace's name alone, with which it is told: cluster and namespace.
std::optional<std::pair<std::string, std::string>> fleet_namespace(std::string_view name);

// The member by which an object of the collection names another one, as an Event does; empty: none. It is named in the
// fleet's way, too, or `kubectl describe` would not find it.
std::string_view reference_of(std::string_view collection);

// The bytes of `object` with the label, the annotation, `version` as resourceVersion and, named for the fleet, the
// names of itself and of what its member `reference` names. ownerReferences are left alone: they name by uid, within a
// cluster. Nothing: they cannot be read any more.
std::optional<std::string> fleet_text(std::string_view raw, std::string_view cluster, StoreVersion version,
                                      Naming naming, std::string_view reference);
// The object that they are of; null: they cannot be read any more.
ObjectPtr fleet_form(const Object& object, std::string_view cluster, StoreVersion version, Naming naming,
                     std::string_view reference);

}  // namespace tinf::api
