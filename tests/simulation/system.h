// Whole systems: providers, informers, stores and handlers as the daemons put them together, in virtual time, between
// API servers, a broker and clocks that fail in every way they can. All from one seed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tinf::simulation {

// What the simulation itself does wrong, to see that its histories notice.
enum class Fault : std::uint8_t {
  None,
  OldWatchesAreTrusted,   // After an outage a provider watches on, whatever its cluster was set back to meanwhile.
  ReplicasAreRead,        // A provider's first list may come from a replica that lags behind.
  OutagesAreHidden,       // A provider is told that it is current whatever happens to its watch.
  AStoreDropsChanges,     // It says that it took a change and did not.
  AHandlerIsToldTwice,    // Once in a while.
  AHandlerMissesChanges,  // The store has one, and the handler never hears of it.
  ProofsAfterTheEnd,      // A session that has ended still claims that its copies are equal,
  ProofsOfTomorrow,       // or claims it of a time to come.
  NobodyGivesWay,         // Of two processes of one name none is seen to end.
  TheOtherIsNotNamed,     // A process that ends because of another one names itself.
  SomethingRemains,       // A coroutine still waits when all has ended.
};

struct SystemStory {
  std::uint64_t seed = 0;
  Fault fault = Fault::None;
};

// What a history of a whole system showed. `violations` is empty where the promises hold.
struct SystemOutcome {
  std::vector<std::string> violations;
  std::uint64_t digest = 0;        // Of all that happened: equal for equal seeds.
  std::vector<std::string> story;  // What went wrong when, to be read when something was violated.

  std::map<std::string, std::size_t> mishaps;  // How often each kind of them was played.
  std::size_t messages = 0;
  std::size_t changes = 0;
  std::size_t proofs = 0;
  std::size_t snapshots = 0;
  std::size_t resumes = 0;
  std::size_t repairs = 0;
  std::size_t takeovers = 0;        // Processes that another one of their name has ended.
  std::size_t overruled = 0;        // Those among them that were the younger by truth and not by clocks.
  std::size_t between_two = 0;      // States from before, of a second provider.
  std::size_t taken_up = 0;         // Stores that outlived their informer, in memory,
  std::size_t taken_from_disk = 0;  // and in a file, which was closed and opened.
};

// Plays one history: two minutes of trouble, then quiet until every copy is equal and proven, then judgement.
SystemOutcome play_system(const SystemStory& story);

// The name of every kind of mishap.
std::vector<std::string> kinds_of_mishaps();

}  // namespace tinf::simulation
