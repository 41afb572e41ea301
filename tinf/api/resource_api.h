// ResourceApi: the verbs on resources: get, list, watch, create, update, patch, delete, deletecollection.
// One file per kind of verb: read.cpp, watch.cpp, write.cpp, delete.cpp.
#pragma once

#include "tinf/api/message.h"
#include "tinf/api/request.h"
#include "tinf/api/resource_type.h"
#include "tinf/api/selection.h"
#include "tinf/api/watch_response.h"
#include "tinf/base/runtime.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

// Every answer is an object, a list, a stream or a Status. Confined to one strand; `store` and `runtime` outlive it
// and every stream it handed out.
class ResourceApi {
 public:
  ResourceApi(Runtime& runtime, VersionedStore& store);

  // Makes the namespaces that every cluster has, and serves the custom resources whose definitions the store holds.
  Task<Result<void>> start();

  const ResourceCatalog& catalog() const { return catalog_; }

  Task<ApiResponse> handle(const ApiRequest& request, ResourcePath path, Query query);

  // Ends every open watch, as a restart would.
  void cut_watches();
  std::size_t open_watches() const { return open_->size(); }

 private:
  // One request in work; lives in handle()'s frame.
  struct Call {
    const ApiRequest& request;
    ResourcePath path;
    Query query;
    ResourceTypePtr type;
    Form form = Form::Plain;

    Call(const ApiRequest& r, ResourcePath p, Query q) : request(r), path(std::move(p)), query(std::move(q)) {}
    const ResourceType& of() const { return *type; }
    ObjectKey key() const { return ObjectKey{path.namespace_name, path.name}; }
    bool dry_run() const { return query.get("dryRun") == "All"; }
  };

  // What became of an object that was to go.
  struct Removal {
    ObjectPtr object;  // The final state, or the one that waits for its finalizers.
    bool gone = false;

    Removal(ObjectPtr o, bool g) : object(std::move(o)), gone(g) {}
  };

  Task<ApiResponse> dispatch(Call& call);
  Presentation presentation(const Call& call);
  ApiResponse answer(const Call& call, const Object& object, int status = 200);

  Task<ApiResponse> get(Call& call);
  Task<ApiResponse> list(Call& call);
  Task<ApiResponse> watch(Call& call);
  Task<ApiResponse> create(Call& call);
  Task<ApiResponse> update(Call& call);
  Task<ApiResponse> patch(Call& call);
  Task<ApiResponse> remove(Call& call);
  Task<ApiResponse> remove_collection(Call& call);

  // The objects that a list's options ask for; `meta` says the rest.
  Task<Answer<std::vector<ObjectPtr>>> select(Call& call, const Selection& selection, ListMeta& meta);
  Task<Answer<void>> reach(const std::string& version);

  Task<Answer<void>> check_namespace(const Call& call);
  Task<Answer<ObjectPtr>> replace(Call& call, const Object& old, boost::json::value old_tree, boost::json::value tree);
  Task<Answer<Removal>> remove_any(ResourceTypePtr type, ObjectPtr object, WritePrecondition precondition);
  Task<Answer<Removal>> remove_object(ResourceTypePtr type, ObjectPtr object, WritePrecondition precondition);
  Task<Answer<Removal>> remove_namespace(ObjectPtr object, WritePrecondition precondition);
  Task<Answer<Removal>> remove_definition(ObjectPtr object, WritePrecondition precondition);

  // Goes on with a namespace that is being deleted, when something in it has gone.
  Task<void> finish_namespace(std::string name);
  Task<Result<void>> reload_definitions();

  // Constant after construction.
  Runtime& runtime_;
  VersionedStore& store_;
  const OpenWatches open_;

  // Confined to the strand.
  ResourceCatalog catalog_;
};

}  // namespace tinf::api
