#include "tinf/daemon/fleet.h"

#include <malloc.h>

#include <algorithm>

#include "tinf/base/backoff.h"
#include "tinf/daemon/fleet_scoped.h"
#include "tinf/object/selector.h"

namespace tinf::daemon {

using namespace std::chrono_literals;

namespace {

constexpr Duration kLook = 100ms;
constexpr Duration kPatience = 5s;     // After which a resource that nobody offers is a mistake.
constexpr Duration kLookForLost = 1s;  // At every copy.
constexpr Duration kSayAgain = 10s;    // Of one cluster.
constexpr Duration kTrimAgain = 5s;    // It takes up to 100 ms of a core.

// What a store keeps of a cluster.
FleetCluster in_the_fleet(const ClusterView& cluster) {
  FleetCluster known;
  known.name = cluster.name;
  known.uid = cluster.presence.cluster_uid;
  known.kubernetes = cluster.presence.kubernetes;
  known.present = cluster.present;
  known.offer = cluster.presence.resources;
  return known;
}

}  // namespace

Fleet::Fleet(Runtime& runtime, BrokerSession& session, const InformerDaemonOptions& options, EventPrinter& printer,
             FleetStore* store)
    : runtime_(runtime),
      session_(session),
      options_(options),
      printer_(printer),
      log_(runtime.log.with("informer")),
      store_(store),
      waiting_(runtime, store),
      in_memory_(wiring::Stores::of(options.store).has_value()),
      stores_(wiring::Stores::of(in_memory_ ? options.store : wiring::kDefaultStore).value()),
      started_(runtime.clock.now()),
      last_change_(started_),
      progress_at_(started_),
      clusters_gauge_(runtime.metrics.gauge("tinf_informer_clusters", "Clusters that are present.")),
      held_gauge_(runtime.metrics.gauge("tinf_informer_clusters_held", "Clusters whose copies this process keeps.")),
      learnt_bytes_gauge_(runtime.metrics.gauge("tinf_informer_store_learnt_bytes",
                                                "Memory of what compressed copies share, by resource.")),
      tasks_(runtime.executor),
      writes_(runtime.executor) {
  session_.on_cluster([this](const ClusterView& cluster) { on_cluster(cluster); });
}

Fleet::~Fleet() = default;

std::vector<ResourceInfo> Fleet::wanted(const ClusterView& cluster) {
  std::vector<ResourceInfo> result;
  if (options_.resources.empty()) {
    for (const ResourceInfo& info : cluster.presence.resources) {
      if (info.preferred_version && (info.namespaced || options_.namespace_name.empty())) result.push_back(info);
    }
    return result;
  }
  std::set<std::string>& not_offered = not_offered_[cluster.name];
  for (const std::string& spelling : options_.resources) {
    const auto found = find_resource(cluster.presence.resources, spelling);
    if (!found) {
      not_offered.insert(spelling);
      continue;
    }
    not_offered.erase(spelling);
    found_.insert(spelling);
    result.push_back(*found);
  }
  return result;
}

void Fleet::on_cluster(const ClusterView& cluster) {
  const auto& named = options_.clusters;
  if (!named.empty() && std::find(named.begin(), named.end(), cluster.name) == named.end()) return;
  remember_soon(cluster.name);
  if (!cluster.present) {
    if (may_say(cluster.name, false))
      log_.warning("the cluster is away: its copy stays as it is", {{"cluster", cluster.name}});
    return;
  }
  last_change_ = runtime_.clock.now();
  if (may_say(cluster.name, true))
    log_.info("the cluster is here", {{"cluster", cluster.name}, {"kubernetes", cluster.presence.kubernetes}});
  match_scopes(cluster);
}

// That a cluster comes and goes, or changes its offer, may be said by an enemy: it must not fill the disk.
bool Fleet::may_say(const std::string& cluster, bool is_here) {
  const TimePoint now = runtime_.clock.now();
  const auto [last, fresh] = said_at_.try_emplace({cluster, is_here}, now);
  if (!fresh && now - last->second < kSayAgain) return false;
  last->second = now;
  return true;
}

void Fleet::match_scopes(const ClusterView& cluster) {
  const std::vector<ResourceInfo> follow = wanted(cluster);
  std::set<Resource> keep;
  for (const ResourceInfo& info : follow) keep.insert(info.resource);
  for (auto& [name, scoped] : scopes_) {
    if (name.first != cluster.name) continue;
    const bool withdrawn = keep.count(name.second) == 0;
    const Resource& mine = name.second;
    const bool replaced = std::any_of(keep.begin(), keep.end(), [&mine](const Resource& other) {
      return other.group == mine.group && other.name == mine.name;
    });
    if (withdrawn && !scoped->withdrawn && !replaced && scoped->store->size() > 0) {
      log_.warning("no longer offered: its copy stays as it is",
                   {{"cluster", cluster.name}, {"resource", name.second.group_resource()}});
    }
    scoped->withdrawn = withdrawn;
    scoped->replaced = replaced;
  }
  retire_withdrawn();
  if (store_) forget_unwanted(cluster.name, keep);

  for (const ResourceInfo& info : follow) {
    const ScopeName name(cluster.name, info.resource);
    // It begins when the one before it has ended.
    if (leaving_.count(CopyName(cluster.name, info.resource.group_resource())) > 0) continue;
    const auto held = scopes_.find(name);
    if (held == scopes_.end()) {
      if (!start(cluster.name, info)) return;  // Its other copies are refused as well.
    } else if (held->second->namespaced != info.namespaced) {
      log_.info(info.namespaced ? "its objects are in namespaces now: followed anew"
                                : "its objects are no longer in namespaces: followed anew",
                {{"cluster", cluster.name}, {"resource", info.resource.group_resource()}});
      let_go(held);
    }
  }
  waiting_.given(cluster.name);
}

void Fleet::remember_soon(const std::string& cluster) {
  if (store_ && remembering_.insert(cluster).second) writes_.spawn(remember(cluster));
}

// Until the store knows what was heard last. One at a time of each cluster: what was heard first must not be stored
// last.
Task<void> Fleet::remember(std::string cluster) {
  Backoff backoff(runtime_.clock, runtime_.random);
  while (true) {
    const FleetCluster known = in_the_fleet(session_.clusters().at(cluster));
    auto written = co_await store_->put_cluster(known);
    if (!written && written.error().code == Code::Conflict) {  // Who holds the cluster says so.
      waiting_.refused(cluster, written.error());
      remembering_.erase(cluster);
      co_return;
    }
    if (!written) {
      log_.warning(written.error().message, {{"cluster", cluster}});
      co_await runtime_.clock.sleep_for(backoff.next());
    } else if (known == in_the_fleet(session_.clusters().at(cluster))) {
      remembering_.erase(cluster);
      if (!present(cluster)) waiting_.given(cluster);  // There is no more to ask for.
      co_return;
    }
  }
}

// A store that outlives the process may hold what an earlier one was asked for. Nobody keeps that up any more, so it
// must not be taken for the present. What is merely not offered is no such thing.
void Fleet::forget_unwanted(const std::string& cluster, const std::set<Resource>& wanted) {
  if (options_.resources.empty() || !not_offered_[cluster].empty()) return;
  std::set<std::string> keep;
  for (const Resource& resource : wanted) keep.insert(resource.group_resource());
  for (const FleetScope& scope : store_->scopes()) {
    const CopyName copy(cluster, scope.resource.group_resource());
    const bool held = scopes_.count(ScopeName(cluster, scope.resource)) > 0;
    if (scope.cluster != cluster || held || keep.count(copy.second) > 0 || leaving_.count(copy) > 0) continue;
    leaving_.insert(copy);
    writes_.spawn(forget(ScopeName(cluster, scope.resource)));
  }
}

Task<void> Fleet::forget(ScopeName name) {
  const std::string cluster = name.first;
  const std::string resource = name.second.group_resource();
  Backoff backoff(runtime_.clock, runtime_.random);
  while (true) {
    auto forgotten = co_await store_->forget(cluster, name.second, false);
    if (forgotten) break;
    if (forgotten.error().code == Code::Conflict) {  // Another process has it now, and may have been asked for it.
      leaving_.erase(CopyName(cluster, resource));
      co_return;
    }
    log_.warning(forgotten.error().message, {{"cluster", cluster}, {"resource", resource}});
    co_await runtime_.clock.sleep_for(backoff.next());
  }
  leaving_.erase(CopyName(cluster, resource));
  log_.info("not asked for any more: its copy was deleted", {{"cluster", cluster}, {"resource", resource}});
}

// A right that was taken away, perhaps by mistake, is no reason to forget what was seen. What is empty, as after a CRD
// was removed with its objects, or goes on in another version, is let go.
void Fleet::retire_withdrawn() {
  for (auto it = scopes_.begin(); it != scopes_.end();) {
    Scoped& scoped = *it->second;
    if (!scoped.withdrawn || (!scoped.replaced && scoped.store->size() > 0)) {
      ++it;
      continue;
    }
    log_.info("no longer offered, and let go",
              {{"cluster", it->first.first}, {"resource", it->first.second.group_resource()}});
    it = let_go(it);
  }
}

// While we were stopped, or cut off from a store that several processes share, another one may have taken a cluster
// over.
void Fleet::retire_lost() {
  const TimePoint now = runtime_.clock.now();
  if (!store_ || now - looked_for_lost_at_ < kLookForLost) return;
  looked_for_lost_at_ = now;
  for (auto it = scopes_.begin(); it != scopes_.end();) {
    const std::string cluster = it->first.first;
    const auto end = scopes_.lower_bound(ScopeName(cluster + '\0', Resource()));
    const auto holder = store_->held_by_another(cluster);
    if (!holder && !store_->lost(cluster)) {
      it = end;
      continue;
    }
    if (holder) {
      log_.warning("another process has taken this cluster over: its copies are left to that",
                   {{"cluster", cluster}, {"holder", *holder}});
      waiting_.refused(cluster, Error(Code::Conflict, *holder));
    } else {
      log_.warning("the store has not heard of this process for a while, or began anew: the copies are opened again",
                   {{"cluster", cluster}});
    }
    while (it != end) it = let_go(it);
  }
}

// For the clusters that the store did not give us.
void Fleet::ask_again() {
  for (const std::string& cluster : waiting_.due()) {
    remember_soon(cluster);
    if (present(cluster)) match_scopes(session_.clusters().at(cluster));
  }
}

Fleet::Scopes::iterator Fleet::let_go(Scopes::iterator at) {
  leaving_.insert(CopyName(at->first.first, at->first.second.group_resource()));
  tasks_.spawn(retire(at->first, std::move(at->second)));
  return scopes_.erase(at);
}

// False: the store does not give us this cluster now.
bool Fleet::start(const std::string& cluster, const ResourceInfo& info) {
  Scope scope;
  scope.resource = info.resource;
  scope.namespace_name = info.namespaced ? options_.namespace_name : "";
  scope.label_selector = LabelSelector::parse(options_.label_selector)->canonical();
  scope.field_selector = FieldSelector::parse(options_.field_selector)->canonical();
  scope.projection = options_.metadata_only ? Projection::Metadata : Projection::Full;

  auto copy = store_ ? store_->open(cluster, scope) : stores_.open(info.resource);
  if (!copy && store_) {
    waiting_.refused(cluster, copy.error());
    return false;
  }
  auto scoped = std::make_unique<Scoped>(runtime_, session_, cluster, scope, info.namespaced, std::move(*copy));
  // Of a store on disk a handler reads every state; where nothing is printed, nobody needs it.
  if (in_memory_ || options_.output != OutputForm::None) print(*scoped);
  scoped->informer.start();
  scopes_.emplace(std::make_pair(cluster, info.resource), std::move(scoped));
  return true;
}

void Fleet::print(Scoped& scoped) {
  Scoped* const self = &scoped;
  const Resource resource = scoped.informer.scope().resource;
  Handler handler;
  handler.on_add = [this, self, resource](const ObjectPtr& object, bool) {
    self->events->add();
    printer_.event("ADDED", self->cluster, resource, *object);
  };
  handler.on_update = [this, self, resource](const ObjectPtr&, const ObjectPtr& now) {
    self->events->add();
    printer_.event("MODIFIED", self->cluster, resource, *now);
  };
  handler.on_delete = [this, self, resource](const ObjectPtr& last, bool) {
    self->events->add();
    printer_.event("DELETED", self->cluster, resource, *last);
  };
  handler.on_synced = [this, self, resource] {
    set_told_ = true;
    printer_.synced(self->cluster, resource, self->store->size());
  };
  HandlerOptions how;
  how.name = "print";
  how.resync = options_.resync;
  how.executor = printing_.get_executor();
  auto registration = scoped.informer.add(std::move(handler), how);
  if (!registration) return log_.error(registration.error().message);
  scoped.registration = std::move(*registration);
  scoped.printed = true;
}

Task<void> Fleet::retire(ScopeName name, std::unique_ptr<Scoped> scoped) {
  co_await scoped->informer.stop();
  scoped->registration.reset();
  const bool is_gone = scoped->withdrawn && !scoped->replaced;  // And empty: retire_withdrawn() has looked.
  scoped = nullptr;  // Only now nothing at the broker session goes by its name any more.
  if (store_ && is_gone) {
    // What was still being written when it was let go of counts: then it stays.
    auto forgotten = co_await store_->forget(name.first, name.second, true);
    if (!forgotten && forgotten.error().code != Code::Conflict)
      log_.warning(forgotten.error().message, {{"cluster", name.first}});
  }
  leaving_.erase(CopyName(name.first, name.second.group_resource()));
  if (!stopping_ && present(name.first)) match_scopes(session_.clusters().at(name.first));
}

Task<void> Fleet::stop() {
  stopping_ = true;
  if (store_) store_->hurry();
  printer_.stop();
  for (auto& [name, scoped] : scopes_) {
    co_await scoped->informer.stop();
    scoped->registration.reset();
  }
  scopes_.clear();
  writes_.cancel();
  co_await tasks_.join();
}

bool Fleet::present(const std::string& cluster) const {
  const auto found = session_.clusters().find(cluster);
  return found != session_.clusters().end() && found->second.present;
}

Task<Result<void>> Fleet::run() {
  while (true) {
    co_await runtime_.clock.sleep_for(kLook);
    const Duration since_start = runtime_.clock.now() - started_;
    show_progress();
    give_memory_back();
    retire_withdrawn();
    retire_lost();
    ask_again();
    if (auto failure = printer_.failure()) co_return std::move(*failure);
    if (settled() && since_start > kPatience) {
      auto offered = look_for_unoffered();
      if (!offered) co_return offered;
    }
    if (!options_.once) continue;
    std::string lacking = missing();
    if (lacking.empty()) lacking = kept_by_others();
    if (lacking.empty()) {
      tell_what_is_old();
      co_return Result<void>();
    }
    if (since_start > options_.timeout)
      co_return Error(Code::Timeout, "not everything was there within --timeout: " + lacking);
  }
}

// A first set comes as whole objects, which are let go of once they are held compressed and told. What they took lies
// below what stays, from where glibc gives nothing back by itself.
void Fleet::give_memory_back() {
  const TimePoint now = runtime_.clock.now();
  if (!stores_.compress() || now - trimmed_at_ < kTrimAgain || !set_told_.exchange(false)) return;
  trimmed_at_ = now;
  asio::post(printing_, [] { malloc_trim(0); });  // Too long a time for the executor.
}

}  // namespace tinf::daemon
