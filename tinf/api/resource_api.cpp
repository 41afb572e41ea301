// From a method to the verb that writes, and what there is before the first of them.
#include "tinf/api/resource_api.h"

#include "tinf/api/object_rules.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

constexpr std::array kFirstNamespaces{"default", "kube-node-lease", "kube-public", "kube-system"};

}  // namespace

ResourceApi::ResourceApi(Runtime& runtime, VersionedStore& store)
    : ReadApi(runtime, store, ReadApiOptions()), store_(store) {}

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
  auto catalog = catalog_;
  catalog.replace_custom(types);
  serve(std::move(catalog));
  co_return Result<void>();
}

Task<ApiResponse> ResourceApi::write(Call& call) {
  const auto& method = call.request.method;
  const bool named = !call.path.name.empty();
  const bool placed = call.is_placed();
  if (method == "POST" && !named && placed) co_return co_await create(call);
  if (method == "PUT" && named && placed) co_return co_await update(call);
  if (method == "PATCH" && named && placed) co_return co_await patch(call);
  if (method == "DELETE" && placed && call.path.subresource.empty()) {
    if (named) co_return co_await remove(call);
    if (call.of().info.has_verb("deletecollection")) co_return co_await remove_collection(call);
  }
  co_return ApiResponse(Status::method_not_allowed());
}

}  // namespace tinf::api
