// Memory stores for the present, one list of changes per collection for the past, bounded together.
// A watch is a position in such a list, so that a slow reader costs nothing but its own expiry.
#include "tinf/store/memory/fleet_memory_store.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <set>
#include <tuple>

#include "tinf/store/memory/memory_store.h"

namespace tinf {
namespace {

constexpr std::size_t kBatchChanges = 256;  // Keeps one busy watch from holding the strand.
constexpr std::size_t kScanObjects = 2048;  // As much for one list, between two turns of others.
constexpr std::size_t kReadAhead = 128;

Error expired(const std::string& collection, StoreVersion version, StoreVersion floor) {
  return Error(Code::Expired, "version " + std::to_string(version) + " of " + collection +
                                  " is no longer kept: the oldest is " + std::to_string(floor));
}

StoreVersion version_of(WallTime now) {
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  return static_cast<StoreVersion>(std::max<std::int64_t>(microseconds, 1));
}

}  // namespace

// One cluster's copy of one collection.
class FleetMemoryStore::Copy final : public Journal {
 public:
  Copy(FleetMemoryStore& fleet, Collection& collection, std::string cluster, Scope scope)
      : fleet_(fleet),
        collection_(collection),
        cluster_(std::move(cluster)),
        scope_(std::move(scope)),
        objects_(fleet.make_store(scope_.resource)) {
    objects_->tell(*this);
  }

  StoreVersion note(State before, ObjectPtr after) override {
    return fleet_.note(collection_, cluster_, std::move(before), std::move(after));
  }

  JournaledStore& objects() { return *objects_; }
  const JournaledStore& objects() const { return *objects_; }

  const Scope& scope() const { return scope_; }
  bool is_open() const { return open_; }

  // What the objects' position is about from now on.
  void set_scope(const Scope& scope) {
    const bool is_other_resource = scope_.resource != scope.resource;
    scope_ = scope;
    if (is_other_resource) fleet_.tell_clusters();
  }
  void set_open(bool open) { open_ = open; }

 private:
  FleetMemoryStore& fleet_;
  Collection& collection_;
  const std::string cluster_;
  Scope scope_;
  const std::unique_ptr<JournaledStore> objects_;
  bool open_ = false;
};

// A copy in the hands of whoever fills it. The copy stays when this goes.
class FleetMemoryStore::OpenCopy final : public Store {
 public:
  OpenCopy(Copy& copy, Scope scope)
      : copy_(copy), objects_(copy.objects()), scope_(std::move(scope)), position_is_ours_(copy.scope() == scope_) {
    copy_.set_open(true);
  }
  ~OpenCopy() override { copy_.set_open(false); }

  Result<ObjectPtr> get(const ObjectKey& key) const override { return objects_.get(key); }
  Result<std::vector<ObjectPtr>> list(std::string_view namespace_name) const override {
    return objects_.list(namespace_name);
  }
  std::size_t size() const override { return objects_.size(); }
  Fingerprint fingerprint() const override { return objects_.fingerprint(); }
  Result<std::vector<InventoryEntry>> measure(const ObjectKey& from, std::size_t limit) const override {
    return objects_.measure(from, limit);
  }
  ResourceVersion version() const override { return position_is_ours_ ? objects_.version() : ResourceVersion(); }
  std::size_t memory_bytes() const override { return objects_.memory_bytes(); }

  Task<Result<void>> replace(Snapshot all) override {
    auto done = co_await objects_.replace(std::move(all));
    if (done) take_position();
    co_return done;
  }
  Task<Result<void>> apply(EventBatch changes) override {
    const bool moves = !changes.version.empty();
    auto done = co_await objects_.apply(std::move(changes));
    if (done && moves) take_position();
    co_return done;
  }

 private:
  void take_position() {
    if (position_is_ours_) return;
    copy_.set_scope(scope_);
    position_is_ours_ = true;
  }

  Copy& copy_;
  JournaledStore& objects_;
  const Scope scope_;
  std::atomic<bool> position_is_ours_;  // False: the objects, and where they stand, are those of another scope.
};

class FleetMemoryStore::Watch final : public FleetWatch {
 public:
  Watch(FleetMemoryStore& store, std::string name, Collection& collection, StoreVersion from,
        std::vector<std::string> clusters)
      : store_(store),
        name_(std::move(name)),
        collection_(collection),
        clusters_(clusters.begin(), clusters.end()),
        position_(from) {
    place_ = collection_.watches.insert(collection_.watches.end(), this);
  }
  ~Watch() override { collection_.watches.erase(place_); }

  Task<Result<FleetBatch>> next(TimePoint deadline) override {
    for (;;) {
      if (cut_) co_return Error(Code::Cancelled, "the watch of " + name_ + " was cut");
      if (position_ < collection_.floor) co_return too_old(position_, collection_.floor);
      FleetBatch batch = take();
      if (!batch.changes.empty()) co_return batch;
      // Woken at the same moment, perhaps: what came meanwhile is looked for once more.
      if (!co_await changed_.wait_until(store_.clock_, deadline) && position_ >= collection_.floor) co_return take();
    }
  }

  void cut() override {
    cut_ = true;
    changed_.notify();
  }

  // A change was recorded; the one of the collection before it is `before`.
  void hear(const FleetChange& change, StoreVersion before) {
    if (is_about(change.cluster)) {
      changed_.notify();
    } else if (position_ >= before) {
      position_ = change.version;  // It has heard all, and has no need to look.
    }
  }

 private:
  bool is_about(const std::string& cluster) const { return clusters_.empty() || clusters_.contains(cluster); }

  FleetBatch take() {
    FleetBatch batch;
    const auto& history = collection_.history;
    auto from =
        std::upper_bound(history.begin(), history.end(), position_,
                         [](StoreVersion version, const Entry& entry) { return version < entry.change.version; });
    for (; from != history.end() && batch.changes.size() < kBatchChanges; ++from) {
      if (is_about(from->change.cluster)) batch.changes.push_back(from->change);
    }
    batch.version = from == history.end() ? store_.version_ : batch.changes.back().version;
    position_ = batch.version;
    return batch;
  }

  FleetMemoryStore& store_;
  const std::string name_;
  Collection& collection_;
  const std::set<std::string> clusters_;  // Empty: all.
  std::list<Watch*>::iterator place_;
  StoreVersion position_;
  bool cut_ = false;
  Signal changed_;
};

// One copy's objects behind a key, read a few at a time.
class FleetMemoryStore::Present {
 public:
  Present(const Copy* copy, ObjectKey after, const std::string& namespace_name)
      : copy_(copy), after_(std::move(after)), namespace_(namespace_name) {
    fill();
  }

  const Journal::State* next() const { return at_ < read_.size() ? &read_[at_] : nullptr; }
  void step() {
    if (++at_ == read_.size()) fill();
  }

 private:
  void fill() {
    if (!read_.empty()) after_ = read_.back().object->key();
    at_ = 0;
    read_ = copy_ == nullptr ? std::vector<Journal::State>() : copy_->objects().states(after_, namespace_, kReadAhead);
  }

  const Copy* copy_;  // Null: there is none, and was one.
  ObjectKey after_;
  const std::string& namespace_;
  std::vector<Journal::State> read_;
  std::size_t at_ = 0;
};

FleetMemoryStore::FleetMemoryStore(Clock& clock, FleetMemoryOptions options)
    : clock_(clock),
      options_(options),
      version_(options.first_version.value_or(version_of(clock.wall_now()))),
      first_version_(version_) {}

FleetMemoryStore::~FleetMemoryStore() = default;

FleetMemoryStore::Collection& FleetMemoryStore::collection(const std::string& name) {
  const auto [at, is_new] = collections_.try_emplace(name);
  // What was before this life of the process is not known.
  if (is_new) at->second.floor = first_version_;
  return at->second;
}

const FleetMemoryStore::Collection* FleetMemoryStore::find(const std::string& name) const {
  const auto found = collections_.find(name);
  return found == collections_.end() ? nullptr : &found->second;
}

std::unique_ptr<JournaledStore> FleetMemoryStore::make_store(const Resource& resource) {
  if (!options_.compress) return std::make_unique<MemoryStore>();
  auto& packer = packers_[resource.group_resource()];
  if (!packer) packer = std::make_shared<ObjectPacker>();
  return std::make_unique<CompressedMemoryStore>(PackedForm(packer));
}

StoreVersion FleetMemoryStore::note(Collection& collection, const std::string& cluster, Journal::State before,
                                    ObjectPtr after) {
  const auto tell = [&](EventType type, ObjectPtr object, Journal::State previous) {
    Entry entry;
    entry.change.type = type;
    entry.change.version = version_ + 1;
    entry.change.cluster = cluster;
    entry.change.object = std::move(object);
    entry.change.previous = std::move(previous.object);
    entry.previous_version = previous.version;
    record(collection, std::move(entry));
  };
  if (before.object && after && before.object->uid() == after->uid()) {
    tell(EventType::Modified, std::move(after), std::move(before));
    return version_;
  }
  if (before.object) tell(EventType::Deleted, before.object, before);
  if (after) tell(EventType::Added, std::move(after), Journal::State());
  return version_;
}

namespace {

// The query's clusters are sorted.
bool is_asked_for(const FleetQuery& query, const std::string& cluster) {
  if (query.of_cluster && !query.of_cluster(cluster)) return false;
  return query.clusters.empty() || std::ranges::binary_search(query.clusters, cluster);
}

// Also of what the copies hold themselves: what has left them is not told apart.
std::size_t cost(const FleetChange& change) {
  return sizeof(FleetChange) + change.cluster.size() + change.object->memory_bytes() +
         (change.previous && change.previous != change.object ? change.previous->memory_bytes() : 0);
}

}  // namespace

void FleetMemoryStore::record(Collection& collection, Entry entry) {
  version_ = entry.change.version;
  history_bytes_ += cost(entry.change);
  const StoreVersion before = collection.history.empty() ? collection.floor : collection.history.back().change.version;
  for (Watch* watch : collection.watches) watch->hear(entry.change, before);
  collection.history.push_back(std::move(entry));
  changed_.push_back(&collection);
  while (changed_.size() > options_.retained_changes || history_bytes_ > options_.retained_bytes) forget_oldest();
  versions_.notify();
}

void FleetMemoryStore::forget_oldest() {
  Collection& collection = *changed_.front();
  changed_.pop_front();
  const FleetChange& oldest = collection.history.front().change;
  collection.floor = oldest.version;
  history_bytes_ -= cost(oldest);
  collection.history.pop_front();
}

Task<Result<std::optional<FleetObject>>> FleetMemoryStore::get(std::string collection, FleetPlace place) const {
  std::optional<FleetObject> found;
  const Collection* in = find(collection);
  const auto copy = in == nullptr ? decltype(in->copies.end())() : in->copies.find(place.cluster);
  if (in == nullptr || copy == in->copies.end()) co_return found;
  auto state = copy->second->objects().state(place.key);
  if (state.object) {
    found.emplace();
    found->cluster = std::move(place.cluster);
    found->version = state.version;
    found->object = std::move(state.object);
  }
  co_return found;
}

std::size_t FleetMemoryStore::count(const FleetQuery& query) const {
  std::size_t objects = 0;
  const Collection* in = find(query.collection);
  if (in == nullptr) return objects;
  for (const auto& [cluster, copy] : in->copies) {
    if (is_asked_for(query, cluster)) objects += copy->objects().size();
  }
  return objects;
}

// True: the page is done. False: there is more to look at behind `after`, in another turn. The query's clusters are
// sorted.
bool FleetMemoryStore::scan(const FleetQuery& query, FleetPage& page, std::optional<FleetPlace>& after) const {
  const Collection& in = *find(query.collection);
  const auto is_behind = [&](const std::string& cluster) {
    return (!after || cluster >= after->cluster) && is_asked_for(query, cluster);
  };

  // What was at places that changed since; null: nothing.
  std::map<FleetPlace, Journal::State> then;
  std::map<std::string, const Copy*> clusters;
  for (const auto& [cluster, copy] : in.copies) {
    if (is_behind(cluster)) clusters.emplace(cluster, copy.get());
  }
  for (auto entry = in.history.rbegin(); entry != in.history.rend() && entry->change.version > page.version; ++entry) {
    const FleetChange& change = entry->change;
    if (!is_behind(change.cluster)) continue;
    if (!query.namespace_name.empty() && change.object->namespace_name() != query.namespace_name) continue;
    FleetPlace place{change.cluster, change.object->key()};
    if (after && place <= *after) continue;
    clusters.try_emplace(change.cluster, nullptr);
    then.insert_or_assign(std::move(place), Journal::State(change.previous, entry->previous_version));
  }

  std::size_t looked_at = 0;
  for (const auto& [cluster, copy] : clusters) {
    Present now(copy, after && after->cluster == cluster ? after->key : ObjectKey(), query.namespace_name);
    auto old = then.lower_bound(FleetPlace{cluster, ObjectKey()});
    while (true) {
      const bool has_old = old != then.end() && old->first.cluster == cluster;
      if (now.next() == nullptr && !has_old) break;
      const bool both = now.next() != nullptr && has_old && now.next()->object->key() == old->first.key;
      const bool takes_old = both || now.next() == nullptr || (has_old && old->first.key < now.next()->object->key());
      const Journal::State state = takes_old ? old->second : *now.next();
      FleetPlace place = takes_old ? old->first : FleetPlace{cluster, now.next()->object->key()};
      if (takes_old) ++old;
      if (!takes_old || both) now.step();
      ++looked_at;
      if (state.object && query.selects(*state.object)) {
        if (query.limit > 0 && page.objects.size() == query.limit) return page.more = true;
        FleetObject& taken = page.objects.emplace_back();
        taken.cluster = cluster;
        taken.version = state.version;
        taken.object = state.object;
      }
      if (looked_at == kScanObjects) {
        after = std::move(place);
        return false;
      }
    }
  }
  return true;
}

Task<Result<FleetPage>> FleetMemoryStore::list(FleetQuery query) const {
  FleetPage page;
  page.version = query.version.value_or(version_);
  std::ranges::sort(query.clusters);
  std::optional<FleetPlace> after = query.after;
  const std::size_t whole = query.is_whole() ? count(query) : 0;
  while (true) {
    const Collection* in = find(query.collection);
    const StoreVersion floor = in == nullptr ? first_version_ : in->floor;
    if (page.version < floor) co_return expired(query.collection, page.version, floor);
    if (in == nullptr || scan(query, page, after)) {
      if (whole > 0) page.remaining = whole - page.objects.size();
      co_return page;
    }
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
}

Result<std::unique_ptr<FleetWatch>> FleetMemoryStore::watch(std::string name, StoreVersion from,
                                                            std::vector<std::string> clusters) {
  Collection& in = collection(name);
  if (from < in.floor) return too_old(from, in.floor);
  return std::unique_ptr<FleetWatch>(std::make_unique<Watch>(*this, std::move(name), in, from, std::move(clusters)));
}

Task<Result<void>> FleetMemoryStore::reach(StoreVersion version, TimePoint deadline) {
  return versions_.reach(clock_, version, deadline, [this] { return version_; });
}

std::vector<FleetCluster> FleetMemoryStore::clusters() const {
  std::vector<FleetCluster> all;
  for (const auto& [name, cluster] : clusters_) all.push_back(cluster);
  return all;
}

std::vector<FleetScope> FleetMemoryStore::scopes() const {
  std::vector<FleetScope> all;
  for (const auto& [name, collection] : collections_) {
    for (const auto& [cluster, copy] : collection.copies) {
      FleetScope& scope = all.emplace_back();
      scope.cluster = cluster;
      scope.resource = copy->scope().resource;
      scope.objects = copy->objects().size();
    }
  }
  std::ranges::sort(all, std::less(), [](const FleetScope& scope) { return std::tie(scope.cluster, scope.resource); });
  return all;
}

void FleetMemoryStore::tell_clusters() const {
  for (const auto& callback : on_clusters_) callback();
}

Result<std::unique_ptr<Store>> FleetMemoryStore::open(const std::string& cluster, const Scope& scope) {
  const std::string name = scope.resource.group_resource();
  Collection& in = collection(name);
  auto& copy = in.copies[cluster];
  const bool is_new = copy == nullptr;
  if (is_new) copy = std::make_unique<Copy>(*this, in, cluster, scope);
  if (copy->is_open()) {
    return Error(Code::AlreadyExists, "the copy of " + name + " of cluster " + cluster + " is open already");
  }
  std::unique_ptr<Store> opened = std::make_unique<OpenCopy>(*copy, scope);
  if (is_new) tell_clusters();
  return opened;
}

Task<Result<void>> FleetMemoryStore::forget(std::string cluster, Resource resource, bool only_if_empty) {
  Collection& in = collection(resource.group_resource());
  const auto at = in.copies.find(cluster);
  if (at == in.copies.end()) co_return Result<void>();
  if (at->second->is_open()) {
    co_return Error(Code::Conflict, "the copy of " + resource.group_resource() + " of cluster " + cluster +
                                        " is open: it can be forgotten when it is closed");
  }
  if (only_if_empty && at->second->objects().size() > 0) {
    co_return Error(Code::Conflict,
                    "the copy of " + resource.group_resource() + " of cluster " + cluster + " is not empty, and stays");
  }
  Snapshot nothing;
  auto emptied = co_await at->second->objects().replace(std::move(nothing));
  if (!emptied) co_return emptied.error();
  in.copies.erase(at);
  tell_clusters();
  co_return Result<void>();
}

Task<Result<void>> FleetMemoryStore::put_cluster(FleetCluster cluster) {
  FleetCluster& known = clusters_[cluster.name];
  if (known == cluster) co_return Result<void>();
  known = std::move(cluster);
  tell_clusters();
  co_return Result<void>();
}

std::size_t FleetMemoryStore::memory_bytes() const {
  std::size_t bytes = history_bytes_;
  for (const auto& [name, packer] : packers_) bytes += packer->memory_bytes();
  for (const auto& [name, collection] : collections_) {
    for (const auto& [cluster, copy] : collection.copies) {
      if (!copy->is_open()) bytes += copy->objects().memory_bytes();
    }
  }
  return bytes;
}

}  // namespace tinf
