// Whole systems: providers, informers, stores and handlers as the daemons put them together, in virtual time, between
// API servers, a broker and clocks that fail in every way they can. All from one seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tinf::simulation {

// What a history of a whole system showed. `violations` is empty where the promises hold.
struct SystemOutcome {
  std::vector<std::string> violations;
  std::uint64_t digest = 0;        // Of all that happened: equal for equal seeds.
  std::vector<std::string> story;  // What went wrong when, to be read when something was violated.
  std::vector<std::string> log;    // What the components said.

  std::size_t messages = 0;
  std::size_t changes = 0;
  std::size_t mishaps = 0;
  std::size_t proofs = 0;
  std::size_t snapshots = 0;
  std::size_t resumes = 0;
  std::size_t repairs = 0;
  std::size_t takeovers = 0;    // Processes that another one of their name has ended.
  std::size_t overruled = 0;    // Those among them that were the younger by truth and not by clocks.
  std::size_t between_two = 0;  // States from before, of a second provider.
  std::size_t taken_up = 0;     // Stores that outlived their informer.
};

// Plays one history: two minutes of trouble, then quiet until every copy is equal and proven, then judgement.
SystemOutcome play_system(std::uint64_t seed);

}  // namespace tinf::simulation
