#include "tests/simulation/system_play.h"

#include "tinf/informer/reflect.h"
#include "tinf/store/memory/memory_store.h"

namespace tinf::simulation {

using namespace std::chrono_literals;

namespace {

// As reflect(), but for what reflect() decides; where it hides outages, all is always said to be well.
Task<void> reflect_badly(Runtime& runtime, Scope scope, ListerWatcher& source, StoreWriter& sink, SourceReport report,
                         ReflectorOptions options, Fault fault) {
  options.after_outage = fault == Fault::OldWatchesAreTrusted ? AfterOutage::Resume : AfterOutage::List;
  options.first_version = fault == Fault::ReplicasAreRead ? "0" : "";
  const Reflector* running = nullptr;
  options.on_error = [&](const Error& why) {
    if (fault == Fault::OutagesAreHidden) return report(Result<void>(), runtime.clock.now());
    report(why, running->current_at());
  };
  options.on_status = [&] {
    if (running->live()) return report(Result<void>(), running->current_at());
    options.on_error(Error(Code::Unavailable, "no watch is open"));
  };
  Reflector reflector(runtime, std::move(scope), source, sink, options);
  running = &reflector;
  co_await reflector.run();
}

bool is_of_reflector(Fault fault) {
  return fault == Fault::OldWatchesAreTrusted || fault == Fault::ReplicasAreRead || fault == Fault::OutagesAreHidden;
}

template <class Component>
Task<void> keep_end(Component& component, std::optional<Error>& end) {
  const auto result = co_await component.run();
  end = result.error();
}

}  // namespace

std::string System::a_client() {
  auto chosen = clients_.begin();
  std::advance(chosen, static_cast<std::ptrdiff_t>(random_.below(clients_.size())));
  return *chosen;
}

void System::make_clusters() {
  const std::size_t count = 2 + random_.below(2);
  clusters_.resize(count);
  for (std::size_t c = 0; c < count; ++c) {
    Cluster& cluster = clusters_[c];
    cluster.name = "c" + std::to_string(c);
    std::vector<Resource> resources{{"", "v1", "configmaps"}};
    if (random_.chance(0.4)) resources.push_back({"apps", "v1", "deployments"});
    for (const Resource& resource : resources) cluster.scopes.push_back({resource, "", "", "", Projection::Full});
    cluster.server = std::make_unique<ApiServer>(time_, random_.next(), std::move(resources));
    change(*cluster.server, 1 + static_cast<int>(random_.below(40)));
    cluster.clock = random_.between(-1h, 1h);
    start_site(c, "provider-" + cluster.name);
  }
}

void System::start_site(std::size_t c, std::string client) {
  Cluster& cluster = clusters_[c];
  auto site = std::make_unique<Site>();
  name(*site, std::move(client), "edge", cluster.clock, cluster.name);
  note(site->host + " provides " + cluster.name + " as " + site->client);
  ProviderOptions options;
  options.cluster = cluster.name;
  options.client = site->client;
  options.instance = site->instance;
  options.host = site->host;
  options.started = site->started;
  const bool small = random_.chance(0.5);
  options.stream.frame_bytes = small ? 600 : 256 << 10;
  options.page_bytes = small ? 600 : 2 << 20;
  options.stream.log_entries = random_.chance(0.3) ? 16 : 1000;
  if (random_.chance(0.2)) options.stream.base_bytes = 2000;
  options.digest_interval = 10s;
  options.longest_lease = 40s;
  MemoryTransportOptions connection(site->client);
  connection.last_will = Provider::last_will(options);
  connection.reconnect_after = 1s;
  site->transport = std::make_unique<MemoryTransport>(broker_, connection);
  site->provider = std::make_unique<Provider>(
      time_.runtime(), *site->transport, options,
      [this, &cluster](Scope scope, StoreWriter& sink, SourceReport report) {
        ReflectorOptions reflecting;
        reflecting.page_size = 5;
        reflecting.shortest_watch = 20s;
        reflecting.longest_watch = 60s;
        if (is_of_reflector(story_.fault))
          return reflect_badly(time_.runtime(), std::move(scope), *cluster.server, sink, std::move(report), reflecting,
                               story_.fault);
        return reflect(time_.runtime(), std::move(scope), *cluster.server, sink, std::move(report), reflecting);
      });
  std::vector<ResourceInfo> offer;
  for (const Scope& scope : cluster.scopes)
    offer.push_back({scope.resource, "Kind", "kind", {}, {}, {"list", "watch"}, true, true});
  site->provider->offer(std::move(offer), "uid-" + cluster.name, "v1.34.4");
  site->tasks = std::make_unique<TaskGroup>(time_.runtime().executor);
  site->tasks->spawn(keep_end(*site->provider, site->end));
  cluster.site = std::move(site);
}

Task<bool> System::end_site(std::size_t c, Way way) {
  Cluster& cluster = clusters_[c];
  if (!cluster.site) co_return false;
  const auto site = std::exchange(cluster.site, nullptr);
  const std::string client = site->client;
  later(absence(), [this, c, client] {
    if (!clusters_[c].site) start_site(c, client);
  });
  co_await end(*site, way);
  co_return true;
}

Duration System::absence() {
  return random_.chance(0.8) ? random_.between(0s, 30s) : random_.between(30s, 90s);
}

Task<void> System::end(Site& site, Way way) {
  gone(site);
  note(site.host + (way == Way::Crash ? " crashes" : " leaves"));
  if (way == Way::Crash) broker_.disconnect(site.client);
  const auto word = site.provider->farewell();
  co_await site.tasks->stop();
  co_await site.provider->stop();
  if (way == Way::Leave) co_await site.transport->close(word);
  site.provider = nullptr;
  site.transport = nullptr;
  site.tasks = nullptr;
}

bool System::second_site(std::size_t c) {
  Cluster& cluster = clusters_[c];
  if (!cluster.site) return false;
  std::string client = cluster.site->client;
  if (random_.chance(0.5)) client += "x";
  cluster.elders.push_back(std::move(cluster.site));
  cluster.clock = random_.between(-1h, 1h);  // Another machine.
  start_site(c, client);
  return true;
}

void System::make_informers() {
  informers_.resize(1 + random_.below(3));
  for (std::size_t i = 0; i < informers_.size(); ++i) {
    Informer& informer = informers_[i];
    informer.client = "control" + std::to_string(i);
    informer.durable = random_.chance(0.5);
    informer.on_disk = informer.durable && random_.chance(0.5);
    informer.clock = random_.between(-1h, 1h);
    if (random_.chance(0.8)) {
      start_control(i);
    } else {
      later(random_.between(0s, kTrouble), [this, i] { start_control(i); });
    }
  }
}

void System::start_control(std::size_t i) {
  Informer& informer = informers_[i];
  auto control = std::make_unique<Control>();
  name(*control, informer.client, "control", informer.clock, informer.client);
  note(control->host + " informs as " + control->client);
  SessionOptions options;
  options.client = control->client;
  options.instance = control->instance;
  options.host = control->host;
  options.started = control->started;
  discovering_.insert(control->client);
  if (random_.chance(0.5)) {
    discovering_.erase(control->client);
    for (const Cluster& cluster : clusters_) options.clusters.push_back(cluster.name);
  }
  options.follower.window = static_cast<std::uint32_t>(1 + random_.below(4));
  options.follower.lease = 30s;
  if (random_.chance(0.3)) options.follower.delivered_events = 8;
  if (random_.chance(0.3)) options.follower.early_frames = 2;
  if (random_.chance(0.3)) options.admission.at_once = 1;
  MemoryTransportOptions connection(control->client);
  connection.reconnect_after = 1s;
  control->transport = std::make_unique<MemoryTransport>(broker_, connection);
  control->session = std::make_unique<BrokerSession>(time_.runtime(), *control->transport, options);
  control->tasks = std::make_unique<TaskGroup>(time_.runtime().executor);
  control->tasks->spawn(keep_end(*control->session, control->end));
  begin_with_disk(informer);
  for (Cluster& cluster : clusters_) {
    for (const Scope& scope : cluster.scopes) {
      auto copy = std::make_unique<Copy>();
      copy->cluster = cluster.name;
      copy->scope = scope;
      copy->id = scope.id();
      copy->server = cluster.server.get();
      copy->name = cluster.name + "'s " + scope.resource.name + " at " + control->host;
      copy->truth = &cluster.server->truth(scope.resource);
      put_on_shelf(informer, *copy);
      copy->store_is_known = random_.chance(0.9);
      follow(*control, *copy);
      control->copies.push_back(std::move(copy));
    }
  }
  informer.control = std::move(control);
}

void System::begin_with_disk(Informer& informer) {
  if (!informer.on_disk) return;
  if (!informer.disk) {
    informer.disk = std::make_shared<Disk>();
    return;
  }
  const auto free = [](const auto& shelf) { return !shelf.second || shelf.second.use_count() == 1; };
  if (!std::ranges::all_of(informer.shelves, free)) return;  // One that has just ended is still being looked at.
  for (auto& [name, shelf] : informer.shelves) {
    if (shelf) shelf->store = nullptr;
  }
  informer.disk->open_again();
}

void System::put_on_shelf(Informer& informer, Copy& copy) {
  auto& shelf = informer.shelves[copy.cluster + "/" + copy.id];
  if (!informer.durable || !shelf) {
    shelf = std::make_shared<Shelf>();
    if (random_.chance(0.2)) shelf->takes = 2s;
  }
  shelf->disk = informer.disk;
  if (!shelf->store && shelf->disk) {
    shelf->store = shelf->disk->open(copy.cluster, copy.scope);
  } else if (!shelf->store) {
    shelf->store = std::make_unique<MemoryStore>();
  }
  if (shelf->store->size() > 0) ++(shelf->disk ? outcome_.taken_from_disk : outcome_.taken_up);
  copy.shelf = shelf;
}

void System::follow(Control& control, Copy& copy) {
  Store& store = *copy.shelf->store;
  copy.told.clear();
  copy.shown.clear();
  copy.altered.clear();
  copy.proof.reset();
  copy.ledger = std::make_unique<Ledger>(
      time_, network_, *copy.shelf, *copy.truth,
      [this, &copy](const std::string& what) { out_of_order(copy, copy.name + ": " + what); },
      story_.fault == Fault::AStoreDropsChanges);
  copy.source = control.session->open(copy.cluster, copy.store_is_known ? &store : nullptr);
  if (random_.chance(0.25)) {
    ReflectorOptions options;
    if (store.size() > 0) options.held = store.version();
    copy.reflector = std::make_unique<Reflector>(time_.runtime(), copy.scope, *copy.source, *copy.ledger, options);
    control.tasks->spawn(copy.reflector->run());
    return;
  }
  copy.informer = std::make_unique<SharedInformer>(time_.runtime(), copy.scope, *copy.source, store, *copy.ledger);
  Handler handler;
  handler.on_add = [this, &copy](const ObjectPtr& object, bool) {
    if (copy.altered.count(object->key()) == 0 && copy.told.count(object->key()) > 0)
      violation("handler: " + copy.name + " was told twice of " + object->key().to_string());
    told(copy, object->key(), object, never_was(*object));
  };
  handler.on_update = [this, &copy](const ObjectPtr&, const ObjectPtr& now) {
    if (copy.altered.count(now->key()) == 0 && copy.told.count(now->key()) == 0)
      violation("handler: " + copy.name + " was told of a change of what it did not know, " + now->key().to_string());
    told(copy, now->key(), now, never_was(*now));
  };
  handler.on_delete = [this, &copy](const ObjectPtr& last, bool) {
    if (copy.altered.count(last->key()) == 0 && copy.told.count(last->key()) == 0)
      violation("handler: " + copy.name + " was told of a delete of what it did not know, " + last->key().to_string());
    told(copy, last->key(), nullptr, never_was(*last));
  };
  spoil(handler);
  copy.registration = *copy.informer->add(std::move(handler));
  copy.informer->start();
}

void System::spoil(Handler& handler) {
  const bool twice = story_.fault == Fault::AHandlerIsToldTwice;
  if (!twice && story_.fault != Fault::AHandlerMissesChanges) return;
  const auto spoiled = [this, twice](auto function) {
    return [this, twice, function](const ObjectPtr& object, auto more) {
      const bool now = network_.chance(kFaulty);
      if (!now || twice) function(object, more);
      if (now && twice) function(object, more);
    };
  };
  handler.on_add = spoiled(handler.on_add);
  handler.on_update = spoiled(handler.on_update);
  handler.on_delete = spoiled(handler.on_delete);
}

void System::told(Copy& copy, const ObjectKey& key, const ObjectPtr& object, bool forged) {
  if (!forged && !copy.truth->leads_to(key, object.get(), copy.shown))
    out_of_order(
        copy, copy.name + ": a handler was told of a state of " + key.to_string() + " from before the one that it had");
  if (object) {
    copy.told[key] = object;
  } else {
    copy.told.erase(key);
  }
  if (copy.altered.count(key) == 0) return;
  const ObjectPtr held = *copy.shelf->store->get(key);
  if (object ? held && !never_was(*held) && held->raw() == object->raw() : !held) copy.altered.erase(key);
}

void System::let_go(Copy& copy) {
  copy.reflector = nullptr;
  copy.registration.reset();
  copy.informer = nullptr;
  copy.source = nullptr;
  copy.ledger = nullptr;
}

Task<bool> System::end_control(std::size_t i, Way way) {
  Informer& informer = informers_[i];
  if (!informer.control) co_return false;
  const auto control = std::exchange(informer.control, nullptr);
  co_await end(*control, way);
  if (informer.durable && random_.chance(0.3)) co_await alter_kept(informer);
  later(absence(), [this, i] {
    if (!informers_[i].control) start_control(i);
  });
  co_return true;
}

Task<void> System::end(Control& control, Way way) {
  gone(control);
  note(control.host + (way == Way::Crash ? " crashes" : " leaves"));
  if (way == Way::Crash) broker_.disconnect(control.client);
  for (auto& copy : control.copies) {
    if (copy->informer) co_await copy->informer->stop();
    count(*control.session, *copy);
  }
  co_await control.tasks->stop();
  for (auto& copy : control.copies) let_go(*copy);
  co_await control.session->stop();
  if (way == Way::Leave) co_await control.transport->close(control.session->last_word());
  control.copies.clear();
  control.session = nullptr;
  control.transport = nullptr;
  control.tasks = nullptr;
}

bool System::second_control(std::size_t i) {
  Informer& informer = informers_[i];
  if (!informer.control) return false;
  informer.elders.push_back(std::move(informer.control));
  informer.shelves.clear();
  informer.disk = nullptr;
  informer.clock = random_.between(-1h, 1h);
  start_control(i);
  return true;
}

Task<bool> System::follow_anew(Informer& informer) {
  if (!informer.control) co_return false;
  Control& control = *informer.control;
  Copy& copy = *control.copies[random_.below(control.copies.size())];
  if (!copy.informer) co_return false;
  note(copy.name + " is followed anew");
  count(*control.session, copy);
  co_await copy.informer->stop();
  let_go(copy);
  follow(control, copy);
  co_return true;
}

bool System::never_was(const Object& object) const {
  return object.uid() == "u0" || flipped_.count(EntryHash::of(object.raw())) > 0;
}

}  // namespace tinf::simulation
