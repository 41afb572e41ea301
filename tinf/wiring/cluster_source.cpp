#include "tinf/wiring/cluster_source.h"

#include <algorithm>
#include <optional>
#include <set>

#include "tinf/informer/reflect.h"
#include "tinf/kube/access.h"

namespace tinf::wiring {

using namespace std::chrono_literals;

namespace {

constexpr Duration kLookAgain = 10s;    // Two small requests; how late a new CRD may be offered.
constexpr Duration kAskRights = 10min;  // One request for each resource and verb.

// Secrets are secret; events and leases change all the time and are of use where they are.
bool left_out_by_default(const Resource& resource) {
  return (resource.group.empty() && (resource.name == "secrets" || resource.name == "events")) ||
         (resource.group == "events.k8s.io" && resource.name == "events") ||
         (resource.group == "coordination.k8s.io" && (resource.name == "leases" || resource.name == "leasecandidates"));
}

bool same(const ClusterSource::Offer& a, const ClusterSource::Offer& b) {
  return a.cluster_uid == b.cluster_uid && a.kubernetes_version == b.kubernetes_version && a.resources == b.resources;
}

}  // namespace

Selection select_offer(const std::vector<ResourceInfo>& resources, const OfferOptions& options) {
  Selection selection;
  const auto find_all = [&](const std::vector<std::string>& spellings) {
    std::set<Resource> found;
    for (const std::string& spelling : spellings) {
      const auto one = find_resource(resources, spelling);
      if (!one) {
        selection.unknown.push_back(spelling);
        continue;
      }
      // All versions of it: who may see one may see the others.
      for (const ResourceInfo& info : resources) {
        if (info.resource.group == one->resource.group && info.resource.name == one->resource.name)
          found.insert(info.resource);
      }
    }
    return found;
  };
  const auto allowed = find_all(options.allow);
  const auto only = find_all(options.offer);
  const auto denied = find_all(options.deny);
  for (const ResourceInfo& info : resources) {
    if (!info.has_verb("list") || !info.has_verb("watch") || denied.count(info.resource) > 0) continue;
    const bool wanted = options.offer.empty() ? !left_out_by_default(info.resource) || allowed.count(info.resource) > 0
                                              : only.count(info.resource) > 0 || allowed.count(info.resource) > 0;
    if (wanted) selection.offered.push_back(info);
  }
  return selection;
}

namespace {

kube::KubeListerWatcherOptions lister_options(bool keep_managed_fields) {
  kube::KubeListerWatcherOptions options;
  options.keep_managed_fields = keep_managed_fields;
  return options;
}

}  // namespace

ClusterSource::ClusterSource(Runtime& runtime, kube::Connection connection, OfferOptions options,
                             bool keep_managed_fields)
    : runtime_(runtime),
      options_(std::move(options)),
      log_(runtime.log.with("kube")),
      client_(runtime, std::move(connection)),
      lister_watcher_(client_, lister_options(keep_managed_fields)) {}

ClusterSource::~ClusterSource() = default;

Task<void> ClusterSource::watch_offer(std::function<void(const Offer&)> changed) {
  std::optional<Offer> last;
  Backoff backoff(runtime_.clock, runtime_.random);
  bool away = false;
  while (true) {
    auto offer = co_await look();
    if (!offer) {
      reachable_ = false;
      if (!away)
        log_.warning("the API server cannot be asked what it offers: " + offer.error().message + "; trying again",
                     {{"server", client_.connection().server}});
      away = true;
      const Duration wait = backoff.next();
      co_await runtime_.clock.sleep_for(wait);
      continue;
    }
    if (away) log_.info("the API server answers again", {{"server", client_.connection().server}});
    away = false;
    reachable_ = true;
    if (!last || !same(*last, *offer)) changed(*offer);
    last = std::move(*offer);
    co_await runtime_.clock.sleep_for(kLookAgain);
  }
}

Task<Result<ClusterSource::Offer>> ClusterSource::look() {
  auto found = co_await kube::discover(client_);
  if (!found) co_return found.error();
  gaps_.say(client_, std::move(found->gaps));
  Selection selection = select_offer(found->resources, options_);
  if (!selection.unknown.empty() && selection.unknown != reported_unknown_) {
    std::string names;
    for (const std::string& name : selection.unknown) names += (names.empty() ? "" : ", ") + name;
    log_.warning("the API server has no " + names + " now; it counts as soon as it is there");
    reported_unknown_ = selection.unknown;
  }
  if (runtime_.clock.now() - rights_asked_ > kAskRights || rights_asked_ == TimePoint()) {
    rights_.clear();
    rights_asked_ = runtime_.clock.now();
  }
  Offer offer;
  for (ResourceInfo& info : selection.offered) {
    auto allowed = co_await may_follow(info.resource);
    if (!allowed) co_return allowed.error();
    if (*allowed) offer.resources.push_back(std::move(info));
  }
  auto version = co_await kube::server_version(client_);
  if (version) offer.kubernetes_version = version->git_version;
  auto uid = co_await kube::cluster_uid(client_);
  if (uid) offer.cluster_uid = *uid;
  co_return offer;
}

Task<Result<bool>> ClusterSource::may_follow(const Resource& resource) {
  const auto known = rights_.find(resource);
  if (known != rights_.end()) co_return known->second;
  bool both = true;
  for (const std::string_view verb : {"list", "watch"}) {
    auto allowed = co_await kube::may(client_, resource, verb);
    if (!allowed) co_return allowed.error();
    both = both && *allowed;
  }
  rights_[resource] = both;
  co_return both;
}

Task<void> ClusterSource::reflect(Scope scope, StoreWriter& sink, std::function<void(Result<void>, TimePoint)> report) {
  co_await tinf::reflect(runtime_, std::move(scope), lister_watcher_, sink, std::move(report));
}

}  // namespace tinf::wiring
