// What an Informer is behind its handle; the controller's write gate looks into its store.
#pragma once

#include "tinf/informer/shared_informer.h"
#include "tinf/sdk/informer.h"
#include "tinf/sdk/inside/cluster_core.h"

namespace tinf::sdk {

struct Informer::State {
  State(std::shared_ptr<ClusterCore> cluster_core, const Scope& scope, std::unique_ptr<Store> empty,
        SharedInformerOptions options)
      : core(std::move(cluster_core)),
        transforms(options.transform != nullptr),
        store(std::move(empty)),
        source(core->open(transforms ? nullptr : store.get())),
        informer(std::make_unique<SharedInformer>(core->engine().runtime(), scope, *source, *store, *store,
                                                  std::move(options))) {}

  // On the loop.
  Task<Result<void>> wait_synced(TimePoint deadline);
  // Ends it on the loop, whoever holds the last handle.
  static void end(State* state);

  const std::shared_ptr<ClusterCore> core;
  const bool transforms;
  const std::unique_ptr<Store> store;
  std::unique_ptr<ListerWatcher> source;
  std::unique_ptr<SharedInformer> informer;
};

}  // namespace tinf::sdk
