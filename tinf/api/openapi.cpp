// Documents are made when they are asked for, not kept: who asks again sends the ETag of the one that it has, which
// costs a hash of what the document would be made of.
#include "tinf/api/openapi.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <ctime>
#include <vector>

#include "tinf/api/components.h"
#include "tinf/api/entity_tag.h"
#include "tinf/api/openapi_v2.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr std::string_view kV2 = "/openapi/v2";
constexpr std::string_view kV3 = "/openapi/v3";
constexpr std::string_view kProtobufV2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
constexpr std::string_view kProtobufV2Too = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
constexpr std::chrono::hours kYear{24 * 365};
constexpr std::size_t kSchemasAtOnce = 16;                  // Between two turns of others.
constexpr std::size_t kMostSchemaBytes = 32 * 1024 * 1024;  // Of custom resources in one document; the rest is unknown.

struct Parameter {
  const char* name;
  const char* type;
};
constexpr std::array kOfAny{Parameter{"pretty", "string"}};
constexpr std::array kOfLists{
    Parameter{"allowWatchBookmarks", "boolean"},
    Parameter{"continue", "string"},
    Parameter{"fieldSelector", "string"},
    Parameter{"labelSelector", "string"},
    Parameter{"limit", "integer"},
    Parameter{"resourceVersion", "string"},
    Parameter{"resourceVersionMatch", "string"},
    Parameter{"sendInitialEvents", "boolean"},
    Parameter{"timeoutSeconds", "integer"},
    Parameter{"watch", "boolean"},
};
// By which kubectl sees that it can try without doing. Without fieldValidation, which is not done here, it holds a
// manifest against the schemas itself.
constexpr std::array kOfWrites{Parameter{"dryRun", "string"}, Parameter{"fieldManager", "string"}};

json::object parameter(const Parameter& of, const char* in) {
  json::object made{{"name", of.name}, {"in", in}, {"schema", json::object{{"type", of.type}, {"uniqueItems", true}}}};
  if (std::string_view(in) == "path") made["required"] = true;
  return made;
}

json::object kind_of(const ResourceType& type) {
  return json::object{{"group", type.resource().group}, {"kind", type.info.kind}, {"version", type.resource().version}};
}

json::object operation(const ResourceType& type, const char* action, std::string_view answer_kind) {
  const std::string schema = std::string(kSchemaReference) + schema_name(type.resource(), answer_kind);
  const json::object content{{"application/json", json::object{{"schema", json::object{{"$ref", schema}}}}}};
  return json::object{{"responses", json::object{{"200", json::object{{"description", "OK"}, {"content", content}}}}},
                      {"x-kubernetes-action", action},
                      {"x-kubernetes-group-version-kind", kind_of(type)}};
}

void add_write(json::object& path, const ResourceType& type, const char* method, const char* verb, const char* action) {
  if (!type.info.has_verb(verb)) return;
  auto made = operation(type, action, type.info.kind);
  auto& parameters = made["parameters"].emplace_array();
  for (const auto& one : kOfWrites) parameters.push_back(parameter(one, "query"));
  path[method] = std::move(made);
}

// The operations on one path that the type's verbs allow.
json::object operations(const ResourceType& type, bool in_namespace, bool named) {
  json::object path;
  if (named) {
    if (type.info.has_verb("get")) path["get"] = operation(type, "get", type.info.kind);
    add_write(path, type, "put", "update", "put");
    add_write(path, type, "patch", "patch", "patch");
    add_write(path, type, "delete", "delete", "delete");
  } else {
    if (type.info.has_verb("list")) path["get"] = operation(type, "list", type.list_kind());
    if (in_namespace == type.info.namespaced) {
      add_write(path, type, "post", "create", "post");
      add_write(path, type, "delete", "deletecollection", "deletecollection");
    }
  }
  if (path.empty()) return path;
  auto& parameters = path["parameters"].emplace_array();
  if (named) parameters.push_back(parameter(Parameter{"name", "string"}, "path"));
  if (in_namespace) parameters.push_back(parameter(Parameter{"namespace", "string"}, "path"));
  for (const auto& one : kOfAny) parameters.push_back(parameter(one, "query"));
  if (!named) {
    for (const auto& one : kOfLists) parameters.push_back(parameter(one, "query"));
  }
  return path;
}

std::string base_path(const ResourceType& type) {
  return type.resource().group.empty() ? "/api/v1/" : "/apis/" + type.api_version() + "/";
}

std::string placed_path(const ResourceType& type) {
  return base_path(type) + (type.info.namespaced ? "namespaces/{namespace}/" : "") + type.resource().name;
}

void add_paths(json::object& paths, const ResourceType& type) {
  const std::string placed = placed_path(type);
  paths[placed] = operations(type, type.info.namespaced, false);
  paths[placed + "/{name}"] = operations(type, type.info.namespaced, true);
  if (type.info.namespaced) paths[base_path(type) + type.resource().name] = operations(type, false, false);
}

bool is_of(const OpenApiPath& path, const ResourceType& type) {
  return path.of != OpenApiPath::Of::GroupVersion ||
         (type.resource().group == path.group && type.resource().version == path.version);
}

// Of one document: types, and the states of their schemas.
struct Told {
  std::vector<ResourceTypePtr> types;
  std::vector<std::string> states;
};

bool is_custom(const ResourceType& type) {
  return BuiltInSchemas::get().name_of(type.resource(), type.info.kind).empty();
}

Task<Told> told_at(const ResourceCatalog& catalog, SchemaSource& schemas, const OpenApiPath& path) {
  Told told;
  for (const auto& type : catalog.all()) {
    if (is_of(path, *type)) told.types.push_back(type);
  }
  for (const auto& type : told.types) {
    std::string state;
    if (is_custom(*type)) state = co_await schemas.state(*type);
    told.states.push_back(std::move(state));
  }
  co_return told;
}

json::object paths_of(const Told& told) {
  json::object paths;
  for (const auto& type : told.types) add_paths(paths, *type);
  return paths;
}

// Of Kubernetes' own schemas, and of what is made of others.
const std::string& edition() {
  static const std::string known = [] {
    ResourceType example;
    example.info.kind = "Example";
    Components components;
    components.add(example, R"({"properties":{"embedded":{"x-kubernetes-embedded-resource":true}}})");
    std::string text(BuiltInSchemas::get().text());
    for (const auto& [name, schema] : components.by_name()) text += schema;
    return document_hash(text);
  }();
  return known;
}

// Another one whenever the document may be another.
std::string hash_of(const Told& told) {
  std::string text = edition() + json_text(paths_of(told));
  for (const auto& state : told.states) text.append(1, '\0').append(state);
  return document_hash(text);
}

Task<void> others_turn() {
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

Task<void> fill(Components& components, const std::vector<ResourceTypePtr>& types, SchemaSource& schemas) {
  std::size_t bytes = 0;
  for (const auto& type : types) {
    std::string schema;
    if (is_custom(*type) && bytes < kMostSchemaBytes) {
      schema = co_await schemas.schema(*type);
      bytes += schema.size();
      co_await others_turn();
    }
    components.add(*type, schema);
  }
}

json::object information() {
  return json::object{{"title", "Kubernetes"}, {"version", std::string(BuiltInSchemas::get().version())}};
}

json::object patch_of_v2(const ResourceType& type) {
  return json::object{
      {"parameters", json::array{json::object{{"name", "dryRun"}, {"in", "query"}, {"type", "string"}}}},
      {"responses", json::object{{"200", json::object{{"description", "OK"}}}}},
      {"x-kubernetes-group-version-kind", kind_of(type)}};
}

// "NAME":
std::string member(std::string_view name) {
  return json_text(json::value(json::string_view(name.data(), name.size()))) + ":";
}

Task<std::string> document_v3(const Told& told, SchemaSource& schemas) {
  Components components;
  co_await fill(components, told.types, schemas);
  std::string text = R"({"openapi":"3.0.0","info":)" + json_text(information()) +
                     ",\"paths\":" + json_text(paths_of(told)) + ",\"components\":{\"schemas\":{";
  bool first = true;
  for (const auto& [name, schema] : components.by_name()) {
    if (!std::exchange(first, false)) text += ',';
    text.append(member(name)).append(schema);
  }
  co_return text + "}}}";
}

Task<std::string> document_v2(const Told& told, SchemaSource& schemas, bool protobuf) {
  Components components;
  co_await fill(components, told.types, schemas);
  std::string text = protobuf ? document_head_of_v2(BuiltInSchemas::get().version()) : std::string();
  json::object paths;
  for (const auto& type : told.types) {
    if (!type->info.has_verb("patch")) continue;
    const std::string path = placed_path(*type) + "/{name}";
    if (protobuf) text += path_of_v2(path, kind_of(*type));
    paths[path] = json::object{{"patch", patch_of_v2(*type)}};
  }
  if (!protobuf) {
    text = R"({"swagger":"2.0","info":)" + json_text(information()) + ",\"paths\":" + json_text(paths) +
           ",\"definitions\":{";
  }
  std::size_t count = 0;
  for (const auto& [name, schema] : components.by_name()) {
    const auto tree = parse_json(schema);
    if (!tree || !tree->is_object()) continue;
    const auto of_v2 = schema_of_v2(tree->get_object());
    if (protobuf) {
      text += definition_of_v2(name, of_v2);
    } else {
      if (count > 0) text += ',';
      text.append(member(name)).append(json_text(of_v2));
    }
    if (++count % kSchemasAtOnce == 0) co_await others_turn();
  }
  co_return protobuf ? std::move(text) : text + "}}";
}

Task<ApiResponse> index(const ResourceCatalog& catalog, SchemaSource& schemas, std::string_view root) {
  json::object paths;
  for (const auto& type : catalog.all()) {
    const auto& resource = type->resource();
    const std::string name = resource.group.empty() ? "api/" + resource.version : "apis/" + type->api_version();
    if (paths.contains(name)) continue;
    OpenApiPath path;
    path.of = OpenApiPath::Of::GroupVersion;
    path.group = resource.group;
    path.version = resource.version;
    const auto told = co_await told_at(catalog, schemas, path);
    paths[name] = json::object{
        {"serverRelativeURL", std::string(root) + std::string(kV3) + "/" + name + "?hash=" + hash_of(told)}};
  }
  co_return ApiResponse(json_text(json::object{{"paths", std::move(paths)}}));
}

std::string http_date(WallTime time) {
  const std::time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text;
}

// The first form of `offered` that the header allows; empty: none.
std::string_view negotiated(std::string_view accept, std::initializer_list<std::string_view> offered) {
  if (accept.empty()) return *offered.begin();
  for (const auto& media : media_types(accept)) {
    if (media.type == "*/*" || media.type == "application/*") return *offered.begin();
    for (const auto form : offered) {
      if (media.type == form) return form;
    }
  }
  return {};
}

}  // namespace

std::optional<OpenApiPath> OpenApiPath::parse(std::string_view path) {
  OpenApiPath found;
  if (path == kV2) {
    found.of = Of::Version2;
    return found;
  }
  if (path == kV3) return found;
  if (!path.starts_with(kV3)) return std::nullopt;
  path.remove_prefix(kV3.size());
  found.of = Of::GroupVersion;
  constexpr std::string_view kCore = "/api/";
  constexpr std::string_view kGroups = "/apis/";
  if (path.starts_with(kCore)) {
    found.version = path.substr(kCore.size());
    return found;
  }
  if (!path.starts_with(kGroups)) return std::nullopt;
  path.remove_prefix(kGroups.size());
  const auto slash = path.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  found.group = path.substr(0, slash);
  found.version = path.substr(slash + 1);
  return found;
}

Task<std::string> SchemaSource::state(const ResourceType& type) {
  co_return type.schema;
}

Task<std::string> SchemaSource::schema(const ResourceType& type) {
  co_return type.schema;
}

Task<std::optional<ApiResponse>> openapi(ResourceCatalog catalog, SchemaSource& schemas, const ApiRequest& request,
                                         const Target& target, std::string_view root, Clock& clock) {
  const auto path = OpenApiPath::parse(target.path);
  if (!path) co_return std::nullopt;
  if (path->of == OpenApiPath::Of::Index) co_return co_await index(catalog, schemas, root);
  const bool is_v2 = path->of == OpenApiPath::Of::Version2;
  const auto told = co_await told_at(catalog, schemas, *path);
  if (told.types.empty() && !is_v2) co_return std::nullopt;
  const auto form = is_v2 ? negotiated(request.accept, {"application/json", kProtobufV2, kProtobufV2Too})
                          : negotiated(request.accept, {"application/json"});
  if (form.empty()) {
    co_return ApiResponse(
        Status::not_acceptable(is_v2 ? "application/json, " + std::string(kProtobufV2) : "application/json"));
  }

  const std::string hash = hash_of(told);
  const std::string tag = entity_tag(hash);
  ApiResponse response;
  response.headers = {{"ETag", tag}, {"Vary", "Accept-Encoding, Accept"}};
  if (const auto& known = target.query.get("hash"); !is_v2 && !known.empty()) {
    if (known != hash) {
      response.status = 301;
      response.content_type.clear();
      response.headers.emplace_back("Location", std::string(root) + target.path + "?hash=" + hash);
      co_return response;
    }
    const auto now = clock.wall_now();
    response.headers.emplace_back("Cache-Control", "public, immutable");
    response.headers.emplace_back("Date", http_date(now));
    response.headers.emplace_back("Expires", http_date(now + kYear));
  }
  if (is_named(tag, request.if_none_match)) {
    response.status = 304;
    response.content_type.clear();
    co_return response;
  }
  const bool protobuf = form != "application/json";
  if (protobuf) response.content_type = kProtobufV2;
  if (is_v2) {
    response.body = co_await document_v2(told, schemas, protobuf);
  } else {
    response.body = co_await document_v3(told, schemas);
  }
  co_return response;
}

}  // namespace tinf::api
