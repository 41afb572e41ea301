#include "tinf/follower/broker_channel.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "tinf/contract/lister_watcher.h"

namespace tinf {

using namespace std::chrono_literals;

namespace {

// How often a part of a large store is measured, and how long all parts of any store take: less than a digest's
// interval.
constexpr Duration kMeasureEvery = 200ms;
constexpr Duration kMeasureRound = 20s;
constexpr std::size_t kMeasureAtLeast = 64;
constexpr int kMeasureRest = 19;  // Times as long as the last part took nothing is measured.
// A store that differs again so soon after its repair is altered faster than it is repaired, or does not take repairs.
constexpr Duration kRepairAgain = 2s;
constexpr Duration kRepairedFor = 30s;

// Nothing if the version is none of ours, or not exact.
wire::Position position_of(const std::string& version) {
  wire::Position position;
  const std::size_t slash = version.find('/');
  if (slash == std::string::npos) return position;
  const char* const end = version.data() + version.size();
  const auto parsed = std::from_chars(version.data() + slash + 1, end, position.sequence);
  if (parsed.ec == std::errc() && parsed.ptr == end) position.epoch = version.substr(0, slash);
  return position;
}

}  // namespace

BrokerChannel::BrokerChannel(std::string cluster_name, const Scope& scope, FollowerOptions options, Runtime& runtime,
                             const StoreReader* store, MeasurePace& pace)
    : cluster(std::move(cluster_name)),
      follower(scope, std::move(options), runtime.clock, runtime.random),
      heard_at(runtime.clock.now()),
      clock_(runtime.clock),
      log_(runtime.log.with("follower")),
      store_(store),
      pace_(pace) {
  if (store_ == nullptr) return;
  follower.find_stored_with([store](const ObjectKey& key) {
    auto found = store->get(key);
    return found ? std::move(*found) : nullptr;
  });
}

std::string BrokerChannel::version_of(const wire::Position& position, bool exact) {
  return position.epoch + "/" + std::to_string(position.sequence) + (exact ? "" : "+");
}

void BrokerChannel::take_up(const ResourceVersion& from) {
  if (store_ == nullptr || store_->size() == 0) return;
  const ResourceVersion held = store_->version();
  if (held != from && !(held.empty() && from.text() == kUnknownPosition)) return;
  delivered = from.text();
  unproven = true;
  // Also a second time: what could not be stored was no repair, and may come again.
  measure_all(position_of(from.text()), false);
}

void BrokerChannel::measure_all(wire::Position at, bool in_vain) {
  // Without a limit: somebody may have added what its bookkeeping does not count.
  auto measured = store_->measure(ObjectKey(), std::numeric_limits<std::size_t>::max());
  if (!measured) {
    cannot_read(measured.error());
    return;
  }
  Inventory held;
  for (const InventoryEntry& entry : *measured) held.put(entry.key, entry.hash);
  // Where keys are out of order, or a repair was in vain, no range can be relied on: the whole set replaces what is
  // held.
  if (in_vain || held.entries() != *measured) {
    held = Inventory();
    delivered.clear();
  }
  follower.repair_from(std::move(held), std::move(at));
}

// Its own fault, not a difference: who waits for the store is told.
bool BrokerChannel::cannot_read(const Error& error) {
  unreadable = error;
  changed.notify();
  return false;
}

bool BrokerChannel::check_store() {
  if (store_ == nullptr || delivered.empty() || follower.peek_delivery() != nullptr) return true;
  if (follower.position().epoch.empty()) return true;  // Not what it should be, and known not to be.
  bool equal = store_->fingerprint() == follower.inventory().fingerprint();
  if (const TimePoint began = clock_.now(); equal && measure_at_ <= began && pace_.next <= began) {
    const std::size_t size = store_->size();
    const std::size_t part = std::max(kMeasureAtLeast, size / (kMeasureRound / kMeasureEvery));
    const auto measured = store_->measure(measure_from_, part);
    pace_.next = clock_.now() + kMeasureRest * (clock_.now() - began);
    if (!measured) return cannot_read(measured.error());
    measure_at_ = began + kMeasureRound * part / std::max(size, part);
    equal = *measured == follower.inventory().entries(KeyRange{measure_from_, {}}, part);
    measure_from_ = measured->size() == part ? measured->back().key : ObjectKey();
  }
  if (equal) return true;
  const TimePoint now = clock_.now();
  if (repaired_at_ && now - *repaired_at_ < kRepairAgain) return false;
  log_.warning("a store differs from what was received: it is repaired",
               {{"cluster", cluster}, {"resource", follower.scope().resource.group_resource()}});
  const bool in_vain = repaired_at_ && now - *repaired_at_ < kRepairedFor;
  repaired_at_ = now;
  measure_all(wire::Position(), in_vain);
  return false;
}

void BrokerChannel::wake() {
  const bool proven = unproven && follower.proven_at();
  if (proven || follower.peek_delivery() != nullptr) changed.notify();
}

}  // namespace tinf
