// JSON trees that can be changed: text in, text out, within bounds.
// Objects that only pass through stay bytes (tinf/object/object.h); a tree is made where something is written.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "tinf/base/result.h"

namespace tinf {

constexpr std::size_t kMaximumJsonDepth = 256;  // As Object::parse.

// Invalid: not JSON, or nested deeper than an Object may be.
Result<boost::json::value> parse_json(std::string_view text);

// Compact, members in their order; numbers in the shortest form that Go reads back as the same kind of number.
std::string json_text(const boost::json::value& value);

// The value at a path of member names; null if there is none.
const boost::json::value* json_at(const boost::json::value& value, std::initializer_list<std::string_view> path);
// The same for a string; empty if there is none.
std::string_view json_string_at(const boost::json::value& value, std::initializer_list<std::string_view> path);
// The same for a whole number.
std::int64_t json_integer_at(const boost::json::value& value, std::initializer_list<std::string_view> path,
                             std::int64_t otherwise = 0);

// The member, made an object if it is none.
boost::json::object& json_object_in(boost::json::object& parent, std::string_view name);

}  // namespace tinf
