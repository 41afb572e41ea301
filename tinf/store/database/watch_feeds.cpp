#include "tinf/store/database/watch_feeds.h"

#include <algorithm>

namespace tinf::database {
namespace {

constexpr std::size_t kBatchChanges = 256;   // Keeps one busy watch from holding the strand.
constexpr std::size_t kFeedBytes = 8 << 20;  // Of one collection's latest changes.

std::size_t cost(const FleetChange& change) {
  return sizeof(change) + change.object->memory_bytes() + (change.previous ? change.previous->memory_bytes() : 0);
}

}  // namespace

// A position in the history: a slow reader costs nothing but its own expiry.
class WatchFeeds::Watch final : public FleetWatch {
 public:
  Watch(WatchFeeds& feeds, std::string collection, StoreVersion from, std::vector<std::string> clusters)
      : feeds_(feeds),
        collection_(std::move(collection)),
        clusters_(clusters.begin(), clusters.end()),
        watched_(feeds.watched_[collection_]),
        position_(from),
        changed_at_(feeds.heard_) {
    place_ = watched_.watches.insert(watched_.watches.end(), this);
  }
  ~Watch() override {
    watched_.watches.erase(place_);
    if (watched_.watches.empty()) watched_.feed = nullptr;
  }

  Task<Result<FleetBatch>> next(TimePoint deadline) override {
    while (true) {
      if (cut_) co_return Error(Code::Cancelled, "the watch of " + collection_ + " was cut");
      if (has_news()) {
        if (!watched_.feed) watched_.feed = std::make_shared<Feed>(position_);
        const auto feed = watched_.feed;
        if (position_ < std::max(feed->from, feeds_.floor_())) {
          auto batch = co_await feeds_.read_(collection_, clusters_, position_, kBatchChanges);
          if (!batch) co_return batch;
          position_ = batch->version;
          if (!batch->changes.empty()) co_return batch;
          continue;
        }
        if (position_ < feed->upto) {
          FleetBatch batch = take(*feed);
          position_ = batch.version;
          if (!batch.changes.empty()) co_return batch;
          continue;
        }
        if (feed->failure) co_return *std::exchange(feed->failure, std::nullopt);
        if (!feed->reading && feed->upto < position_) {
          // It stands where the collection last changed, below the log's floor perhaps. Whoever is as far behind as
          // that reads for itself.
          watched_.feed = std::make_shared<Feed>(position_);
          continue;
        }
        if (!feed->reading) {
          feed->reading = true;
          feeds_.tasks_.spawn(feeds_.read_on(collection_, feed));
        }
      } else {
        position_ = std::max(position_, feeds_.heard_);
      }
      if (!co_await changed_.wait_until(feeds_.runtime_.clock, deadline)) {
        FleetBatch nothing;
        nothing.version = position_;
        co_return nothing;
      }
    }
  }

  void cut() override {
    cut_ = true;
    changed_.notify();
  }

  // A copy of this cluster has changed, at `version` for the last time.
  void hear(const std::string& cluster, StoreVersion version) {
    if (is_about(cluster)) look(version);
  }
  void look(StoreVersion version) {
    changed_at_ = std::max(changed_at_, version);
    changed_.notify();
  }
  // Who has heard all need not fall back to when it last looked, which may be below the log's floor now.
  void catch_up(StoreVersion heard) {
    if (!has_news()) position_ = std::max(position_, heard);
  }
  void wake_for_news() {
    if (has_news()) changed_.notify();
  }

 private:
  bool is_about(const std::string& cluster) const { return clusters_.empty() || clusters_.contains(cluster); }
  bool has_news() const { return changed_at_ > position_; }

  FleetBatch take(const Feed& feed) const {
    FleetBatch batch;
    auto at = std::ranges::upper_bound(feed.changes, position_, {}, &FleetChange::version);
    for (; at != feed.changes.end() && batch.changes.size() < kBatchChanges; ++at) {
      if (is_about(at->cluster)) batch.changes.push_back(*at);
    }
    batch.version = at == feed.changes.end() ? feed.upto : batch.changes.back().version;
    return batch;
  }

  WatchFeeds& feeds_;
  const std::string collection_;
  const std::set<std::string> clusters_;  // Empty: all.
  Watched& watched_;
  std::list<Watch*>::iterator place_;
  StoreVersion position_;
  // Where what it is about changed last, as far as it was told: what it has seen up to there needs no reading. Before
  // it was opened anything may have changed.
  StoreVersion changed_at_;
  bool cut_ = false;
  Signal changed_;
};

Result<std::unique_ptr<FleetWatch>> WatchFeeds::open(std::string collection, StoreVersion from,
                                                     std::vector<std::string> clusters) {
  if (const StoreVersion floor = floor_(); from < floor) return too_old(from, floor);
  return std::unique_ptr<FleetWatch>(std::make_unique<Watch>(*this, std::move(collection), from, std::move(clusters)));
}

void WatchFeeds::heard(const std::set<CopyName>& changed, StoreVersion version) {
  for (const CopyName& copy : changed) {
    auto& watches = watched_[copy.collection].watches;
    for (Watch* watch : watches) watch->catch_up(heard_);
    for (Watch* watch : watches) watch->hear(copy.cluster, version);
  }
  heard_ = std::max(heard_, version);
}

void WatchFeeds::doubt(StoreVersion version) {
  for (auto& [collection, watched] : watched_) {
    watched.feed = nullptr;
    for (Watch* watch : watched.watches) watch->look(version);
  }
  heard_ = std::max(heard_, version);
}

Task<void> WatchFeeds::read_on(std::string collection, std::shared_ptr<Feed> feed) {
  auto batch = co_await read_(collection, {}, feed->upto, kBatchChanges);
  feed->reading = false;
  if (batch) {
    feed->upto = batch->version;
    for (FleetChange& change : batch->changes) {
      feed->bytes += cost(change);
      feed->changes.push_back(std::move(change));
    }
    while (feed->bytes > kFeedBytes && !feed->changes.empty()) {
      feed->from = feed->changes.front().version;
      feed->bytes -= cost(feed->changes.front());
      feed->changes.pop_front();
    }
  } else {
    feed->failure = batch.error();
  }
  for (Watch* watch : watched_[collection].watches) watch->wake_for_news();
}

}  // namespace tinf::database
