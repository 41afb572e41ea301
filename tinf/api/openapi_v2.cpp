// Messages and numbers of fields are those of OpenAPIv2.proto. A value of any kind stands in it as YAML, of which JSON
// is a part.
#include "tinf/api/openapi_v2.h"

#include <array>
#include <bit>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <cstdint>

#include "tinf/api/schemas.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr std::string_view kDefinitions = "#/definitions/";

bool is_true(const json::object& schema, std::string_view name) {
  const auto* value = schema.if_contains(json::string_view(name.data(), name.size()));
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::string text_of(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : std::string();
}

std::string plain_reference(const json::value& value) {
  std::string reference = text_of(value);
  if (reference.starts_with(kSchemaReference)) reference.replace(0, kSchemaReference.size(), kDefinitions);
  return reference;
}

json::object properties_of_v2(const json::value& properties) {
  json::object all;
  if (!properties.is_object()) return all;
  for (const auto& [name, schema] : properties.get_object()) {
    if (schema.is_object()) all[name] = schema_of_v2(schema.get_object());
  }
  return all;
}

class Message {
 public:
  void text(int field, std::string_view value) {
    head(field, 2);
    varint(value.size());
    bytes_ += value;
  }
  void text_unless_empty(int field, std::string_view value) {
    if (!value.empty()) text(field, value);
  }
  void number(int field, std::uint64_t value) {
    head(field, 0);
    varint(value);
  }
  void real(int field, double value) {
    head(field, 1);
    const auto bits = std::bit_cast<std::uint64_t>(value);
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>(bits >> shift & 0xff);
  }
  void message(int field, const Message& value) { text(field, value.bytes_); }

  std::string bytes() && { return std::move(bytes_); }

 private:
  void head(int field, unsigned form) { varint(static_cast<std::uint64_t>(field) << 3 | form); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

enum class As { Text, Number, Real, Bool };
struct Field {
  std::string_view name;
  int number;
  As as;
};
constexpr std::array kFields{
    Field{"$ref", 1, As::Text},
    Field{"format", 2, As::Text},
    Field{"title", 3, As::Text},
    Field{"description", 4, As::Text},
    Field{"multipleOf", 6, As::Real},
    Field{"maximum", 7, As::Real},
    Field{"exclusiveMaximum", 8, As::Bool},
    Field{"minimum", 9, As::Real},
    Field{"exclusiveMinimum", 10, As::Bool},
    Field{"maxLength", 11, As::Number},
    Field{"minLength", 12, As::Number},
    Field{"pattern", 13, As::Text},
    Field{"maxItems", 14, As::Number},
    Field{"minItems", 15, As::Number},
    Field{"uniqueItems", 16, As::Bool},
    Field{"maxProperties", 17, As::Number},
    Field{"minProperties", 18, As::Number},
};

void scalar(Message& message, const Field& field, const json::value& value) {
  switch (field.as) {
    case As::Text:
      message.text_unless_empty(field.number, text_of(value));
      break;
    case As::Bool:
      if (value.is_bool() && value.get_bool()) message.number(field.number, 1);
      break;
    case As::Number:
      if (value.is_int64()) message.number(field.number, static_cast<std::uint64_t>(value.get_int64()));
      break;
    case As::Real:
      if (value.is_number()) message.real(field.number, value.to_number<double>());
      break;
  }
}

Message any(const json::value& value) {
  Message message;
  message.text(2, json_text(value) + "\n");
  return message;
}

Message schema_message(const json::object& schema);

Message named(std::string_view name, const Message& value) {
  Message message;
  message.text(1, name);
  message.message(2, value);
  return message;
}

// AdditionalPropertiesItem.
Message additional(const json::value& value) {
  Message message;
  if (value.is_object()) message.message(1, schema_message(value.get_object()));
  if (value.is_bool()) message.number(2, value.get_bool() ? 1 : 0);
  return message;
}

// TypeItem, and what is repeated of a schema.
void texts(Message& message, int field, const json::value& value) {
  if (value.is_string()) message.text(field, text_of(value));
  if (!value.is_array()) return;
  for (const auto& one : value.get_array()) {
    if (one.is_string()) message.text(field, text_of(one));
  }
}

Message properties(const json::object& all) {
  Message message;
  for (const auto& [name, schema] : all) {
    if (schema.is_object()) message.message(1, named(name, schema_message(schema.get_object())));
  }
  return message;
}

void member(Message& message, std::string_view name, const json::value& value) {
  if (name == "required") {
    texts(message, 19, value);
  } else if (name == "enum" && value.is_array()) {
    for (const auto& one : value.get_array()) message.message(20, any(one));
  } else if (name == "additionalProperties") {
    message.message(21, additional(value));
  } else if (name == "type") {
    Message type;
    texts(type, 1, value);
    message.message(22, type);
  } else if (name == "items" && value.is_object()) {
    Message items;
    items.message(1, schema_message(value.get_object()));
    message.message(23, items);
  } else if (name == "properties" && value.is_object()) {
    message.message(25, properties(value.get_object()));
  } else if (name.starts_with("x-")) {
    message.message(31, named(name, any(value)));
  }
}

Message schema_message(const json::object& schema) {
  Message message;
  for (const auto& [key, value] : schema) {
    const std::string_view name(key.data(), key.size());
    const auto field = std::find_if(kFields.begin(), kFields.end(), [&](const Field& one) { return one.name == name; });
    if (field != kFields.end()) {
      scalar(message, *field, value);
    } else {
      member(message, name, value);
    }
  }
  return message;
}

}  // namespace

json::object schema_of_v2(const json::object& v3) {
  const bool is_open = is_true(v3, "x-kubernetes-preserve-unknown-fields");
  const bool is_untyped = is_open || is_true(v3, "nullable");
  const bool is_either = is_true(v3, "x-kubernetes-int-or-string");
  json::object v2;
  for (const auto& [key, value] : v3) {
    const std::string_view name(key.data(), key.size());
    if (name == "default" || name == "nullable" || name == "anyOf" || name == "not") continue;
    const bool is_of_type = name == "type" || name == "properties" || name == "items" || name == "required" ||
                            name == "additionalProperties";
    if (is_of_type && (is_untyped || (is_either && name == "type"))) continue;
    if (name == "oneOf") {
      // Of Kubernetes' own, a number or a string: quantities, ports.
      if (!is_untyped && !is_either && !v3.contains("type")) v2["type"] = "string";
    } else if (name == "allOf") {
      const auto* all = value.if_array();
      const auto* only = all != nullptr && all->size() == 1 ? all->front().if_object() : nullptr;
      const auto* reference = only != nullptr ? only->if_contains("$ref") : nullptr;
      if (reference != nullptr) v2["$ref"] = plain_reference(*reference);
    } else if (name == "$ref") {
      v2["$ref"] = plain_reference(value);
    } else if (name == "properties") {
      v2["properties"] = properties_of_v2(value);
    } else if ((name == "items" || name == "additionalProperties") && value.is_object()) {
      v2[key] = schema_of_v2(value.get_object());
    } else {
      v2[key] = value;
    }
  }
  return v2;
}

std::string document_head_of_v2(std::string_view kubernetes_version) {
  Message info;
  info.text(1, "Kubernetes");
  info.text(2, kubernetes_version);
  Message document;
  document.text(1, "2.0");
  document.message(2, info);
  return std::move(document).bytes();
}

std::string path_of_v2(std::string_view path, const json::object& kind) {
  Message query;
  query.text(2, "query");
  query.text(4, "dryRun");
  query.text(6, "string");
  Message not_of_body;
  not_of_body.message(3, query);
  Message parameter;
  parameter.message(2, not_of_body);
  Message parameters_item;
  parameters_item.message(1, parameter);
  Message operation;
  operation.message(8, parameters_item);
  operation.message(13, named("x-kubernetes-group-version-kind", any(kind)));
  Message path_item;
  path_item.message(8, operation);
  Message paths;
  paths.message(2, named(path, path_item));
  Message document;
  document.message(8, paths);
  return std::move(document).bytes();
}

std::string definition_of_v2(std::string_view name, const json::object& schema) {
  Message definitions;
  definitions.message(1, named(name, schema_message(schema)));
  Message document;
  document.message(9, definitions);
  return std::move(document).bytes();
}

}  // namespace tinf::api
