// delete and deletecollection: finalizers first, then the object; a namespace or a definition takes what it holds
// along.
#include <algorithm>
#include <array>

#include "tinf/api/body.h"
#include "tinf/api/object_rules.h"
#include "tinf/api/resource_api.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr std::array<std::string_view, 3> kImmortalNamespaces{"default", "kube-public", "kube-system"};

ObjectMaker last_state_of(ObjectPtr object) {
  return [object](StoreVersion version) { return Object::parse(with_resource_version(*object, version)); };
}

bool waits_for_finalizers(const Object& object) {
  const auto finalizers = object.json_at("/metadata/finalizers");
  return finalizers && finalizers->find('"') != std::string_view::npos;
}

Answer<WritePrecondition> preconditions_of(const Resource& resource, const ApiRequest& request) {
  WritePrecondition precondition;
  if (request.body.empty()) return precondition;
  const auto options = body_tree(request);
  if (!options) return options.error();
  precondition.uid = json_string_at(*options, {"preconditions", "uid"});
  const std::string version(json_string_at(*options, {"preconditions", "resourceVersion"}));
  if (!version.empty()) precondition.version = ResourceVersion(version).number();
  if (!version.empty() && !precondition.version) {
    return Status::of(Error(Code::Conflict, "no such version"), resource, "");
  }
  return precondition;
}

bool is_dry_run(const ApiRequest& request) {
  if (request.body.empty()) return false;
  const auto options = body_tree(request);
  const json::value* list = options ? json_at(*options, {"dryRun"}) : nullptr;
  return list != nullptr && list->is_array() && !list->get_array().empty();
}

}  // namespace

Task<Answer<ResourceApi::Removal>> ResourceApi::remove_object(ResourceTypePtr type, ObjectPtr object,
                                                              WritePrecondition precondition) {
  const std::string name(object->name());
  // Whatever was decided was decided for this state.
  if (!precondition.version) precondition.version = ResourceVersion(std::string(object->resource_version())).number();
  if (waits_for_finalizers(*object)) {
    auto tree = parse_json(object->raw());
    if (!tree) co_return Status::of(tree.error(), type->resource(), name);
    if (is_deleting(*tree)) co_return Removal(object, false);
    mark_deleted(*type, *tree, runtime_.clock.wall_now());
    auto maker = maker_of(std::move(*tree));
    auto marked = co_await store_.replace(type->collection, object->key(), std::move(precondition), std::move(maker));
    if (!marked) co_return Status::of(marked.error(), type->resource(), name);
    co_return Removal(*marked, false);
  }
  auto maker = last_state_of(object);
  auto removed = co_await store_.remove(type->collection, object->key(), std::move(precondition), std::move(maker));
  if (!removed) co_return Status::of(removed.error(), type->resource(), name);
  if (type->info.namespaced) co_await finish_namespace(std::string(object->namespace_name()));
  co_return Removal(*removed, true);
}

Task<Answer<ResourceApi::Removal>> ResourceApi::remove_namespace(ObjectPtr object, WritePrecondition precondition) {
  const auto type = catalog_.find(namespaces_resource());
  const std::string name(object->name());
  if (std::find(kImmortalNamespaces.begin(), kImmortalNamespaces.end(), name) != kImmortalNamespaces.end()) {
    std::vector<StatusCause> none;
    co_return Status::forbidden(type->resource(), name, "this namespace may not be deleted", std::move(none));
  }
  ObjectPtr marked = object;
  if (!object->string_at("/metadata/deletionTimestamp")) {
    auto tree = parse_json(object->raw());
    if (!tree) co_return Status::of(tree.error(), type->resource(), name);
    mark_deleted(*type, *tree, runtime_.clock.wall_now());
    if (!precondition.version) precondition.version = ResourceVersion(std::string(object->resource_version())).number();
    auto maker = maker_of(std::move(*tree));
    auto written = co_await store_.replace(type->collection, object->key(), std::move(precondition), std::move(maker));
    if (!written) co_return Status::of(written.error(), type->resource(), name);
    marked = *written;
  }
  for (const auto& inside : catalog_.namespaced_collections()) {
    PageQuery query;
    query.namespace_name = name;
    auto page = co_await store_.list(inside->collection, std::move(query));
    if (!page) co_return Status::of(page.error(), inside->resource(), "");
    for (const auto& content : page->objects) {
      WritePrecondition any;
      (void)co_await remove_object(inside, content,
                                   std::move(any));  // One that changed meanwhile is left to the next try.
    }
  }
  co_await finish_namespace(name);
  co_return Removal(marked, false);
}

Task<void> ResourceApi::finish_namespace(std::string name) {
  const auto type = catalog_.find(namespaces_resource());
  const ObjectKey key{"", name};
  auto object = co_await store_.get(type->collection, key);
  if (!object || *object == nullptr || !(*object)->string_at("/metadata/deletionTimestamp")) co_return;
  if (waits_for_finalizers(**object)) co_return;
  for (const auto& inside : catalog_.namespaced_collections()) {
    PageQuery query;
    query.namespace_name = name;
    query.limit = 1;
    auto page = co_await store_.list(inside->collection, std::move(query));
    if (!page || !page->objects.empty()) co_return;
  }
  WritePrecondition precondition;
  precondition.uid = (*object)->uid();
  auto maker = last_state_of(*object);
  (void)co_await store_.remove(type->collection, key, std::move(precondition), std::move(maker));
}

Task<Answer<ResourceApi::Removal>> ResourceApi::remove_definition(ObjectPtr object, WritePrecondition precondition) {
  const auto type = catalog_.find(definitions_resource());
  const auto tree = parse_json(object->raw());
  if (!tree) co_return Status::of(tree.error(), type->resource(), object->name());
  auto removed = co_await remove_object(type, object, std::move(precondition));
  if (!removed || !removed->gone) co_return removed;
  // With their definition gone nobody can take finalizers off the instances: they go without.
  Resource resource;
  resource.group = json_string_at(*tree, {"spec", "group"});
  resource.name = json_string_at(*tree, {"spec", "names", "plural"});
  PageQuery all;
  auto page = co_await store_.list(resource.group_resource(), std::move(all));
  if (!page) co_return Status::of(page.error(), resource, "");
  for (const auto& instance : page->objects) {
    WritePrecondition any;
    auto maker = last_state_of(instance);
    (void)co_await store_.remove(resource.group_resource(), instance->key(), std::move(any), std::move(maker));
  }
  auto reloaded = co_await reload_definitions();
  if (!reloaded) co_return Status::of(reloaded.error(), type->resource(), object->name());
  co_return removed;
}

Task<Answer<ResourceApi::Removal>> ResourceApi::remove_any(ResourceTypePtr type, ObjectPtr object,
                                                           WritePrecondition precondition) {
  if (type->resource() == namespaces_resource()) return remove_namespace(std::move(object), std::move(precondition));
  if (type->resource() == definitions_resource()) return remove_definition(std::move(object), std::move(precondition));
  return remove_object(std::move(type), std::move(object), std::move(precondition));
}

Task<ApiResponse> ResourceApi::remove(Call& call) {
  const auto& type = call.of();
  auto precondition = preconditions_of(type.resource(), call.request);
  if (!precondition) co_return ApiResponse(precondition.error());
  auto object = co_await store_.get(type.collection, call.key());
  if (!object) co_return ApiResponse(Status::of(object.error(), type.resource(), call.path.name));
  if (*object == nullptr) co_return ApiResponse(Status::not_found(type.resource(), call.path.name));
  const std::string uid((*object)->uid());
  if (call.dry_run() || is_dry_run(call.request)) {
    co_return ApiResponse(Status::success(type.resource(), call.path.name, uid).to_json());
  }
  auto removal = co_await remove_any(call.type, *object, std::move(*precondition));
  if (!removal) co_return ApiResponse(removal.error());
  if (!removal->gone) co_return answer(call, *removal->object);
  co_return ApiResponse(Status::success(type.resource(), call.path.name, uid).to_json());
}

Task<ApiResponse> ResourceApi::remove_collection(Call& call) {
  auto pages = co_await select(call);
  if (!pages) co_return ApiResponse(pages.error());
  auto objects = co_await pages->next(limit_of(call));
  if (!objects) co_return ApiResponse(objects.error());
  ListMeta meta;
  meta.version = pages->version();
  const bool dry_run = call.dry_run() || is_dry_run(call.request);
  for (const auto& object : *objects) {
    if (dry_run) break;
    WritePrecondition any;
    auto removal = co_await remove_any(call.type, object, std::move(any));
    const bool stays = !removal && removal.error().code != 404 && removal.error().code != 409;
    if (stays) co_return ApiResponse(removal.error());
  }
  co_return ApiResponse(presentation(call).list(*objects, meta));
}

}  // namespace tinf::api
