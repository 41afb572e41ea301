// ClusterSource: one cluster's API server as a provider needs it: what it offers, and its objects by reflection.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/contract/store.h"
#include "tinf/kube/discovery.h"
#include "tinf/kube/kube_lister_watcher.h"
#include "tinf/kube/rest_client.h"
#include "tinf/object/resource.h"

namespace tinf::wiring {

struct OfferOptions {
  std::vector<std::string> allow;  // Of what is left out by default: secrets, events, leases.
  std::vector<std::string> offer;  // If not empty: these and nothing else.
  std::vector<std::string> deny;

  OfferOptions() = default;
};

// Which of `resources` are offered. A spelling that names none of them is no error, since CRDs come and go: it is in
// `unknown`.
struct Selection {
  std::vector<ResourceInfo> offered;
  std::vector<std::string> unknown;
};
Selection select_offer(const std::vector<ResourceInfo>& resources, const OfferOptions& options);

// Confined to the runtime's executor.
class ClusterSource {
 public:
  ClusterSource(Runtime& runtime, kube::Connection connection, OfferOptions options, bool keep_managed_fields);
  ~ClusterSource();

  struct Offer {
    std::vector<ResourceInfo> resources;
    std::string cluster_uid;
    std::string kubernetes_version;
  };

  // Looks what there is and what our account may list and watch, now and again and again; calls `changed` with each
  // offer that differs from the last. An API server that is away is waited for, and said so once. Until cancelled.
  Task<void> watch_offer(std::function<void(const Offer&)> changed);
  bool reachable() const { return reachable_; }

  // Reflects one scope into `sink` until cancelled (the form that Provider takes).
  Task<void> reflect(Scope scope, StoreWriter& sink, std::function<void(Result<void>, TimePoint)> report);

 private:
  Task<Result<Offer>> look();
  Task<Result<bool>> may_follow(const Resource& resource);

  // Constant after construction.
  Runtime& runtime_;
  const OfferOptions options_;
  const Log log_;
  kube::RestClient client_;
  kube::KubeListerWatcher lister_watcher_;

  // Confined to the executor.
  std::map<Resource, bool> rights_;  // As last asked.
  TimePoint rights_asked_{};
  bool reachable_ = false;
  std::vector<std::string> reported_unknown_;
  kube::GapLog gaps_;
};

}  // namespace tinf::wiring
