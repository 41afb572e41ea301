// The strand's side of the file: which copies there are, who waits for changes, and what is known of clusters.
#include "tinf/store/sqlite/sqlite_fleet_store.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/json.hpp>
#include <deque>
#include <set>

#include "tinf/contract/history.h"
#include "tinf/store/sqlite/fleet_view.h"
#include "tinf/store/sqlite/sqlite_store.h"
#include "tinf/wire/codec.h"

namespace tinf {

using namespace sqlite;
namespace json = boost::json;

namespace {

constexpr std::size_t kBatchChanges = 256;   // Keeps one busy watch from holding the strand.
constexpr std::size_t kSliceRows = 2000;     // Of a page, between two turns of others who read.
constexpr std::size_t kFeedBytes = 8 << 20;  // Of one collection's latest changes.
constexpr Duration kMeasureAgain = std::chrono::seconds(5);
constexpr Duration kWarnAgain = std::chrono::minutes(10);
constexpr std::uint64_t kAheadIsMuch = 1 << 30;

// What the file says may have been written by hand: what cannot be read is left out.
std::vector<ResourceInfo> offer_of_json(std::string_view text) {
  boost::system::error_code error;
  const json::value tree = json::parse({text.data(), text.size()}, error);
  std::vector<ResourceInfo> offer;
  if (error || !tree.is_array()) return offer;
  for (const json::value& item : tree.get_array()) {
    const json::object* one = item.if_object();
    if (one == nullptr) continue;
    const auto word = [&](const char* name) {
      const json::value* value = one->if_contains(name);
      return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
    };
    const auto words = [&](const char* name) {
      std::vector<std::string> out;
      const json::value* value = one->if_contains(name);
      if (value == nullptr || !value->is_array()) return out;
      for (const json::value& each : value->get_array()) {
        if (each.is_string()) out.emplace_back(each.get_string());
      }
      return out;
    };
    const auto flag = [&](const char* name) {
      const json::value* value = one->if_contains(name);
      return value != nullptr && value->is_bool() && value->get_bool();
    };
    offer.push_back(ResourceInfo{{word("group"), word("version"), word("resource")},
                                 word("kind"),
                                 word("singular"),
                                 words("shortNames"),
                                 words("categories"),
                                 words("verbs"),
                                 flag("namespaced"),
                                 flag("preferred")});
  }
  return offer;
}

std::size_t cost(const FleetChange& change) {
  return sizeof(change) + change.object->memory_bytes() + (change.previous ? change.previous->memory_bytes() : 0);
}

class SqliteFleetStore final : public FleetStore {
 public:
  SqliteFleetStore(Runtime& runtime, HistoryOptions options)
      : runtime_(runtime),
        shared_(std::make_unique<Shared>(options)),
        alive_(std::make_shared<bool>(true)),
        tasks_(runtime.executor) {}

  Result<void> open_file(const std::string& file);

  Result<std::unique_ptr<Store>> open(const std::string& cluster, const Scope& scope) override;
  Task<Result<void>> forget(std::string cluster, Resource resource, bool only_if_empty) override;
  Task<Result<void>> put_cluster(FleetCluster cluster) override;
  std::size_t memory_bytes() const override { return copies_.size() * (sizeof(Copy) + 256); }

  Task<Result<std::optional<FleetObject>>> get(std::string collection, FleetPlace place) const override;
  Task<Result<FleetPage>> list(FleetQuery query) const override;
  Result<std::unique_ptr<FleetWatch>> watch(std::string collection, StoreVersion from,
                                            std::vector<std::string> clusters) override;
  StoreVersion version() const override { return shared_->history.version(); }
  Task<Result<void>> reach(StoreVersion version, TimePoint deadline) override;
  std::vector<FleetCluster> clusters() const override;
  std::vector<FleetScope> scopes() const override;
  void on_clusters(std::function<void()> callback) override { on_clusters_.push_back(std::move(callback)); }

 private:
  class Watch;
  struct KnownCopy {
    std::shared_ptr<Copy> copy;
    bool open = false;
  };
  // The latest changes of a collection, read once for all who watch it. Those who are further behind read for
  // themselves.
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

  void load(Connection& connection, bool goes_on);
  Task<void> read_on(std::string collection, std::shared_ptr<Feed> feed);
  void tell_committed();
  void on_committed(const std::set<CopyName>& changed, StoreVersion version);
  void measure();
  void clusters_changed() {
    for (const auto& callback : on_clusters_) callback();
  }

  Runtime& runtime_;
  const std::unique_ptr<Shared> shared_;
  std::map<std::pair<std::string, std::string>, KnownCopy> copies_;  // By cluster and collection.
  std::map<std::string, FleetCluster> clusters_;
  std::set<std::string> unsaved_;           // Of those what the file does not say yet.
  std::map<std::string, Watched> watched_;  // By collection. Never shrinks: watches refer to its elements.
  VersionWaiters versions_;
  StoreVersion heard_ = 0;  // Of all changes up to here on_committed() was told: version() may be ahead of it.
  std::vector<std::function<void()>> on_clusters_;
  std::shared_ptr<Gauge> file_bytes_, ahead_bytes_, version_gauge_;
  TimePoint measured_at_{};
  TimePoint warned_at_{};
  const std::shared_ptr<bool> alive_;  // For what the writing thread has posted.
  TaskGroup tasks_;
};

// A position in the history: a slow reader costs nothing but its own expiry.
class SqliteFleetStore::Watch final : public FleetWatch {
 public:
  Watch(SqliteFleetStore& store, std::string collection, StoreVersion from, std::vector<std::string> clusters)
      : store_(store),
        collection_(std::move(collection)),
        clusters_(clusters.begin(), clusters.end()),
        watched_(store.watched_[collection_]),
        position_(from),
        changed_at_(store.heard_) {
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
        if (position_ < std::max(feed->from, store_.shared_->history.floor())) {
          auto batch = co_await read();
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
          store_.tasks_.spawn(store_.read_on(collection_, feed));
        }
      } else {
        position_ = std::max(position_, store_.heard_);
      }
      if (!co_await changed_.wait_until(store_.runtime_.clock, deadline)) {
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
    if (!is_about(cluster)) return;
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

  Task<Result<FleetBatch>> read() {
    auto function = [collection = collection_, clusters = clusters_, from = position_](Connection& connection) {
      return read_changes(connection, collection, clusters, from, kBatchChanges);
    };
    co_return co_await store_.shared_->database->read_elsewhere(std::move(function));
  }

  SqliteFleetStore& store_;
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

void SqliteFleetStore::load(Connection& connection, bool goes_on) {
  const auto since_1970 =
      std::chrono::duration_cast<std::chrono::microseconds>(runtime_.clock.wall_now().time_since_epoch());
  shared_->history.load(connection, goes_on, static_cast<StoreVersion>(since_1970.count()));
  // Of none was anything heard yet.
  connection.run("UPDATE cluster SET present = 0 WHERE present <> 0");
  Query known = connection.query("SELECT name, uid, kubernetes, offer FROM cluster");
  while (known.step()) {
    FleetCluster cluster;
    cluster.name = known.text(0);
    cluster.uid = known.text(1);
    cluster.kubernetes = known.text(2);
    cluster.offer = offer_of_json(known.text(3));
    clusters_.emplace(cluster.name, cluster);
  }
  Query copies = connection.query(
      "SELECT c.name, s.collection, s.id, s.api_group, s.api_version, s.resource, s.wanted, s.position, s.count,"
      " s.sum_high, s.sum_low FROM scope s JOIN cluster c ON c.id = s.cluster");
  while (copies.step()) {
    CopyState state;
    state.row = copies.number(2);
    state.resource = Resource{std::string(copies.text(3)), std::string(copies.text(4)), std::string(copies.text(5))};
    state.wanted = copies.text(6);
    state.position = copies.text(7);
    state.fingerprint.count = static_cast<std::uint64_t>(copies.number(8));
    state.fingerprint.high = static_cast<std::uint64_t>(copies.number(9));
    state.fingerprint.low = static_cast<std::uint64_t>(copies.number(10));
    const std::string cluster(copies.text(0));
    KnownCopy& one = copies_[{cluster, std::string(copies.text(1))}];
    one.copy = std::make_shared<Copy>(cluster, std::move(state));
  }
}

Result<void> SqliteFleetStore::open_file(const std::string& file) {
  auto database = Database::open(
      file, [this](Connection& connection, bool goes_on) { load(connection, goes_on); }, [this] { tell_committed(); });
  if (!database) return database.error();
  shared_->history.stored();
  heard_ = version();
  shared_->database = std::move(*database);
  Metrics& metrics = runtime_.metrics;
  file_bytes_ = metrics.gauge("tinf_store_file_bytes", "The database's file.");
  ahead_bytes_ = metrics.gauge("tinf_store_ahead_bytes", "What is written ahead of the database's file.");
  version_gauge_ = metrics.gauge("tinf_store_version", "Of the last change of any copy.");
  measure();
  return Result<void>();
}

// On the writing thread.
void SqliteFleetStore::tell_committed() {
  const bool resources = std::exchange(shared_->resources_changed, false);
  auto changed = std::exchange(shared_->changed, {});
  if (changed.empty() && !resources) return;
  // In one piece: heard_ must not be ahead of what a watch of any collection was told.
  asio::post(runtime_.executor, [this, alive = std::weak_ptr(alive_), changed = std::move(changed), resources,
                                 version = shared_->history.version()] {
    if (!alive.lock()) return;
    on_committed(changed, version);
    if (resources) clusters_changed();
  });
}

void SqliteFleetStore::on_committed(const std::set<CopyName>& changed, StoreVersion version) {
  for (const CopyName& copy : changed) {
    auto& watches = watched_[copy.collection].watches;
    for (Watch* watch : watches) watch->catch_up(heard_);
    for (Watch* watch : watches) watch->hear(copy.cluster, version);
  }
  heard_ = std::max(heard_, version);
  versions_.notify();
  if (runtime_.clock.now() - measured_at_ >= kMeasureAgain) measure();
}

Task<void> SqliteFleetStore::read_on(std::string collection, std::shared_ptr<Feed> feed) {
  auto function = [collection, from = feed->upto](Connection& connection) {
    return read_changes(connection, collection, {}, from, kBatchChanges);
  };
  auto batch = co_await shared_->database->read_elsewhere(std::move(function));
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

void SqliteFleetStore::measure() {
  measured_at_ = runtime_.clock.now();
  const Database::Sizes sizes = shared_->database->sizes();
  file_bytes_->set(static_cast<double>(sizes.file));
  ahead_bytes_->set(static_cast<double>(sizes.ahead));
  version_gauge_->set(static_cast<double>(version()));
  if (sizes.ahead < kAheadIsMuch || (warned_at_ != TimePoint() && measured_at_ - warned_at_ < kWarnAgain)) return;
  warned_at_ = measured_at_;
  runtime_.log.with("store").warning(
      "much is written ahead of the database: a reader that stays in one transaction keeps it from being taken over",
      {{"file", shared_->database->file()}, {"ahead_bytes", std::to_string(sizes.ahead)}});
}

Result<std::unique_ptr<Store>> SqliteFleetStore::open(const std::string& cluster, const Scope& scope) {
  const std::pair name(cluster, scope.resource.group_resource());
  KnownCopy& one = copies_[name];
  if (one.open) return Error(Code::AlreadyExists, "the copy of " + name.second + " of " + cluster + " is open already");
  if (!one.copy) {
    CopyState empty;
    empty.resource = scope.resource;
    one.copy = std::make_shared<Copy>(cluster, std::move(empty));
  }
  const bool known = one.copy->fingerprint().count > 0;
  one.open = true;
  auto close = [this, name] {
    KnownCopy& closed = copies_[name];
    closed.open = false;
    if (closed.copy->fingerprint().count == 0) clusters_changed();
  };
  if (!known) clusters_changed();
  return std::unique_ptr<Store>(std::make_unique<SqliteStore>(*shared_, one.copy, scope, std::move(close)));
}

Task<Result<void>> SqliteFleetStore::forget(std::string cluster, Resource resource, bool only_if_empty) {
  const auto found = copies_.find({cluster, resource.group_resource()});
  if (found == copies_.end()) co_return Result<void>();
  if (found->second.open)
    co_return Error(Code::Conflict, "the copy of " + resource.group_resource() + " of " + cluster + " is in use");
  const auto copy = found->second.copy;
  Work work = work_on(
      *shared_, copy,
      [&shared = *shared_, copy, only_if_empty](Connection& connection) {
        copy->forget(connection, shared.history, only_if_empty);
      },
      copy->fingerprint().count + 1);
  auto done = co_await shared_->database->write(std::move(work));
  if (done) clusters_changed();
  co_return done;
}

Task<Result<void>> SqliteFleetStore::put_cluster(FleetCluster cluster) {
  const auto known = clusters_.find(cluster.name);
  if (known != clusters_.end() && known->second == cluster && unsaved_.count(cluster.name) == 0)
    co_return Result<void>();
  // At once, and in the order in which it is said: what is stored may take its time.
  const bool is_news = known == clusters_.end() || known->second != cluster;
  clusters_[cluster.name] = cluster;
  unsaved_.insert(cluster.name);
  if (is_news) clusters_changed();
  Work work;
  work.write = [cluster](Connection& connection) {
    const std::string offer = wire::encode_resources(cluster.offer);
    connection
        .query(
            "INSERT INTO cluster(name, uid, kubernetes, present, offer) VALUES(?, ?, ?, ?, ?) ON CONFLICT(name)"
            " DO UPDATE SET uid = excluded.uid, kubernetes = excluded.kubernetes, present = excluded.present,"
            " offer = excluded.offer")
        .bind(cluster.name)
        .bind(cluster.uid)
        .bind(cluster.kubernetes)
        .bind(std::int64_t(cluster.present))
        .bind(offer)
        .run();
  };
  work.undo = [] {};
  work.done = [] {};
  auto done = co_await shared_->database->write(std::move(work));
  if (done && clusters_[cluster.name] == cluster) unsaved_.erase(cluster.name);
  co_return done;
}

Task<Result<std::optional<FleetObject>>> SqliteFleetStore::get(std::string collection, FleetPlace place) const {
  auto function = [collection = std::move(collection), place = std::move(place)](Connection& connection) {
    return read_object(connection, collection, place);
  };
  co_return co_await shared_->database->read_elsewhere(std::move(function));
}

Task<Result<FleetPage>> SqliteFleetStore::list(FleetQuery query) const {
  PageSoFar so_far(query);
  while (true) {
    auto function = [query, so_far = std::move(so_far)](Connection& connection) mutable {
      return read_slice(connection, query, std::move(so_far), kSliceRows);
    };
    auto read = co_await shared_->database->read_elsewhere(std::move(function));
    if (!read) co_return read.error();
    if (read->done) co_return std::move(read->page);
    so_far = std::move(*read);
    query.version = so_far.page.version;
  }
}

Result<std::unique_ptr<FleetWatch>> SqliteFleetStore::watch(std::string collection, StoreVersion from,
                                                            std::vector<std::string> clusters) {
  if (const StoreVersion floor = shared_->history.floor(); from < floor) return too_old(from, floor);
  return std::unique_ptr<FleetWatch>(std::make_unique<Watch>(*this, std::move(collection), from, std::move(clusters)));
}

Task<Result<void>> SqliteFleetStore::reach(StoreVersion wanted, TimePoint deadline) {
  return versions_.reach(runtime_.clock, wanted, deadline, [this] { return version(); });
}

std::vector<FleetCluster> SqliteFleetStore::clusters() const {
  std::vector<FleetCluster> all;
  for (const auto& [name, cluster] : clusters_) all.push_back(cluster);
  return all;
}

std::vector<FleetScope> SqliteFleetStore::scopes() const {
  std::vector<FleetScope> all;
  for (const auto& [name, one] : copies_) {
    const CopyState state = one.copy->state();
    if (!one.open && state.fingerprint.count == 0) continue;  // Forgotten.
    FleetScope scope;
    scope.cluster = name.first;
    scope.resource = state.resource;
    scope.objects = state.fingerprint.count;
    all.push_back(std::move(scope));
  }
  return all;
}

}  // namespace

Result<std::unique_ptr<FleetStore>> open_sqlite_fleet_store(Runtime& runtime, std::string file, SqliteOptions options) {
  HistoryOptions history;
  history.retained_changes = options.retained_changes;
  history.retained_bytes = options.retained_bytes;
  auto store = std::make_unique<SqliteFleetStore>(runtime, history);
  auto opened = store->open_file(file);
  if (!opened) return opened.error();
  return std::unique_ptr<FleetStore>(std::move(store));
}

}  // namespace tinf
