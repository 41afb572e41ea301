// Fleet: what the informer daemon follows: for each cluster that shows itself, an informer for each resource asked for.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/daemon/event_printer.h"
#include "tinf/daemon/options.h"
#include "tinf/daemon/waiting_clusters.h"
#include "tinf/follower/broker_session.h"

namespace tinf::daemon {

// Confined to the runtime's executor; handlers print on a thread of their own.
class Fleet {
 public:
  // `store` keeps the copies; null: they are in memory, as options.store says.
  Fleet(Runtime& runtime, BrokerSession& session, const InformerDaemonOptions& options, EventPrinter& printer,
        FleetStore* store);
  ~Fleet();

  // Runs until cancelled; with --once, until everything asked for is there. Errors:
  // NotFound: a resource that no cluster offers; Timeout: --once took too long (the message says what is missing);
  // Cancelled: stdout was closed.
  Task<Result<void>> run();

  // Ends every informer.
  Task<void> stop();

  // Empty if everything asked for is there and followed; otherwise what is missing. What another process keeps in a
  // shared store is not.
  std::string missing() const;
  // What another process keeps, in a line for people; empty if there is no such.
  std::string kept_by_others() const { return waiting_.who_holds(); }

  // Sets the gauges that are computed when they are asked for.
  void refresh_metrics();

 private:
  struct Scoped;  // One cluster's one resource.

  using ScopeName = std::pair<std::string, Resource>;    // Cluster and resource.
  using CopyName = std::pair<std::string, std::string>;  // Cluster and Resource::group_resource().
  using Scopes = std::map<ScopeName, std::unique_ptr<Scoped>>;

  void on_cluster(const ClusterView& cluster);
  bool may_say(const std::string& cluster, bool is_here);
  void match_scopes(const ClusterView& cluster);
  void forget_unwanted(const std::string& cluster, const std::set<Resource>& wanted);
  Task<void> forget(ScopeName name);
  void remember_soon(const std::string& cluster);
  Task<void> remember(std::string cluster);
  bool start(const std::string& cluster, const ResourceInfo& info);
  void print(Scoped& scoped);
  void retire_withdrawn();
  void retire_lost();
  void ask_again();
  Scopes::iterator let_go(Scopes::iterator at);
  Task<void> retire(ScopeName name, std::unique_ptr<Scoped> scoped);
  bool present(const std::string& cluster) const;
  Result<void> look_for_unoffered();
  void tell_what_is_old() const;
  std::vector<ResourceInfo> wanted(const ClusterView& cluster);
  void show_progress();
  void give_memory_back();
  bool settled() const;

  // Constant after construction.
  Runtime& runtime_;
  BrokerSession& session_;
  const InformerDaemonOptions options_;
  EventPrinter& printer_;
  const Log log_;

  // Set by the printing thread.
  std::atomic<bool> set_told_ = false;

  // Confined to the executor.
  FleetStore* const store_;
  std::set<std::string> remembering_;  // Clusters of which the store is being told.
  WaitingClusters waiting_;
  const bool in_memory_;   // The copies, whoever keeps them.
  wiring::Stores stores_;  // Where there is no store.
  Scopes scopes_;
  std::map<std::pair<std::string, bool>, TimePoint> said_at_;
  std::set<CopyName> leaving_;  // Scopes that end; no other version of their resource begins meanwhile.
  bool stopping_ = false;
  std::map<std::string, std::set<std::string>> not_offered_;  // Spellings asked for, by cluster.
  std::set<std::pair<std::string, std::string>> told_not_offered_;
  std::set<std::string> found_;  // Spellings that some cluster has offered.
  TimePoint started_;
  TimePoint last_change_;  // When a cluster or an offer was last new.
  std::uint64_t progress_objects_ = 0;
  TimePoint progress_at_{};
  bool progress_shown_ = false;
  TimePoint trimmed_at_{};
  TimePoint looked_for_lost_at_{};
  std::shared_ptr<Gauge> clusters_gauge_;
  std::shared_ptr<Gauge> held_gauge_;
  std::shared_ptr<Gauge> learnt_bytes_gauge_;
  asio::thread_pool printing_{1};
  TaskGroup tasks_;
  TaskGroup writes_;  // To the store itself, which may take long: nobody waits for their end.
};

}  // namespace tinf::daemon
