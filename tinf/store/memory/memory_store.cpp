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
Journal::State BasicMemoryStore<Form>::state(const ObjectKey& key) const {
  const Entry* found = find(KeyView{key.namespace_name, key.name});
  return found == nullptr ? Journal::State() : Journal::State(Form::read(found->held), found->version);
}

template <class Form>
std::vector<Journal::State> BasicMemoryStore<Form>::states(const ObjectKey& after, std::string_view namespace_name,
                                                           std::size_t limit) const {
  std::vector<Journal::State> found;
  found.reserve(std::min(limit, entries_.size()));
  auto it = entries_.upper_bound(std::max(KeyView{namespace_name, ""}, KeyView{after.namespace_name, after.name}));
  for (; it != entries_.end() && found.size() < limit; ++it) {
    if (!namespace_name.empty() && ByKey::key(*it).namespace_name != namespace_name) break;
    found.emplace_back(Form::read(it->held), it->version);
  }
  return found;
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

  Edit edit;
  auto held = entries_.cbegin();
  for (std::size_t i = 0; i < objects.size(); ++i) {
    // A set in pages may name a key twice; the later state wins.
    if (i + 1 < objects.size() && ByKey::key(objects[i]) == ByKey::key(objects[i + 1])) continue;
    ObjectPtr& object = objects[i];
    for (; held != entries_.cend() && ByKey()(*held, object); ++held) edit.leaving.push_back(held);
    if (held != entries_.cend() && ByKey::key(*held) == ByKey::key(object)) {
      if (!Form::equals(held->held, *object)) edit.changed.emplace_back(held, std::move(object));
      ++held;
    } else {
      edit.added.emplace_back(held, std::move(object));
    }
  }
  for (; held != entries_.cend(); ++held) edit.leaving.push_back(held);
  objects = std::vector<ObjectPtr>();

  carry_out(std::move(edit), std::move(all.version));
  co_return Result<void>();
}

// A key may occur several times: what is held is compared with the first event of it, each event with the one before,
// and the last state alone is stored.
template <class Form>
Task<Result<void>> BasicMemoryStore<Form>::apply(EventBatch changes) {
  const auto deletes = [](const WatchEvent* event) { return event->type == EventType::Deleted; };
  const auto key = [&deletes](const WatchEvent* event) {
    return deletes(event) ? KeyView{event->key.namespace_name, event->key.name} : ByKey::key(event->object);
  };
  std::vector<const WatchEvent*> events;
  events.reserve(changes.events.size());
  for (const WatchEvent& event : changes.events) {
    if (event.type != EventType::Deleted && !event.object) {
      co_return Error(Code::Invalid, "event " + std::string(to_string(event.type)) + " of \"" + event.key.to_string() +
                                         "\" carries no object: nothing of its batch was stored");
    }
    events.push_back(&event);
  }
  std::ranges::stable_sort(events, std::less(), key);

  Edit edit;
  for (auto next = events.cbegin(); next != events.cend();) {
    const KeyView of = key(*next);
    const auto at = entries_.lower_bound(of);
    const bool held = at != entries_.end() && ByKey::key(*at) == of;
    const WatchEvent* last = nullptr;  // That changed something.
    for (; next != events.cend() && key(*next) == of; ++next) {
      const WatchEvent& event = **next;
      const bool there = last ? !deletes(last) : held;
      bool differs = false;
      if (there && deletes(&event)) {
        const auto has_uid = [&] {
          return last ? last->object->uid() == event.uid : Form::has_uid(at->held, event.uid);
        };
        differs = event.uid.empty() || has_uid();
      } else if (there) {
        differs = !(last ? last->object->equals(*event.object) : Form::equals(at->held, *event.object));
      } else {
        differs = !deletes(&event);
      }
      if (differs) last = &event;
    }
    if (!last) continue;
    if (deletes(last)) {
      if (held) edit.leaving.push_back(at);
    } else {
      (held ? edit.changed : edit.added).emplace_back(at, last->object);
    }
  }
  carry_out(std::move(edit), changes.version.empty() ? version_ : std::move(changes.version));
  co_return Result<void>();
}

template <class Form>
void BasicMemoryStore<Form>::note(Edit& edit) {
  if (journal_ == nullptr) return;
  const auto before = [](const Entry& entry) { return Journal::State(Form::read(entry.held), entry.version); };
  for (const auto& at : edit.leaving) journal_->note(before(*at), nullptr);
  for (auto& change : edit.changed) change.version = journal_->note(before(*change.at), change.fresh);
  for (auto& change : edit.added) change.version = journal_->note(Journal::State(), change.fresh);
}

template <class Form>
void BasicMemoryStore<Form>::carry_out(Edit edit, ResourceVersion version) {
  note(edit);
  for (const auto* changes : {&edit.added, &edit.changed}) {
    for (const auto& change : *changes) form_.learn(change.fresh);
  }
  form_.learnt();
  // One after the other, so that what is held in another form is not there in both.
  for (auto* changes : {&edit.added, &edit.changed}) {
    for (auto& change : *changes) change.held = form_.hold(std::move(change.fresh));
  }

  std::vector<Held> gone;
  gone.reserve(edit.leaving.size() + edit.changed.size());
  {
    const std::unique_lock lock(mutex_);
    for (auto& change : edit.added) insert(change.at, std::move(change.held), change.version);
    for (auto& change : edit.changed) put(change.at, std::move(change.held), change.version, gone);
    for (const auto& at : edit.leaving) erase(at, gone);
    version_ = std::move(version);
  }
  hold_better();
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
void BasicMemoryStore<Form>::put(typename Entries::const_iterator at, Held fresh, StoreVersion version,
                                 std::vector<Held>& gone) {
  fingerprint_.remove(Form::hash(at->held));
  fingerprint_.add(Form::hash(fresh));
  object_bytes_ += Form::bytes(fresh) - Form::bytes(at->held);
  gone.push_back(std::exchange(at->held, std::move(fresh)));
  at->version = version;
}

template <class Form>
void BasicMemoryStore<Form>::insert(typename Entries::const_iterator hint, Held fresh, StoreVersion version) {
  fingerprint_.add(Form::hash(fresh));
  object_bytes_ += Form::bytes(fresh);
  const auto at = entries_.emplace_hint(hint, std::move(fresh), version);
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
