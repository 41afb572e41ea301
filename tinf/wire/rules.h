// The protocol's rules that the simulation breaks on purpose, one at a time, to see that its histories notice.
// Everywhere else none can be broken: the question is a constant, and nothing is left of it in the program.
#pragma once

#include <cstdint>

namespace tinf::wire {

enum class Rule : std::uint8_t {
  None,
  // A copy's.
  GapsAreClosed,                // A frame that begins later than the copy stands is not applied.
  FramesOfOtherEpochsAreAlien,  // Nor is one of another life of the stream.
  PagesBelongToOneSnapshot,     // All pages of a set are of one snapshot.
  AnswersFitTheirQuestion,      // An answer to an earlier question is none.
  ProofsSpeakOfThePosition,     // A digest is compared at its own position only,
  ProofsNeedTheStore,           // counts once the store has what it speaks of,
  ProofsAreDatedBack,           // and is as old as the provider's own view.
  WhatIsDroppedIsAGap,          // A frame that the consumer has no room for was not received.
  RepairsDelete,                // A repair also takes away what is no longer there.
  MissedDigestsAreMissed,       // Who has missed a digest takes nothing from one that names no stream.
  PatchesFitTheirBase,          // A patch is applied to the bytes that it is of, and to no others.
  // A provider's.
  RelistsDelete,       // A new list deletes what it does not hold.
  HistoryReachesBack,  // Who is older than the history does not resume.
  EpochsAreNew,        // A new life has a name that nobody has heard.
  BehindIsSaid,        // Digests say how old the provider's own view is.
};

#ifdef TINF_BREAK_RULES
inline Rule broken_rule = Rule::None;
inline bool broken(Rule rule) {
  return broken_rule == rule;
}
#else
constexpr bool broken(Rule) {
  return false;
}
#endif

}  // namespace tinf::wire
