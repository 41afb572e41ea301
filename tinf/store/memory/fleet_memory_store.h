// FleetMemoryStore: a FleetStore that forgets everything with the process.
// The embedded default of an informer that serves, and what the API's tests run on.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>

#include "tinf/base/clock.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/contract/history.h"
#include "tinf/store/memory/journal.h"

namespace tinf {

class ObjectPacker;

struct FleetMemoryOptions {
  bool compress = false;  // Copies take a third of the memory, and longer to read and write.
  // History kept of all collections together. What goes first is the oldest, so a busy resource shortens how far the
  // others reach back, but expires none of their watches: an idle one has nothing behind it.
  std::size_t retained_changes = 100'000;
  std::size_t retained_bytes = 64u << 20;
  // What an empty store is at; nothing: microseconds since 1970, so that the next life of the process goes on behind
  // this one. It does while the wall clock does.
  std::optional<StoreVersion> first_version;

  FleetMemoryOptions() = default;
};

// Copies are memory stores; old versions are listed by undoing the retained history, newest first: cheap near the
// present, where clients read. A long list gives way to others on the strand every few thousand objects, and is as of
// one version all the same.
// Confined to one strand, as are the writing halves of its copies. Outlives its copies and watches.
class FleetMemoryStore final : public FleetStore {
 public:
  explicit FleetMemoryStore(Clock& clock, FleetMemoryOptions options = FleetMemoryOptions());
  ~FleetMemoryStore() override;

  FleetMemoryStore(const FleetMemoryStore&) = delete;
  FleetMemoryStore& operator=(const FleetMemoryStore&) = delete;

  Task<Result<std::optional<FleetObject>>> get(std::string collection, FleetPlace place) const override;
  Task<Result<FleetPage>> list(FleetQuery query) const override;
  Result<std::unique_ptr<FleetWatch>> watch(std::string collection, StoreVersion from,
                                            std::vector<std::string> clusters) override;
  StoreVersion version() const override { return version_; }
  Task<Result<void>> reach(StoreVersion version, TimePoint deadline) override;
  std::vector<FleetCluster> clusters() const override;
  std::vector<FleetScope> scopes() const override;
  void on_clusters(std::function<void()> callback) override { on_clusters_.push_back(std::move(callback)); }

  Result<std::unique_ptr<Store>> open(const std::string& cluster, const Scope& scope) override;
  Task<Result<void>> forget(std::string cluster, Resource resource, bool only_if_empty) override;
  Task<Result<void>> put_cluster(FleetCluster cluster) override;
  // The history, what compression has learnt, and copies that are not open.
  std::size_t memory_bytes() const override;

 private:
  class Watch;
  class Copy;
  class OpenCopy;
  class Present;
  struct Scan;
  struct Entry {
    FleetChange change;
    StoreVersion previous_version = 0;  // Of change.previous.
  };
  struct Collection {
    std::map<std::string, std::unique_ptr<Copy>> copies;  // By cluster.
    std::deque<Entry> history;                            // In version order.
    StoreVersion floor = 0;                               // `history` has every change after this one.
    std::list<Watch*> watches;
  };

  Collection& collection(const std::string& name);
  const Collection* find(const std::string& name) const;
  std::unique_ptr<JournaledStore> make_store(const Resource& resource);
  StoreVersion note(Collection& collection, const std::string& cluster, Journal::State before, ObjectPtr after);
  void record(Collection& collection, Entry entry);
  void forget_oldest();
  std::size_t count(const FleetQuery& query) const;  // Objects of the clusters that it asks for.
  bool scan(const FleetQuery& query, FleetPage& page, std::optional<FleetPlace>& after) const;
  void tell_clusters() const;

  // Constant after construction.
  Clock& clock_;
  const FleetMemoryOptions options_;

  // Confined to the strand.
  StoreVersion version_;
  const StoreVersion first_version_;
  std::map<std::string, Collection, std::less<>> collections_;  // Never shrinks: watches refer to its elements.
  std::deque<Collection*> changed_;                             // Whose history has the next change, oldest first.
  std::size_t history_bytes_ = 0;
  std::map<std::string, FleetCluster> clusters_;
  std::map<std::string, std::shared_ptr<ObjectPacker>> packers_;  // By collection.
  VersionWaiters versions_;
  std::vector<std::function<void()>> on_clusters_;
};

}  // namespace tinf
