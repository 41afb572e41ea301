// The three ways in which a client may say what to change in an object: pure functions on trees.
// Server-side apply is not among them yet.
#pragma once

#include <boost/json/value.hpp>

#include "tinf/base/result.h"

namespace tinf {

// JSON Patch, RFC 6902. Invalid: an operation cannot be read, names a missing place, or its test fails; the
// tree is then in an unknown state.
Result<void> apply_json_patch(boost::json::value& target, const boost::json::value& patch);

// JSON merge patch, RFC 7386.
void apply_merge_patch(boost::json::value& target, const boost::json::value& patch);

// Kubernetes' strategic merge patch for built-in kinds: lists merge by the keys that k8s.io/api's types declare,
// found here by field name. Understands $patch, $retainKeys, $setElementOrder/… and $deleteFromPrimitiveList/….
// Invalid: an item lacks its list's merge key, or a directive is unknown.
Result<void> apply_strategic_merge_patch(boost::json::value& target, const boost::json::value& patch);

}  // namespace tinf
