// The strand's side of the file: which copies there are, who waits for changes, and what is known of clusters.
#include "tinf/store/sqlite/sqlite_fleet_store.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <set>

#include "tinf/contract/history.h"
#include "tinf/store/database/watch_feeds.h"
#include "tinf/store/sqlite/fleet_view.h"
#include "tinf/store/sqlite/sqlite_store.h"
#include "tinf/wire/codec.h"

namespace tinf {

using namespace sqlite;
namespace {

constexpr std::size_t kSliceRows = 2000;  // Of a page, between two turns of others who read.
constexpr Duration kMeasureAgain = std::chrono::seconds(5);
constexpr Duration kWarnAgain = std::chrono::minutes(10);
constexpr std::uint64_t kAheadIsMuch = 1 << 30;

class SqliteFleetStore final : public FleetStore {
 public:
  SqliteFleetStore(Runtime& runtime, HistoryOptions history, database::BodyOptions bodies)
      : runtime_(runtime),
        alive_(std::make_shared<bool>(true)),
        shared_(std::make_unique<Shared>(history, bodies)),
        feeds_(
            runtime,
            [this](std::string collection, std::set<std::string> clusters, StoreVersion from, std::size_t limit) {
              auto function = [collection = std::move(collection), clusters = std::move(clusters), from,
                               limit](Connection& connection) {
                return read_changes(connection, collection, clusters, from, limit);
              };
              return shared_->database->read_elsewhere(std::move(function));
            },
            [this] { return shared_->history.floor(); }) {}

  Result<void> open_file(const std::string& file);

  Result<std::unique_ptr<Store>> open(const std::string& cluster, const Scope& scope) override;
  Task<Result<void>> forget(std::string cluster, Resource resource, bool only_if_empty) override;
  Task<Result<void>> put_cluster(FleetCluster cluster) override;
  std::size_t memory_bytes() const override { return copies_.size() * (sizeof(Copy) + 256); }

  Task<Result<std::optional<FleetObject>>> get(std::string collection, FleetPlace place) const override;
  Task<Result<FleetPage>> list(FleetQuery query) const override;
  Result<std::unique_ptr<FleetWatch>> watch(std::string collection, StoreVersion from,
                                            std::vector<std::string> clusters) override {
    return feeds_.open(std::move(collection), from, std::move(clusters));
  }
  StoreVersion version() const override { return shared_->history.version(); }
  Task<Result<void>> reach(StoreVersion version, TimePoint deadline) override;
  std::vector<FleetCluster> clusters() const override { return database::clusters_of(clusters_); }
  std::vector<FleetScope> scopes() const override { return database::scopes_of(copies_); }
  void on_clusters(std::function<void()> callback) override { on_clusters_.push_back(std::move(callback)); }

 private:
  struct KnownCopy {
    std::shared_ptr<Copy> copy;
    bool open = false;
  };
  void load(Connection& connection, bool goes_on);
  void tell_committed();
  void on_committed(const std::set<CopyName>& changed, StoreVersion version);
  void measure();
  void clusters_changed() {
    for (const auto& callback : on_clusters_) callback();
  }

  Runtime& runtime_;
  const std::shared_ptr<bool> alive_;  // For what the writing thread posts, until the end of what is below.
  const std::unique_ptr<Shared> shared_;
  std::map<std::pair<std::string, std::string>, KnownCopy> copies_;  // By cluster and collection.
  std::map<std::string, FleetCluster> clusters_;
  std::set<std::string> unsaved_;  // Of those what the file does not say yet.
  VersionWaiters versions_;
  std::vector<std::function<void()>> on_clusters_;
  std::shared_ptr<Gauge> file_bytes_, ahead_bytes_, version_gauge_;
  TimePoint measured_at_{};
  TimePoint warned_at_{};
  database::WatchFeeds feeds_;
};

void SqliteFleetStore::load(Connection& connection, bool goes_on) {
  const auto since_1970 =
      std::chrono::duration_cast<std::chrono::microseconds>(runtime_.clock.wall_now().time_since_epoch());
  shared_->history.load(connection, goes_on, static_cast<StoreVersion>(since_1970.count()));
  {
    Query made = connection.query("SELECT id, collection, content FROM dictionary ORDER BY id");
    while (made.step()) {
      database::Dictionary one;
      one.id = static_cast<std::uint32_t>(made.number(0));
      one.collection = made.text(1);
      one.content = made.text(2);
      shared_->bodies.add(one);
    }
  }
  // Of none was anything heard yet.
  connection.run("UPDATE cluster SET present = 0 WHERE present <> 0");
  Query known = connection.query("SELECT name, uid, kubernetes, offer FROM cluster");
  while (known.step()) {
    FleetCluster cluster;
    cluster.name = known.text(0);
    cluster.uid = known.text(1);
    cluster.kubernetes = known.text(2);
    cluster.offer = database::offer_of_json(known.text(3));
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
      file, shared_->bodies, [this](Connection& connection, bool goes_on) { load(connection, goes_on); },
      [this] { tell_committed(); });
  if (!database) return database.error();
  shared_->history.stored();
  feeds_.heard({}, version());
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
  asio::post(runtime_.executor, [this, alive = std::weak_ptr(alive_), changed = std::move(changed), resources,
                                 version = shared_->history.version()] {
    if (!alive.lock()) return;
    on_committed(changed, version);
    if (resources) clusters_changed();
  });
}

void SqliteFleetStore::on_committed(const std::set<CopyName>& changed, StoreVersion version) {
  feeds_.heard(changed, version);
  versions_.notify();
  if (runtime_.clock.now() - measured_at_ >= kMeasureAgain) measure();
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
  const bool known = one.copy->state().is_there();
  one.open = true;
  auto close = [this, name] {
    KnownCopy& closed = copies_[name];
    closed.open = false;
    if (!closed.copy->state().is_there()) clusters_changed();
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

Task<Result<void>> SqliteFleetStore::reach(StoreVersion wanted, TimePoint deadline) {
  return versions_.reach(runtime_.clock, wanted, deadline, [this] { return version(); });
}

}  // namespace

Result<std::unique_ptr<FleetStore>> open_sqlite_fleet_store(Runtime& runtime, std::string file, SqliteOptions options) {
  HistoryOptions history;
  history.retained_changes = options.retained_changes;
  history.retained_bytes = options.retained_bytes;
  auto store = std::make_unique<SqliteFleetStore>(runtime, history, options.bodies);
  auto opened = store->open_file(file);
  if (!opened) return opened.error();
  return std::unique_ptr<FleetStore>(std::move(store));
}

}  // namespace tinf
