#include "tinf/follower/reconciliation.h"

#include <utility>

#include "tinf/wire/rules.h"

namespace tinf {
namespace {

constexpr std::size_t kRanges = 64;  // Under way at once: their answers are about 60 KiB.
constexpr std::size_t kKeys = 512;   // Under way at once.
// A hash costs a tenth of a small object, compressed. So where differences are everywhere, and nine tenths of the first
// objects that were listed differ, the whole set costs less than listing all.
constexpr std::uint64_t kJudged = 1024;
constexpr std::uint64_t kSmallPiece = 32;

}  // namespace

Reconciliation::Reconciliation(std::string client, const wire::Ranges& first, Inventory copy)
    : client_(std::move(client)),
      scope_(first.scope),
      snapshot_(first.snapshot),
      at_(first.at),
      fingerprint_(first.fingerprint),
      copy_(std::move(copy)) {
  asked_ranges_.emplace(ObjectKey(), KeyRange());
  receive(first);
  // An answer about something else than the whole: it is asked for by name.
  if (!asked_ranges_.empty()) ask_again();
}

bool Reconciliation::receive(const wire::Ranges& answer) {
  bool news = false;
  for (const wire::Ranges::Range& range : answer.ranges) {
    const auto asked = asked_ranges_.find(range.range.from);
    if (asked == asked_ranges_.end() || asked->second != range.range) continue;
    asked_ranges_.erase(asked);
    take(range);
    news = true;
  }
  return news;
}

void Reconciliation::take(const wire::Ranges::Range& answer) {
  if (answer.pieces.empty()) return compare_entries(answer);
  ObjectKey from = answer.range.from;
  for (const wire::Ranges::Piece& piece : answer.pieces) {
    const KeyRange range{std::exchange(from, piece.to), piece.to};
    const Fingerprint held = copy_.fingerprint(range);
    const bool differs = held.count != piece.count || held.low != piece.sum;
    if (differs && piece.count <= kSmallPiece) suspected_ += piece.count;
    if (differs) open_ranges_.push_back(range);
  }
}

void Reconciliation::compare_entries(const wire::Ranges::Range& answer) {
  const auto want = [this](const wire::Ranges::Entry& entry) {
    open_keys_.push_back(entry.key);
    wanted_.emplace(entry.key, entry.hash);
  };
  listed_ += answer.entries.size();
  auto theirs = answer.entries.begin();
  for (InventoryEntry& ours : copy_.entries(answer.range, copy_.size())) {
    for (; theirs != answer.entries.end() && theirs->key < ours.key; ++theirs) want(*theirs);
    if (theirs == answer.entries.end() || theirs->key != ours.key) {
      gone_.push_back(std::move(ours.key));
    } else if ((theirs++)->hash != ours.hash.low) {
      want(*(theirs - 1));
    }
  }
  for (; theirs != answer.entries.end(); ++theirs) want(*theirs);
}

bool Reconciliation::receive(const wire::Objects& answer) {
  bool news = false;
  for (const ObjectPtr& object : answer.objects) {
    const auto asked = asked_keys_.find(object->key());
    if (asked == asked_keys_.end() || EntryHash::of(*object).low != asked->second) continue;
    asked_keys_.erase(asked);
    fetched_.push_back(object);
    news = true;
  }
  return news;
}

std::optional<wire::Body> Reconciliation::next_request() {
  if (!open_ranges_.empty() && asked_ranges_.size() <= kRanges / 2) {
    wire::Compare compare{client_, scope_, snapshot_, {}};
    for (; !open_ranges_.empty() && asked_ranges_.size() < kRanges; open_ranges_.pop_front()) {
      compare.ranges.push_back(open_ranges_.front());
      asked_ranges_.emplace(open_ranges_.front().from, open_ranges_.front());
    }
    return compare;
  }
  // Objects come last, so that a copy that turns out to be hopeless has cost little.
  if (open_ranges_.empty() && asked_ranges_.empty() && !open_keys_.empty() && asked_keys_.size() <= kKeys / 2) {
    wire::Fetch fetch{client_, scope_, snapshot_, {}, {}};
    for (; !open_keys_.empty() && asked_keys_.size() < kKeys; open_keys_.pop_front()) {
      asked_keys_.emplace(open_keys_.front(), wanted_.at(open_keys_.front()));
      fetch.keys.push_back(open_keys_.front());
    }
    return fetch;
  }
  return std::nullopt;
}

void Reconciliation::ask_again() {
  for (const auto& [from, range] : asked_ranges_) open_ranges_.push_front(range);
  for (const auto& [key, hash] : asked_keys_) open_keys_.push_front(key);
  asked_ranges_.clear();
  asked_keys_.clear();
}

bool Reconciliation::hopeless() const {
  return suspected_ > fingerprint_.count / 4 * 3 && listed_ >= kJudged && wanted_.size() > listed_ / 10 * 9;
}

std::optional<Reconciliation::Repair> Reconciliation::repair() {
  Repair repair{{}, copy_};
  repair.events.reserve(gone_.size() + fetched_.size());
  const bool keeps = wire::broken(wire::Rule::RepairsDelete);
  if (keeps) gone_.clear();
  for (ObjectKey& key : gone_) {
    repair.inventory.remove(key);
    repair.events.push_back(WatchEvent::deleted(std::move(key), "", ""));
  }
  for (ObjectPtr& object : fetched_) {
    const bool held =
        repair.inventory.put(object->namespace_name(), object->name(), EntryHash::of(*object)).has_value();
    repair.events.push_back(held ? WatchEvent::modified(std::move(object)) : WatchEvent::added(std::move(object)));
  }
  if (repair.inventory.fingerprint() != fingerprint_ && !keeps) return std::nullopt;
  return repair;
}

}  // namespace tinf
