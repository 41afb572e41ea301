// Fleet::Scoped: one cluster's one resource: its source behind the broker, its copy, and the informer that keeps it.
#pragma once

#include <memory>
#include <string>

#include "tinf/daemon/fleet.h"
#include "tinf/informer/shared_informer.h"

namespace tinf::daemon {

struct Fleet::Scoped {
  Scoped(Runtime& runtime, BrokerSession& broker, std::string cluster_name, const Scope& wanted, bool in_namespaces,
         std::unique_ptr<Store> empty)
      : session(broker),
        cluster(std::move(cluster_name)),
        id(wanted.id()),
        namespaced(in_namespaces),
        store(std::move(empty)),
        source(broker.open(cluster, store.get())),
        informer(runtime, wanted, *source, *store, *store, informer_options(cluster)),
        objects(runtime.metrics.gauge("tinf_informer_objects", "Objects in the copy.", labels(wanted))),
        store_bytes(runtime.metrics.gauge("tinf_informer_store_bytes", "Memory that the copy takes.", labels(wanted))),
        proof_age(runtime.metrics.gauge("tinf_informer_proven_equal_age_seconds",
                                        "Since the copy was last proven equal to the provider's; -1: not yet.",
                                        labels(wanted))),
        live(runtime.metrics.gauge("tinf_informer_live", "1: synced, and no gap is known.", labels(wanted))),
        events(runtime.metrics.counter("tinf_informer_events_total", "Changes told to handlers.", labels(wanted))) {}

  static SharedInformerOptions informer_options(const std::string& cluster) {
    SharedInformerOptions options;
    options.reflector.labels = {{"cluster", cluster}};
    return options;
  }
  Labels labels(const Scope& scope) const {
    return {{"cluster", cluster}, {"resource", scope.resource.group_resource()}};
  }

  BrokerSession& session;
  const std::string cluster;
  const std::string id;
  const bool namespaced;  // The resource, as it was offered.
  const std::unique_ptr<Store> store;
  std::unique_ptr<ListerWatcher> source;
  SharedInformer informer;
  SharedInformer::Registration registration;
  bool printed = false;  // There is one.
  std::shared_ptr<Gauge> objects, store_bytes, proof_age, live;
  std::shared_ptr<Counter> events;
  bool withdrawn = false;  // Not offered any more.
  bool replaced = false;   // But another version of it is.
};

}  // namespace tinf::daemon
