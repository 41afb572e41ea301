// A request's body as a tree: JSON, or the protobuf that typed Kubernetes clients insist on for built-in kinds.
#pragma once

#include <boost/json/value.hpp>

#include "tinf/api/message.h"

namespace tinf::api {

// 400: it cannot be read. 415: another media type, or a protobuf message that says something we would lose.
Answer<boost::json::value> body_tree(const ApiRequest& request);

// The "k8s\0" envelope and the kinds that `kubectl create` sends typed, delete options and leases.
Answer<boost::json::value> tree_of_protobuf(std::string_view bytes);

}  // namespace tinf::api
