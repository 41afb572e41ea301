#include "tinf/follower/follower.h"

#include <xxhash.h>

#include <algorithm>

namespace tinf {
namespace {

constexpr Duration kRefusedRetry = std::chrono::seconds(30);
constexpr Duration kNotReadyRetry = std::chrono::seconds(10);
constexpr std::uint32_t kMaximumPages = 1 << 20;
constexpr int kFruitlessFetches = 4;
constexpr int kSilentDigests = 3;  // Intervals without a word about our stream, after which we ask.

}  // namespace

Follower::Follower(Scope scope, FollowerOptions options, Clock& clock, Random& random)
    : scope_(std::move(scope)),
      id_(scope_.id()),
      options_(std::move(options)),
      clock_(clock),
      random_(random),
      backoff_(clock_, random_, options_.retry),
      request_(random_.next() >> 1) {}  // Not from 0: answers to an earlier process under our name must not fit.

Follower::KeyHash Follower::hash_of(std::string_view namespace_name, std::string_view name) {
  const XXH128_hash_t outer = XXH3_128bits(namespace_name.data(), namespace_name.size());
  const XXH128_hash_t inner = XXH3_128bits_withSeed(name.data(), name.size(), outer.low64);
  return KeyHash{inner.high64 ^ outer.high64, inner.low64};
}

void Follower::set_deadline(Duration from_now) {
  deadline_ = clock_.now() + from_now;
}

void Follower::path_up() {
  backoff_.reset();
  drop_incoming();
  ask(true);
}

void Follower::path_down() {
  state_ = State::Idle;
  drop_incoming();
  requests_.clear();
  deadline_ = TimePoint::max();
}

void Follower::start_over() {
  position_ = wire::Position();
  exact_ = false;
  inventory_.clear();
  fingerprint_ = Fingerprint();
  early_.clear();
  early_events_ = 0;
  deliveries_.clear();
  delivered_events_ = 0;
  claim_.reset();
  proof_.reset();
  drop_incoming();
  if (state_ != State::Idle) ask(true);
}

void Follower::drop_incoming() {
  incoming_.reset();
}

// Sends a watch with what we have, now or, if one is under way, when its answer is overdue.
void Follower::ask(bool at_once) {
  const bool under_way = state_ == State::Asking && deadline_ > clock_.now();
  if (under_way && !at_once) return;
  state_ = State::Asking;
  resumed_to_ = 0;
  wire::Watch watch;
  watch.client = options_.client;
  watch.scope = scope_;
  watch.have = position_;
  watch.lease_seconds = static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(options_.lease).count());
  watch.window = options_.window;
  watch.request = ++request_;
  requests_.push_back(std::move(watch));
  asked_at_ = clock_.now();
  set_deadline(backoff_.next());
}

void Follower::follow() {
  state_ = State::Following;
  backoff_.reset();
  set_deadline(digest_interval_ * kSilentDigests);
}

void Follower::tick() {
  if (clock_.now() < deadline_) return;
  switch (state_) {
    case State::Idle:
      deadline_ = TimePoint::max();
      return;
    case State::Receiving:
      return fetch_missing();
    case State::Asking:
    case State::Following:  // Silence: neither frames nor digests.
      return ask(true);
  }
}

std::optional<wire::Body> Follower::next_request() {
  if (requests_.empty()) return std::nullopt;
  wire::Body request = std::move(requests_.front());
  requests_.pop_front();
  return request;
}

std::optional<Follower::Delivery> Follower::next_delivery() {
  if (deliveries_.empty()) return std::nullopt;
  Delivery delivery = std::move(deliveries_.front());
  deliveries_.pop_front();
  if (const auto* changes = std::get_if<Changes>(&delivery)) delivered_events_ -= changes->events.size();
  all_consumed_ = false;
  return delivery;
}

void Follower::consumed() {
  if (!deliveries_.empty()) return;
  all_consumed_ = true;
  prove();
}

void Follower::receive(const wire::Frame& frame) {
  if (state_ == State::Idle) return;
  const bool mutated = options_.mutation == FollowerOptions::Mutation::IgnoreEpoch;
  if (incoming_ && frame.epoch == incoming_->at.epoch) {
    // May continue the snapshot that is coming in: kept until that is here.
    if (early_.size() < options_.early_frames && early_events_ + frame.events.size() <= options_.early_events &&
        early_.emplace(frame.after, frame).second) {
      early_events_ += frame.events.size();
    }
    if (frame.epoch != position_.epoch) return;
  }
  if (position_.epoch.empty()) return;  // Nothing to bring forward yet; pages will come.
  if (frame.epoch != position_.epoch && !mutated) {
    // Of a later life of the stream, or a straggler of an earlier one: which, the provider knows.
    if (state_ == State::Following) ask(clock_.now() - asked_at_ > options_.retry.initial);
    return;
  }
  if (take(frame)) {
    take_early();
    return;
  }
  if (frame.through <= position_.sequence) return;  // Old news.
  ++counts_.gaps;
  if (!incoming_ && early_.size() < options_.early_frames &&
      early_events_ + frame.events.size() <= options_.early_events && early_.emplace(frame.after, frame).second) {
    early_events_ += frame.events.size();
  }
  if (state_ == State::Following) ask(true);
}

// Applies a frame that continues the copy; false if it does not.
bool Follower::take(const wire::Frame& frame) {
  const bool gap = frame.after > position_.sequence && options_.mutation != FollowerOptions::Mutation::IgnoreGaps;
  if (gap || frame.through <= position_.sequence) return false;
  if (delivered_events_ + frame.events.size() > options_.delivered_events && delivered_events_ > 0) {
    ++counts_.dropped;  // The store is behind: as if it were lost. The gap shows, and is asked for at the price of the
                        // difference.
    return false;
  }
  Changes changes;
  for (std::size_t i = 0; i < frame.events.size(); ++i) {
    if (frame.sequences[i] <= position_.sequence) continue;  // The copy has this state, or a newer one.
    const WatchEvent& event = frame.events[i];
    const KeyHash key = hash_of(event.key.namespace_name, event.key.name);
    const auto held = inventory_.find(key);
    if (event.type == EventType::Deleted) {
      if (held == inventory_.end()) continue;  // Came and went between two frames.
      fingerprint_.remove(held->second);
      inventory_.erase(held);
      // Whatever incarnation the copy holds is gone: the one in the message may be a later one that never came here.
      changes.events.push_back(WatchEvent::deleted(event.key, "", event.resource_version));
      continue;
    }
    const EntryHash entry = EntryHash::of(*event.object);
    if (held != inventory_.end()) {
      fingerprint_.remove(held->second);
      held->second = entry;
    } else {
      inventory_.emplace(key, entry);
    }
    fingerprint_.add(entry);
    WatchEvent change = event;
    change.type = held != inventory_.end() ? EventType::Modified : EventType::Added;
    changes.events.push_back(std::move(change));
  }
  position_.sequence = frame.through;
  exact_ = frame.exact;
  changes.at = position_;
  delivered_events_ += changes.events.size();
  deliveries_.push_back(std::move(changes));
  all_consumed_ = false;
  if (state_ == State::Asking && resumed_to_ > 0 && position_.sequence >= resumed_to_) follow();
  if (state_ == State::Following) set_deadline(digest_interval_ * kSilentDigests);
  if (claim_) check(*claim_);
  return true;
}

void Follower::take_early() {
  while (!early_.empty()) {
    const auto first = early_.begin();
    if (first->first > position_.sequence) return;
    const wire::Frame frame = std::move(first->second);
    early_events_ -= frame.events.size();
    early_.erase(first);
    if (frame.epoch == position_.epoch) take(frame);
  }
}

void Follower::receive(wire::Page page) {
  if (state_ != State::Asking && state_ != State::Receiving) return;
  if (incoming_ && (incoming_->id != page.snapshot || incoming_->at.epoch != page.at.epoch)) {
    if (page.request != request_) return;
    drop_incoming();
  }
  if (!incoming_) {
    if (page.request != request_) return;  // It answers an earlier question, perhaps of an earlier life.
    if (state_ == State::Receiving) state_ = State::Asking;
    incoming_.emplace();
    incoming_->id = page.snapshot;
    incoming_->at = page.at;
    incoming_->total = page.total;
    incoming_->fingerprint = page.fingerprint;
    incoming_->current_at = clock_.now() - std::chrono::seconds(page.behind_seconds);
    incoming_->asked = options_.window;
    // Frames kept for another life of the stream lead nowhere from here.
    std::erase_if(early_, [&](const auto& kept) { return kept.second.epoch != page.at.epoch; });
    early_events_ = 0;
    for (const auto& [after, frame] : early_) early_events_ += frame.events.size();
    state_ = State::Receiving;
  }
  if (page.at != incoming_->at || page.number >= kMaximumPages || (incoming_->last && page.number > *incoming_->last)) {
    drop_incoming();  // Contradicts itself.
    return ask(true);
  }
  if (page.number > incoming_->asked + options_.window) return;  // Nobody asked for it.
  if (incoming_->pages.size() <= page.number) incoming_->pages.resize(page.number + 1);
  auto& slot = incoming_->pages[page.number];
  if (slot) return;
  if (page.last) incoming_->last = page.number;
  incoming_->objects += page.objects.size();
  slot = std::move(page.objects);
  backoff_.reset();
  incoming_->fruitless = 0;
  while (incoming_->contiguous < incoming_->pages.size() && incoming_->pages[incoming_->contiguous])
    ++incoming_->contiguous;
  if (incoming_->last && incoming_->contiguous == *incoming_->last + 1) return finish_snapshot();

  // Keep the window full: ask for the next half of it while the other half is under way.
  const std::uint32_t wanted = incoming_->contiguous + options_.window;
  if (!incoming_->last && wanted >= incoming_->asked + std::max<std::uint32_t>(options_.window / 2, 1)) {
    requests_.push_back(wire::Fetch{options_.client, id_, incoming_->id, {{incoming_->asked, wanted}}});
    incoming_->asked = wanted;
  }
  set_deadline(backoff_.next());
}

// Pages that should be here and are not: lost on the way, or with the provider that had them.
void Follower::fetch_missing() {
  if (++incoming_->fruitless > kFruitlessFetches) {
    drop_incoming();
    return ask(true);
  }
  wire::Fetch fetch{options_.client, id_, incoming_->id, {}};
  const std::uint32_t end = incoming_->last ? *incoming_->last + 1 : incoming_->asked;
  for (std::uint32_t page = incoming_->contiguous; page < end; ++page) {
    if (page < incoming_->pages.size() && incoming_->pages[page]) continue;
    if (!fetch.pages.empty() && fetch.pages.back().second == page) {
      ++fetch.pages.back().second;
    } else {
      fetch.pages.emplace_back(page, page + 1);
    }
  }
  requests_.push_back(std::move(fetch));
  set_deadline(backoff_.next());
}

void Follower::finish_snapshot() {
  Incoming done = std::move(*incoming_);
  drop_incoming();
  Fingerprint found;
  std::unordered_map<KeyHash, EntryHash, HashOfKey> inventory;
  inventory.reserve(done.objects);
  std::vector<ObjectPtr> objects;
  objects.reserve(done.objects);
  for (auto& page : done.pages) {
    for (ObjectPtr& object : *page) {
      const EntryHash entry = EntryHash::of(*object);
      if (inventory.emplace(hash_of(object->namespace_name(), object->name()), entry).second) found.add(entry);
      objects.push_back(std::move(object));
    }
    page.reset();
  }
  if (found != done.fingerprint || objects.size() != done.total) {
    ++counts_.mismatches;
    position_ = wire::Position();
    return ask(false);
  }
  if (position_.epoch == done.at.epoch && done.at.sequence < position_.sequence)
    return ask(true);  // Frames were faster.
  ++counts_.snapshots;
  position_ = done.at;
  exact_ = true;
  inventory_ = std::move(inventory);
  fingerprint_ = found;
  // What waits for the store is older than this set.
  deliveries_.clear();
  delivered_events_ = 0;
  deliveries_.push_back(FullSet{std::move(objects), position_});
  all_consumed_ = false;
  proof_ = Proof{position_, done.current_at};  // The set's own fingerprint is the provider's.
  follow();
  take_early();
  if (claim_) check(*claim_);
}

void Follower::receive(const wire::Notice& notice) {
  if (state_ == State::Idle) return;
  switch (notice.kind) {
    case wire::Notice::Kind::Resumed:
      if (state_ != State::Asking || notice.request != request_ || notice.at.epoch != position_.epoch) return;
      ++counts_.resumes;
      if (position_.sequence >= notice.at.sequence) return follow();
      resumed_to_ = notice.at.sequence;
      return;
    case wire::Notice::Kind::NotReady:
      if (state_ == State::Asking && notice.request == request_) set_deadline(kNotReadyRetry);
      return;
    case wire::Notice::Kind::Unknown:
      drop_incoming();
      return ask(clock_.now() - asked_at_ > options_.retry.initial / 4);
    case wire::Notice::Kind::Refused:
      if (state_ != State::Asking || notice.request != request_) return;
      if (deliveries_.empty() || !std::holds_alternative<Error>(deliveries_.back()))
        deliveries_.push_back(Error(notice.code, notice.message));
      set_deadline(kRefusedRetry);
      return;
  }
}

void Follower::receive(const wire::Digest::Stream& stream, Duration interval) {
  if (state_ == State::Idle) return;
  digest_interval_ = std::clamp<Duration>(interval, std::chrono::seconds(1), std::chrono::minutes(10));
  if (state_ == State::Following) set_deadline(digest_interval_ * kSilentDigests);
  if (position_.epoch.empty()) return;
  if (stream.at.epoch != position_.epoch) {
    if (state_ == State::Following) ask(clock_.now() - asked_at_ > options_.retry.initial);
    return;
  }
  if (stream.at.sequence < position_.sequence) return;
  claim_ = stream;
  claimed_at_ = clock_.now();
  check(stream);
  // Behind it: the frames between were sent before this digest. A moment of grace for those that are merely late.
  if (claim_ && state_ == State::Following) set_deadline(options_.retry.initial / 2);
}

// Compares the copy with what the provider says of the same position.
void Follower::check(const wire::Digest::Stream& stream) {
  if (stream.at.epoch != position_.epoch || stream.at.sequence > position_.sequence) return;
  const bool same_position = stream.at.sequence == position_.sequence;
  const Fingerprint expected = stream.fingerprint;
  const TimePoint current_at = claimed_at_ - std::chrono::seconds(stream.behind_seconds);
  claim_.reset();
  if (!same_position || !exact_) return;  // Overtaken: the next one will fit.
  if (expected == fingerprint_) {
    proof_ = Proof{position_, current_at};
    return prove();
  }
  ++counts_.mismatches;
  position_ = wire::Position();
  proof_.reset();
  ask(true);
}

// A proof is about the store: it counts once the store has all that it speaks of.
void Follower::prove() {
  if (!proof_ || (!all_consumed() && options_.mutation != FollowerOptions::Mutation::ProveUnconsumed)) return;
  if (proof_->at == position_) proven_at_ = std::max(proven_at_.value_or(proof_->current_at), proof_->current_at);
  proof_.reset();
}

Follower::Progress Follower::progress() const {
  if (incoming_) return Progress{incoming_->objects, incoming_->total};
  return Progress{fingerprint_.count, fingerprint_.count};
}

}  // namespace tinf
