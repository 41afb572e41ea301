#include "tests/simulation/system_play.h"

namespace tinf::simulation {

using namespace std::chrono_literals;

namespace {

constexpr Duration kFlipIsFound = 25s;  // All bytes of a store are hashed again within 20 seconds.

}  // namespace

std::span<const System::Mishap> System::mishaps() {
  // What stands here twice is twice as likely.
  static constexpr Mishap kMishaps[] = {
      {"a provider crashes", &System::provider_crashes},
      {"a provider leaves", &System::provider_leaves},
      {"an informer crashes", &System::informer_crashes},
      {"an informer crashes", &System::informer_crashes},
      {"an informer leaves", &System::informer_leaves},
      {"a connection breaks", &System::connection_breaks},
      {"a client is unreachable", &System::client_is_unreachable},
      {"the broker forgets", &System::broker_forgets},
      {"the broker stops", &System::broker_stops},
      {"watches end", &System::watches_end},
      {"a history is compacted", &System::history_is_compacted},
      {"a cluster is set back", &System::cluster_is_set_back},
      {"a cluster answers badly", &System::cluster_answers_badly},
      {"a cluster is away", &System::cluster_is_away},
      {"a store is altered", &System::store_is_altered},
      {"a store is altered", &System::store_is_altered},
      {"a second informer", &System::second_informer},
      {"a second provider", &System::second_provider},
      {"a clock jumps", &System::clock_jumps},
      {"a scope is followed anew", &System::followed_anew},
      {"a cluster freezes", &System::cluster_freezes},
      {"a cluster denies", &System::cluster_denies},
      {"stores are full", &System::stores_are_full},
  };
  return kMishaps;
}

Task<void> System::mishap(const Mishap& kind) {
  const std::size_t c = random_.below(clusters_.size());
  const std::size_t i = random_.below(informers_.size());
  if (co_await (this->*kind.happens)(c, i)) ++outcome_.mishaps[kind.name];
}

Task<bool> System::provider_crashes(std::size_t c, std::size_t) {
  return end_site(c, Way::Crash);
}

Task<bool> System::provider_leaves(std::size_t c, std::size_t) {
  return end_site(c, Way::Leave);
}

Task<bool> System::informer_crashes(std::size_t, std::size_t i) {
  return end_control(i, Way::Crash);
}

Task<bool> System::informer_leaves(std::size_t, std::size_t i) {
  return end_control(i, Way::Leave);
}

Task<bool> System::second_informer(std::size_t, std::size_t i) {
  co_return second_control(i);
}

Task<bool> System::second_provider(std::size_t c, std::size_t) {
  co_return second_site(c);
}

Task<bool> System::store_is_altered(std::size_t, std::size_t i) {
  return alter(informers_[i]);
}

Task<bool> System::followed_anew(std::size_t, std::size_t i) {
  return follow_anew(informers_[i]);
}

Task<bool> System::connection_breaks(std::size_t, std::size_t) {
  const std::string client = a_client();
  note("disconnected: " + client);
  broker_.disconnect(client);
  co_return true;
}

Task<bool> System::client_is_unreachable(std::size_t, std::size_t) {
  const std::string client = a_client();
  note("unreachable: " + client);
  broker_.set_reachable(client, false);
  later(random_.between(1s, 40s), [this, client] { broker_.set_reachable(client, true); });
  co_return true;
}

Task<bool> System::broker_stops(std::size_t, std::size_t) {
  co_return stop_broker(false);
}

Task<bool> System::broker_forgets(std::size_t, std::size_t) {
  co_return stop_broker(true);
}

bool System::stop_broker(bool forgets) {
  note("the broker stops" + std::string(forgets ? " and forgets" : ""));
  broker_.stop(forgets);
  later(random_.between(0s, 30s), [this] { broker_.start(); });
  return true;
}

Task<bool> System::watches_end(std::size_t c, std::size_t) {
  note(clusters_[c].name + " ends its watches");
  clusters_[c].server->end_watches();
  co_return true;
}

Task<bool> System::history_is_compacted(std::size_t c, std::size_t) {
  note(clusters_[c].name + " compacts its history");
  clusters_[c].server->compact();
  co_return true;
}

Task<bool> System::cluster_is_set_back(std::size_t c, std::size_t) {
  note(clusters_[c].name + " is set back");
  clusters_[c].server->set_back();
  co_return true;
}

Task<bool> System::cluster_answers_badly(std::size_t c, std::size_t) {
  note(clusters_[c].name + " answers badly");
  clusters_[c].server->answer_badly(random_.between(5s, 60s));
  co_return true;
}

Task<bool> System::cluster_is_away(std::size_t c, std::size_t) {
  note(clusters_[c].name + " is away");
  clusters_[c].server->go_away(random_.between(1s, 60s));
  co_return true;
}

Task<bool> System::cluster_freezes(std::size_t c, std::size_t) {
  note(clusters_[c].name + " freezes");
  clusters_[c].server->freeze();
  co_return true;
}

Task<bool> System::cluster_denies(std::size_t c, std::size_t) {
  note(clusters_[c].name + " denies");
  clusters_[c].server->deny(random_.between(1s, 40s));
  co_return true;
}

Task<bool> System::clock_jumps(std::size_t c, std::size_t i) {
  note("a clock jumps");
  (random_.chance(0.5) ? clusters_[c].clock : informers_[i].clock) += random_.between(-5h, 5h);
  time_.set_wall_by(random_.between(-2h, 2h));
  co_return true;
}

Task<bool> System::stores_are_full(std::size_t, std::size_t i) {
  bool any = false;
  for (auto& [name, shelf] : informers_[i].shelves) {
    if (!shelf || !random_.chance(0.7)) continue;
    shelf->refuses_until = time_.now() + random_.between(1s, 40s);
    any = true;
  }
  if (any) note("stores of " + informers_[i].client + " are full");
  co_return any;
}

Task<bool> System::alter(Informer& informer) {
  if (!informer.control) co_return false;
  auto& copies = informer.control->copies;
  Copy& copy = *copies[random_.below(copies.size())];
  if (!copy.store_is_known || copy.shelf->store->size() == 0) co_return false;
  note(copy.name + " is altered");
  if (random_.chance(0.3)) {
    // In memory or in the file, so that not even the store knows of it.
    const auto objects = copy.shelf->store->list();
    const Object& victim = *(*objects)[random_.below(objects->size())];
    if (copy.shelf->disk) {
      flipped_.insert(EntryHash::of(copy.shelf->disk->flip(copy.cluster, copy.scope.resource, victim)));
    } else {
      const_cast<char*>(victim.raw().data())[victim.raw().size() - 2] ^= 1;
      flipped_.insert(EntryHash::of(victim.raw()));
    }
    copy.altered.insert(victim.key());
    copy.flipped_until = time_.now() + kFlipIsFound;
    co_return true;
  }
  copy.altered.insert(co_await forge(*copy.shelf));
  co_return true;
}

Task<void> System::alter_kept(Informer& informer) {
  for (auto& [name, shelf] : informer.shelves) {
    if (shelf->store->size() == 0 || random_.chance(0.5)) continue;
    note("a kept store of " + informer.client + " is altered");
    if (random_.chance(0.3)) {
      shelf = nullptr;  // Lost.
    } else {
      (void)co_await forge(*shelf);
    }
  }
}

Task<ObjectKey> System::forge(Shelf& shelf) {
  const auto objects = *shelf.store->list();
  const ObjectPtr victim = objects[random_.below(objects.size())];
  EventBatch batch;
  batch.version = shelf.store->version();
  switch (random_.below(3)) {
    case 0:
      batch.events.push_back(WatchEvent::deleted(victim));
      break;
    case 1:
      batch.events.push_back(WatchEvent::modified(make_object(victim->key(), 0, ++forged_, 5)));
      break;
    case 2:
      batch.events.push_back(WatchEvent::added(make_object(ObjectKey{"n", "forged"}, 0, ++forged_, 5)));
      break;
  }
  const ObjectKey forged = batch.events.front().key;
  (void)co_await shelf.store->apply(std::move(batch));
  co_return forged;
}

}  // namespace tinf::simulation
