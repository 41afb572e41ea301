// The JSONPath of a custom resource's printer columns, as CustomResourceDefinitions spell it.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

namespace tinf::api {

// The first value at the path; null if there is none, or if the path is none that can be read: `.a`, `.a\.b`, `['a']`,
// `[2]`, `[-1]`, `[*]`, `.*`, and filters of one comparison or of presence: `[?(@.type=="Ready")]`, `[?(@.a.b)]`.
// The path may be anything: no depth of it is taken recursively.
const boost::json::value* first_at(const boost::json::value& object, std::string_view path);

}  // namespace tinf::api
