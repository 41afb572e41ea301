#include "tests/simulation/system.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <queue>

#include "tests/simulation/api_server.h"
#include "tinf/follower/broker_session.h"
#include "tinf/informer/reflect.h"
#include "tinf/informer/shared_informer.h"
#include "tinf/provider/provider.h"
#include "tinf/store/memory/memory_store.h"
#include "tinf/testing/virtual_time.h"
#include "tinf/transport/memory/memory_broker.h"

namespace tinf::simulation {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTrouble = 2min;
constexpr Duration kQuiet = 10min;  // Within which all must be equal and proven.
constexpr Duration kStays = 40s;    // Longer than every copy's next proof.
constexpr Duration kLongestWay = 30s;
constexpr Duration kBothEnd = 15s;       // Two that throw each other out do so at once, or at the next connect.
constexpr Duration kTwoAreOver = 1min;   // After one of two has ended, with all that it said.
constexpr Duration kFlipIsFound = 25s;   // All bytes of a store are hashed again within 20 seconds.
constexpr std::size_t kStuck = 1000000;  // Steps at one moment.

constexpr std::uint64_t kMishaps = 23;  // Kinds of them.

struct Conditions {
  double drop = 0;
  double repeat = 0;
  double long_delay = 0;
};

// A process: a name, the word of its clock on when it began, and the other one of its name that ends it, if any does.
struct Process {
  std::string client;
  std::string instance;
  std::string host;
  std::int64_t started = 0;
  std::size_t slot = 0;
  bool superseded = false;   // A younger one of its name was started.
  std::optional<Error> end;  // How it ended by itself.
  std::optional<TimePoint> ended_at;
  bool left = false;
};

// A provider with its connection.
struct Site : Process {
  std::unique_ptr<MemoryTransport> transport;
  std::unique_ptr<Provider> provider;
  std::unique_ptr<TaskGroup> tasks;
};

// A store, which may outlive its informer, and which state of each object it shows.
struct Shelf {
  MemoryStore store;
  Truth::Shown shown;
  Duration takes{};           // Up to so long for each write, as on a disk.
  TimePoint refuses_until{};  // A full one.
};

// Writes into a store and holds each state against the truth.
class Ledger final : public StoreWriter {
 public:
  Ledger(Clock& clock, Random& random, Shelf& shelf, const Truth& truth,
         std::function<void(const std::string&)> violation)
      : clock_(clock), random_(random), shelf_(shelf), truth_(truth), violation_(std::move(violation)) {}

  Task<Result<void>> replace(Snapshot all) override {
    if (auto refused = co_await refusal()) co_return *refused;
    auto held = shelf_.store.list();
    std::set<ObjectKey> gone;
    for (const ObjectPtr& object : *held) gone.insert(object->key());
    for (const ObjectPtr& object : all.objects) gone.erase(object->key());
    for (const ObjectKey& key : gone) check(key, nullptr);
    for (const ObjectPtr& object : all.objects) check(object->key(), object.get());
    co_return co_await shelf_.store.replace(std::move(all));
  }
  Task<Result<void>> apply(EventBatch changes) override {
    if (auto refused = co_await refusal()) co_return *refused;
    for (const WatchEvent& event : changes.events)
      check(event.key, event.type == EventType::Deleted ? nullptr : event.object.get());
    co_return co_await shelf_.store.apply(std::move(changes));
  }

 private:
  void check(const ObjectKey& key, const Object* object) {
    if (!truth_.leads_to(key, object, shelf_.shown))
      violation_("the store was given a state of " + key.to_string() + " from before the one that it had");
  }

  Task<std::optional<Error>> refusal() {
    if (shelf_.takes > Duration()) {
      const Duration takes = random_.between(0s, shelf_.takes);
      co_await clock_.sleep_for(takes);
    }
    if (clock_.now() < shelf_.refuses_until) co_return Error(Code::Unavailable, "no space left on device");
    co_return std::nullopt;
  }

  Clock& clock_;
  Random& random_;
  Shelf& shelf_;
  const Truth& truth_;
  const std::function<void(const std::string&)> violation_;
};

// One scope of one cluster as one informer has it.
struct Copy {
  std::string name;  // For a person to read.
  std::string cluster;
  Scope scope;
  std::string id;  // Of the scope.
  const ApiServer* server = nullptr;
  const Truth* truth = nullptr;
  std::shared_ptr<Shelf> shelf;
  bool store_is_known = true;  // To the session, which then compares it.
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<ListerWatcher> source;
  std::unique_ptr<SharedInformer> informer;  // Or a reflector alone:
  std::unique_ptr<Reflector> reflector;
  SharedInformer::Registration registration;
  // What the handler was told.
  Objects told;
  Truth::Shown shown;

  bool altered = false;       // In this life, so that the handler cannot know of everything.
  TimePoint flipped_until{};  // Until then, bytes that changed behind the store's back need not have been found.
  std::optional<TimePoint> proof;
};

// An informer with its connection and its copies.
struct Hub : Process {
  std::unique_ptr<MemoryTransport> transport;
  std::unique_ptr<BrokerSession> session;
  std::unique_ptr<TaskGroup> tasks;
  std::vector<std::unique_ptr<Copy>> copies;
};

template <class Component>
Task<void> keep_end(Component& component, std::optional<Error>& end) {
  const auto result = co_await component.run();
  end = result.error();
}

class System {
 public:
  explicit System(std::uint64_t seed)
      : random_(seed), network_(seed * 7919 + 1), time_(seed), broker_(time_.runtime(), broker_options()) {
    broker_.set_delivery_hook(
        [this](const std::string& client, const Message& message) { return fate(client, message); });
  }

  SystemOutcome play() {
    bool done = false;
    time_.spawn(history(done));
    const bool ended = time_.run_until(
        [&] {
          look();
          return done;
        },
        3h);
    if (!ended) violation("time: the history did not end");
    look_for_remains();
    outcome_.digest = trace_;
    outcome_.log = time_.log_lines();
    return std::move(outcome_);
  }

 private:
  struct Event {
    TimePoint at;
    std::uint64_t order;
    std::function<Task<void>()> act;
    bool operator<(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  // A cluster: an API server and the process that provides it. The names of both are those of the slot.
  struct Cluster {
    std::string name;
    std::vector<Scope> scopes;
    std::unique_ptr<ApiServer> server;
    std::unique_ptr<Site> site;
    std::vector<std::unique_ptr<Site>> elders;
    Duration clock{};  // What its machine's clock is off by.
  };
  struct Informer {
    std::string client;
    std::unique_ptr<Hub> hub;
    std::vector<std::unique_ptr<Hub>> elders;
    std::map<std::string, std::shared_ptr<Shelf>> shelves;  // By copy, where stores outlive it.
    bool durable = false;
    Duration clock{};
  };

  MemoryBrokerOptions broker_options() {
    MemoryBrokerOptions options;
    options.maximum_message_bytes = random_.chance(0.5) ? 2048 : 256 << 10;
    if (random_.chance(0.3)) options.maximum_queue_messages = 40;
    options.says_why = random_.chance(0.5);
    return options;
  }

  // --- the course of things ------------------------------------------------------------------------------------------

  Task<void> history(bool& done) {
    conditions_ = Conditions{random_.fraction() * 0.3, random_.fraction() * 0.2, random_.fraction() * 0.1};
    TaskGroup closing(time_.runtime().executor);
    closing.spawn(close_ended());
    make_clusters();
    make_informers();
    schedule_trouble();
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      co_await time_.sleep_until(event.at);
      co_await event.act();
    }
    calm();
    quiet_since_ = time_.now();
    while (!all_is_well() && time_.now() < quiet_since_ + kQuiet) co_await time_.sleep_for(1s);
    note("quiet for " + std::to_string((time_.now() - quiet_since_) / 1s) + " s");
    co_await time_.sleep_for(kStays);
    judge();
    over_ = true;
    ended_.notify();
    co_await closing.join();
    co_await end_all();
    done = true;
  }

  // Whoever has ended by itself leaves at once, as daemons do. What it still holds is looked at to the end.
  Task<void> close_ended() {
    while (!over_) {
      co_await ended_.wait();
      std::vector<Site*> sites;
      std::vector<Hub*> hubs;
      const auto leaves = [](Process& process) { return process.ended_at && !std::exchange(process.left, true); };
      for (Cluster& cluster : clusters_) {
        for (auto& elder : cluster.elders) {
          if (leaves(*elder)) sites.push_back(elder.get());
        }
      }
      for (Informer& informer : informers_) {
        for (auto& elder : informer.elders) {
          if (leaves(*elder)) hubs.push_back(elder.get());
        }
      }
      for (Site* site : sites) co_await site->transport->close(site->provider->farewell());
      for (Hub* hub : hubs) co_await hub->transport->close(hub->session->last_word());
    }
  }

  void at(Duration delay, std::function<Task<void>()> act) {
    events_.push(Event{time_.now() + delay, ++order_, std::move(act)});
  }
  void later(Duration delay, std::function<void()> act) {
    at(delay, [this, act = std::move(act)] { return do_now(act); });
  }
  Task<void> do_now(std::function<void()> act) {
    act();
    co_return;
  }

  void schedule_trouble() {
    for (std::size_t c = 0; c < clusters_.size(); ++c) {
      ApiServer& server = *clusters_[c].server;
      const std::size_t changes = 10 + random_.below(100);
      for (std::size_t i = 0; i < changes; ++i)
        later(random_.between(0s, kTrouble), [this, &server] { change(server, 1); });
      later(random_.between(0s, kTrouble), [this, &server] { change(server, 60); });
      for (Duration when = 5s; when < kTrouble; when += random_.between(5s, 30s))
        later(when, [&server] { server.bookmark(); });
    }
    const std::size_t mishaps = random_.below(14);
    for (std::size_t i = 0; i < mishaps; ++i) {
      const std::uint64_t kind = random_.below(kMishaps);
      at(random_.between(0s, kTrouble - 25s), [this, kind] { return mishap(kind); });
    }
  }

  void change(ApiServer& server, int times) {
    for (int i = 0; i < times; ++i) server.change();
    outcome_.changes += static_cast<std::size_t>(times);
  }

  Task<void> mishap(std::uint64_t kind) {
    ++outcome_.mishaps;
    const std::size_t c = random_.below(clusters_.size());
    const std::size_t i = random_.below(informers_.size());
    Cluster& cluster = clusters_[c];
    Informer& informer = informers_[i];
    switch (kind) {
      case 0:
        co_return co_await end_site(c, Way::Crash);
      case 1:
        co_return co_await end_site(c, Way::Leave);
      case 2:
      case 3:
        co_return co_await end_hub(i, Way::Crash);
      case 4:
        co_return co_await end_hub(i, Way::Leave);
      case 5:
        note("disconnected: " + a_client());
        broker_.disconnect(last_client_);
        co_return;
      case 6: {
        const std::string client = a_client();
        note("unreachable: " + client);
        broker_.set_reachable(client, false);
        later(random_.between(1s, 40s), [this, client] { broker_.set_reachable(client, true); });
        co_return;
      }
      case 7:
      case 8:
        note("the broker stops" + std::string(kind == 7 ? " and forgets" : ""));
        broker_.stop(kind == 7);
        later(random_.between(0s, 30s), [this] { broker_.start(); });
        co_return;
      case 9:
        note(cluster.name + " ends its watches");
        cluster.server->end_watches();
        co_return;
      case 10:
        note(cluster.name + " compacts its history");
        cluster.server->compact();
        co_return;
      case 11:
        note(cluster.name + " is set back");
        cluster.server->set_back();
        co_return;
      case 12:
        note(cluster.name + " answers badly");
        cluster.server->answer_badly(random_.between(5s, 60s));
        co_return;
      case 13:
        note(cluster.name + " is away");
        cluster.server->go_away(random_.between(1s, 60s));
        co_return;
      case 14:
      case 15:
        co_return co_await alter(informer);
      case 16:
        co_return second_hub(i);
      case 17:
        co_return second_site(c);
      case 18:
        note("a clock jumps");
        (random_.chance(0.5) ? cluster.clock : informer.clock) += random_.between(-5h, 5h);
        time_.set_wall_by(random_.between(-2h, 2h));
        co_return;
      case 19:
        co_return co_await follow_anew(informer);
      case 20:
        note(cluster.name + " freezes");
        cluster.server->freeze();
        co_return;
      case 21:
        note(cluster.name + " denies");
        cluster.server->deny(random_.between(1s, 40s));
        co_return;
      case 22:
        for (auto& [name, shelf] : informer.shelves) {
          if (shelf && random_.chance(0.7)) shelf->refuses_until = time_.now() + random_.between(1s, 40s);
        }
        note("stores of " + informer.client + " are full");
        co_return;
    }
  }

  void calm() {
    note("calm");
    for (Informer& informer : informers_) {
      for (auto& [name, shelf] : informer.shelves) {
        if (shelf) shelf->refuses_until = TimePoint();
      }
    }
    conditions_ = Conditions();
    for (const std::string& client : clients_) broker_.set_reachable(client, true);
    broker_.start();
    for (Cluster& cluster : clusters_) cluster.server->answer_well();
  }

  // --- processes -----------------------------------------------------------------------------------------------------

  // Crash: gone between two of its steps. Leave: in good order, as the daemons do.
  enum class Way { Crash, Leave };

  template <class Named>
  void name(Named& process, std::string client, std::string host, Duration clock, std::size_t slot) {
    process.client = std::move(client);
    process.instance = std::to_string(++last_process_);
    process.host = host + "-" + process.instance;
    process.started = std::chrono::duration_cast<std::chrono::milliseconds>(
                          (time_.wall_now() + std::chrono::duration_cast<WallTime::duration>(clock)).time_since_epoch())
                          .count();
    process.slot = slot;
    clients_.insert(process.client);
  }

  std::string a_client() {
    auto chosen = clients_.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(random_.below(clients_.size())));
    return last_client_ = *chosen;
  }

  void make_clusters() {
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

  void start_site(std::size_t c, std::string client) {
    Cluster& cluster = clusters_[c];
    auto site = std::make_unique<Site>();
    name(*site, std::move(client), "edge", cluster.clock, c);
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
    site->provider = std::make_unique<Provider>(time_.runtime(), *site->transport, options,
                                                [this, &cluster](Scope scope, StoreWriter& sink, SourceReport report) {
                                                  ReflectorOptions reflecting;
                                                  reflecting.page_size = 5;
                                                  reflecting.shortest_watch = 20s;
                                                  reflecting.longest_watch = 60s;
                                                  return reflect(time_.runtime(), std::move(scope), *cluster.server,
                                                                 sink, std::move(report), reflecting);
                                                });
    std::vector<ResourceInfo> offer;
    for (const Scope& scope : cluster.scopes)
      offer.push_back({scope.resource, "Kind", "kind", {}, {}, {"list", "watch"}, true, true});
    site->provider->offer(std::move(offer), "uid-" + cluster.name, "v1.34.4");
    site->tasks = std::make_unique<TaskGroup>(time_.runtime().executor);
    site->tasks->spawn(keep_end(*site->provider, site->end));
    cluster.site = std::move(site);
  }

  Task<void> end_site(std::size_t c, Way way) {
    Cluster& cluster = clusters_[c];
    if (!cluster.site) co_return;
    const auto site = std::exchange(cluster.site, nullptr);
    const std::string client = site->client;
    later(absence(), [this, c, client] {
      if (!clusters_[c].site) start_site(c, client);
    });
    co_await end(*site, way);
  }

  // Longer than a lease, at times.
  Duration absence() { return random_.chance(0.8) ? random_.between(0s, 30s) : random_.between(30s, 90s); }

  Task<void> end(Site& site, Way way) {
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

  // Somebody starts another provider of the cluster, under the same client id or one of its own.
  void second_site(std::size_t c) {
    Cluster& cluster = clusters_[c];
    if (!cluster.site) return;
    std::string client = cluster.site->client;
    if (random_.chance(0.5)) client += "x";
    cluster.elders.push_back(std::move(cluster.site));
    cluster.clock = random_.between(-1h, 1h);  // Another machine.
    start_site(c, client);
  }

  void make_informers() {
    informers_.resize(1 + random_.below(3));
    for (std::size_t i = 0; i < informers_.size(); ++i) {
      Informer& informer = informers_[i];
      informer.client = "hub" + std::to_string(i);
      informer.durable = random_.chance(0.5);
      informer.clock = random_.between(-1h, 1h);
      if (random_.chance(0.8)) {
        start_hub(i);
      } else {
        later(random_.between(0s, kTrouble), [this, i] { start_hub(i); });
      }
    }
  }

  void start_hub(std::size_t i) {
    Informer& informer = informers_[i];
    auto hub = std::make_unique<Hub>();
    name(*hub, informer.client, "control", informer.clock, i);
    note(hub->host + " informs as " + hub->client);
    SessionOptions options;
    options.client = hub->client;
    options.instance = hub->instance;
    options.host = hub->host;
    options.started = hub->started;
    discovering_.insert(hub->client);
    if (random_.chance(0.5)) {
      discovering_.erase(hub->client);
      for (const Cluster& cluster : clusters_) options.clusters.push_back(cluster.name);
    }
    options.follower.window = static_cast<std::uint32_t>(1 + random_.below(4));
    options.follower.lease = 30s;
    if (random_.chance(0.3)) options.follower.delivered_events = 8;
    if (random_.chance(0.3)) options.follower.early_frames = 2;
    if (random_.chance(0.3)) options.admission.at_once = 1;
    MemoryTransportOptions connection(hub->client);
    connection.reconnect_after = 1s;
    hub->transport = std::make_unique<MemoryTransport>(broker_, connection);
    hub->session = std::make_unique<BrokerSession>(time_.runtime(), *hub->transport, options);
    hub->tasks = std::make_unique<TaskGroup>(time_.runtime().executor);
    hub->tasks->spawn(keep_end(*hub->session, hub->end));
    for (Cluster& cluster : clusters_) {
      for (const Scope& scope : cluster.scopes) {
        auto copy = std::make_unique<Copy>();
        copy->cluster = cluster.name;
        copy->scope = scope;
        copy->id = scope.id();
        copy->server = cluster.server.get();
        copy->name = cluster.name + "'s " + scope.resource.name + " at " + hub->host;
        copy->truth = &cluster.server->truth(scope.resource);
        auto& shelf = informer.shelves[cluster.name + "/" + scope.id()];
        if (!informer.durable || !shelf) {
          shelf = std::make_shared<Shelf>();
          if (random_.chance(0.2)) shelf->takes = 2s;
        }
        if (shelf->store.size() > 0) ++outcome_.taken_up;
        copy->shelf = shelf;
        copy->store_is_known = random_.chance(0.9);
        follow(*hub, *copy);
        hub->copies.push_back(std::move(copy));
      }
    }
    informer.hub = std::move(hub);
  }

  void follow(Hub& hub, Copy& copy) {
    MemoryStore& store = copy.shelf->store;
    copy.told.clear();
    copy.shown.clear();
    copy.altered = false;
    copy.proof.reset();
    copy.ledger = std::make_unique<Ledger>(
        time_, network_, *copy.shelf, *copy.truth,
        [this, &copy](const std::string& what) { out_of_order(copy, copy.name + ": " + what); });
    copy.source = hub.session->open(copy.cluster, copy.store_is_known ? &store : nullptr);
    if (random_.chance(0.25)) {
      ReflectorOptions options;
      if (store.size() > 0) options.held = store.version();
      copy.reflector = std::make_unique<Reflector>(time_.runtime(), copy.scope, *copy.source, *copy.ledger, options);
      hub.tasks->spawn(copy.reflector->run());
      return;
    }
    copy.informer = std::make_unique<SharedInformer>(time_.runtime(), copy.scope, *copy.source, store, *copy.ledger);
    Handler handler;
    handler.on_add = [this, &copy](const ObjectPtr& object, bool) {
      if (!copy.altered && copy.told.count(object->key()) > 0)
        violation("handler: " + copy.name + " was told twice of " + object->key().to_string());
      told(copy, object->key(), object, never_was(*object));
    };
    handler.on_update = [this, &copy](const ObjectPtr&, const ObjectPtr& now) {
      if (!copy.altered && copy.told.count(now->key()) == 0)
        violation("handler: " + copy.name + " was told of a change of what it did not know, " + now->key().to_string());
      told(copy, now->key(), now, never_was(*now));
    };
    handler.on_delete = [this, &copy](const ObjectPtr& last, bool) {
      if (!copy.altered && copy.told.count(last->key()) == 0)
        violation("handler: " + copy.name + " was told of a delete of what it did not know, " +
                  last->key().to_string());
      told(copy, last->key(), nullptr, never_was(*last));
    };
    copy.registration = *copy.informer->add(std::move(handler));
    copy.informer->start();
  }

  void told(Copy& copy, const ObjectKey& key, const ObjectPtr& object, bool forged) {
    if (!forged && !copy.truth->leads_to(key, object.get(), copy.shown))
      out_of_order(copy, copy.name + ": a handler was told of a state of " + key.to_string() +
                             " from before the one that it had");
    if (object) {
      copy.told[key] = object;
    } else {
      copy.told.erase(key);
    }
  }

  Task<void> let_go(Copy& copy) {
    if (copy.informer) co_await copy.informer->stop();
    copy.registration.reset();
    copy.informer = nullptr;
    copy.source = nullptr;
    copy.ledger = nullptr;
  }

  Task<void> end_hub(std::size_t i, Way way) {
    Informer& informer = informers_[i];
    if (!informer.hub) co_return;
    const auto hub = std::exchange(informer.hub, nullptr);
    co_await end(*hub, way);
    if (informer.durable && random_.chance(0.3)) co_await alter_kept(informer);
    later(absence(), [this, i] {
      if (!informers_[i].hub) start_hub(i);
    });
  }

  Task<void> end(Hub& hub, Way way) {
    note(hub.host + (way == Way::Crash ? " crashes" : " leaves"));
    if (way == Way::Crash) broker_.disconnect(hub.client);
    for (auto& copy : hub.copies) {
      if (copy->informer) co_await copy->informer->stop();
      count(*hub.session, *copy);
    }
    co_await hub.tasks->stop();
    for (auto& copy : hub.copies) {
      copy->reflector = nullptr;
      co_await let_go(*copy);
    }
    co_await hub.session->stop();
    if (way == Way::Leave) co_await hub.transport->close(hub.session->last_word());
    hub.copies.clear();
    hub.session = nullptr;
    hub.transport = nullptr;
    hub.tasks = nullptr;
  }

  // Somebody starts another informer under the same client id, with stores of its own.
  void second_hub(std::size_t i) {
    Informer& informer = informers_[i];
    if (!informer.hub) return;
    informer.elders.push_back(std::move(informer.hub));
    informer.shelves.clear();
    informer.clock = random_.between(-1h, 1h);
    start_hub(i);
  }

  // A copy is let go of and followed again, with the store that it had.
  Task<void> follow_anew(Informer& informer) {
    if (!informer.hub) co_return;
    Hub& hub = *informer.hub;
    Copy& copy = *hub.copies[random_.below(hub.copies.size())];
    if (!copy.informer) co_return;
    note(copy.name + " is followed anew");
    count(*hub.session, copy);
    co_await let_go(copy);
    follow(hub, copy);
  }

  // Somebody else wrote it into a store: no cluster ever held it.
  bool never_was(const Object& object) const {
    return object.uid() == "u0" || flipped_.count(EntryHash::of(object.raw())) > 0;
  }

  // --- stores that somebody else writes into -------------------------------------------------------------------------

  // One that is being followed.
  Task<void> alter(Informer& informer) {
    if (!informer.hub) co_return;
    auto& copies = informer.hub->copies;
    Copy& copy = *copies[random_.below(copies.size())];
    if (!copy.store_is_known || copy.shelf->store.size() == 0) co_return;
    note(copy.name + " is altered");
    copy.altered = true;
    if (random_.chance(0.3)) {
      // In memory, so that not even the store knows of it.
      const auto objects = copy.shelf->store.list();
      const Object& victim = *(*objects)[random_.below(objects->size())];
      const_cast<char*>(victim.raw().data())[victim.raw().size() - 2] ^= 1;
      flipped_.insert(EntryHash::of(victim.raw()));
      copy.flipped_until = time_.now() + kFlipIsFound;
      co_return;
    }
    co_await forge(*copy.shelf);
  }

  // Those that outlived their informer.
  Task<void> alter_kept(Informer& informer) {
    for (auto& [name, shelf] : informer.shelves) {
      if (shelf->store.size() == 0 || random_.chance(0.5)) continue;
      note("a kept store of " + informer.client + " is altered");
      if (random_.chance(0.3)) {
        shelf = nullptr;  // Lost.
      } else {
        co_await forge(*shelf);
      }
    }
  }

  // An object is lost, changed, or there is one that never was.
  Task<void> forge(Shelf& shelf) {
    const auto objects = *shelf.store.list();
    const ObjectPtr victim = objects[random_.below(objects.size())];
    EventBatch batch;
    batch.version = shelf.store.version();
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
    (void)co_await shelf.store.apply(std::move(batch));
  }

  // --- the network ---------------------------------------------------------------------------------------------------

  MemoryBroker::Delivery fate(const std::string& client, const Message& message) {
    ++outcome_.messages;
    trace(client + message.topic + message.body);
    MemoryBroker::Delivery delivery;
    // Nobody can miss a name that it never heard: who follows whatever shows itself is shown everything.
    const bool shows = discovering_.count(client) > 0 && message.topic.ends_with("/presence");
    if (shows) return delivery;
    if (network_.chance(conditions_.drop)) {
      delivery.copies = 0;
    } else if (network_.chance(conditions_.repeat)) {
      delivery.copies = 2;
    }
    delivery.delay =
        network_.chance(conditions_.long_delay) ? network_.between(0s, kLongestWay) : network_.between(1ms, 50ms);
    return delivery;
  }

  // --- what is promised ----------------------------------------------------------------------------------------------

  // After every step of any component.
  void look() {
    if (time_.now() != looked_at_) {
      looked_at_ = time_.now();
      steps_ = 0;
    } else if (++steps_ > kStuck) {
      std::fprintf(stderr, "time stands still: something runs without an end\n");
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
      if (informer.hub && look_at(*informer.hub) && !overrule(informer.hub, informer.elders)) start_hub(i);
    }
  }

  // True: it has just ended by itself.
  bool look_at(Hub& hub) {
    const bool ended = look_at_end(hub);
    for (auto& copy : hub.copies) {
      const auto standing = hub.session->standing(copy->cluster, copy->id);
      if (standing && standing->proven_at && standing->proven_at != copy->proof)
        claim(hub, *copy, *standing->proven_at);
    }
    return ended;
  }

  void claim(const Hub& hub, Copy& copy, TimePoint proof) {
    copy.proof = proof;
    ++outcome_.proofs;
    if (hub.ended_at && proof > *hub.ended_at)
      violation("proof: " + copy.name + " claims to be equal after its session has ended");
    if (proof > time_.now()) violation("proof: " + copy.name + " claims to be equal in the future");
    if (time_.now() < copy.flipped_until || (copy.altered && !copy.store_is_known)) return;
    Fingerprint held;
    const auto entries = copy.shelf->store.measure(ObjectKey(), copy.shelf->store.size() + 1);
    for (const InventoryEntry& entry : *entries) held.add(entry.hash);
    if (!copy.truth->was(held, proof - kLongestWay - copy.server->frozen()))
      violation("proof: " + copy.name + " claims to equal the cluster " + std::to_string((time_.now() - proof) / 1ms) +
                " ms ago and did not");
  }

  // Which of two is the younger is told by clocks, where the word that the elder left at the broker was lost on its
  // way: they may be wrong, but one of the two goes on.
  // But for one case: where the elder's connection breaks just before the younger comes, it comes back to throw the
  // younger out, hears of it, and both end. Somebody must start one of them again. False: that is so.
  template <class Named>
  bool overrule(std::unique_ptr<Named>& ended, std::vector<std::unique_ptr<Named>>& elders) {
    const auto other = std::ranges::find_if(elders, [](const auto& elder) { return !elder->ended_at; });
    if (other != elders.end()) {
      ++outcome_.overruled;
      std::swap(ended, *other);
      return true;
    }
    const bool both = std::ranges::any_of(elders, [&](const auto& elder) {
      const bool by_broker = elder->end->message.starts_with("another client connected") ||
                             ended->end->message.starts_with("another client connected");
      return by_broker && elder->client == ended->client && time_.now() - *elder->ended_at < kBothEnd;
    });
    if (!both) violation("end: " + ended->host + " ended and leaves nobody: " + ended->end->message);
    elders.push_back(std::move(ended));
    return false;
  }

  // A process ends by itself only because of another one of its name, and says of which. True: it just has.
  bool look_at_end(Process& process) {
    if (!process.end || process.ended_at) return false;
    process.ended_at = time_.now();
    note(process.host + " has ended: " + process.end->message);
    ++outcome_.takeovers;
    ended_.notify();
    const bool names_other = process.end->message.find("on " + process.host + " ") == std::string::npos &&
                             (process.end->message.find("on edge-") != std::string::npos ||
                              process.end->message.find("on control-") != std::string::npos);
    const bool names_client = process.end->message.find("client id " + process.client) != std::string::npos;
    if (process.end->code != Code::Conflict || (!names_other && !names_client))
      violation("end: " + process.host + " does not say who ended it: " + process.end->message);
    return true;
  }

  bool equal(const Copy& copy) const {
    const auto held = copy.shelf->store.list();
    const Objects& truth = copy.truth->objects();
    return held->size() == truth.size() && std::ranges::all_of(*held, [&](const ObjectPtr& object) {
             const auto found = truth.find(object->key());
             return found != truth.end() && found->second->raw() == object->raw();
           });
  }

  bool told_all(const Copy& copy) const {
    if (!copy.informer || copy.altered) return true;
    const Objects& truth = copy.truth->objects();
    return std::ranges::equal(copy.told, truth, [](const auto& a, const auto& b) {
      return a.first == b.first && a.second->raw() == b.second->raw();
    });
  }

  bool proven(const Hub& hub, const Copy& copy) const {
    const auto standing = hub.session->standing(copy.cluster, copy.id);
    return standing && standing->proven_at && *standing->proven_at >= quiet_since_;
  }

  bool all_is_well() {
    for (const Cluster& cluster : clusters_) {
      if (!cluster.site || std::ranges::any_of(cluster.elders, [](const auto& one) { return !one->ended_at; }))
        return false;
    }
    for (const Informer& informer : informers_) {
      if (!informer.hub || std::ranges::any_of(informer.elders, [](const auto& one) { return !one->ended_at; }))
        return false;
      for (const auto& copy : informer.hub->copies) {
        if (!equal(*copy) || !told_all(*copy) || !proven(*informer.hub, *copy)) return false;
      }
    }
    return true;
  }

  void judge() {
    for (const Cluster& cluster : clusters_) {
      for (const auto& elder : cluster.elders) {
        if (!elder->ended_at)
          violation("end: " + elder->host + " does not notice that another provides " + cluster.name);
      }
    }
    for (const Informer& informer : informers_) {
      for (const auto& elder : informer.elders) {
        if (!elder->ended_at)
          violation("end: " + elder->host + " does not notice that another informs as " + informer.client);
      }
      for (const auto& copy : informer.hub->copies) {
        if (!equal(*copy)) violation("convergence: " + copy->name + " does not equal the cluster");
        if (!told_all(*copy)) violation("handler: " + copy->name + " was told of another set than the store holds");
        if (!proven(*informer.hub, *copy))
          violation("proof: " + copy->name + " has not proven its copy since all was quiet");
      }
    }
  }

  void count(const BrokerSession& session, const Copy& copy) {
    const auto standing = session.standing(copy.cluster, copy.id);
    if (!standing) return;
    outcome_.snapshots += standing->counts.snapshots;
    outcome_.resumes += standing->counts.resumes;
    outcome_.repairs += standing->counts.repairs;
  }

  Task<void> end_all() {
    for (Cluster& cluster : clusters_) {
      for (auto& elder : cluster.elders) co_await end(*elder, Way::Leave);
      if (cluster.site) co_await end(*cluster.site, random_.chance(0.5) ? Way::Leave : Way::Crash);
      cluster.site = nullptr;
      cluster.elders.clear();
    }
    for (Informer& informer : informers_) {
      for (auto& elder : informer.elders) co_await end(*elder, Way::Leave);
      if (informer.hub) co_await end(*informer.hub, random_.chance(0.5) ? Way::Leave : Way::Crash);
      informer.hub = nullptr;
      informer.elders.clear();
    }
    co_await time_.sleep_for(kLongestWay + 1s);  // What is still on its way belongs to the broker.
  }

  // Everything has ended: no coroutine is left that waits for a time, holds a watch or a metric.
  void look_for_remains() {
    if (time_.waiting() > 0) violation("remains: " + std::to_string(time_.waiting()) + " waits for a time");
    for (const Cluster& cluster : clusters_) {
      if (cluster.server->open_streams() > 0) violation("remains: watches of " + cluster.name);
    }
    for (const auto& family : time_.runtime().metrics.collect()) {
      if (!family.samples.empty()) violation("remains: the metric " + family.name);
    }
  }

  // While two processes provide one cluster, which somebody did by mistake and one of them is about to hear of, a copy
  // may go from what the one sees to what the other sees. Nothing else takes it back.
  void out_of_order(const Copy& copy, const std::string& what) {
    const auto cluster = std::ranges::find(clusters_, copy.cluster, &Cluster::name);
    const bool two = std::ranges::any_of(cluster->elders, [&](const auto& elder) {
      return !elder->ended_at || time_.now() - *elder->ended_at < kTwoAreOver;
    });
    if (!two) return violation("order: " + what);
    ++outcome_.between_two;
    note(what + ", of another provider");
  }

  void violation(const std::string& what) {
    note("VIOLATION " + what);
    if (outcome_.violations.size() < 5) outcome_.violations.push_back(what);
  }

  void note(const std::string& what) {
    const double seconds = std::chrono::duration<double>(time_.now() - began_).count();
    char when[32];
    std::snprintf(when, sizeof when, "%9.3f ", seconds);
    outcome_.story.push_back(when + what);
    trace(what);
  }

  void trace(const std::string& what) {
    const auto now = time_.now().time_since_epoch().count();
    trace_ = XXH3_64bits_withSeed(what.data(), what.size(), trace_ ^ static_cast<std::uint64_t>(now));
  }

  Random random_;
  Random network_;
  testing::VirtualTime time_;
  const TimePoint began_ = time_.now();
  Conditions conditions_;
  SystemOutcome outcome_;
  std::uint64_t trace_ = 0;

  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  std::uint64_t last_process_ = 0;
  std::uint64_t forged_ = 0;
  std::set<std::string> clients_;
  std::set<std::string> discovering_;  // Of those clients, the informers that were given no names of clusters.
  std::string last_client_;
  TimePoint quiet_since_{};
  TimePoint looked_at_{};
  std::size_t steps_ = 0;
  std::set<EntryHash> flipped_;  // Of objects whose bytes were altered in memory.
  Signal ended_;                 // A process, by itself; or all is over.
  bool over_ = false;

  MemoryBroker broker_;
  std::vector<Cluster> clusters_;
  std::vector<Informer> informers_;
};

}  // namespace

SystemOutcome play_system(std::uint64_t seed) {
  return System(seed).play();
}

}  // namespace tinf::simulation
