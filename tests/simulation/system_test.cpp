// Some hundred histories of whole systems, each of another seed: the promises hold in all of them.
// TINF_SIMULATION_SEED=n plays one history and tells it; TINF_SYSTEM_HISTORIES=n sets how many. Without that there are
// never more of them than TINF_SIMULATION_HISTORIES asks for of the small world's.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/simulation/from_environment.h"
#include "tests/simulation/system.h"

namespace tinf::simulation {
namespace {

constexpr std::uint64_t kHistories = 500;
constexpr std::uint64_t kUntilAFaultShows = 200;
constexpr std::uint64_t kShowAll = 50;  // So many histories have everything in them that can happen.

void tell(const SystemOutcome& outcome) {
  for (const std::string& line : outcome.story) std::printf("%s\n", line.c_str());
}

// That the promises held says little of histories in which nothing happened.
void shows_all(const SystemOutcome& all) {
  for (const std::string& kind : kinds_of_mishaps())
    EXPECT_TRUE(all.mishaps.contains(kind)) << "in no history: " << kind;
  EXPECT_GT(all.snapshots, 0u);
  EXPECT_GT(all.resumes, 0u);
  EXPECT_GT(all.repairs, 0u);
  EXPECT_GT(all.takeovers, 0u);
  EXPECT_GT(all.overruled, 0u);
  EXPECT_GT(all.taken_up, 0u);
  EXPECT_GT(all.taken_from_disk, 0u);
}

TEST(SystemSimulation, ThePromisesHoldInEveryHistory) {
  const std::uint64_t only = from_environment("TINF_SIMULATION_SEED", 0);
  const std::uint64_t usual = std::min(kHistories, from_environment("TINF_SIMULATION_HISTORIES", kHistories));
  const std::uint64_t first = only != 0 ? only : 1;
  const std::uint64_t last = only != 0 ? only : from_environment("TINF_SYSTEM_HISTORIES", usual);
  SystemOutcome all;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const SystemOutcome outcome = play_system(SystemStory{seed});
    if (only != 0) tell(outcome);
    std::string violations;
    for (const std::string& violation : outcome.violations) violations += "\n  " + violation;
    EXPECT_TRUE(violations.empty()) << "replay with TINF_SIMULATION_SEED=" << seed << violations;
    all.messages += outcome.messages;
    all.changes += outcome.changes;
    for (const auto& [kind, times] : outcome.mishaps) all.mishaps[kind] += times;
    all.proofs += outcome.proofs;
    all.snapshots += outcome.snapshots;
    all.resumes += outcome.resumes;
    all.repairs += outcome.repairs;
    all.takeovers += outcome.takeovers;
    all.overruled += outcome.overruled;
    all.between_two += outcome.between_two;
    all.taken_up += outcome.taken_up;
    all.taken_from_disk += outcome.taken_from_disk;
  }
  std::size_t mishaps = 0;
  for (const auto& [kind, times] : all.mishaps) mishaps += times;
  std::printf(
      "%llu histories of whole systems: %zu mishaps, %zu changes, %zu messages, %zu proofs held against the truth; %zu "
      "snapshots, %zu resumes, %zu repairs; %zu stores taken up again, %zu of them from files, %zu processes ended by "
      "another of their name "
      "(%zu of them by an elder), %zu states from before while two provided one cluster\n",
      static_cast<unsigned long long>(last - first + 1), mishaps, all.changes, all.messages, all.proofs, all.snapshots,
      all.resumes, all.repairs, all.taken_up + all.taken_from_disk, all.taken_from_disk, all.takeovers, all.overruled,
      all.between_two);
  if (only == 0 && last >= kShowAll) shows_all(all);
}

TEST(SystemSimulation, ASeedReplaysExactly) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const SystemOutcome once = play_system(SystemStory{seed});
    const SystemOutcome again = play_system(SystemStory{seed});
    EXPECT_EQ(once.digest, again.digest) << seed;
    EXPECT_EQ(once.story, again.story) << seed;
  }
}

// A fault, and what is to be said of it.
struct Planted {
  Fault fault;
  const char* name;
  const char* noticed;
};

constexpr Planted kFaults[] = {
    {Fault::OldWatchesAreTrusted, "OldWatchesAreTrusted", "claims to equal the cluster"},
    {Fault::ReplicasAreRead, "ReplicasAreRead", "the store was given a state"},
    {Fault::OutagesAreHidden, "OutagesAreHidden", "claims to equal the cluster"},
    {Fault::AStoreDropsChanges, "AStoreDropsChanges", "claims to equal the cluster"},
    {Fault::AHandlerIsToldTwice, "AHandlerIsToldTwice", "was told twice"},
    {Fault::AHandlerMissesChanges, "AHandlerMissesChanges", "was told of another set than the store holds"},
    {Fault::ProofsAfterTheEnd, "ProofsAfterTheEnd", "after its session has ended"},
    {Fault::ProofsOfTomorrow, "ProofsOfTomorrow", "in the future"},
    {Fault::NobodyGivesWay, "NobodyGivesWay", "does not notice that another"},
    {Fault::TheOtherIsNotNamed, "TheOtherIsNotNamed", "does not say who ended it"},
    {Fault::SomethingRemains, "SomethingRemains", "remains: "},
};

class PlantedFault : public ::testing::TestWithParam<Planted> {};

TEST_P(PlantedFault, IsNoticed) {
  for (std::uint64_t seed = 1; seed <= kUntilAFaultShows; ++seed) {
    for (const std::string& violation : play_system(SystemStory{seed, GetParam().fault}).violations) {
      if (violation.find(GetParam().noticed) != std::string::npos) return;
    }
  }
  FAIL() << "no history out of " << kUntilAFaultShows << " noticed what was done wrong";
}

INSTANTIATE_TEST_SUITE_P(SystemSimulation, PlantedFault, ::testing::ValuesIn(kFaults),
                         [](const auto& planted) { return planted.param.name; });

}  // namespace
}  // namespace tinf::simulation
