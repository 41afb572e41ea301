// ReadApi: the verbs that read resources: get, list, watch (read.cpp, watch.cpp); what writes is refused.
// ResourceApi adds the verbs that write.
#pragma once

#include "tinf/api/continue_token.h"
#include "tinf/api/message.h"
#include "tinf/api/object_pages.h"
#include "tinf/api/openapi.h"
#include "tinf/api/ordering.h"
#include "tinf/api/request.h"
#include "tinf/api/resource_type.h"
#include "tinf/api/selection.h"
#include "tinf/api/served.h"
#include "tinf/api/watch_response.h"
#include "tinf/base/runtime.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

struct ReadApiOptions {
  ResourceCatalog catalog;
  std::string root;  // What stands in front of its paths, for documents that name them.
  std::shared_ptr<SchemaSource> schemas = std::make_shared<SchemaSource>();
  // Where else to do what is refused here, on what the path names: "the cluster cluster1 itself". None: nowhere.
  std::function<std::string(const ResourcePath& path)> home;

  ReadApiOptions() = default;
};

// Every answer is an object, a list, a stream or a Status. Confined to one strand; `reader` and `runtime` outlive it
// and every stream it handed out.
class ReadApi : public Served {
 public:
  ReadApi(Runtime& runtime, VersionedReader& reader, ReadApiOptions options);

  ReadApi(const ReadApi&) = delete;
  ReadApi& operator=(const ReadApi&) = delete;

  const ResourceCatalog& catalog() const { return catalog_; }

  // Serves these resources from now on. Ends the watches of those that are not among them.
  void serve(ResourceCatalog catalog);

  // `target`'s path is the one below the root.
  Task<ApiResponse> handle(const ApiRequest& request, Target target) override;
  // The same, read of `reader`: a part of what there is. The resource that the path names is as `type` says, null: it
  // is not served.
  Task<ApiResponse> handle_of(const ApiRequest& request, Target target, ReaderPtr reader, ResourceTypePtr type);
  // What is there to be discovered, as if `catalog` were all that is served, and `schemas` told all of it. Nothing:
  // another path.
  Task<std::optional<ApiResponse>> document(ResourceCatalog catalog, SchemaSource& schemas, const ApiRequest& request,
                                            const Target& target);
  std::string label_of(const AccessQuestion& question) const override;
  void cut_watches() override;
  std::size_t open_watches() const override { return open_->size(); }

 protected:
  // One request in work; lives in handle()'s frame.
  struct Call {
    const ApiRequest& request;
    ResourcePath path;
    Query query;
    ResourceTypePtr type;
    Form form = Form::Plain;
    ReaderPtr reader;
    // Of a list:
    Ordering ordering;
    std::optional<ContinueToken> from;

    Call(const ApiRequest& r, ResourcePath p, Query q, ReaderPtr of)
        : request(r), path(std::move(p)), query(std::move(q)), reader(std::move(of)) {}
    const ResourceType& of() const { return *type; }
    ObjectKey key() const { return ObjectKey{path.namespace_name, path.name}; }
    bool dry_run() const { return query.get("dryRun") == "All"; }
    // Objects in namespaces are read across all of them, but each is found, and written, in one.
    bool is_placed() const { return path.in_namespace || !of().info.namespaced; }
  };

  // Any method but GET.
  virtual Task<ApiResponse> write(Call& call);

  Presentation presentation(const Call& call);
  ApiResponse answer(const Call& call, const Object& object, int status = 200);

  // What a list's options ask for, to be read; from the beginning, if its order is not that of places.
  Task<Answer<ObjectPages>> select(Call& call);
  static std::size_t limit_of(const Call& call);  // 0: none.

  // Constant after construction.
  Runtime& runtime_;

  // Confined to the strand.
  ResourceCatalog catalog_;

 private:
  ApiResponse no_subresource(const ResourcePath& path) const;
  Task<ApiResponse> get(Call& call);
  Task<ApiResponse> list(Call& call);
  Task<ApiResponse> list_in_order(Call& call);
  Task<ApiResponse> watch(Call& call);
  Task<Answer<void>> reach(const std::string& version);

  VersionedReader& reader_;
  const std::string root_;
  const std::shared_ptr<SchemaSource> schemas_;
  const std::function<std::string(const ResourcePath& path)> home_;
  const OpenWatches open_;
};

}  // namespace tinf::api
