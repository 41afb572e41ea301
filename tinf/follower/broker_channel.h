// BrokerChannel: one scope of one cluster behind a session: its follower, the store that the copy ends up in, and the
// consumer that waits for what comes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/contract/store.h"
#include "tinf/follower/follower.h"

namespace tinf {

// When stores may be measured again: of all channels of a session together, as a store on disk takes long.
struct MeasurePace {
  TimePoint next{};
};

// Confined to the session's strand. The store, if there is one, outlives it, and so does `pace`.
class BrokerChannel {
 public:
  BrokerChannel(std::string cluster_name, const Scope& scope, FollowerOptions options, Runtime& runtime,
                const StoreReader* store, MeasurePace& pace);

  // What a store is told to be at. A copy that is not exactly what its position stands for cannot go on from there
  // alone.
  static std::string version_of(const wire::Position& position, bool exact);

  // A store that outlived its informer: if it stands at `from`, what it holds is measured, and repaired where it
  // differs from the provider's set.
  void take_up(const ResourceVersion& from);

  // The store itself against what was received: its own bookkeeping every time, which is O(1), and the bytes of a part
  // of it, so that all have their turn within a digest's interval, or as soon as a twentieth of the strand's time
  // allows. False: it was altered, and is being repaired: the follower has something to ask; or it cannot be read: see
  // `unreadable`.
  bool check_store();

  // Wakes the consumer if there is something for it.
  void wake();

  const std::string cluster;
  Follower follower;
  Signal changed;                   // There is something for the consumer, or the session has ended.
  std::string delivered;            // The version that the consumer stands at; empty: at none that can be continued.
  bool waited_for = false;          // The consumer has stored all that it was given, and waits for more.
  bool unproven = false;            // The store was taken up, and the consumer was not told yet that it is equal.
  std::optional<Error> unreadable;  // The store could not be read: nothing is known to be equal until it is.
  bool admitted = false;            // It has asked, and is not yet following.
  TimePoint heard_at;               // The last moment at which nothing was asked, or something was answered.
  std::function<void(std::size_t, std::optional<std::size_t>)> progress;  // Of a list: objects here, and of how many.

 private:
  void measure_all(wire::Position at, bool in_vain);
  bool cannot_read(const Error& error);

  Clock& clock_;
  const Log log_;
  const StoreReader* const store_;
  MeasurePace& pace_;
  TimePoint measure_at_{};                // The next part of the store.
  ObjectKey measure_from_;                // The next one begins here.
  std::optional<TimePoint> repaired_at_;  // By what was measured of the store.
};

}  // namespace tinf
