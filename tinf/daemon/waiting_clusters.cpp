#include "tinf/daemon/waiting_clusters.h"

#include <algorithm>

namespace tinf::daemon {

using namespace std::chrono_literals;

namespace {

constexpr Duration kAskAgain = 1s;
constexpr std::size_t kNamed = 5;  // In a line for people.

}  // namespace

WaitingClusters::WaitingClusters(Runtime& runtime, const FleetStore* store)
    : runtime_(runtime),
      store_(store),
      log_(runtime.log.with("informer")),
      count_gauge_(store ? runtime.metrics.gauge("tinf_informer_clusters_held_by_others",
                                                 "Clusters whose copies another process keeps in the shared store.")
                         : nullptr) {}

void WaitingClusters::refused(const std::string& cluster, const Error& why) {
  const auto holder = store_->held_by_another(cluster);
  const bool held = holder || why.code == Code::Conflict;
  const auto [at, fresh] = waiting_.try_emplace(cluster);
  Waiting& waiting = at->second;
  waiting.asked_at = runtime_.clock.now();
  const std::string words = holder ? *holder : why.message;
  // Of one trouble the words may differ each time, as those of a network do.
  const bool known = !fresh && waiting.held == held && (!held || waiting.why == words);
  waiting.held = held;
  waiting.why = words;
  if (known) return;
  if (!held) {
    log_.warning(why.message, {{"cluster", cluster}});
    waiting.shown = nullptr;
    return;
  }
  log_.info("another process keeps this cluster's copies: it is taken over when that has gone",
            {{"cluster", cluster}, {"holder", words}});
  waiting.shown = runtime_.metrics.gauge("tinf_informer_held_by_another",
                                         "1: another process keeps the cluster's copies in the shared store.",
                                         {{"cluster", cluster}, {"holder", words}});
  waiting.shown->set(1);
}

void WaitingClusters::given(const std::string& cluster) {
  const auto at = waiting_.find(cluster);
  if (at == waiting_.end()) return;
  if (at->second.held) log_.info("taken over", {{"cluster", cluster}, {"from", at->second.why}});
  waiting_.erase(at);
}

std::vector<std::string> WaitingClusters::due() {
  std::vector<std::string> result;
  const TimePoint now = runtime_.clock.now();
  for (const auto& [cluster, waiting] : waiting_) {
    if (now - waiting.asked_at >= kAskAgain && !store_->held_by_another(cluster)) result.push_back(cluster);
  }
  return result;
}

std::size_t WaitingClusters::held_by_others() const {
  return static_cast<std::size_t>(
      std::count_if(waiting_.begin(), waiting_.end(), [](const auto& one) { return one.second.held; }));
}

std::string WaitingClusters::who_holds() const {
  std::string words;
  std::size_t number = 0;
  for (const auto& [cluster, waiting] : waiting_) {
    if (!waiting.held) continue;
    if (++number > kNamed) continue;
    words += (words.empty() ? "" : ", ") + cluster + " is held by " + waiting.why;
  }
  if (number > kNamed) words += ", and " + std::to_string(number - kNamed) + " more are held by others";
  return words;
}

std::string WaitingClusters::trouble() const {
  for (const auto& [cluster, waiting] : waiting_) {
    if (!waiting.held) return "cluster " + cluster + ": " + waiting.why;
  }
  return "";
}

void WaitingClusters::refresh_metrics() {
  if (count_gauge_) count_gauge_->set(static_cast<double>(held_by_others()));
}

}  // namespace tinf::daemon
