// A custom resource's schema becomes what kube-apiserver makes of it: with the members that every object has, and a
// list.
#include "tinf/api/components.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

// Two kinds whose members apiVersion, kind and metadata are described as in every other.
constexpr std::string_view kUsualObject = "io.k8s.api.core.v1.ConfigMap";
constexpr std::string_view kUsualList = "io.k8s.api.core.v1.ConfigMapList";
constexpr std::string_view kNoSchema =
    "No schema of this kind is known here: those of custom resources are known where the cluster's "
    "customresourcedefinitions are followed.";

json::value text(std::string_view value) {
  return json::value(json::string_view(value.data(), value.size()));
}

void add_usual_members(json::object& schema, std::string_view usual) {
  const auto of = parse_json(BuiltInSchemas::get().find(usual));
  if (!of) return;
  auto& members = json_object_in(schema, "properties");
  for (const std::string_view name : {"apiVersion", "kind", "metadata"}) {
    const auto* member = json_at(*of, {"properties", name});
    if (member == nullptr || !member->is_object()) continue;
    auto& described = members[json::string_view(name.data(), name.size())] = *member;
    described.get_object().erase("default");
  }
}

void add_kind(json::object& schema, const Resource& resource, const std::string& kind) {
  schema["x-kubernetes-group-version-kind"] =
      json::array{json::object{{"group", resource.group}, {"kind", kind}, {"version", resource.version}}};
}

constexpr std::size_t kMostEmbedded = 100;  // In one kind; of more, their own members alone are told.

// An object in an object has its members, too.
void embed(json::object& schema, std::size_t& left) {
  if (auto* properties = schema.if_contains("properties"); properties != nullptr && properties->is_object()) {
    for (auto& [name, property] : properties->get_object()) {
      if (property.is_object()) embed(property.get_object(), left);
    }
  }
  for (const auto* of_others : {"items", "additionalProperties"}) {
    auto* other = schema.if_contains(of_others);
    if (other != nullptr && other->is_object()) embed(other->get_object(), left);
  }
  const auto* embedded = schema.if_contains("x-kubernetes-embedded-resource");
  if (left == 0 || embedded == nullptr || !embedded->is_bool() || !embedded->get_bool()) return;
  --left;
  add_usual_members(schema, kUsualObject);
  auto& required = schema["required"];
  if (!required.is_array()) required.emplace_array();
  for (const auto* name : {"kind", "apiVersion"}) {
    auto& names = required.get_array();
    if (std::ranges::find(names, json::value(name)) == names.end()) names.emplace_back(name);
  }
}

std::string object_schema(const ResourceType& type, std::string_view defined) {
  json::object schema;
  if (auto tree = parse_json(defined); tree && tree->is_object()) {
    schema = std::move(tree->get_object());
    std::size_t left = kMostEmbedded;
    embed(schema, left);
  } else {
    schema = {{"description", text(kNoSchema)}, {"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
  }
  add_usual_members(schema, kUsualObject);
  add_kind(schema, type.resource(), type.info.kind);
  return json_text(schema);
}

std::string list_schema(const ResourceType& type) {
  const std::string item = std::string(kSchemaReference) + schema_name(type.resource(), type.info.kind);
  json::object schema{{"description", type.list_kind() + " is a list of " + type.info.kind},
                      {"type", "object"},
                      {"required", json::array{"items"}}};
  json_object_in(schema, "properties")["items"] = json::object{
      {"description", "List of " + type.resource().name}, {"type", "array"}, {"items", json::object{{"$ref", item}}}};
  add_usual_members(schema, kUsualList);
  add_kind(schema, type.resource(), type.list_kind());
  return json_text(schema);
}

}  // namespace

std::string schema_name(const Resource& resource, std::string_view kind) {
  if (const auto name = BuiltInSchemas::get().name_of(resource, kind); !name.empty()) return std::string(name);
  std::string name;
  for (std::string_view group = resource.group; !group.empty();) {  // "example.com" is "com.example".
    const auto dot = group.rfind('.');
    name += std::string(dot == std::string_view::npos ? group : group.substr(dot + 1)) + ".";
    group = dot == std::string_view::npos ? std::string_view() : group.substr(0, dot);
  }
  return name + resource.version + "." + std::string(kind);
}

void Components::add(const ResourceType& type, std::string_view schema) {
  const auto name = built_in_.name_of(type.resource(), type.info.kind);
  if (!name.empty()) {
    add_built_in(name);
    add_built_in(built_in_.name_of(type.resource(), type.list_kind()));
    return;
  }
  add_custom(schema_name(type.resource(), type.info.kind), object_schema(type, schema));
  add_custom(schema_name(type.resource(), type.list_kind()), list_schema(type));
}

void Components::add_built_in(std::string_view name) {
  std::vector<std::string_view> wanted{name};
  while (!wanted.empty()) {
    const auto next = wanted.back();
    wanted.pop_back();
    const auto schema = built_in_.find(next);
    if (schema.empty() || !by_name_.emplace(next, schema).second) continue;
    const auto more = references_in(schema);
    wanted.insert(wanted.end(), more.begin(), more.end());
  }
}

void Components::add_custom(std::string name, std::string schema) {
  if (!built_in_.find(name).empty() || by_name_.contains(name)) return;  // A group may call itself "core.api.k8s.io".
  const std::string& kept_name = made_.emplace_back(std::move(name));
  const std::string& kept_schema = made_.emplace_back(std::move(schema));
  by_name_.emplace(kept_name, kept_schema);
  for (const auto reference : references_in(kept_schema)) add_built_in(reference);
}

}  // namespace tinf::api
