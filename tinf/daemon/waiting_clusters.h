// WaitingClusters: the clusters whose copies a shared store does not give to this process now: another one holds them,
// or the store cannot be reached. Each is said once, and asked for again until it is given.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/contract/fleet_store.h"

namespace tinf::daemon {

// Confined to the runtime's executor.
class WaitingClusters {
 public:
  // `store` outlives this; null: nothing ever waits.
  WaitingClusters(Runtime& runtime, const FleetStore* store);

  // The store refused a cluster, as Conflict if another process holds it.
  void refused(const std::string& cluster, const Error& why);
  // The store gave it.
  void given(const std::string& cluster);

  // Those to be asked for now: whom nobody else is known to hold, each once a second at most.
  std::vector<std::string> due();

  // Of those that others hold: how many, and which in a line for people (empty if there are none).
  std::size_t held_by_others() const;
  std::string who_holds() const;

  // Why the store gives one that nobody else holds not; empty if there is no such.
  std::string trouble() const;

  // Sets the gauges.
  void refresh_metrics();

 private:
  struct Waiting {
    bool held = false;  // By another process.
    std::string why;    // Who holds it; else the store's own words.
    TimePoint asked_at{};
    std::shared_ptr<Gauge> shown;
  };

  // Constant after construction.
  Runtime& runtime_;
  const FleetStore* const store_;
  const Log log_;
  const std::shared_ptr<Gauge> count_gauge_;

  // Confined to the executor.
  std::map<std::string, Waiting> waiting_;
};

}  // namespace tinf::daemon
