// Some hundred histories of whole systems, each of another seed: the promises hold in all of them.
// TINF_SIMULATION_SEED=n plays one history and tells it; TINF_SYSTEM_HISTORIES=n sets how many. Without that there are
// never more of them than TINF_SIMULATION_HISTORIES asks for of the small world's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/simulation/system.h"

namespace tinf::simulation {
namespace {

constexpr std::uint64_t kHistories = 500;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void tell(const SystemOutcome& outcome) {
  for (const std::string& line : outcome.story) std::printf("%s\n", line.c_str());
}

TEST(SystemSimulation, ThePromisesHoldInEveryHistory) {
  const std::uint64_t only = from_environment("TINF_SIMULATION_SEED", 0);
  const std::uint64_t usual = std::min(kHistories, from_environment("TINF_SIMULATION_HISTORIES", kHistories));
  const std::uint64_t first = only != 0 ? only : 1;
  const std::uint64_t last = only != 0 ? only : from_environment("TINF_SYSTEM_HISTORIES", usual);
  SystemOutcome all;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const SystemOutcome outcome = play_system(seed);
    if (only != 0) tell(outcome);
    std::string violations;
    for (const std::string& violation : outcome.violations) violations += "\n  " + violation;
    EXPECT_TRUE(violations.empty()) << "replay with TINF_SIMULATION_SEED=" << seed << violations;
    all.messages += outcome.messages;
    all.changes += outcome.changes;
    all.mishaps += outcome.mishaps;
    all.proofs += outcome.proofs;
    all.snapshots += outcome.snapshots;
    all.resumes += outcome.resumes;
    all.repairs += outcome.repairs;
    all.takeovers += outcome.takeovers;
    all.overruled += outcome.overruled;
    all.between_two += outcome.between_two;
    all.taken_up += outcome.taken_up;
  }
  std::printf(
      "%llu histories of whole systems: %zu mishaps, %zu changes, %zu messages, %zu proofs held against the truth; %zu "
      "snapshots, %zu resumes, %zu repairs; %zu stores taken up again, %zu processes ended by another of their name "
      "(%zu of them by an elder), %zu states from before while two provided one cluster\n",
      static_cast<unsigned long long>(last - first + 1), all.mishaps, all.changes, all.messages, all.proofs,
      all.snapshots, all.resumes, all.repairs, all.taken_up, all.takeovers, all.overruled, all.between_two);
}

TEST(SystemSimulation, ASeedReplaysExactly) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const SystemOutcome once = play_system(seed);
    const SystemOutcome again = play_system(seed);
    EXPECT_EQ(once.digest, again.digest) << seed;
    EXPECT_EQ(once.story, again.story) << seed;
  }
}

}  // namespace
}  // namespace tinf::simulation
