// Why comparing happens before the lock is taken: there is one writer, so what it reads unlocked
// cannot change under it, and readers wait only for pointers to move.
#include "tinf/store/memory/memory_store.h"

#include <algorithm>
#include <mutex>

namespace tinf {

Result<ObjectPtr> MemoryStore::get(const ObjectKey& key) const {
  const std::shared_lock lock(mutex_);
  const auto found = entries_.find(KeyView{key.namespace_name, key.name});
  return found == entries_.end() ? nullptr : found->object;
}

Result<std::vector<ObjectPtr>> MemoryStore::list(std::string_view namespace_name) const {
  std::vector<ObjectPtr> objects;
  const std::shared_lock lock(mutex_);
  if (namespace_name.empty()) objects.reserve(entries_.size());
  for (auto it = entries_.lower_bound(KeyView{namespace_name, ""}); it != entries_.end(); ++it) {
    if (!namespace_name.empty() && it->object->namespace_name() != namespace_name) break;
    objects.push_back(it->object);
  }
  return objects;
}

std::size_t MemoryStore::size() const {
  const std::shared_lock lock(mutex_);
  return entries_.size();
}

Fingerprint MemoryStore::fingerprint() const {
  const std::shared_lock lock(mutex_);
  return fingerprint_;
}

Result<std::vector<InventoryEntry>> MemoryStore::measure(const ObjectKey& from, std::size_t limit) const {
  std::vector<ObjectPtr> objects;
  {
    const std::shared_lock lock(mutex_);
    objects.reserve(std::min(limit, entries_.size()));
    auto it = entries_.lower_bound(KeyView{from.namespace_name, from.name});
    for (; it != entries_.end() && objects.size() < limit; ++it) objects.push_back(it->object);
  }
  std::vector<InventoryEntry> measured;
  measured.reserve(objects.size());
  for (const ObjectPtr& object : objects)
    measured.push_back(InventoryEntry{object->key(), EntryHash::of(object->raw())});
  return measured;
}

ResourceVersion MemoryStore::version() const {
  const std::shared_lock lock(mutex_);
  return version_;
}

std::size_t MemoryStore::memory_bytes() const {
  const std::shared_lock lock(mutex_);
  return object_bytes_ + entries_.size() * kOverheadBytes;
}

Task<Result<void>> MemoryStore::replace(Snapshot all) {
  if (std::ranges::find(all.objects, nullptr) != all.objects.end()) {
    co_return Error(Code::Invalid, "a list holds a null object: nothing was stored");
  }
  auto& objects = all.objects;
  std::ranges::stable_sort(objects, ByKey());

  struct Change {
    Change(Entries::const_iterator where, Entry entry) : at(where), fresh(std::move(entry)) {}
    Entries::const_iterator at;  // The entry to change, or the one to stand before.
    Entry fresh;
  };
  std::vector<Entries::const_iterator> leaving;
  std::vector<Change> changed;
  std::vector<Change> added;
  auto held = entries_.cbegin();
  for (std::size_t i = 0; i < objects.size(); ++i) {
    // A set in pages may name a key twice; the later state wins.
    if (i + 1 < objects.size() && ByKey::key(objects[i]) == ByKey::key(objects[i + 1])) continue;
    const ObjectPtr& object = objects[i];
    for (; held != entries_.cend() && ByKey()(*held, object); ++held) leaving.push_back(held);
    if (held != entries_.cend() && ByKey::key(*held) == ByKey::key(object)) {
      if (!held->object->equals(*object)) changed.emplace_back(held, Entry(object));
      ++held;
    } else {
      added.emplace_back(held, Entry(object));
    }
  }
  for (; held != entries_.cend(); ++held) leaving.push_back(held);

  std::vector<ObjectPtr> gone;
  gone.reserve(leaving.size() + changed.size());
  {
    const std::unique_lock lock(mutex_);
    for (Change& change : added) insert(change.at, std::move(change.fresh));
    for (Change& change : changed) put(change.at, std::move(change.fresh), gone);
    for (const auto& at : leaving) erase(at, gone);
    version_ = std::move(all.version);
  }
  co_return Result<void>();
}

Task<Result<void>> MemoryStore::apply(EventBatch changes) {
  std::vector<std::optional<Entry>> fresh;  // Nothing for a delete.
  fresh.reserve(changes.events.size());
  for (const WatchEvent& event : changes.events) {
    if (event.type == EventType::Deleted) {
      fresh.emplace_back();
    } else if (event.object) {
      fresh.emplace_back(Entry(event.object));
    } else {
      co_return Error(Code::Invalid, "event " + std::string(to_string(event.type)) + " of \"" + event.key.to_string() +
                                         "\" carries no object: nothing of its batch was stored");
    }
  }
  std::vector<ObjectPtr> gone;
  {
    const std::unique_lock lock(mutex_);
    for (std::size_t i = 0; i < changes.events.size(); ++i) {
      const WatchEvent& event = changes.events[i];
      const KeyView key = fresh[i] ? ByKey::key(*fresh[i]) : KeyView{event.key.namespace_name, event.key.name};
      const auto at = entries_.lower_bound(key);
      const bool held = at != entries_.end() && ByKey::key(*at) == key;
      if (!fresh[i]) {
        if (held && (event.uid.empty() || event.uid == at->object->uid())) erase(at, gone);
      } else if (!held) {
        insert(at, std::move(*fresh[i]));
      } else if (!at->object->equals(*fresh[i]->object)) {
        put(at, std::move(*fresh[i]), gone);
      }
    }
    if (!changes.version.empty()) version_ = std::move(changes.version);
  }
  co_return Result<void>();
}

void MemoryStore::put(Entries::const_iterator at, Entry fresh, std::vector<ObjectPtr>& gone) {
  fingerprint_.remove(at->object->hash());
  fingerprint_.add(fresh.object->hash());
  object_bytes_ += fresh.object->memory_bytes() - at->object->memory_bytes();
  gone.push_back(std::exchange(at->object, std::move(fresh.object)));
}

void MemoryStore::insert(Entries::const_iterator hint, Entry fresh) {
  fingerprint_.add(fresh.object->hash());
  object_bytes_ += fresh.object->memory_bytes();
  entries_.emplace_hint(hint, std::move(fresh));
}

void MemoryStore::erase(Entries::const_iterator at, std::vector<ObjectPtr>& gone) {
  fingerprint_.remove(at->object->hash());
  object_bytes_ -= at->object->memory_bytes();
  gone.push_back(std::move(at->object));
  entries_.erase(at);
}

}  // namespace tinf
