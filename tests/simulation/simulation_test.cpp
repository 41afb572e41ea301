// A thousand and more histories, each of another seed: the promises hold in all of them, and a broken rule is noticed.
// TINF_SIMULATION_SEED=n plays one history; TINF_SIMULATION_HISTORIES=n sets how many.
#include <gtest/gtest.h>

#include "tests/simulation/from_environment.h"
#include "tests/simulation/world.h"

namespace tinf::simulation {
namespace {

std::string tell(const Outcome& outcome) {
  std::string text;
  for (const std::string& violation : outcome.violations) text += "\n  " + violation;
  return text;
}

TEST(Simulation, ThePromisesHoldInEveryHistory) {
  const std::uint64_t only = from_environment("TINF_SIMULATION_SEED", 0);
  const std::uint64_t first = only != 0 ? only : 1;
  const std::uint64_t last = only != 0 ? only : from_environment("TINF_SIMULATION_HISTORIES", 2000);
  Outcome all;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const Outcome outcome = play(Story{seed, wire::Rule::None});
    EXPECT_TRUE(outcome.violations.empty()) << "replay with TINF_SIMULATION_SEED=" << seed << tell(outcome);
    all.messages += outcome.messages;
    all.changes += outcome.changes;
    all.proofs += outcome.proofs;
    all.snapshots += outcome.snapshots;
    all.resumes += outcome.resumes;
    all.repairs += outcome.repairs;
    all.patches += outcome.patches;
    if (::testing::Test::HasFailure()) break;
  }
  std::printf(
      "%llu histories: %zu messages, %zu changes, %zu proofs held against the truth; %zu snapshots, %zu resumes, %zu "
      "repairs, %zu patches\n",
      static_cast<unsigned long long>(last - first + 1), all.messages, all.changes, all.proofs, all.snapshots,
      all.resumes, all.repairs, all.patches);
  EXPECT_TRUE(only != 0 || all.patches > 0) << "no history had an update that was told as a patch";
}

TEST(Simulation, ASeedReplaysExactly) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Story story{seed, wire::Rule::None};
    EXPECT_EQ(play(story).digest, play(story).digest) << seed;
  }
}

class BrokenRule : public ::testing::TestWithParam<wire::Rule> {};

TEST_P(BrokenRule, IsNoticed) {
  const std::uint64_t histories = 4000;
  for (std::uint64_t seed = 1; seed <= histories; ++seed) {
    if (!play(Story{seed, GetParam()}).violations.empty()) return;
  }
  FAIL() << "no history out of " << histories << " noticed that the rule was broken";
}

std::vector<wire::Rule> every_rule() {
  std::vector<wire::Rule> rules;
  for (int rule = 1; rule <= static_cast<int>(wire::Rule::BehindIsSaid); ++rule)
    rules.push_back(static_cast<wire::Rule>(rule));
  return rules;
}

INSTANTIATE_TEST_SUITE_P(Simulation, BrokenRule, ::testing::ValuesIn(every_rule()));

}  // namespace
}  // namespace tinf::simulation
