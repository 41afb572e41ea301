// FleetApi: the copies of many clusters as a read-only Kubernetes API: all of them under the root, each with its own
// names under /clusters/<name>.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tinf/api/fleet_directory.h"
#include "tinf/api/fleet_view.h"
#include "tinf/api/read_api.h"
#include "tinf/api/served.h"

namespace tinf::api {

// Confined to the runtime's strand. `runtime` and `fleet` outlive it and every stream it handed out.
class FleetApi final : public Served {
 public:
  FleetApi(Runtime& runtime, FleetReader& fleet);
  ~FleetApi() override;

  Verdict judge(const ApiRequest& request, const AccessQuestion& question) override;
  std::string label_of(const AccessQuestion& question) const override;
  Task<ApiResponse> handle(const ApiRequest& request, Target target) override;
  void cut_watches() override;
  std::size_t open_watches() const override;

 private:
  struct View;

  // Who asks, and what they may see of what they ask for; of no access everything.
  struct Sight;

  // What one caller is offered, and of which state of the directory and the rules that is.
  struct PartialCatalog {
    PartialCatalog(unsigned of, std::shared_ptr<const AuthorizationPolicy> by, ResourceCatalog made)
        : generation(of), policy(std::move(by)), catalog(std::move(made)) {}
    unsigned generation;
    std::shared_ptr<const AuthorizationPolicy> policy;
    ResourceCatalog catalog;
  };

  View& view_of(const std::string& cluster);
  ApiResponse answer_review(const ApiRequest& request, const ResourcePath& path,
                            const std::optional<std::string>& cluster) const;
  const ResourceCatalog& catalog_for(const std::string& cluster, const Sight& sight);
  Task<ApiResponse> document_for(View& view, const ApiRequest& request, const Target& target, const Sight& sight);
  Status no_such_cluster(const std::string& name, const Sight& sight) const;
  // An empty list of events of which there is no copy, or nothing: clients ask for them beside an object, discovered or
  // not, and take a refusal for a failure of the whole.
  std::optional<ApiResponse> no_events(const View& view, const ApiRequest& request, const ResourcePath& path,
                                       bool is_known) const;
  // Who asks for the pods of a node by the name that the node has here, as `kubectl describe node` does, asks for those
  // of its cluster that name it as the cluster does.
  void name_node_in_its_cluster(const ResourcePath& path, const Sight& sight, Query& query) const;
  Task<void> learn_columns(View& view, const ApiRequest& request, const ResourcePath& path, const Sight& sight);
  // What the resource is to who asks: as a cluster that they may know of has it. Null: it is not served.
  ResourceTypePtr type_for(const View& view, const Resource& resource, const Sight& sight);
  // What the definition of a custom resource is, of a cluster where that is `known`; nothing: it is not followed.
  Task<std::optional<FleetObject>> definition_of(const View& view, const ResourceType& type,
                                                 const FleetDirectory::Known& known);
  // Where what is refused here can be done.
  std::string home_of(const View& view, const ResourcePath& path) const;
  void warn(const View& view, const ResourceTypePtr& type, const ResourcePath& path, const Query& query,
            const Sight& sight, ApiResponse& response) const;

  // Constant after construction.
  Runtime& runtime_;
  FleetReader& fleet_;
  const std::shared_ptr<FleetForms> fleet_forms_ = std::make_shared<FleetForms>(Naming::Fleet);
  const std::shared_ptr<FleetForms> native_forms_ = std::make_shared<FleetForms>(Naming::Native);

  // Confined to the strand.
  FleetDirectory directory_;
  std::map<std::string, std::optional<PartialCatalog>> catalogs_;  // By cluster, user and groups.
  std::map<std::string, std::unique_ptr<View>> views_;             // By cluster; "" is all. Of clusters that are known.
};

}  // namespace tinf::api
