// From a request to its verb, and what the verbs share.
#include "tinf/api/read_api.h"

#include "tinf/api/discovery.h"

namespace tinf::api {
namespace {

bool is_answered_by(const ResourceType& type, const ResourcePath& path) {
  if (path.subresource == "status") return type.has_status;
  return path.subresource.empty();
}

}  // namespace

ReadApi::ReadApi(Runtime& runtime, VersionedReader& reader, ReadApiOptions options)
    : runtime_(runtime),
      catalog_(std::move(options.catalog)),
      reader_(reader),
      root_(std::move(options.root)),
      why_read_only_(std::move(options.why_read_only)),
      open_(std::make_shared<std::set<WatchResponse*>>()) {}

void ReadApi::serve(ResourceCatalog catalog) {
  catalog_ = std::move(catalog);
  for (WatchResponse* open : *open_) {
    if (catalog_.find(open->type().resource()) == nullptr) open->cut();
  }
}

void ReadApi::cut_watches() {
  for (WatchResponse* open : *open_) open->cut();
}

// Documents first; then resources.
Task<ApiResponse> ReadApi::handle(const ApiRequest& request, Target target) {
  if (request.method == "GET") {
    if (auto document = discovery(catalog_, target.path, request.accept)) co_return std::move(*document);
    if (auto document = openapi(catalog_, target.path, root_)) co_return std::move(*document);
  }
  auto path = ResourcePath::parse(target.path);
  if (!path) co_return ApiResponse(Status::unknown_path());
  Call call(request, std::move(*path), std::move(target.query));
  call.type = catalog_.find(call.path.resource);
  if (call.type == nullptr || !is_answered_by(call.of(), call.path)) co_return ApiResponse(Status::unknown_path());
  if (call.path.in_namespace && !call.of().info.namespaced) co_return ApiResponse(Status::unknown_path());
  auto form = negotiate(request.accept);
  if (!form) co_return ApiResponse(form.error());
  call.form = *form;
  if (request.method != "GET") co_return co_await write(call);
  if (!call.path.name.empty()) {
    if (!call.is_placed()) co_return ApiResponse(Status::unknown_path());
    co_return co_await get(call);
  }
  if (call.query.is_true("watch")) co_return co_await watch(call);
  co_return co_await list(call);
}

Task<ApiResponse> ReadApi::write(Call& call) {
  Status refusal = Status::method_not_allowed(call.request.method);
  refusal.message = why_read_only_;
  co_return ApiResponse(refusal);
}

Presentation ReadApi::presentation(const Call& call) {
  const auto& include = call.query.get("includeObject");
  const auto rows = include == "Object" ? TableObjects::Full
                    : include == "None" ? TableObjects::None
                                        : TableObjects::Metadata;
  return Presentation(call.type, call.form, rows, runtime_.clock);
}

ApiResponse ReadApi::answer(const Call& call, const Object& object, int status) {
  ApiResponse response(presentation(call).object(object));
  response.status = status;
  return response;
}

}  // namespace tinf::api
