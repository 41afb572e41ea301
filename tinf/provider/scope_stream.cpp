#include "tinf/provider/scope_stream.h"

#include <algorithm>
#include <set>

#include "tinf/wire/rules.h"

namespace tinf {
namespace {

// A patch must be worth it: finding its base costs the other side more than reading an object does.
constexpr std::size_t kWorthIt = 2;          // Times smaller than the object, at least.
constexpr std::size_t kSpliceOverhead = 16;  // Bytes of a splice beside its text, about,
constexpr std::size_t kPatchOverhead = 64;   // and of a patch beside its splices and names.

}  // namespace

ScopeStream::ScopeStream(Scope scope, std::string epoch, ScopeStreamOptions options)
    : scope_(std::move(scope)), id_(scope_.id()), epoch_(std::move(epoch)), options_(options) {}

void ScopeStream::replace(Snapshot all) {
  resource_version_ = all.version.text();
  std::set<ObjectKey> present;
  for (const ObjectPtr& object : all.objects) present.insert(object->key());
  std::vector<ObjectKey> gone;
  for (const auto& [key, entry] : entries_) {
    if (entry.object && !present.count(key)) gone.push_back(key);
  }
  // A set that nobody has seen needs no history: it is what sequence 0 stands for.
  const bool first = !ready_;
  if (wire::broken(wire::Rule::RelistsDelete)) gone.clear();
  for (const ObjectKey& key : gone) remove(key, resource_version_);
  for (ObjectPtr& object : all.objects) put(std::move(object));
  if (first) {
    log_.clear();
    sequence_ = 0;
    floor_ = 0;
    for (auto& [key, entry] : entries_) entry.sequence = 0;
    ready_ = true;
  }
}

void ScopeStream::apply(const EventBatch& changes) {
  for (const WatchEvent& event : changes.events) {
    if (event.type == EventType::Deleted) {
      remove(event.key, event.resource_version);
    } else {
      put(event.object);
    }
  }
  if (!changes.version.empty()) resource_version_ = changes.version.text();
}

void ScopeStream::put(ObjectPtr object) {
  auto [at, inserted] = entries_.try_emplace(object->key());
  Entry& entry = at->second;
  if (entry.object) {
    if (entry.object->equals(*object)) return;
    if (entry.sequence <= live_) keep_base(entry);
  }
  inventory_.put(at->first, object->hash());
  entry.object = std::move(object);
  number(at);
}

void ScopeStream::remove(const ObjectKey& key, const std::string& resource_version) {
  const auto at = entries_.find(key);
  if (at == entries_.end() || !at->second.object) return;
  Entry& entry = at->second;
  inventory_.remove(key);
  entry.uid = entry.object->uid();
  entry.resource_version = resource_version;
  entry.object = nullptr;
  forget_base(entry);
  number(at);
}

void ScopeStream::number(Entries::iterator changed) {
  changed->second.sequence = ++sequence_;
  log_.emplace_back(sequence_, changed);
  trim();
}

// Keeps the log in bounds: first without the stale entries, then, if deletes alone fill it, without the oldest.
void ScopeStream::trim() {
  const std::size_t limit = std::max(options_.log_entries, 2 * size());
  if (log_.size() <= limit) return;
  std::deque<std::pair<std::uint64_t, Entries::iterator>> kept;
  for (const auto& logged : log_) {
    if (logged.second->second.sequence == logged.first) kept.push_back(logged);
  }
  // Half of the limit is free afterwards, so that a trim costs O(1) per change.
  while (kept.size() > limit / 2) {
    const auto [sequence, entry] = kept.front();
    kept.pop_front();
    floor_ = sequence;
    forget_base(entry->second);
    if (!entry->second.object) entries_.erase(entry);
  }
  log_ = std::move(kept);
}

std::deque<std::pair<std::uint64_t, ScopeStream::Entries::iterator>>::const_iterator ScopeStream::first_after(
    std::uint64_t sequence) const {
  return std::upper_bound(log_.begin(), log_.end(), sequence,
                          [](std::uint64_t wanted, const auto& logged) { return wanted < logged.first; });
}

Result<std::optional<ScopeStream::FrameAfter>> ScopeStream::frame_after(std::uint64_t from) const {
  return write_frame(from, false);
}

Result<std::optional<ScopeStream::FrameAfter>> ScopeStream::next_live_frame(bool patches) {
  auto frame = write_frame(live_, patches);
  if (frame && !*frame) return frame;
  const std::uint64_t through = frame ? (*frame)->through : sequence_;
  forget_bases(through);
  live_ = through;
  return frame;
}

void ScopeStream::keep_base(Entry& entry) {
  const std::size_t bytes = entry.object->raw().size();
  if (base_bytes_ + bytes > options_.base_bytes) return;
  base_bytes_ += bytes;
  entry.base = std::move(entry.object);
}

void ScopeStream::forget_base(Entry& entry) {
  if (!entry.base) return;
  base_bytes_ -= entry.base->raw().size();
  entry.base = nullptr;
}

// Of what changed last between live_ and `through`.
void ScopeStream::forget_bases(std::uint64_t through) {
  for (auto at = first_after(live_); at != log_.end() && at->first <= through; ++at) {
    if (at->second->second.sequence == at->first) forget_base(at->second->second);
  }
}

void ScopeStream::forget_bases() {
  forget_bases(sequence_);
}

void ScopeStream::write(const ObjectKey& key, const Entry& entry, bool patches, wire::EventsWriter& writer) {
  if (!entry.object) return writer.remove(key, entry.uid, entry.resource_version, entry.sequence);
  if (!patches || !entry.base) return writer.put(*entry.object, entry.sequence);
  const auto splices = splices_between(entry.base->raw(), entry.object->raw());
  std::size_t cost = kPatchOverhead + key.namespace_name.size() + key.name.size();
  for (const Splice& splice : splices) cost += kSpliceOverhead + splice.insert.size();
  if (cost * kWorthIt > entry.object->raw().size()) return writer.put(*entry.object, entry.sequence);
  writer.patch(key, entry.base->hash().low, splices, entry.sequence);
}

Result<std::optional<ScopeStream::FrameAfter>> ScopeStream::write_frame(std::uint64_t from, bool patches) const {
  if (from >= sequence_) return std::optional<FrameAfter>();
  if (from < floor_ && !wire::broken(wire::Rule::HistoryReachesBack))
    return Error(Code::Expired, "the history of scope " + id_ + " begins after " + std::to_string(floor_));
  wire::EventsWriter writer(options_.frame_bytes);
  wire::Frame head;
  head.scope = id_;
  head.epoch = epoch_;
  head.after = from;
  auto at = first_after(from);
  std::size_t objects_bytes = 0;
  for (; at != log_.end() && !writer.full() && objects_bytes < options_.patched_bytes; ++at) {
    const auto& [sequence, logged] = *at;
    const Entry& entry = logged->second;
    head.through = sequence;
    if (entry.sequence != sequence) continue;  // Changed again since: the newer change speaks for both.
    write(logged->first, entry, patches, writer);
    if (entry.object) objects_bytes += entry.object->raw().size();
  }
  head.head = sequence_;  // What was skipped changed again by then.
  FrameAfter frame{wire::Encoded(), head.through};
  frame.encoded = std::move(writer).finish_frame(head);
  return std::optional<FrameAfter>(std::move(frame));
}

bool ScopeStream::can_resume(const wire::Position& position) const {
  const bool reaches_back = position.sequence >= floor_ || wire::broken(wire::Rule::HistoryReachesBack);
  return ready_ && position.epoch == epoch_ && reaches_back && position.sequence <= sequence_;
}

std::shared_ptr<const PagedSnapshot> ScopeStream::snapshot(std::size_t page_bytes) {
  forget_bases();
  if (auto last = last_snapshot_.lock(); last && last->at == position() && last->page_bytes == page_bytes) return last;
  auto made = std::make_shared<PagedSnapshot>();
  made->id = epoch_ + "." + std::to_string(++snapshots_);
  made->at = position();
  made->page_bytes = page_bytes;
  made->inventory = inventory_;
  made->objects.reserve(size());
  made->page_starts.push_back(0);
  std::size_t bytes_here = 0;
  for (const auto& [key, entry] : entries_) {
    if (!entry.object) continue;
    const std::size_t bytes = entry.object->raw().size();
    if (bytes_here > 0 && bytes_here + bytes > page_bytes) {
      made->page_starts.push_back(made->objects.size());
      bytes_here = 0;
    }
    bytes_here += bytes;
    made->objects.push_back(entry.object);
  }
  last_snapshot_ = made;
  return made;
}

}  // namespace tinf
