// A world of providers and followers on a network that drops, repeats, delays and partitions, all from one seed.
// It runs the very state machines that the daemons run, with nothing between them but bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "tests/simulation/truth.h"
#include "tinf/follower/digest_ledger.h"
#include "tinf/follower/follower.h"
#include "tinf/provider/provider_core.h"
#include "tinf/wire/rules.h"

namespace tinf::simulation {

// Time that the world moves by hand. Nothing sleeps on it.
class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall_now() const override { return WallTime(); }
  void arm(asio::steady_timer&, TimePoint) override {}
  void disarm(asio::steady_timer&) override {}
  void move_to(TimePoint time) { now_ = std::max(now_, time); }

 private:
  TimePoint now_{std::chrono::hours(1)};
};

struct Conditions {
  double drop = 0;
  double repeat = 0;
  double long_delay = 0;  // The share of messages that take up to half a minute, and so overtake nothing but time.
};

struct Story {
  std::uint64_t seed = 0;
  wire::Rule broken = wire::Rule::None;
};

// What a history showed. `violations` is empty in a world where the promises hold.
struct Outcome {
  std::vector<std::string> violations;
  std::uint64_t digest = 0;  // Of all that happened: equal for equal seeds.
  std::size_t messages = 0;
  std::size_t changes = 0;
  std::size_t proofs = 0;
  std::size_t snapshots = 0;  // Copies that began with a whole set,
  std::size_t resumes = 0;    // that caught up by frames,
  std::size_t repairs = 0;    // and that were compared by ranges.
  std::size_t patches = 0;    // Updates that followers have applied as such.
};

// Plays one history: two minutes of trouble, then quiet, then judgement.
Outcome play(const Story& story);

}  // namespace tinf::simulation
