// From a request to its verb, and what the verbs share.
#include "tinf/api/resource_api.h"

#include "tinf/api/object_rules.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

constexpr std::array kFirstNamespaces{"default", "kube-node-lease", "kube-public", "kube-system"};

bool is_answered_by(const ResourceType& type, const ResourcePath& path) {
  if (path.subresource == "status") return type.has_status;
  return path.subresource.empty();
}

}  // namespace

ResourceApi::ResourceApi(Runtime& runtime, VersionedStore& store)
    : runtime_(runtime), store_(store), open_(std::make_shared<std::set<WatchResponse*>>()) {}

Task<Result<void>> ResourceApi::start() {
  const auto type = catalog_.find(namespaces_resource());
  for (const auto* name : kFirstNamespaces) {
    boost::json::value tree{{"kind", "Namespace"}, {"apiVersion", "v1"}, {"metadata", {{"name", name}}}};
    if (auto fits = prepare_create(*type, tree, runtime_.random, runtime_.clock.wall_now()); !fits) {
      co_return Error(Code::Internal, fits.error().message);
    }
    ObjectKey key{"", name};
    auto maker = maker_of(std::move(tree));
    auto made = co_await store_.create(type->collection, std::move(key), std::move(maker));
    if (!made && made.error().code != Code::AlreadyExists) co_return made.error();
  }
  co_return co_await reload_definitions();
}

Task<Result<void>> ResourceApi::reload_definitions() {
  PageQuery all;
  auto page = co_await store_.list(definitions_resource().group_resource(), std::move(all));
  if (!page) co_return page.error();
  std::vector<ResourceTypePtr> types;
  for (const auto& object : page->objects) {
    const auto tree = parse_json(object->raw());
    if (!tree) continue;
    auto found = types_of_definition(*tree);
    if (!found) continue;  // Written by an older server, perhaps; the rest is served.
    types.insert(types.end(), found->begin(), found->end());
  }
  catalog_.replace_custom(types);
  for (WatchResponse* open : *open_) {
    if (catalog_.find(open->type().resource()) == nullptr) open->cut();
  }
  co_return Result<void>();
}

void ResourceApi::cut_watches() {
  for (WatchResponse* open : *open_) open->cut();
}

Task<ApiResponse> ResourceApi::handle(const ApiRequest& request, ResourcePath path, Query query) {
  Call call(request, std::move(path), std::move(query));
  // A namespace's own path names it twice: as the place and as the object.
  call.type = catalog_.find(call.path.resource);
  if (call.type == nullptr || !is_answered_by(call.of(), call.path)) co_return ApiResponse(Status::unknown_path());
  if (call.path.in_namespace && !call.of().info.namespaced) co_return ApiResponse(Status::unknown_path());
  auto form = negotiate(request.accept);
  if (!form) co_return ApiResponse(form.error());
  call.form = *form;
  co_return co_await dispatch(call);
}

Task<ApiResponse> ResourceApi::dispatch(Call& call) {
  const auto& method = call.request.method;
  const bool named = !call.path.name.empty();
  // Objects in namespaces are read across all of them, but written in one.
  const bool placed = call.path.in_namespace || !call.of().info.namespaced;
  if (method == "GET") {
    if (named && !placed) co_return ApiResponse(Status::unknown_path());
    if (named) co_return co_await get(call);
    if (call.query.is_true("watch")) co_return co_await watch(call);
    co_return co_await list(call);
  }
  if (method == "POST" && !named && placed) co_return co_await create(call);
  if (method == "PUT" && named && placed) co_return co_await update(call);
  if (method == "PATCH" && named && placed) co_return co_await patch(call);
  if (method == "DELETE" && placed && call.path.subresource.empty()) {
    if (named) co_return co_await remove(call);
    if (call.of().info.has_verb("deletecollection")) co_return co_await remove_collection(call);
  }
  co_return ApiResponse(Status::method_not_allowed(method));
}

Presentation ResourceApi::presentation(const Call& call) {
  const auto& include = call.query.get("includeObject");
  const auto rows = include == "Object" ? TableObjects::Full
                    : include == "None" ? TableObjects::None
                                        : TableObjects::Metadata;
  return Presentation(call.type, call.form, rows, runtime_.clock);
}

ApiResponse ResourceApi::answer(const Call& call, const Object& object, int status) {
  ApiResponse response(presentation(call).object(object));
  response.status = status;
  return response;
}

}  // namespace tinf::api
