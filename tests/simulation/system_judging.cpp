#include "tests/simulation/system_play.h"

#include <xxhash.h>

#include <cstdio>
#include <cstdlib>
#include <ranges>

namespace tinf::simulation {

using namespace std::chrono_literals;

namespace {

constexpr Duration kServersWay = 2100ms;  // Of a list, and of the first word of the watch after it.
constexpr Duration kTwoAreOver = 1min;    // After one of two has ended, with all that it said.
constexpr std::size_t kStuck = 1000000;   // Steps at one moment.
constexpr std::size_t kLastLines = 30;    // Of a history that has to be broken off.

}  // namespace

void System::look() {
  if (time_.now() != looked_at_) {
    looked_at_ = time_.now();
    steps_ = 0;
  } else if (++steps_ > kStuck) {
    tell_the_end();
    std::abort();  // There is no way to end it in good order.
  }
  for (std::size_t c = 0; c < clusters_.size(); ++c) {
    Cluster& cluster = clusters_[c];
    for (auto& elder : cluster.elders) look_at_end(*elder);
    if (cluster.site && look_at_end(*cluster.site) && !overrule(cluster.site, cluster.elders))
      start_site(c, cluster.elders.back()->client);
  }
  for (std::size_t i = 0; i < informers_.size(); ++i) {
    Informer& informer = informers_[i];
    for (auto& elder : informer.elders) look_at(*elder);
    if (informer.control && look_at(*informer.control) && !overrule(informer.control, informer.elders))
      start_control(i);
  }
}

void System::tell_the_end() const {
  std::fprintf(stderr, "time stands still: something runs without an end; replay with TINF_SIMULATION_SEED=%llu\n",
               static_cast<unsigned long long>(story_.seed));
  for (const auto* lines : {&outcome_.story, &time_.log_lines()}) {
    const std::size_t from = lines->size() - std::min(lines->size(), kLastLines);
    for (std::size_t i = from; i < lines->size(); ++i) std::fprintf(stderr, "%s\n", (*lines)[i].c_str());
  }
}

bool System::look_at(Control& control) {
  const bool ended = look_at_end(control);
  for (auto& copy : control.copies) {
    const auto standing = control.session->standing(copy->cluster, copy->id);
    if (!standing) continue;
    auto proof = standing->proven_at;
    if (proof && story_.fault == Fault::ProofsAfterTheEnd && control.ended_at) proof = time_.now();
    if (proof && story_.fault == Fault::ProofsOfTomorrow) *proof += 24h;
    if (proof && proof != copy->proof) claim(control, *copy, *proof);
  }
  return ended;
}

void System::claim(const Control& control, Copy& copy, TimePoint proof) {
  copy.proof = proof;
  ++outcome_.proofs;
  if (control.ended_at && proof > *control.ended_at)
    violation("proof: " + copy.name + " claims to be equal after its session has ended");
  if (proof > time_.now()) violation("proof: " + copy.name + " claims to be equal in the future");
  if (time_.now() < copy.flipped_until) return;
  Fingerprint held;
  const auto entries = copy.shelf->store->measure(ObjectKey(), copy.shelf->store->size() + 1);
  for (const InventoryEntry& entry : *entries) held.add(entry.hash);
  // A proof is of the moment at which the provider's word came, less what the provider said that it was behind. It may
  // have been as long on its way as any that came since then, and the provider may not have known that its watch was
  // dead. Besides, a provider takes itself for current as soon as a watch is open, when what happened since the list
  // before it was made up has yet to come. Nothing else is allowed for.
  const TimePoint said = sent(control.client, proof);
  if (!copy.truth->was(held, copy.server->known_at(said - kServersWay)))
    violation("proof: " + copy.name + " claims to equal the cluster " + std::to_string((time_.now() - proof) / 1ms) +
              " ms ago and did not");
}

bool System::says_who(const Process& process) const {
  const std::string& message = process.end->message;
  if (message == "another client connected with the client id " + process.client + "; give each its own") return true;
  return std::ranges::any_of(known_, [&](const Known& other) {
    return other.host != process.host && other.role == process.role && time_.now() < other.counts_until &&
           message.find("by another process, on " + other.host + " (instance " + other.instance + ")") !=
               std::string::npos;
  });
}

void System::gone(const Process& process) {
  const auto known = std::ranges::find(known_, process.host, &Known::host);
  known->counts_until = std::min(known->counts_until, time_.now() + kTwoAreOver);
}

bool System::look_at_end(Process& process) {
  if (!process.end || process.ended_at || story_.fault == Fault::NobodyGivesWay) return false;
  if (story_.fault == Fault::TheOtherIsNotNamed) process.end->message = "client id taken on " + process.host;
  process.ended_at = time_.now();
  gone(process);
  note(process.host + " has ended: " + process.end->message);
  ++outcome_.takeovers;
  ended_.notify();
  if (process.end->code != Code::Conflict || !says_who(process))
    violation("end: " + process.host + " does not say who ended it: " + process.end->message);
  return true;
}

bool System::equal(const Copy& copy) const {
  const auto held = copy.shelf->store->list();
  const Objects& truth = copy.truth->objects();
  return held->size() == truth.size() && std::ranges::all_of(*held, [&](const ObjectPtr& object) {
           const auto found = truth.find(object->key());
           return found != truth.end() && found->second->raw() == object->raw();
         });
}

bool System::told_all(const Copy& copy) const {
  if (!copy.informer) return true;
  Objects told = copy.told;
  Objects truth = copy.truth->objects();
  for (const ObjectKey& key : copy.altered) {
    told.erase(key);
    truth.erase(key);
  }
  return std::ranges::equal(told, truth, [](const auto& a, const auto& b) {
    return a.first == b.first && a.second->raw() == b.second->raw();
  });
}

bool System::proven(const Control& control, const Copy& copy) const {
  const auto standing = control.session->standing(copy.cluster, copy.id);
  return standing && standing->proven_at && *standing->proven_at >= quiet_since_;
}

std::vector<std::string> System::amiss() const {
  std::vector<std::string> amiss;
  const auto lives_on = [](const auto& elder) { return !elder->ended_at; };
  for (const Cluster& cluster : clusters_) {
    if (!cluster.site) amiss.push_back("end: nobody provides " + cluster.name);
    for (const auto& elder : cluster.elders | std::views::filter(lives_on))
      amiss.push_back("end: " + elder->host + " does not notice that another provides " + cluster.name);
  }
  for (const Informer& informer : informers_) {
    for (const auto& elder : informer.elders | std::views::filter(lives_on))
      amiss.push_back("end: " + elder->host + " does not notice that another informs as " + informer.client);
    if (!informer.control) {
      amiss.push_back("end: nobody informs as " + informer.client);
      continue;
    }
    for (const auto& copy : informer.control->copies) {
      if (!equal(*copy)) amiss.push_back("convergence: " + copy->name + " does not equal the cluster");
      if (!told_all(*copy)) amiss.push_back("handler: " + copy->name + " was told of another set than the store holds");
      if (!proven(*informer.control, *copy))
        amiss.push_back("proof: " + copy->name + " has not proven its copy since all was quiet");
    }
  }
  return amiss;
}

void System::count(const BrokerSession& session, const Copy& copy) {
  const auto standing = session.standing(copy.cluster, copy.id);
  if (!standing) return;
  outcome_.snapshots += standing->counts.snapshots;
  outcome_.resumes += standing->counts.resumes;
  outcome_.repairs += standing->counts.repairs;
}

Task<void> System::end_all() {
  for (Cluster& cluster : clusters_) {
    for (auto& elder : cluster.elders) co_await end(*elder, Way::Leave);
    if (cluster.site) co_await end(*cluster.site, random_.chance(0.5) ? Way::Leave : Way::Crash);
    cluster.site = nullptr;
    cluster.elders.clear();
  }
  for (Informer& informer : informers_) {
    for (auto& elder : informer.elders) co_await end(*elder, Way::Leave);
    if (informer.control) co_await end(*informer.control, random_.chance(0.5) ? Way::Leave : Way::Crash);
    informer.control = nullptr;
    informer.elders.clear();
  }
  if (story_.fault == Fault::SomethingRemains) time_.spawn(waits_on());
  co_await time_.sleep_for(kLongestWay + 1s);  // What is still on its way belongs to the broker.
}

Task<void> System::waits_on() {
  co_await time_.sleep_for(24h);
}

void System::look_for_remains() {
  if (time_.waiting() > 0) violation("remains: " + std::to_string(time_.waiting()) + " waits for a time");
  for (const Cluster& cluster : clusters_) {
    if (cluster.server->open_streams() > 0) violation("remains: watches of " + cluster.name);
  }
  for (const auto& family : time_.runtime().metrics.collect()) {
    if (!family.samples.empty()) violation("remains: the metric " + family.name);
  }
}

void System::out_of_order(const Copy& copy, const std::string& what) {
  const auto cluster = std::ranges::find(clusters_, copy.cluster, &Cluster::name);
  const bool two = std::ranges::any_of(cluster->elders, [&](const auto& elder) {
    return !elder->ended_at || time_.now() - *elder->ended_at < kTwoAreOver;
  });
  if (!two) return violation("order: " + what);
  ++outcome_.between_two;
  note(what + ", of another provider");
}

void System::violation(const std::string& what) {
  note("VIOLATION " + what);
  if (outcome_.violations.size() < 5) outcome_.violations.push_back(what);
}

void System::note(const std::string& what) {
  const double seconds = std::chrono::duration<double>(time_.now() - began_).count();
  char when[32];
  std::snprintf(when, sizeof when, "%9.3f ", seconds);
  outcome_.story.push_back(when + what);
  trace(what);
}

void System::trace(const std::string& what) {
  const auto now = time_.now().time_since_epoch().count();
  trace_ = XXH3_64bits_withSeed(what.data(), what.size(), trace_ ^ static_cast<std::uint64_t>(now));
}

}  // namespace tinf::simulation
