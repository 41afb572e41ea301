// Why comparing and packing happen before the lock is taken: there is one writer, so what it reads unlocked
// cannot change under it, and readers wait only for pointers to move.
#include "tinf/store/memory/memory_store.h"

#include <algorithm>
#include <mutex>

namespace tinf {

template <class Form>
Result<ObjectPtr> BasicMemoryStore<Form>::get(const ObjectKey& key) const {
  Held held;
  {
    const std::shared_lock lock(mutex_);
    const Entry* found = find(KeyView{key.namespace_name, key.name});
    if (found == nullptr) return ObjectPtr();
    held = found->held;
  }
  return Form::read(std::move(held));
}

template <class Form>
auto BasicMemoryStore<Form>::find(KeyView key) const -> const Entry* {
  if constexpr (Form::kPacks) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : *found;
  } else {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &*found;
  }
}

template <class Form>
Result<std::vector<ObjectPtr>> BasicMemoryStore<Form>::list(std::string_view namespace_name) const {
  std::vector<Held> held;
  {
    const std::shared_lock lock(mutex_);
    if (namespace_name.empty()) held.reserve(entries_.size());
    for (auto it = entries_.lower_bound(KeyView{namespace_name, ""}); it != entries_.end(); ++it) {
      if (!namespace_name.empty() && ByKey::key(*it).namespace_name != namespace_name) break;
      held.push_back(it->held);
    }
  }
  return Form::read_all(std::move(held));
}

template <class Form>
std::size_t BasicMemoryStore<Form>::size() const {
  const std::shared_lock lock(mutex_);
  return entries_.size();
}

template <class Form>
Fingerprint BasicMemoryStore<Form>::fingerprint() const {
  const std::shared_lock lock(mutex_);
  return fingerprint_;
}

template <class Form>
Result<std::vector<InventoryEntry>> BasicMemoryStore<Form>::measure(const ObjectKey& from, std::size_t limit) const {
  std::vector<Held> held;
  {
    const std::shared_lock lock(mutex_);
    held.reserve(std::min(limit, entries_.size()));
    auto it = entries_.lower_bound(KeyView{from.namespace_name, from.name});
    for (; it != entries_.end() && held.size() < limit; ++it) held.push_back(it->held);
  }
  std::vector<InventoryEntry> measured;
  measured.reserve(held.size());
  for (const Held& one : held) {
    const KeyView key = Form::key(one);
    measured.push_back(
        InventoryEntry{ObjectKey{std::string(key.namespace_name), std::string(key.name)}, Form::measure(one)});
  }
  return measured;
}

template <class Form>
ResourceVersion BasicMemoryStore<Form>::version() const {
  const std::shared_lock lock(mutex_);
  return version_;
}

template <class Form>
std::size_t BasicMemoryStore<Form>::memory_bytes() const {
  const std::shared_lock lock(mutex_);
  return object_bytes_ + entries_.size() * kOverheadBytes;
}

template <class Form>
Task<Result<void>> BasicMemoryStore<Form>::replace(Snapshot all) {
  if (std::ranges::find(all.objects, nullptr) != all.objects.end()) {
    co_return Error(Code::Invalid, "a list holds a null object: nothing was stored");
  }
  auto& objects = all.objects;
  std::ranges::stable_sort(objects, ByKey());

  struct Change {
    Change(typename Entries::const_iterator where, ObjectPtr object) : at(where), fresh(std::move(object)) {}
    typename Entries::const_iterator at;  // The entry to change, or the one to stand before.
    ObjectPtr fresh;
    Held held;
  };
  std::vector<typename Entries::const_iterator> leaving;
  std::vector<Change> changed;
  std::vector<Change> added;
  auto held = entries_.cbegin();
  for (std::size_t i = 0; i < objects.size(); ++i) {
    // A set in pages may name a key twice; the later state wins.
    if (i + 1 < objects.size() && ByKey::key(objects[i]) == ByKey::key(objects[i + 1])) continue;
    ObjectPtr& object = objects[i];
    for (; held != entries_.cend() && ByKey()(*held, object); ++held) leaving.push_back(held);
    if (held != entries_.cend() && ByKey::key(*held) == ByKey::key(object)) {
      if (!Form::equals(held->held, *object)) changed.emplace_back(held, std::move(object));
      ++held;
    } else {
      added.emplace_back(held, std::move(object));
    }
  }
  for (; held != entries_.cend(); ++held) leaving.push_back(held);
  objects = std::vector<ObjectPtr>();

  for (const auto* changes : {&added, &changed}) {
    for (const Change& change : *changes) form_.learn(change.fresh);
  }
  form_.learnt();
  // One after the other, so that what is held in another form is not there in both.
  for (auto* changes : {&added, &changed}) {
    for (Change& change : *changes) change.held = form_.hold(std::move(change.fresh));
  }

  std::vector<Held> gone;
  gone.reserve(leaving.size() + changed.size());
  {
    const std::unique_lock lock(mutex_);
    for (Change& change : added) insert(change.at, std::move(change.held));
    for (Change& change : changed) put(change.at, std::move(change.held), gone);
    for (const auto& at : leaving) erase(at, gone);
    version_ = std::move(all.version);
  }
  hold_better();
  co_return Result<void>();
}

template <class Form>
Task<Result<void>> BasicMemoryStore<Form>::apply(EventBatch changes) {
  for (const WatchEvent& event : changes.events) {
    if (event.type == EventType::Deleted) continue;
    if (!event.object) {
      co_return Error(Code::Invalid, "event " + std::string(to_string(event.type)) + " of \"" + event.key.to_string() +
                                         "\" carries no object: nothing of its batch was stored");
    }
    form_.learn(event.object);
  }
  form_.learnt();
  std::vector<std::optional<Held>> fresh;  // Nothing for a delete.
  fresh.reserve(changes.events.size());
  for (const WatchEvent& event : changes.events) {
    if (event.type == EventType::Deleted) {
      fresh.emplace_back();
    } else {
      fresh.emplace_back(form_.hold(event.object));
    }
  }
  std::vector<Held> gone;
  {
    const std::unique_lock lock(mutex_);
    for (std::size_t i = 0; i < changes.events.size(); ++i) {
      const WatchEvent& event = changes.events[i];
      const KeyView key = fresh[i] ? Form::key(*fresh[i]) : KeyView{event.key.namespace_name, event.key.name};
      const auto at = entries_.lower_bound(key);
      const bool held = at != entries_.end() && ByKey::key(*at) == key;
      if (!fresh[i]) {
        if (held && (event.uid.empty() || Form::has_uid(at->held, event.uid))) erase(at, gone);
      } else if (!held) {
        insert(at, std::move(*fresh[i]));
      } else if (!Form::equals(at->held, *event.object)) {
        put(at, std::move(*fresh[i]), gone);
      }
    }
    if (!changes.version.empty()) version_ = std::move(changes.version);
  }
  hold_better();
  co_return Result<void>();
}

// What came before there was a dictionary.
template <class Form>
void BasicMemoryStore<Form>::hold_better() {
  if constexpr (Form::kPacks) {
    if (!form_.improves()) return;
    std::vector<std::pair<typename Entries::const_iterator, Held>> better;
    for (auto it = entries_.cbegin(); it != entries_.cend(); ++it) {
      if (auto held = form_.better(it->held)) better.emplace_back(it, std::move(*held));
    }
    const std::unique_lock lock(mutex_);
    for (auto& [at, held] : better) {
      object_bytes_ += Form::bytes(held) - Form::bytes(at->held);
      std::swap(at->held, held);
    }
  }
}

template <class Form>
void BasicMemoryStore<Form>::put(typename Entries::const_iterator at, Held fresh, std::vector<Held>& gone) {
  fingerprint_.remove(Form::hash(at->held));
  fingerprint_.add(Form::hash(fresh));
  object_bytes_ += Form::bytes(fresh) - Form::bytes(at->held);
  gone.push_back(std::exchange(at->held, std::move(fresh)));
}

template <class Form>
void BasicMemoryStore<Form>::insert(typename Entries::const_iterator hint, Held fresh) {
  fingerprint_.add(Form::hash(fresh));
  object_bytes_ += Form::bytes(fresh);
  const auto at = entries_.emplace_hint(hint, std::move(fresh));
  if constexpr (Form::kPacks) index_.insert(&*at);
}

template <class Form>
void BasicMemoryStore<Form>::erase(typename Entries::const_iterator at, std::vector<Held>& gone) {
  fingerprint_.remove(Form::hash(at->held));
  object_bytes_ -= Form::bytes(at->held);
  const Entry* const entry = &*at;
  bool found = true;
  if constexpr (Form::kPacks) {
    const auto indexed = index_.find(entry);
    found = indexed != index_.end() && *indexed == entry;
    if (found) index_.erase(indexed);
  }
  gone.push_back(std::move(at->held));
  entries_.erase(at);
  if constexpr (Form::kPacks) {
    if (found) return;
    // A key that was altered in memory: nothing may lead to what is not there any more.
    index_.clear();
    for (const Entry& each : entries_) index_.insert(&each);
  }
}

template class BasicMemoryStore<PlainForm>;
template class BasicMemoryStore<PackedForm>;

}  // namespace tinf
