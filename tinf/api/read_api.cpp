// From a request to its verb, and what the verbs share.
#include "tinf/api/read_api.h"

#include <algorithm>
#include <array>

#include "tinf/api/discovery.h"

namespace tinf::api {
namespace {

bool is_read(const ApiRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

bool is_write(const ApiRequest& request) {
  constexpr std::array<std::string_view, 4> kWrites{"POST", "PUT", "PATCH", "DELETE"};
  return std::ranges::find(kWrites, request.method) != kWrites.end();
}

// What a Table's rows have of their objects.
std::optional<TableObjects> rows_of(const Query& query) {
  const auto& include = query.get("includeObject");
  if (include.empty() || include == "Metadata") return TableObjects::Metadata;
  if (include == "Object") return TableObjects::Full;
  if (include == "None") return TableObjects::None;
  return std::nullopt;
}

Status no_such_rows(const Query& query) {
  return Status::bad_request("Unable to convert to Table as requested: includeObject: Invalid value: \"" +
                             query.get("includeObject") + "\": must be 'Metadata', 'Object', 'None', or empty");
}

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
      schemas_(std::move(options.schemas)),
      home_(std::move(options.home)),
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

Task<std::optional<ApiResponse>> ReadApi::document(ResourceCatalog catalog, SchemaSource& schemas,
                                                   const ApiRequest& request, const Target& target) {
  auto found = discovery(catalog, target.path, request.accept);
  const bool is_openapi = OpenApiPath::parse(target.path).has_value();
  if ((found || is_openapi) && !is_read(request)) co_return ApiResponse(Status::method_not_allowed());
  if (is_openapi) found = co_await openapi(std::move(catalog), schemas, request, target, root_, runtime_.clock);
  co_return found;
}

std::string ReadApi::label_of(const AccessQuestion& question) const {
  const auto& all = catalog_.all();
  const auto found = std::ranges::find_if(all, [&](const ResourceTypePtr& type) {
    return type->resource().group == question.group && type->resource().name == question.resource;
  });
  return found == all.end() ? std::string() : (*found)->collection;
}

Task<ApiResponse> ReadApi::handle(const ApiRequest& request, Target target) {
  ReaderPtr all(ReaderPtr{}, &reader_);
  const auto path = ResourcePath::parse(target.path);
  auto type = path ? catalog_.find(path->resource) : nullptr;
  co_return co_await handle_of(request, std::move(target), std::move(all), std::move(type));
}

// Documents first; then resources.
Task<ApiResponse> ReadApi::handle_of(const ApiRequest& request, Target target, ReaderPtr reader, ResourceTypePtr type) {
  if (!ResourcePath::parse(target.path)) {
    if (auto found = co_await document(catalog_, *schemas_, request, target)) co_return std::move(*found);
  }
  auto path = ResourcePath::parse(target.path);
  if (!path) co_return ApiResponse(Status::unknown_path());
  Call call(request, std::move(*path), std::move(target.query), std::move(reader));
  call.type = std::move(type);
  if (call.type == nullptr) co_return ApiResponse(Status::unknown_path());
  if (call.path.in_namespace && !call.of().info.namespaced) co_return ApiResponse(Status::unknown_path());
  if (!is_answered_by(call.of(), call.path)) co_return no_subresource(call.path);
  auto form = negotiate(request.accept);
  if (!form) co_return ApiResponse(form.error());
  call.form = *form;
  if (call.form == Form::Table && !rows_of(call.query)) co_return ApiResponse(no_such_rows(call.query));
  if (is_write(request)) co_return co_await write(call);
  if (request.method != "GET") co_return ApiResponse(Status::method_not_allowed());
  if (!call.path.name.empty()) {
    if (!call.is_placed()) co_return ApiResponse(Status::unknown_path());
    co_return co_await get(call);
  }
  if (call.query.is_true("watch")) co_return co_await watch(call);
  co_return co_await list(call);
}

Task<ApiResponse> ReadApi::write(Call& call) {
  Status refusal = Status::method_not_allowed();
  if (home_) refusal.message = "objects mirrored from clusters are read-only here: write to " + home_(call.path);
  co_return ApiResponse(refusal);
}

ApiResponse ReadApi::no_subresource(const ResourcePath& path) const {
  Status refusal = Status::unknown_path();
  if (home_) {
    refusal.message = "there is no " + path.resource.name + "/" + path.subresource +
                      " here, objects alone are mirrored from clusters: ask " + home_(path);
  }
  return ApiResponse(refusal);
}

Presentation ReadApi::presentation(const Call& call) {
  return Presentation(call.type, call.form, rows_of(call.query).value_or(TableObjects::Metadata), runtime_.clock);
}

ApiResponse ReadApi::answer(const Call& call, const Object& object, int status) {
  ApiResponse response(presentation(call).object(object));
  response.status = status;
  return response;
}

}  // namespace tinf::api
