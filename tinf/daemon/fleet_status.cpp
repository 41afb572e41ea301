// What a fleet says of itself: what is missing, what nobody offers, what is old, how far it is, and its gauges.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tinf/daemon/fleet_scoped.h"

namespace tinf::daemon {

using namespace std::chrono_literals;

namespace {

constexpr Duration kSettle = 1s;  // Without a new cluster or offer: those that are there have shown themselves.
constexpr Duration kOld = 5s;     // Longer than a watch takes to be opened again.
constexpr std::uint64_t kLargeSet = 2000;  // Objects; smaller ones are there before anybody could read a progress line.

}  // namespace

bool Fleet::settled() const {
  if (!session_.connected() || runtime_.clock.now() - last_change_ < kSettle) return false;
  if (options_.clusters.empty()) {
    return std::any_of(session_.clusters().begin(), session_.clusters().end(),
                       [](const auto& entry) { return entry.second.present; });
  }
  return std::all_of(options_.clusters.begin(), options_.clusters.end(),
                     [this](const std::string& name) { return present(name); });
}

std::string Fleet::missing() const {
  if (store_) {
    const auto reached = store_->reachable();
    if (!reached) return reached.error().message;
  }
  if (!session_.connected()) return "the broker cannot be reached";
  for (const std::string& name : options_.clusters) {
    if (!present(name)) return "cluster " + name + " has not shown itself: is its provider running?";
  }
  if (!settled()) {
    const auto& clusters = session_.clusters();
    if (clusters.empty()) return "no cluster has shown itself: is a provider running?";
    const bool any = std::any_of(clusters.begin(), clusters.end(), [](const auto& one) { return one.second.present; });
    return any ? "clusters are still coming" : "every cluster has left: are their providers running?";
  }
  for (const auto& [cluster, spellings] : not_offered_) {
    if (!spellings.empty() && present(cluster)) return "cluster " + cluster + " does not offer " + *spellings.begin();
  }
  if (const std::string trouble = waiting_.trouble(); !trouble.empty()) return trouble;
  for (const auto& [name, scoped] : scopes_) {
    if (!present(name.first)) continue;
    if (scoped->withdrawn) return name.second.group_resource() + " of " + name.first + " is no longer offered";
    const auto standing = session_.standing(scoped->cluster, scoped->id);
    const bool followed = standing && standing->following && scoped->informer.live();
    const bool told = scoped->printed ? scoped->registration.synced() : scoped->informer.synced();
    if (told && followed) continue;
    const ScopeStatus status = scoped->informer.status();
    std::string lacking = name.second.group_resource() + " of " + name.first +
                          (scoped->informer.synced() ? " is not live" : " has not arrived");
    if (standing && standing->unanswered) return lacking + ": its provider does not answer";
    return lacking + (status.last_error ? ": " + status.last_error->message : "");
  }
  return "";
}

// What nobody offers after a while is a mistake; with --once, so is what one cluster alone does not.
Result<void> Fleet::look_for_unoffered() {
  for (const auto& [name, spellings] : not_offered_) {
    if (!present(name)) continue;
    for (const std::string& spelling : spellings) {
      Error nobody = find_resource(session_.clusters().at(name).presence.resources, spelling).error();
      if (options_.once || found_.count(spelling) == 0) {
        nobody.message += (found_.count(spelling) > 0 ? " by cluster " + name : std::string()) +
                          "; the provider's account must be allowed to list it, or the provider started with --allow " +
                          spelling;
        return nobody;
      }
      if (told_not_offered_.emplace(name, spelling).second) log_.warning(nobody.message, {{"cluster", name}});
    }
  }
  return Result<void>();
}

// A provider that has lost its API server still gives what it last saw: whoever asked once must not take it for the
// present.
void Fleet::tell_what_is_old() const {
  for (const auto& [name, scoped] : scopes_) {
    const auto standing = session_.standing(scoped->cluster, scoped->id);
    if (!standing || standing->behind < kOld) continue;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(standing->behind).count();
    log_.warning(
        "the copy is old: its provider does not reach the API server, whose logs say why",
        {{"cluster", name.first}, {"resource", name.second.group_resource()}, {"age", std::to_string(seconds) + "s"}});
  }
}

void Fleet::show_progress() {
  static const bool terminal = isatty(STDERR_FILENO) != 0;
  const TimePoint now = runtime_.clock.now();
  if (!terminal || now - progress_at_ < 500ms) return;
  std::uint64_t here = 0, total = 0;
  for (const auto& [name, scoped] : scopes_) {
    if (scoped->informer.synced()) continue;
    if (const auto standing = session_.standing(scoped->cluster, scoped->id)) {
      here += standing->progress.objects;
      total += standing->progress.total;
    }
  }
  if (total >= kLargeSet && here < total) {
    const double seconds = std::chrono::duration<double>(now - progress_at_).count();
    const double rate = here > progress_objects_ ? static_cast<double>(here - progress_objects_) / seconds : 0;
    std::fprintf(stderr, "\r%llu of %llu objects (%llu %%), %.0f/s   ", static_cast<unsigned long long>(here),
                 static_cast<unsigned long long>(total), static_cast<unsigned long long>(100 * here / total), rate);
    progress_shown_ = true;
  } else if (progress_shown_) {
    std::fprintf(stderr, "\r%60s\r", "");
    progress_shown_ = false;
  }
  progress_objects_ = here;
  progress_at_ = now;
}

void Fleet::refresh_metrics() {
  const TimePoint now = runtime_.clock.now();
  std::size_t present = 0;
  for (const auto& [name, cluster] : session_.clusters()) present += cluster.present ? 1 : 0;
  clusters_gauge_->set(static_cast<double>(present));
  waiting_.refresh_metrics();
  learnt_bytes_gauge_->set(static_cast<double>(store_ ? store_->memory_bytes() : stores_.learnt_bytes()));
  std::size_t held = 0;
  const std::string* last = nullptr;
  for (auto& [name, scoped] : scopes_) {
    if (last == nullptr || *last != name.first) ++held;
    last = &name.first;
    scoped->objects->set(static_cast<double>(scoped->store->size()));
    scoped->store_bytes->set(static_cast<double>(scoped->store->memory_bytes()));
    scoped->informer.refresh_metrics();
    const auto standing = session_.standing(scoped->cluster, scoped->id);
    const bool proven = standing && standing->proven_at;
    scoped->proof_age->set(proven ? std::chrono::duration<double>(now - *standing->proven_at).count() : -1);
    scoped->live->set(standing && standing->following && scoped->informer.live() ? 1 : 0);
  }
  held_gauge_->set(static_cast<double>(held));
}

}  // namespace tinf::daemon
