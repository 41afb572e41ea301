// Boost.JSON with our bounds, and our own writer: its way of writing doubles (1E0) makes integers of Go clients fail.
#include "tinf/patch/json.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>

namespace tinf {
namespace json = boost::json;
namespace {

void write(const json::value& value, std::string& out) {
  switch (value.kind()) {
    case json::kind::object: {
      out += '{';
      bool first = true;
      for (const auto& member : value.get_object()) {
        if (!std::exchange(first, false)) out += ',';
        out += json::serialize(member.key());
        out += ':';
        write(member.value(), out);
      }
      out += '}';
      break;
    }
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const auto& item : value.get_array()) {
        if (!std::exchange(first, false)) out += ',';
        write(item, out);
      }
      out += ']';
      break;
    }
    case json::kind::double_: {
      char digits[32];
      const auto end = std::to_chars(digits, digits + sizeof digits, value.get_double()).ptr;
      out.append(digits, end);
      break;
    }
    default:
      out += json::serialize(value);
  }
}

}  // namespace

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaximumJsonDepth;
  boost::system::error_code failure;
  auto value = json::parse(json::string_view(text.data(), text.size()), failure, {}, options);
  if (failure) return Error(Code::Invalid, "not valid JSON: " + failure.message());
  return value;
}

std::string json_text(const json::value& value) {
  std::string out;
  write(value, out);
  return out;
}

const json::value* json_at(const json::value& value, std::initializer_list<std::string_view> path) {
  const json::value* at = &value;
  for (const auto name : path) {
    const auto* object = at->if_object();
    at = object == nullptr ? nullptr : object->if_contains(json::string_view(name.data(), name.size()));
    if (at == nullptr) return nullptr;
  }
  return at;
}

std::string_view json_string_at(const json::value& value, std::initializer_list<std::string_view> path) {
  const json::value* at = json_at(value, path);
  if (at == nullptr || !at->is_string()) return {};
  return {at->get_string().data(), at->get_string().size()};
}

std::int64_t json_integer_at(const json::value& value, std::initializer_list<std::string_view> path,
                             std::int64_t otherwise) {
  const json::value* at = json_at(value, path);
  if (at == nullptr || !at->is_int64()) return otherwise;
  return at->get_int64();
}

json::object& json_object_in(json::object& parent, std::string_view name) {
  json::value& member = parent[json::string_view(name.data(), name.size())];
  if (!member.is_object()) member = json::object();
  return member.get_object();
}

}  // namespace tinf
