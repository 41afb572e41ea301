// The strand's side of the database: which copies there are, which of them this process holds, who waits for changes,
// and what is known of clusters.
#include "tinf/store/postgres/postgres_fleet_store.h"

#include <unistd.h>

#include <boost/asio/post.hpp>
#include <map>

#include "tinf/contract/history.h"
#include "tinf/store/postgres/draft.h"
#include "tinf/store/postgres/fleet_view.h"
#include "tinf/store/postgres/listener.h"
#include "tinf/store/postgres/postgres_store.h"

namespace tinf {

using namespace postgres;
using database::CopyName;

namespace {

constexpr std::size_t kRowsTogether = 1000;  // Of one transaction.
constexpr std::size_t kSliceRows = 2000;     // Of a page, between two turns of others who read.

std::string this_process() {
  char host[256] = {};
  (void)gethostname(host, sizeof host - 1);
  return std::string(host) + "/" + std::to_string(getpid());
}

class PostgresFleetStore final : public FleetStore {
 public:
  PostgresFleetStore(Runtime& runtime, Target target, PostgresSettings settings);
  ~PostgresFleetStore() override;

  Result<void> open_database();

  Result<std::unique_ptr<Store>> open(const std::string& cluster, const Scope& scope) override;
  Task<Result<void>> forget(std::string cluster, Resource resource, bool only_if_empty) override;
  Task<Result<void>> put_cluster(FleetCluster cluster) override;
  std::optional<std::string> held_by_another(const std::string& cluster) const override;
  bool lost(const std::string& cluster) const override;
  void hurry() override { common_.closing.raise(); }
  std::size_t memory_bytes() const override { return copies_.size() * (sizeof(Copy) + 256); }

  Task<Result<std::optional<FleetObject>>> get(std::string collection, FleetPlace place) const override;
  Task<Result<FleetPage>> list(FleetQuery query) const override;
  Result<std::unique_ptr<FleetWatch>> watch(std::string collection, StoreVersion from,
                                            std::vector<std::string> clusters) override {
    if (auto there = common_.health.state(); !there && common_.progress.version() == 0) return there.error();
    return feeds_.open(std::move(collection), from, std::move(clusters));
  }
  StoreVersion version() const override { return common_.progress.version(); }
  Task<Result<void>> reach(StoreVersion version, TimePoint deadline) override {
    return versions_.reach(runtime_.clock, version, deadline, [this] { return common_.progress.version(); });
  }
  std::vector<FleetCluster> clusters() const override { return database::clusters_of(clusters_); }
  std::vector<FleetScope> scopes() const override { return database::scopes_of(copies_); }
  void on_clusters(std::function<void()> callback) override { on_clusters_.push_back(std::move(callback)); }
  Result<void> reachable() const override { return common_.health.state(); }

 private:
  struct KnownCopy {
    std::shared_ptr<Copy> copy;
    bool open = false;
    std::string token;  // Of the lease that it was opened under.
  };
  // A cluster that this process has taken.
  struct Held {
    std::string token;
    bool is_loaded = false;  // What is known of its copies is what the database says.
  };

  void post(std::function<void()> function);
  void on_news(const News& news);
  void on_committed(const Committed& committed);
  void on_lost();
  void on_away(const std::string& trouble);
  bool learn(const News::CopyRow& row);
  bool forget_others(const News& news);
  bool holds(const std::string& cluster) const;
  Result<void> take(const std::string& cluster);
  KnownCopy& known(const std::string& cluster, const std::string& collection, const Resource& resource);
  void clusters_changed() {
    for (const auto& callback : on_clusters_) callback();
  }

  Runtime& runtime_;
  const Log log_;
  Common common_;
  Writer writer_;
  std::map<std::pair<std::string, std::string>, KnownCopy> copies_;  // By cluster and collection.
  std::map<std::string, FleetCluster> clusters_;
  std::map<std::string, Held> held_;  // By cluster; of an older lease they are held no more.
  VersionWaiters versions_;
  std::vector<std::function<void()>> on_clusters_;
  std::shared_ptr<Gauge> version_gauge_, reachable_gauge_;
  database::WatchFeeds feeds_;
  bool is_opening_ = false;            // There are no other threads yet.
  const std::shared_ptr<bool> alive_;  // For what other threads have posted.
  Listener listener_;                  // Outlives those that read, who wake it.
  Readers readers_;
  Commits commits_;
};

PostgresFleetStore::PostgresFleetStore(Runtime& runtime, Target target, PostgresSettings settings)
    : runtime_(runtime),
      log_(runtime.log.with("store")),
      common_(std::move(target), std::move(settings), this_process()),
      writer_(common_),
      version_gauge_(runtime.metrics.gauge("tinf_store_version", "Of the last change of any copy.")),
      reachable_gauge_(runtime.metrics.gauge("tinf_store_reachable", "1: the database answers.")),
      feeds_(
          runtime,
          [this](std::string collection, std::set<std::string> in, StoreVersion from, std::size_t limit) {
            auto function = [&progress = common_.progress, collection = std::move(collection), in = std::move(in), from,
                             limit](Connection& connection) {
              return read_changes(connection, progress, collection, in, from, limit);
            };
            return readers_.read_elsewhere(std::move(function));
          },
          [this] { return common_.progress.floor(); }),
      alive_(std::make_shared<bool>(true)),
      listener_(common_,
                {[this](News news) { post([this, news = std::move(news)] { on_news(news); }); },
                 [this] { post([this] { on_lost(); }); },
                 [this](std::string trouble) { post([this, trouble = std::move(trouble)] { on_away(trouble); }); }}),
      readers_(common_),
      commits_(kRowsTogether, [this](const std::vector<Work*>& together) { writer_.carry_out(together); },
               {[this] {
                  listener_.notify();
                  post([this, committed = writer_.take_committed()] { on_committed(committed); });
                },
                [this] {
                  if (common_.lease.token().empty()) listener_.look();  // A write has found it lost.
                }}) {}

PostgresFleetStore::~PostgresFleetStore() {
  common_.closing.raise();
  commits_.stop();
  listener_.stop();
  (void)readers_.read([this](Connection& connection) { common_.lease.leave(connection); });
}

// From other threads. What was posted in one order is done in it. What is there at first is known when it is open.
void PostgresFleetStore::post(std::function<void()> function) {
  if (is_opening_) return function();
  asio::post(runtime_.executor, [alive = std::weak_ptr(alive_), function = std::move(function)] {
    if (alive.lock()) function();
  });
}

Result<void> PostgresFleetStore::open_database() {
  is_opening_ = true;
  auto opened = listener_.open();
  is_opening_ = false;
  if (!opened) return opened;
  listener_.start();
  commits_.start();
  return Result<void>();
}

void PostgresFleetStore::on_news(const News& news) {
  bool listed_anew = false;
  for (const FleetCluster& cluster : news.clusters) {
    // What this process says itself is known sooner than it is read.
    if (holds(cluster.name)) continue;
    FleetCluster& known = clusters_[cluster.name];
    listed_anew = listed_anew || known != cluster;
    known = cluster;
  }
  for (const News::CopyRow& row : news.copies) listed_anew = learn(row) || listed_anew;
  if (news.is_all) listed_anew = forget_others(news) || listed_anew;
  feeds_.heard(news.changed, news.version);
  if (news.is_anew) feeds_.doubt(news.version);
  common_.progress.heard = feeds_.heard();
  versions_.notify();
  version_gauge_->set(static_cast<double>(version()));
  if (listed_anew) clusters_changed();
}

// True: who asks which copies there are gets another answer.
bool PostgresFleetStore::learn(const News::CopyRow& row) {
  if (const auto held = held_.find(row.name.cluster);
      held != held_.end() && held->second.is_loaded && holds(row.name.cluster))
    return false;
  KnownCopy& one = known(row.name.cluster, row.name.collection, row.state.resource);
  if (one.open && one.token == common_.lease.token()) return false;  // What it was opened with is newer.
  const CopyState before = one.copy->state();
  one.copy->stored(row.state);
  return !one.open && (before.is_there() != row.state.is_there() || before.resource != row.state.resource);
}

// All there is was read: what was not among it has gone, as where a backup was put back.
bool PostgresFleetStore::forget_others(const News& news) {
  std::set<CopyName> there;
  std::set<std::string> known_clusters;
  for (const News::CopyRow& row : news.copies) there.insert(row.name);
  for (const FleetCluster& cluster : news.clusters) known_clusters.insert(cluster.name);
  bool listed_anew = false;
  for (auto& [name, one] : copies_) {
    if (there.contains(CopyName{name.second, name.first}) || holds(name.first)) continue;
    CopyState none;
    none.resource = one.copy->state().resource;
    listed_anew = listed_anew || (!one.open && one.copy->state().is_there());
    one.copy->stored(std::move(none));
  }
  const auto gone = std::erase_if(
      clusters_, [&](const auto& entry) { return !known_clusters.contains(entry.first) && !holds(entry.first); });
  return listed_anew || gone > 0;
}

void PostgresFleetStore::on_committed(const Committed& committed) {
  if (committed.version > 0) feeds_.heard(committed.changed, committed.version);
  if (committed.is_anew) feeds_.doubt(committed.version);
  common_.progress.heard = feeds_.heard();
  versions_.notify();
  version_gauge_->set(static_cast<double>(version()));
  if (committed.resources_changed) clusters_changed();
}

// What was taken under the new lease by now stays.
void PostgresFleetStore::on_lost() {
  std::erase_if(held_, [token = common_.lease.token()](const auto& entry) { return entry.second.token != token; });
}

void PostgresFleetStore::on_away(const std::string& trouble) {
  reachable_gauge_->set(trouble.empty() ? 1 : 0);
  if (trouble.empty()) {
    log_.info("the database is reached again", {{"database", common_.target.name()}});
  } else {
    log_.warning(trouble);
  }
}

bool PostgresFleetStore::holds(const std::string& cluster) const {
  const auto held = held_.find(cluster);
  return held != held_.end() && held->second.token == common_.lease.token();
}

std::optional<std::string> PostgresFleetStore::held_by_another(const std::string& cluster) const {
  const auto holder = common_.lease.holder_of(cluster);
  return holder ? std::optional(holder->process) : std::nullopt;
}

bool PostgresFleetStore::lost(const std::string& cluster) const {
  const std::string token = common_.lease.token();
  for (auto at = copies_.lower_bound({cluster, ""}); at != copies_.end() && at->first.first == cluster; ++at) {
    if (at->second.open && at->second.token != token) return true;
  }
  return false;
}

PostgresFleetStore::KnownCopy& PostgresFleetStore::known(const std::string& cluster, const std::string& collection,
                                                         const Resource& resource) {
  KnownCopy& one = copies_[{cluster, collection}];
  if (!one.copy) {
    CopyState empty;
    empty.resource = resource;
    one.copy = std::make_shared<Copy>(cluster, collection, std::move(empty));
  }
  return one;
}

// Takes the cluster, unless it is held, and reads what there is of it.
Result<void> PostgresFleetStore::take(const std::string& cluster) {
  if (const auto held = held_.find(cluster); held != held_.end() && held->second.is_loaded && holds(cluster))
    return Result<void>();
  struct Taken : Lease::Taken {
    std::vector<News::CopyRow> copies;
  };
  auto taken = readers_.read([&](Connection& connection) {
    Taken result;
    static_cast<Lease::Taken&>(result) = common_.lease.take(connection, {cluster});
    const Rows rows = connection.run(
        "SELECT s.collection, s.id, s.api_group, s.api_version, s.resource, s.wanted, s.position, s.count, s.sum_high,"
        " s.sum_low FROM scope s JOIN cluster c ON c.id = s.cluster WHERE c.name = $1",
        Values().add(cluster));
    for (int row = 0; row < rows.size(); ++row)
      result.copies.push_back(News::CopyRow{CopyName{rows.string(row, 0), cluster}, copy_state_of(rows, row, 1)});
    return result;
  });
  if (common_.lease.token().empty()) listener_.look();  // It was found lost.
  if (!taken) return taken.error();
  if (!taken->clusters.contains(cluster)) return common_.lease.refusal(common_.target.name(), cluster);
  for (const News::CopyRow& row : taken->copies) {
    const auto& copy = known(cluster, row.name.collection, row.state.resource).copy;
    copy->hold_under(taken->token);  // First: what is written under an older one is no news from here on.
    copy->stored(row.state);
  }
  held_[cluster] = Held{taken->token, true};
  return Result<void>();
}

Result<std::unique_ptr<Store>> PostgresFleetStore::open(const std::string& cluster, const Scope& scope) {
  const std::string collection = scope.resource.group_resource();
  if (const auto found = copies_.find({cluster, collection}); found != copies_.end() && found->second.open)
    return Error(Code::AlreadyExists, "the copy of " + collection + " of " + cluster + " is open already");
  if (auto taken = take(cluster); !taken) return taken.error();
  KnownCopy& one = known(cluster, collection, scope.resource);
  one.open = true;
  one.token = held_[cluster].token;
  one.copy->hold_under(one.token);
  auto close = [this, cluster, collection] {
    KnownCopy& closed = copies_[{cluster, collection}];
    closed.open = false;
    if (!closed.copy->state().is_there()) clusters_changed();
  };
  if (!one.copy->state().is_there()) clusters_changed();
  return std::unique_ptr<Store>(
      std::make_unique<PostgresStore>(readers_, commits_, one.copy, scope, one.token, std::move(close)));
}

Task<Result<void>> PostgresFleetStore::forget(std::string cluster, Resource resource, bool only_if_empty) {
  const std::string collection = resource.group_resource();
  const auto found = copies_.find({cluster, collection});
  if (found == copies_.end()) co_return Result<void>();
  if (found->second.open)
    co_return Error(Code::Conflict, "the copy of " + collection + " of " + cluster + " is in use");
  if (auto taken = take(cluster); !taken) co_return taken.error();
  Work work;
  work.cluster = cluster;
  work.token = held_[cluster].token;
  found->second.copy->hold_under(work.token);
  work.rows = found->second.copy->fingerprint().count + 1;
  work.subject = found->second.copy.get();
  CopyChange& change = work.change.emplace();
  change.kind = CopyChange::Kind::Forget;
  change.copy = found->second.copy;
  change.scope.resource = std::move(resource);
  change.only_if_empty = only_if_empty;
  auto done = co_await commits_.write(std::move(work));
  if (done) clusters_changed();
  co_return done;
}

Task<Result<void>> PostgresFleetStore::put_cluster(FleetCluster cluster) {
  const auto known = clusters_.find(cluster.name);
  if (holds(cluster.name) && known != clusters_.end() && known->second == cluster) co_return Result<void>();
  Work work;
  work.cluster = cluster.name;
  if (holds(cluster.name)) work.token = held_[cluster.name].token;
  work.known = cluster;
  const std::string token = common_.lease.token();
  auto done = co_await commits_.write(std::move(work));
  if (!done) co_return done;
  // Under another token than before nobody can tell which of them it was taken under.
  if (!holds(cluster.name) && token == common_.lease.token()) held_[cluster.name] = Held{token, false};
  FleetCluster& now = clusters_[cluster.name];
  const bool is_news = now != cluster;
  now = std::move(cluster);
  if (is_news) clusters_changed();
  co_return done;
}

Task<Result<std::optional<FleetObject>>> PostgresFleetStore::get(std::string collection, FleetPlace place) const {
  auto function = [&progress = const_cast<Progress&>(common_.progress), collection = std::move(collection),
                   place = std::move(place)](Connection& connection) {
    return read_object(connection, progress, collection, place);
  };
  co_return co_await readers_.read_elsewhere(std::move(function));
}

Task<Result<FleetPage>> PostgresFleetStore::list(FleetQuery query) const {
  PageSoFar so_far(query);
  while (true) {
    auto function = [&progress = const_cast<Progress&>(common_.progress), query,
                     so_far = std::move(so_far)](Connection& connection) mutable {
      return read_slice(connection, progress, query, std::move(so_far), kSliceRows);
    };
    auto read = co_await readers_.read_elsewhere(std::move(function));
    if (!read) co_return read.error();
    if (read->done) co_return std::move(read->page);
    so_far = std::move(*read);
    query.version = so_far.page.version;
  }
}

Result<std::unique_ptr<PostgresFleetStore>> open_store(Runtime& runtime, const std::string& uri,
                                                       const PostgresOptions& options, bool only_reads) {
  auto target = Target::parse(uri, !only_reads);
  if (!target) return target.error();
  PostgresSettings settings;
  settings.schema = options.schema;
  settings.retained_changes = options.retained_changes;
  settings.retained_bytes = options.retained_bytes;
  settings.only_reads = only_reads;
  settings.lease = options.lease;
  settings.poll = options.poll;
  auto store = std::make_unique<PostgresFleetStore>(runtime, std::move(*target), std::move(settings));
  auto opened = store->open_database();
  if (!opened) return opened.error();
  return store;
}

}  // namespace

Result<void> check_postgres_uri(const std::string& uri) {
  auto target = Target::parse(uri);
  if (!target) return target.error();
  return Result<void>();
}

Result<std::unique_ptr<FleetStore>> open_postgres_fleet_store(Runtime& runtime, const std::string& uri,
                                                              PostgresOptions options) {
  auto store = open_store(runtime, uri, options, false);
  if (!store) return store.error();
  return std::unique_ptr<FleetStore>(std::move(*store));
}

Result<std::unique_ptr<FleetReader>> open_postgres_fleet_reader(Runtime& runtime, const std::string& uri,
                                                                PostgresOptions options) {
  auto store = open_store(runtime, uri, options, true);
  if (!store) return store.error();
  return std::unique_ptr<FleetReader>(std::move(*store));
}

}  // namespace tinf
