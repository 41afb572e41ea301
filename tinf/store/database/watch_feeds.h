// WatchFeeds: the watches of a store whose history stands in a database.
// Many watchers of one collection share what is read of it: a feed holds its latest changes, and whoever is further
// behind reads for itself.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/contract/fleet_store.h"
#include "tinf/contract/history.h"

namespace tinf::database {

// Collection first: what watches of one collection hear stands together.
struct CopyName {
  std::string collection;
  std::string cluster;
  auto operator<=>(const CopyName&) const = default;
};

// Confined to the runtime's executor. Outlives its watches.
class WatchFeeds {
 public:
  // The next changes of a collection after `from`, at most `limit`, read of the database; of these clusters, or of all.
  using Read = std::function<Task<Result<FleetBatch>>(std::string collection, std::set<std::string> clusters,
                                                      StoreVersion from, std::size_t limit)>;
  // `floor`: the history has every change after it.
  WatchFeeds(Runtime& runtime, Read read, std::function<StoreVersion()> floor)
      : runtime_(runtime), read_(std::move(read)), floor_(std::move(floor)), tasks_(runtime.executor) {}
  WatchFeeds(const WatchFeeds&) = delete;
  WatchFeeds& operator=(const WatchFeeds&) = delete;

  // As FleetReader::watch().
  Result<std::unique_ptr<FleetWatch>> open(std::string collection, StoreVersion from,
                                           std::vector<std::string> clusters);

  // Of all that is stored up to `version`, these copies alone have changed since heard(). In one piece: it must not be
  // ahead of what a watch was told.
  void heard(const std::set<CopyName>& changed, StoreVersion version);
  StoreVersion heard() const { return heard_; }
  // Anything may have changed up to `version`, and more than the history says: every watch looks whether it can go on.
  void doubt(StoreVersion version);

 private:
  class Watch;
  // The latest changes of a collection, read once for all who watch it.
  struct Feed {
    explicit Feed(StoreVersion at) : from(at), upto(at) {}

    StoreVersion from;  // It has every change after this one,
    StoreVersion upto;  // and up to this one.
    std::deque<FleetChange> changes;
    std::size_t bytes = 0;
    bool reading = false;
    std::optional<Error> failure;  // Of the last reading.
  };
  struct Watched {
    std::list<Watch*> watches;
    std::shared_ptr<Feed> feed;  // While somebody watches.
  };

  Task<void> read_on(std::string collection, std::shared_ptr<Feed> feed);

  Runtime& runtime_;
  const Read read_;
  const std::function<StoreVersion()> floor_;
  std::map<std::string, Watched> watched_;  // By collection. Never shrinks: watches refer to its elements.
  StoreVersion heard_ = 0;                  // heard() was told of all changes up to here.
  TaskGroup tasks_;
};

}  // namespace tinf::database
