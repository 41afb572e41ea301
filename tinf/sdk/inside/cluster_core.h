// ClusterCore: what a Cluster is behind its handle: an engine, and a source of list and watch of either kind.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tinf/contract/lister_watcher.h"
#include "tinf/contract/store.h"
#include "tinf/sdk/informer.h"
#include "tinf/sdk/inside/engine.h"
#include "tinf/wiring/stores.h"

namespace tinf::sdk {

// Made by share(), so that it may end wherever its last holder does.
class ClusterCore {
 public:
  virtual ~ClusterCore() = default;

  virtual Engine& engine() = 0;
  // On the loop. What the source has; Unavailable: it could not be asked before `deadline`.
  virtual Task<Result<std::vector<ResourceInfo>>> offered(TimePoint deadline) = 0;
  // On the loop. `store` is where the copy ends up as it came, null if it does not; both it and this must outlive the
  // source.
  virtual std::unique_ptr<ListerWatcher> open(const StoreReader* store) = 0;
  // On the loop. What a source's open watch does not tell: whether the way to the cluster is there.
  virtual bool following(const Scope& scope) const = 0;
  // On the loop. Why no source of this cluster will ever hear anything again, if that is so.
  virtual std::optional<Error> ended() const = 0;
  // Whether only one source may follow a scope. Then informers of it share one copy: these.
  virtual bool one_source_a_scope() const = 0;
  std::map<Scope, std::weak_ptr<Informer::State>> informers;  // On the loop.
  std::map<std::string, wiring::Stores> stores;               // By their names; on the loop.

  // No thread can wait for its own end: a core whose last holder is on one of its threads ends on another.
  static std::shared_ptr<ClusterCore> share(std::unique_ptr<ClusterCore> core) {
    return std::shared_ptr<ClusterCore>(core.release(), [](ClusterCore* last) {
      if (last->engine().on_own_thread()) {
        std::thread([last] { delete last; }).detach();
      } else {
        delete last;
      }
    });
  }
};

}  // namespace tinf::sdk
