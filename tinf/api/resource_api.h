// ResourceApi: all verbs on resources: those that read, and create, update, patch, delete, deletecollection.
// One file per kind of verb: write.cpp, delete.cpp.
#pragma once

#include "tinf/api/read_api.h"

namespace tinf::api {

// As ReadApi, over a store that is written to by this API alone.
class ResourceApi final : public ReadApi {
 public:
  ResourceApi(Runtime& runtime, VersionedStore& store);

  // Makes the namespaces that every cluster has, and serves the custom resources whose definitions the store holds.
  Task<Result<void>> start() override;
  void compact() override { store_.compact(); }

 private:
  // What became of an object that was to go.
  struct Removal {
    ObjectPtr object;  // The final state, or the one that waits for its finalizers.
    bool gone = false;

    Removal(ObjectPtr o, bool g) : object(std::move(o)), gone(g) {}
  };

  Task<ApiResponse> write(Call& call) override;
  Task<ApiResponse> create(Call& call);
  Task<ApiResponse> update(Call& call);
  Task<ApiResponse> patch(Call& call);
  Task<ApiResponse> remove(Call& call);
  Task<ApiResponse> remove_collection(Call& call);

  Task<Answer<void>> check_namespace(const Call& call);
  Task<Answer<ObjectPtr>> replace(Call& call, const Object& old, boost::json::value old_tree, boost::json::value tree);
  Task<Answer<Removal>> remove_any(ResourceTypePtr type, ObjectPtr object, WritePrecondition precondition);
  Task<Answer<Removal>> remove_object(ResourceTypePtr type, ObjectPtr object, WritePrecondition precondition);
  Task<Answer<Removal>> remove_namespace(ObjectPtr object, WritePrecondition precondition);
  Task<Answer<Removal>> remove_definition(ObjectPtr object, WritePrecondition precondition);

  // Goes on with a namespace that is being deleted, when something in it has gone.
  Task<void> finish_namespace(std::string name);
  Task<Result<void>> reload_definitions();

  VersionedStore& store_;
};

}  // namespace tinf::api
