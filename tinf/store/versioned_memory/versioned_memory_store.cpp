// Maps for the present, one bounded list of changes per collection for the past.
// A watch is a position in that list, so that a slow reader costs nothing but its own expiry.
#include "tinf/store/versioned_memory/versioned_memory_store.h"

#include <algorithm>

namespace tinf {
namespace {

constexpr std::size_t kBatchChanges = 256;  // Keeps one busy watch from holding the strand.

std::size_t cost(const StoreChange& change) {
  return sizeof(StoreChange) + change.object->memory_bytes();
}

Error not_found(const std::string& collection, const ObjectKey& key) {
  return Error(Code::NotFound, collection + " \"" + key.name + "\" not found");
}

Result<void> check(const std::string& collection, const Object& object, const WritePrecondition& precondition) {
  if (!precondition.uid.empty() && object.uid() != precondition.uid) {
    return Error(Code::Conflict, collection + " \"" + std::string(object.name()) + "\" has uid " +
                                     std::string(object.uid()) + ", not " + precondition.uid);
  }
  if (precondition.version && object.resource_version() != std::to_string(*precondition.version)) {
    return Error(Code::Conflict,
                 collection + " \"" + std::string(object.name()) + "\" has been modified: it is at version " +
                     std::string(object.resource_version()) + ", not " + std::to_string(*precondition.version));
  }
  return Result<void>();
}

Result<void> check_unsearched(const PageQuery& query) {
  if (query.search.empty() && query.owner.empty()) return Result<void>();
  return Error(Code::Invalid, "objects are searched, and found by owner, where they are mirrored alone");
}

}  // namespace

class VersionedMemoryStore::Watch final : public VersionedWatch {
 public:
  Watch(VersionedMemoryStore& store, std::string name, Collection& collection, StoreVersion from)
      : store_(store), name_(std::move(name)), collection_(collection), position_(from) {
    place_ = collection_.watches.insert(collection_.watches.end(), this);
  }
  ~Watch() override { collection_.watches.erase(place_); }

  Task<Result<ChangeBatch>> next(TimePoint deadline) override {
    for (;;) {
      if (cut_) co_return Error(Code::Cancelled, "the watch of " + name_ + " was cut");
      if (position_ < collection_.floor) co_return too_old(position_, collection_.floor);
      ChangeBatch batch = take();
      if (!batch.changes.empty()) co_return batch;
      if (!co_await changed_.wait_until(store_.clock_, deadline)) co_return take();
    }
  }

  void cut() override {
    cut_ = true;
    changed_.notify();
  }

  void wake() { changed_.notify(); }

 private:
  ChangeBatch take() {
    ChangeBatch batch;
    const auto& history = collection_.history;
    auto from =
        std::upper_bound(history.begin(), history.end(), position_,
                         [](StoreVersion version, const StoreChange& change) { return version < change.version; });
    const auto count = std::min<std::size_t>(kBatchChanges, static_cast<std::size_t>(history.end() - from));
    batch.changes.assign(from, from + static_cast<std::ptrdiff_t>(count));
    const bool all = from + static_cast<std::ptrdiff_t>(count) == history.end();
    batch.version = all ? store_.version_ : batch.changes.back().version;
    position_ = batch.version;
    return batch;
  }

  VersionedMemoryStore& store_;
  const std::string name_;
  Collection& collection_;
  std::list<Watch*>::iterator place_;
  StoreVersion position_;
  bool cut_ = false;
  Signal changed_;
};

VersionedMemoryStore::VersionedMemoryStore(Clock& clock, VersionedMemoryOptions options)
    : clock_(clock), options_(options), version_(options.first_version) {}

VersionedMemoryStore::~VersionedMemoryStore() = default;

const VersionedMemoryStore::Collection* VersionedMemoryStore::find(const std::string& name) const {
  auto found = collections_.find(name);
  return found == collections_.end() ? nullptr : &found->second;
}

void VersionedMemoryStore::forget_oldest(Collection& collection) {
  collection.floor = collection.history.front().version;
  collection.history_bytes -= cost(collection.history.front());
  collection.history.pop_front();
}

void VersionedMemoryStore::record(Collection& collection, StoreChange change) {
  version_ = change.version;
  collection.history_bytes += cost(change);
  collection.history.push_back(std::move(change));
  while (collection.history.size() > options_.retained_changes || collection.history_bytes > options_.retained_bytes) {
    forget_oldest(collection);
  }
  for (Watch* watch : collection.watches) watch->wake();
  versions_.notify();
}

Task<Result<ObjectPtr>> VersionedMemoryStore::create(std::string collection, ObjectKey key, ObjectMaker make) {
  Collection& in = collections_[collection];
  if (in.objects.contains(key)) {
    co_return Error(Code::AlreadyExists, collection + " \"" + key.name + "\" already exists");
  }
  auto object = make(version_ + 1);
  if (!object) co_return object.error();
  in.objects.emplace(std::move(key), *object);
  record(in, StoreChange{EventType::Added, version_ + 1, *object, nullptr});
  co_return object;
}

Task<Result<ObjectPtr>> VersionedMemoryStore::replace(std::string collection, ObjectKey key,
                                                      WritePrecondition precondition, ObjectMaker make) {
  Collection& in = collections_[collection];
  auto place = in.objects.find(key);
  if (place == in.objects.end()) co_return not_found(collection, key);
  if (auto fits = check(collection, *place->second, precondition); !fits) co_return fits.error();
  auto object = make(version_ + 1);
  if (!object) co_return object.error();
  auto previous = std::exchange(place->second, *object);
  record(in, StoreChange{EventType::Modified, version_ + 1, *object, std::move(previous)});
  co_return object;
}

Task<Result<ObjectPtr>> VersionedMemoryStore::remove(std::string collection, ObjectKey key,
                                                     WritePrecondition precondition, ObjectMaker make) {
  Collection& in = collections_[collection];
  auto place = in.objects.find(key);
  if (place == in.objects.end()) co_return not_found(collection, key);
  if (auto fits = check(collection, *place->second, precondition); !fits) co_return fits.error();
  auto object = make(version_ + 1);
  if (!object) co_return object.error();
  auto previous = std::move(place->second);
  in.objects.erase(place);
  record(in, StoreChange{EventType::Deleted, version_ + 1, *object, std::move(previous)});
  co_return object;
}

Task<Result<ObjectPtr>> VersionedMemoryStore::get(std::string collection, ObjectKey key) const {
  const Collection* in = find(collection);
  if (in == nullptr) co_return ObjectPtr();
  auto place = in->objects.find(key);
  co_return place == in->objects.end() ? ObjectPtr() : place->second;
}

Task<Result<Page>> VersionedMemoryStore::list(std::string collection, PageQuery query) const {
  if (auto fits = check_unsearched(query); !fits) co_return fits.error();
  Page page;
  page.version = query.version.value_or(version_);
  const Collection* in = find(collection);
  if (in == nullptr) co_return page;
  if (page.version < in->floor) {
    co_return Error(Code::Expired, "version " + std::to_string(page.version) + " of " + collection +
                                       " is no longer kept: the oldest is " + std::to_string(in->floor));
  }

  // What was at keys that changed since; null: nothing.
  Objects then;
  for (auto change = in->history.rbegin(); change != in->history.rend() && change->version > page.version; ++change) {
    then[change->object->key()] = change->previous;
  }

  const auto start_of = [&](const Objects& objects) {
    const ObjectKey first{query.namespace_name, ""};
    if (query.after && *query.after > first) return objects.upper_bound(*query.after);
    return objects.lower_bound(first);
  };
  std::size_t remaining = 0;
  const auto take = [&](const ObjectPtr& object) {
    if (!query.labels.matches(*object) || !query.fields.matches(*object)) return;
    if (query.limit > 0 && page.objects.size() == query.limit) {
      ++remaining;
    } else {
      page.objects.push_back(object);
    }
  };
  const auto inside = [&](const Objects& objects, Objects::const_iterator at) {
    return at != objects.end() && (query.namespace_name.empty() || at->first.namespace_name == query.namespace_name);
  };
  auto now_at = start_of(in->objects);
  auto then_at = start_of(then);
  while (inside(in->objects, now_at) || inside(then, then_at)) {
    if (!inside(then, then_at) || (inside(in->objects, now_at) && now_at->first < then_at->first)) {
      take((now_at++)->second);
      continue;
    }
    if (inside(in->objects, now_at) && now_at->first == then_at->first) ++now_at;
    if (then_at->second != nullptr) take(then_at->second);
    ++then_at;
  }
  page.more = remaining > 0;
  if (query.labels.empty() && query.fields.empty()) page.remaining = remaining;
  co_return page;
}

Result<std::unique_ptr<VersionedWatch>> VersionedMemoryStore::watch(std::string collection, StoreVersion from,
                                                                    PageQuery about) {
  if (auto fits = check_unsearched(about); !fits) return fits.error();
  Collection& in = collections_[collection];
  if (from < in.floor) return too_old(from, in.floor);
  return std::unique_ptr<VersionedWatch>(std::make_unique<Watch>(*this, std::move(collection), in, from));
}

Task<Result<void>> VersionedMemoryStore::reach(StoreVersion version, TimePoint deadline) {
  return versions_.reach(clock_, version, deadline, [this] { return version_; });
}

void VersionedMemoryStore::compact() {
  for (auto& [name, collection] : collections_) {
    while (!collection.history.empty()) forget_oldest(collection);
    collection.floor = version_;
    for (Watch* watch : collection.watches) watch->wake();
  }
}

}  // namespace tinf
