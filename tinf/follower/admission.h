// Admission: of many scopes of many clusters that want to ask at once, who may. Pure: no I/O, no clock.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tinf/base/backoff.h"
#include "tinf/base/clock.h"

namespace tinf {

struct AdmissionOptions {
  std::size_t at_once = 64;
  // Whoever takes longer than this is no longer counted: a cluster that is slow, or does not answer, holds up no other.
  Duration patience = std::chrono::seconds(10);

  AdmissionOptions() = default;
};

// Clusters take turns, each with one scope at a time, in an order that differs from hub to hub and from time to time.
// Not thread-safe.
class Admission {
 public:
  using Name = std::pair<std::string, std::string>;  // Cluster and scope.

  Admission(AdmissionOptions options, Random& random) : options_(options), random_(random) {}

  // A scope that waits or has been let in already is not queued again.
  void want(const Name& name);
  // It has what it asked for, or no longer asks.
  void done(const Name& name);

  // Those that may begin now.
  std::vector<Name> admit(TimePoint now);

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t under_way() const { return inside_.size(); }

 private:
  // Constant after construction.
  const AdmissionOptions options_;

  Random& random_;
  std::set<Name> waiting_;
  std::map<std::string, std::deque<std::string>> queues_;  // Scopes that wait, by cluster; may name some that do not.
  std::deque<std::string> turns_;                          // The clusters of queues_, each once.
  std::map<Name, TimePoint> inside_;                       // Since when.
};

}  // namespace tinf
