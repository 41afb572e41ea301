// Reconciliation: repairs a copy by ranges. Compares what a provider's snapshot holds with what the copy holds, range
// by range, and fetches only the objects that differ. Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tinf/object/inventory.h"
#include "tinf/object/watch_event.h"
#include "tinf/wire/messages.h"

namespace tinf {

// Round trips are four for a hundred thousand objects, and one more for each factor of 64. Every answer may be lost,
// repeated or late. Not thread-safe.
class Reconciliation {
 public:
  // `first` answers the watch; `copy` is what the copy holds, which does not change meanwhile.
  Reconciliation(std::string client, const wire::Ranges& first, Inventory copy);

  const std::string& snapshot() const { return snapshot_; }
  const wire::Position& at() const { return at_; }

  // True if they brought something that was asked for. Contradictions are as good as lost.
  bool receive(const wire::Ranges& answer);
  bool receive(const wire::Objects& answer);

  // The next question, if there is room for one among those under way.
  std::optional<wire::Body> next_request();
  // What is under way is taken for lost.
  void ask_again();

  // Nothing is left to ask.
  bool complete() const {
    return open_ranges_.empty() && asked_ranges_.empty() && open_keys_.empty() && asked_keys_.empty();
  }
  // So much differs that the whole set costs less.
  bool hopeless() const;

  // What makes the copy equal: deletes first. Nothing if the result is not the snapshot after all.
  struct Repair {
    std::vector<WatchEvent> events;
    Inventory inventory;
  };
  std::optional<Repair> repair();

  // Objects of the snapshot, and those of them that are known to be in the copy or have come.
  std::uint64_t total() const { return fingerprint_.count; }
  std::uint64_t missing() const { return open_keys_.size() + asked_keys_.size(); }

 private:
  void take(const wire::Ranges::Range& answer);
  void compare_entries(const wire::Ranges::Range& answer);

  // Constant after construction.
  const std::string client_;
  const std::string scope_;
  const std::string snapshot_;
  const wire::Position at_;
  const Fingerprint fingerprint_;
  const Inventory copy_;

  std::deque<KeyRange> open_ranges_;            // To ask for.
  std::map<ObjectKey, KeyRange> asked_ranges_;  // By their beginning.
  std::deque<ObjectKey> open_keys_;
  std::map<ObjectKey, std::uint64_t> asked_keys_;
  std::map<ObjectKey, std::uint64_t> wanted_;  // The snapshot's hash of each key that differs.
  std::vector<ObjectKey> gone_;
  std::vector<ObjectPtr> fetched_;
  std::uint64_t suspected_ = 0;  // Objects in the smallest pieces that differ.
  std::uint64_t listed_ = 0;     // Objects whose hashes have come.
};

}  // namespace tinf
