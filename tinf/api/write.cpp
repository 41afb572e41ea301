// create, update and patch: from a client's body to one committed change.
#include "tinf/api/body.h"
#include "tinf/api/object_rules.h"
#include "tinf/api/resource_api.h"
#include "tinf/patch/json.h"
#include "tinf/patch/patch.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr int kPatchAttempts = 5;  // A patch names no version, so a race is ours to repeat. As kube-apiserver.

void set_version(json::value& tree, const std::string& api_version) {
  tree.get_object()["apiVersion"] = api_version;
}

std::string storage_api_version(const ResourceType& type) {
  Resource stored = type.resource();
  stored.version = type.storage_version;
  return stored.api_version();
}

Answer<void> check_definition(const ResourceType& type, const json::value& tree) {
  if (type.resource() != definitions_resource()) return {};
  auto types = types_of_definition(tree);
  if (!types) return types.error();
  return {};
}

std::string media_of(const ApiRequest& request) {
  const auto types = media_types(request.content_type);
  return types.empty() ? "" : types.front().type;
}

// Whether this is a patch at all that we can apply: asked before anything is looked up, since an apply also creates.
Answer<void> check_patch_form(const ResourceType& type, const ApiRequest& request) {
  const std::string media = media_of(request);
  if (media == "application/apply-patch+yaml") {
    return Status::unsupported_media_type(
        "server-side apply is not supported by this server: use client-side apply (kubectl apply without "
        "--server-side)");
  }
  const bool strategic = media == "application/strategic-merge-patch+json" && type.built_in;
  if (strategic || media == "application/json-patch+json" || media == "application/merge-patch+json") return {};
  return Status::unsupported_media_type(
      "the body of the request was in an unknown format (" + media +
      "): accepted media types include: " + "application/json-patch+json, application/merge-patch+json" +
      (type.built_in ? ", application/strategic-merge-patch+json" : ""));
}

Answer<void> apply_patch(const ResourceType& type, const ApiRequest& request, json::value& tree) {
  const std::string media = media_of(request);
  const bool json_patch = media == "application/json-patch+json";
  const bool merge = media == "application/merge-patch+json";
  auto patch = parse_json(request.body);
  if (!patch) return Status::bad_request("the patch is " + patch.error().message);
  if (merge) {
    apply_merge_patch(tree, *patch);
    return {};
  }
  auto applied = json_patch ? apply_json_patch(tree, *patch) : apply_strategic_merge_patch(tree, *patch);
  if (applied) return {};
  if (!json_patch) return Status::bad_request(applied.error().message);
  return Status::invalid(type.resource(), type.info.kind, json_string_at(tree, {"metadata", "name"}),
                         {StatusCause{"FieldValueInvalid", applied.error().message, "patch"}});
}

}  // namespace

Task<Answer<void>> ResourceApi::check_namespace(const Call& call) {
  if (!call.of().info.namespaced) co_return Answer<void>();
  const auto& name = call.path.namespace_name;
  ObjectKey key{"", name};
  auto found = co_await store_.get(namespaces_resource().group_resource(), std::move(key));
  if (!found) co_return Status::of(found.error(), namespaces_resource(), name);
  if (*found == nullptr) co_return Status::not_found(namespaces_resource(), name);
  if ((*found)->string_at("/metadata/deletionTimestamp")) {
    const std::string why = "unable to create new content in namespace " + name + " because it is being terminated";
    std::vector<StatusCause> causes{
        StatusCause{"NamespaceTerminating", "namespace " + name + " is being terminated", "metadata.namespace"}};
    co_return Status::forbidden(call.of().resource(), "", why, std::move(causes));
  }
  co_return Answer<void>();
}

Task<ApiResponse> ResourceApi::create(Call& call) {
  auto tree = body_tree(call.request);
  if (!tree) co_return ApiResponse(tree.error());
  if (auto fits = conform(call.of(), call.path, *tree); !fits) co_return ApiResponse(fits.error());
  auto place = co_await check_namespace(call);
  if (!place) co_return ApiResponse(place.error());
  auto ready = prepare_create(call.of(), *tree, runtime_.random, runtime_.clock.wall_now());
  if (!ready) co_return ApiResponse(ready.error());
  if (auto fits = check_definition(call.of(), *tree); !fits) co_return ApiResponse(fits.error());

  const std::string name(json_string_at(*tree, {"metadata", "name"}));
  set_version(*tree, storage_api_version(call.of()));
  ObjectKey key{call.path.namespace_name, name};
  if (call.dry_run()) {
    auto present = co_await store_.get(call.of().collection, key);
    if (present && *present != nullptr) co_return ApiResponse(Status::already_exists(call.of().resource(), name));
    auto made = made_without_commit(*tree);
    if (!made) co_return ApiResponse(Status::of(made.error(), call.of().resource(), name));
    co_return answer(call, **made, 201);
  }
  auto maker = maker_of(std::move(*tree));
  auto made = co_await store_.create(call.of().collection, std::move(key), std::move(maker));
  if (!made) co_return ApiResponse(Status::of(made.error(), call.of().resource(), name));
  if (call.of().resource() == definitions_resource()) {
    auto served = co_await reload_definitions();
    if (!served) co_return ApiResponse(Status::of(served.error(), call.of().resource(), name));
  }
  co_return answer(call, **made, 201);
}

// `old_tree` and `tree` are in the version of the call.
Task<Answer<ObjectPtr>> ResourceApi::replace(Call& call, const Object& old, json::value old_tree, json::value tree) {
  const auto& type = call.of();
  if (auto fits = conform(type, call.path, tree); !fits) co_return fits.error();
  if (auto fits = prepare_update(type, call.path, old_tree, tree); !fits) co_return fits.error();
  if (call.path.subresource.empty()) derive(type, tree, runtime_.clock.wall_now());
  if (auto fits = check_definition(type, tree); !fits) co_return fits.error();
  set_version(tree, storage_api_version(type));
  set_version(old_tree, storage_api_version(type));
  if (call.dry_run() || tree == old_tree) {
    auto same = made_without_commit(tree);
    if (!same) co_return Status::of(same.error(), type.resource(), call.path.name);
    co_return *same;
  }

  WritePrecondition precondition;
  precondition.uid = old.uid();
  precondition.version = ResourceVersion(std::string(old.resource_version())).number();
  const bool goes = is_deleting(tree) && !has_finalizers(tree) && type.resource() != namespaces_resource();
  auto maker = maker_of(std::move(tree));
  auto writing = goes ? store_.remove(type.collection, call.key(), std::move(precondition), std::move(maker))
                      : store_.replace(type.collection, call.key(), std::move(precondition), std::move(maker));
  auto written = co_await std::move(writing);
  if (!written) co_return Status::of(written.error(), type.resource(), call.path.name);
  if (type.resource() == definitions_resource()) {
    auto served = co_await reload_definitions();
    if (!served) co_return Status::of(served.error(), type.resource(), call.path.name);
  }
  if (goes && type.info.namespaced) co_await finish_namespace(call.path.namespace_name);
  if (type.resource() == namespaces_resource() && is_deleting(old_tree)) co_await finish_namespace(call.path.name);
  co_return *written;
}

Task<ApiResponse> ResourceApi::update(Call& call) {
  auto tree = body_tree(call.request);
  if (!tree) co_return ApiResponse(tree.error());
  auto old = co_await store_.get(call.of().collection, call.key());
  if (!old) co_return ApiResponse(Status::of(old.error(), call.of().resource(), call.path.name));
  if (*old == nullptr) co_return ApiResponse(Status::not_found(call.of().resource(), call.path.name));
  auto old_tree = parse_json((*old)->raw());
  if (!old_tree) co_return ApiResponse(Status::of(old_tree.error(), call.of().resource(), call.path.name));
  set_version(*old_tree, call.of().api_version());
  auto written = co_await replace(call, **old, std::move(*old_tree), std::move(*tree));
  if (!written) co_return ApiResponse(written.error());
  co_return answer(call, **written);
}

Task<ApiResponse> ResourceApi::patch(Call& call) {
  if (auto form = check_patch_form(call.of(), call.request); !form) co_return ApiResponse(form.error());
  for (int attempt = 1;; ++attempt) {
    auto old = co_await store_.get(call.of().collection, call.key());
    if (!old) co_return ApiResponse(Status::of(old.error(), call.of().resource(), call.path.name));
    if (*old == nullptr) co_return ApiResponse(Status::not_found(call.of().resource(), call.path.name));
    auto old_tree = parse_json((*old)->raw());
    if (!old_tree) co_return ApiResponse(Status::of(old_tree.error(), call.of().resource(), call.path.name));
    set_version(*old_tree, call.of().api_version());
    json::value tree = *old_tree;
    if (auto applied = apply_patch(call.of(), call.request, tree); !applied) co_return ApiResponse(applied.error());
    const bool names_version = json_string_at(tree, {"metadata", "resourceVersion"}) != (*old)->resource_version();
    auto written = co_await replace(call, **old, std::move(*old_tree), std::move(tree));
    if (written) co_return answer(call, **written);
    const bool raced = written.error().reason == "Conflict" && !names_version;
    if (!raced || attempt == kPatchAttempts) co_return ApiResponse(written.error());
  }
}

}  // namespace tinf::api
