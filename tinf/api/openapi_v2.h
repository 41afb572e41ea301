// OpenAPI v2 out of v3: as JSON, and as the protobuf (OpenAPIv2.proto of gnostic) that kubectl until 1.28 asks for.
// Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

namespace tinf::api {

// What v2 can say of a schema, as kube-apiserver chooses it: references are plain, what may be null or may hold unknown
// members has no type, defaults and alternatives are left out.
boost::json::object schema_of_v2(const boost::json::object& v3);

// Parts of a Document message; one after the other they are one, whose definitions and paths are all that were
// appended.
std::string document_head_of_v2(std::string_view kubernetes_version);
std::string definition_of_v2(std::string_view name, const boost::json::object& schema);
// Of a path the PATCH alone, and of that what kubectl looks for: the kind, and that it can be tried (dryRun).
std::string path_of_v2(std::string_view path, const boost::json::object& kind);

}  // namespace tinf::api
