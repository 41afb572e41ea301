#include "tinf/follower/follower.h"

#include <algorithm>

#include "tinf/wire/rules.h"

namespace tinf {
namespace {

constexpr Duration kRefusedRetry = std::chrono::seconds(30);
constexpr Duration kNotReadyRetry = std::chrono::seconds(10);
constexpr int kFruitlessQuestions = 4;
constexpr int kDigestsBeforeUs = 3;  // One or two may be late.
constexpr int kSilentDigests = 3;    // Intervals without a word about our stream, after which we ask.

}  // namespace

Follower::Follower(Scope scope, FollowerOptions options, Clock& clock, Random& random)
    : scope_(std::move(scope)),
      id_(scope_.id()),
      options_(std::move(options)),
      clock_(clock),
      random_(random),
      backoff_(clock_, random_, options_.retry),
      contradicted_(clock_, random_, options_.retry),
      request_(random_.next() >> 1) {}  // Not from 0: answers to an earlier process under our name must not fit.

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

void Follower::repair_from(Inventory held, wire::Position at) {
  position_ = std::move(at);
  complete_from_ = 0;
  inventory_ = std::move(held);
  ask_whole_ = false;
  keep_early_of("");
  drop_deliveries();
  claim_.reset();
  proof_.reset();
  drop_incoming();
  if (state_ != State::Idle) ask(true);
}

// Puts objects where the patches to come will look for them, too.
void Follower::deliver(Delivery delivery) {
  ++made_;
  if (find_stored_) {
    if (const auto* set = std::get_if<FullSet>(&delivery)) unstored_.replace(made_, set->objects);
    if (const auto* changes = std::get_if<Changes>(&delivery)) {
      for (const WatchEvent& event : changes->events) {
        if (event.object) unstored_.put(made_, event.object);
      }
    }
  }
  deliveries_.push_back(std::move(delivery));
  all_consumed_ = false;
}

void Follower::drop_deliveries() {
  deliveries_.clear();
  delivered_events_ = delivered_patched_bytes_ = 0;
  taken_ = made_;
  unstored_.clear();
}

void Follower::drop_incoming() {
  incoming_.reset();
  repair_.reset();
  fruitless_ = 0;
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
  if (!inventory_.empty() && !ask_whole_) watch.inventory = inventory_.fingerprint();
  asked_have_ = watch.have;
  asked_inventory_ = watch.inventory;
  watch.lease_seconds = static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(options_.lease).count());
  watch.window = options_.window;
  watch.patches = find_stored_ != nullptr;
  watch.request = ++request_;
  requests_.push_back(std::move(watch));
  asked_at_ = clock_.now();
  set_deadline(backoff_.next());
}

// Of an answer that contradicts itself, the next one may, too: no storm comes of it.
void Follower::ask_later() {
  ++counts_.contradictions;
  state_ = State::Asking;
  set_deadline(contradicted_.next());
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
    case State::Repairing:
      if (++fruitless_ > kFruitlessQuestions) {
        drop_incoming();
        return ask(true);
      }
      if (incoming_) {
        fetch(incoming_->missing());
        return set_deadline(backoff_.next());
      }
      repair_->ask_again();
      return proceed();
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
  unstored_.stored(taken_);
  if (deliveries_.empty()) return std::nullopt;
  Delivery delivery = std::move(deliveries_.front());
  deliveries_.pop_front();
  ++taken_;
  if (const auto* changes = std::get_if<Changes>(&delivery)) {
    delivered_events_ -= changes->events.size();
    delivered_patched_bytes_ -= changes->patched_bytes;
  }
  all_consumed_ = false;
  return delivery;
}

void Follower::consumed() {
  unstored_.stored(taken_);
  if (!deliveries_.empty()) return;
  all_consumed_ = true;
  prove();
}

void Follower::receive(const wire::Frame& frame) {
  if (state_ == State::Idle) return;
  if (repair_) {
    // The copy must not change while it is compared.
    if (frame.epoch == repair_->at().epoch) keep_early(frame);
    return;
  }
  if (incoming_ && frame.epoch == incoming_->at().epoch) {
    // May continue the snapshot that is coming in: kept until that is here.
    keep_early(frame);
    if (frame.epoch != position_.epoch) return;
  }
  if (state_ == State::Asking && frame.epoch != position_.epoch) keep_early(frame);  // It may continue the answer.
  if (position_.epoch.empty()) return;                                               // Nothing to bring forward yet.
  if (frame.epoch != position_.epoch && !wire::broken(wire::Rule::FramesOfOtherEpochsAreAlien)) {
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
  if (!incoming_) keep_early(frame);
  if (state_ == State::Following) ask(true);
}

// The frames that continue the copy first are worth most: where there is no room, the last of them goes.
void Follower::keep_early(const wire::Frame& frame) {
  const auto drop = [this](std::map<std::uint64_t, wire::Frame>::iterator kept) {
    early_events_ -= kept->second.events.size();
    early_.erase(kept);
  };
  const auto same = early_.find(frame.after);
  if (same != early_.end()) {
    if (same->second.epoch == frame.epoch) return;
    drop(same);
  }
  const auto full = [&] {
    return early_.size() >= options_.early_frames || early_events_ + frame.events.size() > options_.early_events;
  };
  while (full() && !early_.empty() && early_.rbegin()->first > frame.after) drop(std::prev(early_.end()));
  if (full()) return;
  early_events_ += frame.events.size();
  early_.emplace(frame.after, frame);
}

// Frames kept for another life of the stream lead nowhere from here.
void Follower::keep_early_of(const std::string& epoch) {
  std::erase_if(early_, [&](const auto& kept) { return kept.second.epoch != epoch; });
  early_events_ = 0;
  for (const auto& [after, frame] : early_) early_events_ += frame.events.size();
}

// Applies a frame that continues the copy; false if it does not.
bool Follower::take(const wire::Frame& frame) {
  const bool gap = frame.after > position_.sequence && !wire::broken(wire::Rule::GapsAreClosed);
  if (gap || frame.through <= position_.sequence) return false;
  const std::size_t room = std::max(options_.delivered_events, inventory_.size());
  const bool full = delivered_events_ + frame.events.size() > room && delivered_events_ > 0;
  if (full && !wire::broken(wire::Rule::WhatIsDroppedIsAGap)) {
    ++counts_.dropped;  // The store is behind: as if it were lost. The gap shows, and is asked for at the price of the
                        // difference.
    return false;
  }
  auto patched = patched_objects(frame);
  if (!patched) return false;
  auto next_patched = patched->begin();
  Changes changes;
  for (std::size_t i = 0; i < frame.events.size(); ++i) {
    // The copy has this state, or a newer one.
    if (frame.sequences[i] <= position_.sequence) continue;
    const WatchEvent& event = frame.events[i];
    if (event.type == EventType::Deleted) {
      if (!inventory_.remove(event.key)) continue;  // Came and went between two frames.
      // Whatever incarnation the copy holds is gone: the one in the message may be a later one that never came here.
      changes.events.push_back(WatchEvent::deleted(event.key, "", event.resource_version));
      continue;
    }
    const ObjectPtr object = event.object ? event.object : *next_patched++;
    const bool held = inventory_.put(event.key, EntryHash::of(*object)).has_value();
    changes.events.push_back(held ? WatchEvent::modified(object) : WatchEvent::added(object));
    if (event.object) continue;
    changes.patched_bytes += object->raw().size();
    ++counts_.patches;
  }
  if (full) changes.events.clear();  // Only where that rule is broken.
  position_.sequence = frame.through;
  complete_from_ = std::max(complete_from_, frame.head);
  changes.at = position_;
  changes.exact = exact();
  delivered_events_ += changes.events.size();
  delivered_patched_bytes_ += changes.patched_bytes;
  deliver(std::move(changes));
  if (state_ == State::Asking) {
    if (resumed_to_ > 0 && position_.sequence >= resumed_to_) {
      follow();
    } else {  // What is still missing of the answer is late or lost: it is asked for soon.
      backoff_.reset();
      set_deadline(backoff_.next());
    }
  }
  if (state_ == State::Following) set_deadline(digest_interval_ * kSilentDigests);
  if (claim_) check(*claim_);
  return true;
}

// What the frame's patches make of what the copy has; nothing if that is not what they are about, or cannot be found:
// then the frame is as good as lost, and what is asked for comes as whole objects.
std::optional<std::vector<ObjectPtr>> Follower::patched_objects(const wire::Frame& frame) const {
  std::vector<ObjectPtr> objects;
  objects.reserve(frame.patches.size());
  auto patch = frame.patches.begin();
  std::size_t room = options_.delivered_patched_bytes - delivered_patched_bytes_;
  for (std::size_t i = 0; i < frame.events.size(); ++i) {
    const WatchEvent& event = frame.events[i];
    if (event.object || event.type == EventType::Deleted) continue;
    const wire::Patch& change = *patch++;
    if (frame.sequences[i] <= position_.sequence) continue;
    const auto held = inventory_.find(event.key);
    if (!held || !find_stored_) return std::nullopt;
    ObjectPtr base = unstored_.find(event.key);
    if (!base) base = find_stored_(event.key);
    if (!base) return std::nullopt;
    const bool fits = held->low == change.base && EntryHash::of(base->raw()) == *held;
    if (!fits && !wire::broken(wire::Rule::PatchesFitTheirBase)) return std::nullopt;
    auto object = patched(base, change, room);
    if (!object) return std::nullopt;
    room -= (*object)->raw().size();
    objects.push_back(std::move(*object));
  }
  return objects;
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
  const bool answers = page.request == request_ || wire::broken(wire::Rule::AnswersFitTheirQuestion);
  const bool alien = incoming_ && !incoming_->has(page);
  if (alien && !wire::broken(wire::Rule::PagesBelongToOneSnapshot)) {
    if (!answers) return;
    drop_incoming();
  }
  if (!incoming_) {
    if (!answers) return;  // It answers an earlier question, perhaps of an earlier life.
    incoming_.emplace(page, options_.window);
    answer_current_at_ = current_at(page.behind_seconds);
    keep_early_of(page.at.epoch);
    state_ = State::Receiving;
  }
  switch (incoming_->receive(std::move(page))) {
    case IncomingSnapshot::Taken::Contradicts:
      drop_incoming();
      return ask_later();
    case IncomingSnapshot::Taken::Ignored:
      return;
    case IncomingSnapshot::Taken::New:
      break;
  }
  backoff_.reset();
  fruitless_ = 0;
  if (incoming_->whole()) return finish_snapshot();
  if (const auto pages = incoming_->next_pages()) fetch({*pages});
  set_deadline(backoff_.next());
}

void Follower::fetch(std::vector<IncomingSnapshot::Pages> pages) {
  requests_.push_back(wire::Fetch{options_.client, id_, incoming_->id(), std::move(pages), {}});
}

void Follower::finish_snapshot() {
  const wire::Position at = incoming_->at();
  auto set = std::move(*incoming_).finish();
  drop_incoming();
  if (!set) {
    position_ = wire::Position();
    return ask_later();
  }
  // Frames were faster. Where the copy stood there already when it asked, the provider knows better: no stream of its
  // own has led us there.
  const bool overtaken = position_.epoch == at.epoch && at.sequence < position_.sequence;
  if (overtaken && (asked_have_.epoch != at.epoch || asked_have_.sequence <= at.sequence)) return ask(true);
  ++counts_.snapshots;
  ask_whole_ = false;
  inventory_ = std::move(set->inventory);
  // What waits for the store is older than this set.
  drop_deliveries();
  deliver(FullSet{std::move(set->objects), at});
  stand_at(at, answer_current_at_);
}

// When the provider's own set was current, as it says now.
TimePoint Follower::current_at(std::uint32_t behind_seconds) {
  behind_ = std::chrono::seconds(behind_seconds);
  return clock_.now() - behind_;
}

// The copy has become the provider's set of that position, by other ways than frames. That counts as a proof.
void Follower::stand_at(const wire::Position& position, TimePoint current_at) {
  position_ = position;
  complete_from_ = 0;
  all_consumed_ = false;
  proof_ = Proof{position_, current_at};
  follow();
  take_early();
  if (claim_) check(*claim_);
}

void Follower::receive(const wire::Ranges& ranges) {
  if (state_ == State::Asking && ranges.request == request_ && !inventory_.empty()) {
    repair_.emplace(options_.client, ranges, inventory_);
    answer_current_at_ = current_at(ranges.behind_seconds);
    keep_early_of(ranges.at.epoch);
    state_ = State::Repairing;
  } else if (!repair_ || ranges.snapshot != repair_->snapshot() || !repair_->receive(ranges)) {
    return;
  }
  fruitless_ = 0;
  backoff_.reset();
  proceed();
}

void Follower::receive(const wire::Objects& objects) {
  if (!repair_ || objects.snapshot != repair_->snapshot() || !repair_->receive(objects)) return;
  fruitless_ = 0;
  backoff_.reset();
  proceed();
}

void Follower::proceed() {
  if (repair_->complete()) return finish_repair();
  if (repair_->hopeless()) {
    drop_incoming();
    ask_whole_ = true;
    return ask(true);
  }
  while (auto question = repair_->next_request()) requests_.push_back(std::move(*question));
  set_deadline(backoff_.next());
}

void Follower::finish_repair() {
  Reconciliation done = std::move(*repair_);
  drop_incoming();
  auto repair = done.repair();
  if (!repair) {
    ask_whole_ = true;
    return ask_later();
  }
  ++counts_.repairs;
  inventory_ = std::move(repair->inventory);
  delivered_events_ += repair->events.size();
  deliver(Changes{std::move(repair->events), done.at(), true});
  stand_at(done.at(), answer_current_at_);
}

void Follower::receive(const wire::Notice& notice) {
  if (state_ == State::Idle) return;
  const bool answers =
      state_ == State::Asking && (notice.request == request_ || wire::broken(wire::Rule::AnswersFitTheirQuestion));
  switch (notice.kind) {
    case wire::Notice::Kind::Resumed:
      if (!answers || notice.at.epoch != position_.epoch) return;
      ++counts_.resumes;
      if (position_.sequence >= notice.at.sequence) return follow();
      resumed_to_ = notice.at.sequence;
      return;
    case wire::Notice::Kind::Equal:
      if (!answers || !asked_inventory_) return;
      // Frames may have changed the copy since it was named.
      if (*asked_inventory_ != inventory_.fingerprint()) return ask(true);
      ++counts_.repairs;
      keep_early_of(notice.at.epoch);
      deliver(Changes{{}, notice.at, true});
      return stand_at(notice.at, current_at(notice.behind_seconds));
    case wire::Notice::Kind::NotReady:
      if (answers) set_deadline(kNotReadyRetry);
      return;
    case wire::Notice::Kind::Unknown:
      drop_incoming();
      return ask(clock_.now() - asked_at_ > options_.retry.initial / 4);
    case wire::Notice::Kind::Refused:
      if (!answers) return;
      if (deliveries_.empty() || !std::holds_alternative<Error>(deliveries_.back()))
        deliver(Error(notice.code, notice.message));
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
  if (stream.at.sequence < position_.sequence) {
    // Late, or the copy has been led to where the stream has never been.
    if (std::exchange(before_sequence_, position_.sequence) != position_.sequence) digests_before_us_ = 0;
    if (++digests_before_us_ < kDigestsBeforeUs || state_ != State::Following) return;
    digests_before_us_ = 0;
    ++counts_.contradictions;
    position_ = wire::Position();
    proof_.reset();
    return ask(true);
  }
  digests_before_us_ = 0;
  // Overtaken by another that has said more.
  if (claim_ && claim_->at.epoch == stream.at.epoch && stream.at.sequence < claim_->at.sequence) return;
  behind_ = std::chrono::seconds(stream.behind_seconds);
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
  const auto behind = wire::broken(wire::Rule::ProofsAreDatedBack) ? 0 : stream.behind_seconds;
  const TimePoint current_at = claimed_at_ - std::chrono::seconds(behind);
  claim_.reset();
  if (wire::broken(wire::Rule::ProofsSpeakOfThePosition)) {
    proof_ = Proof{position_, current_at};
    return prove();
  }
  if (!same_position || !exact()) return;  // Overtaken: the next one will fit.
  if (expected == inventory_.fingerprint()) {
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
  if (!proof_ || (!all_consumed() && !wire::broken(wire::Rule::ProofsNeedTheStore))) return;
  if (proof_->at == position_) proven_at_ = std::max(proven_at_.value_or(proof_->current_at), proof_->current_at);
  proof_.reset();
}

Follower::Progress Follower::progress() const {
  if (incoming_) return Progress{incoming_->objects(), incoming_->total()};
  if (repair_) return Progress{repair_->total() - std::min(repair_->total(), repair_->missing()), repair_->total()};
  return Progress{inventory_.size(), inventory_.size()};
}

}  // namespace tinf
