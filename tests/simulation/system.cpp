#include "tests/simulation/system.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <ranges>
#include <span>

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
constexpr Duration kUsualWay = 50ms;
constexpr Duration kServersWay = 2100ms;  // A list, and what has happened since it was made up.
constexpr Duration kBothEnd = 15s;        // Two that throw each other out do so at once, or at the next connect.
constexpr Duration kTwoAreOver = 1min;    // After one of two has ended, with all that it said.
constexpr Duration kFlipIsFound = 25s;    // All bytes of a store are hashed again within 20 seconds.
constexpr std::size_t kStuck = 1000000;   // Steps at one moment.
constexpr double kFaulty = 0.05;          // The share of what a fault spoils, where it does not spoil all.
constexpr std::size_t kLastLines = 30;    // Of a history that has to be broken off.

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
  std::string role;          // Of which there is to be one process: a cluster, or a client that informs.
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
         std::function<void(const std::string&)> violation, bool drops)
      : clock_(clock), random_(random), shelf_(shelf), truth_(truth), violation_(std::move(violation)), drops_(drops) {}

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
    if (drops_ && !changes.events.empty() && random_.chance(kFaulty)) changes.events.pop_back();
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
  const bool drops_;
};

// As reflect(), but for what reflect() decides; where it hides outages, all is always said to be well.
Task<void> reflect_badly(Runtime& runtime, Scope scope, ListerWatcher& source, StoreWriter& sink, SourceReport report,
                         ReflectorOptions options, Fault fault) {
  options.after_outage = fault == Fault::OldWatchesAreTrusted ? AfterOutage::Resume : AfterOutage::List;
  options.first_version = fault == Fault::ReplicasAreRead ? "0" : "";
  const Reflector* running = nullptr;
  const auto say = [&](const Error& why) {
    if (fault == Fault::OutagesAreHidden) return report(Result<void>(), runtime.clock.now());
    if (running->live()) return report(Result<void>(), running->current_at());
    report(why, running->current_at());
  };
  options.on_error = say;
  options.on_status = [&] { say(Error(Code::Unavailable, "no watch is open")); };
  Reflector reflector(runtime, std::move(scope), source, sink, std::move(options));
  running = &reflector;
  co_await reflector.run();
}

bool is_of_reflector(Fault fault) {
  return fault == Fault::OldWatchesAreTrusted || fault == Fault::ReplicasAreRead || fault == Fault::OutagesAreHidden;
}

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

  // What was altered behind the informer's back, until the handler has heard of it what the store holds: not before
  // then can it know what was there.
  std::set<ObjectKey> altered;
  TimePoint flipped_until{};  // Until then, bytes that changed behind the store's back need not have been found.
  std::optional<TimePoint> proof;
};

// An informer's process with its connection and its copies.
struct Control : Process {
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
  explicit System(const SystemStory& story)
      : story_(story),
        random_(story.seed),
        network_(story.seed * 7919 + 1),
        time_(story.seed),
        broker_(time_.runtime(), broker_options()) {
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
    return std::move(outcome_);
  }

  static std::vector<std::string> kinds_of_mishaps() {
    std::vector<std::string> names;
    for (const Mishap& kind : mishaps()) names.emplace_back(kind.name);
    return names;
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
  // A message that takes longer than usual.
  struct Slow {
    TimePoint sent;
    TimePoint arrives;
  };
  // A process that was started once.
  struct Known {
    std::string role;
    std::string host;
    std::string instance;
    TimePoint counts_until;
  };
  struct Informer {
    std::string client;
    std::unique_ptr<Control> control;
    std::vector<std::unique_ptr<Control>> elders;
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
    while (!amiss().empty() && time_.now() < quiet_since_ + kQuiet) co_await time_.sleep_for(1s);
    note("quiet for " + std::to_string((time_.now() - quiet_since_) / 1s) + " s");
    co_await time_.sleep_for(kStays);
    for (const std::string& what : amiss()) violation(what);
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
      std::vector<Control*> controls;
      const auto leaves = [](Process& process) { return process.ended_at && !std::exchange(process.left, true); };
      for (Cluster& cluster : clusters_) {
        for (auto& elder : cluster.elders) {
          if (leaves(*elder)) sites.push_back(elder.get());
        }
      }
      for (Informer& informer : informers_) {
        for (auto& elder : informer.elders) {
          if (leaves(*elder)) controls.push_back(elder.get());
        }
      }
      for (Site* site : sites) co_await site->transport->close(site->provider->farewell());
      for (Control* control : controls) co_await control->transport->close(control->session->last_word());
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
    const std::size_t times = random_.below(14);
    for (std::size_t i = 0; i < times; ++i) {
      const Mishap& kind = mishaps()[random_.below(mishaps().size())];
      at(random_.between(0s, kTrouble - 25s), [this, &kind] { return mishap(kind); });
    }
  }

  void change(ApiServer& server, int times) {
    for (int i = 0; i < times; ++i) server.change();
    outcome_.changes += static_cast<std::size_t>(times);
  }

  // A kind of mishap. False: there was nobody for it to happen to.
  struct Mishap {
    const char* name;
    Task<bool> (System::*happens)(std::size_t cluster, std::size_t informer);
  };
  static std::span<const Mishap> mishaps() {
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

  Task<void> mishap(const Mishap& kind) {
    const std::size_t c = random_.below(clusters_.size());
    const std::size_t i = random_.below(informers_.size());
    if (co_await (this->*kind.happens)(c, i)) ++outcome_.mishaps[kind.name];
  }

  Task<bool> provider_crashes(std::size_t c, std::size_t) { return end_site(c, Way::Crash); }
  Task<bool> provider_leaves(std::size_t c, std::size_t) { return end_site(c, Way::Leave); }
  Task<bool> informer_crashes(std::size_t, std::size_t i) { return end_control(i, Way::Crash); }
  Task<bool> informer_leaves(std::size_t, std::size_t i) { return end_control(i, Way::Leave); }
  Task<bool> second_informer(std::size_t, std::size_t i) { co_return second_control(i); }
  Task<bool> second_provider(std::size_t c, std::size_t) { co_return second_site(c); }
  Task<bool> store_is_altered(std::size_t, std::size_t i) { return alter(informers_[i]); }
  Task<bool> followed_anew(std::size_t, std::size_t i) { return follow_anew(informers_[i]); }

  Task<bool> connection_breaks(std::size_t, std::size_t) {
    const std::string client = a_client();
    note("disconnected: " + client);
    broker_.disconnect(client);
    co_return true;
  }
  Task<bool> client_is_unreachable(std::size_t, std::size_t) {
    const std::string client = a_client();
    note("unreachable: " + client);
    broker_.set_reachable(client, false);
    later(random_.between(1s, 40s), [this, client] { broker_.set_reachable(client, true); });
    co_return true;
  }
  Task<bool> broker_stops(std::size_t, std::size_t) { co_return stop_broker(false); }
  Task<bool> broker_forgets(std::size_t, std::size_t) { co_return stop_broker(true); }
  bool stop_broker(bool forgets) {
    note("the broker stops" + std::string(forgets ? " and forgets" : ""));
    broker_.stop(forgets);
    later(random_.between(0s, 30s), [this] { broker_.start(); });
    return true;
  }

  Task<bool> watches_end(std::size_t c, std::size_t) {
    note(clusters_[c].name + " ends its watches");
    clusters_[c].server->end_watches();
    co_return true;
  }
  Task<bool> history_is_compacted(std::size_t c, std::size_t) {
    note(clusters_[c].name + " compacts its history");
    clusters_[c].server->compact();
    co_return true;
  }
  Task<bool> cluster_is_set_back(std::size_t c, std::size_t) {
    note(clusters_[c].name + " is set back");
    clusters_[c].server->set_back();
    co_return true;
  }
  Task<bool> cluster_answers_badly(std::size_t c, std::size_t) {
    note(clusters_[c].name + " answers badly");
    clusters_[c].server->answer_badly(random_.between(5s, 60s));
    co_return true;
  }
  Task<bool> cluster_is_away(std::size_t c, std::size_t) {
    note(clusters_[c].name + " is away");
    clusters_[c].server->go_away(random_.between(1s, 60s));
    co_return true;
  }
  Task<bool> cluster_freezes(std::size_t c, std::size_t) {
    note(clusters_[c].name + " freezes");
    clusters_[c].server->freeze();
    co_return true;
  }
  Task<bool> cluster_denies(std::size_t c, std::size_t) {
    note(clusters_[c].name + " denies");
    clusters_[c].server->deny(random_.between(1s, 40s));
    co_return true;
  }

  Task<bool> clock_jumps(std::size_t c, std::size_t i) {
    note("a clock jumps");
    (random_.chance(0.5) ? clusters_[c].clock : informers_[i].clock) += random_.between(-5h, 5h);
    time_.set_wall_by(random_.between(-2h, 2h));
    co_return true;
  }
  Task<bool> stores_are_full(std::size_t, std::size_t i) {
    bool any = false;
    for (auto& [name, shelf] : informers_[i].shelves) {
      if (!shelf || !random_.chance(0.7)) continue;
      shelf->refuses_until = time_.now() + random_.between(1s, 40s);
      any = true;
    }
    if (any) note("stores of " + informers_[i].client + " are full");
    co_return any;
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
  void name(Named& process, std::string client, std::string host, Duration clock, std::string role) {
    process.client = std::move(client);
    process.instance = std::to_string(++last_process_);
    process.host = host + "-" + process.instance;
    process.started = std::chrono::duration_cast<std::chrono::milliseconds>(
                          (time_.wall_now() + std::chrono::duration_cast<WallTime::duration>(clock)).time_since_epoch())
                          .count();
    process.role = std::move(role);
    known_.push_back(Known{process.role, process.host, process.instance, TimePoint::max()});
    clients_.insert(process.client);
  }

  std::string a_client() {
    auto chosen = clients_.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(random_.below(clients_.size())));
    return *chosen;
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
            return reflect_badly(time_.runtime(), std::move(scope), *cluster.server, sink, std::move(report),
                                 reflecting, story_.fault);
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

  Task<bool> end_site(std::size_t c, Way way) {
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

  // Longer than a lease, at times.
  Duration absence() { return random_.chance(0.8) ? random_.between(0s, 30s) : random_.between(30s, 90s); }

  Task<void> end(Site& site, Way way) {
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

  // Somebody starts another provider of the cluster, under the same client id or one of its own.
  bool second_site(std::size_t c) {
    Cluster& cluster = clusters_[c];
    if (!cluster.site) return false;
    std::string client = cluster.site->client;
    if (random_.chance(0.5)) client += "x";
    cluster.elders.push_back(std::move(cluster.site));
    cluster.clock = random_.between(-1h, 1h);  // Another machine.
    start_site(c, client);
    return true;
  }

  void make_informers() {
    informers_.resize(1 + random_.below(3));
    for (std::size_t i = 0; i < informers_.size(); ++i) {
      Informer& informer = informers_[i];
      informer.client = "control" + std::to_string(i);
      informer.durable = random_.chance(0.5);
      informer.clock = random_.between(-1h, 1h);
      if (random_.chance(0.8)) {
        start_control(i);
      } else {
        later(random_.between(0s, kTrouble), [this, i] { start_control(i); });
      }
    }
  }

  void start_control(std::size_t i) {
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
    for (Cluster& cluster : clusters_) {
      for (const Scope& scope : cluster.scopes) {
        auto copy = std::make_unique<Copy>();
        copy->cluster = cluster.name;
        copy->scope = scope;
        copy->id = scope.id();
        copy->server = cluster.server.get();
        copy->name = cluster.name + "'s " + scope.resource.name + " at " + control->host;
        copy->truth = &cluster.server->truth(scope.resource);
        auto& shelf = informer.shelves[cluster.name + "/" + scope.id()];
        if (!informer.durable || !shelf) {
          shelf = std::make_shared<Shelf>();
          if (random_.chance(0.2)) shelf->takes = 2s;
        }
        if (shelf->store.size() > 0) ++outcome_.taken_up;
        copy->shelf = shelf;
        copy->store_is_known = random_.chance(0.9);
        follow(*control, *copy);
        control->copies.push_back(std::move(copy));
      }
    }
    informer.control = std::move(control);
  }

  void follow(Control& control, Copy& copy) {
    MemoryStore& store = copy.shelf->store;
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
        violation("handler: " + copy.name + " was told of a delete of what it did not know, " +
                  last->key().to_string());
      told(copy, last->key(), nullptr, never_was(*last));
    };
    spoil(handler);
    copy.registration = *copy.informer->add(std::move(handler));
    copy.informer->start();
  }

  // A handler that hears something twice, or not at all, where that is the fault of this history.
  void spoil(Handler& handler) {
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

  void told(Copy& copy, const ObjectKey& key, const ObjectPtr& object, bool forged) {
    if (!forged && !copy.truth->leads_to(key, object.get(), copy.shown))
      out_of_order(copy, copy.name + ": a handler was told of a state of " + key.to_string() +
                             " from before the one that it had");
    if (object) {
      copy.told[key] = object;
    } else {
      copy.told.erase(key);
    }
    if (copy.altered.count(key) == 0) return;
    const ObjectPtr held = *copy.shelf->store.get(key);
    if (object ? held && !never_was(*held) && held->raw() == object->raw() : !held) copy.altered.erase(key);
  }

  // Of one that has been stopped.
  void let_go(Copy& copy) {
    copy.reflector = nullptr;
    copy.registration.reset();
    copy.informer = nullptr;
    copy.source = nullptr;
    copy.ledger = nullptr;
  }

  Task<bool> end_control(std::size_t i, Way way) {
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

  Task<void> end(Control& control, Way way) {
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

  // Somebody starts another informer under the same client id, with stores of its own.
  bool second_control(std::size_t i) {
    Informer& informer = informers_[i];
    if (!informer.control) return false;
    informer.elders.push_back(std::move(informer.control));
    informer.shelves.clear();
    informer.clock = random_.between(-1h, 1h);
    start_control(i);
    return true;
  }

  // A copy is let go of and followed again, with the store that it had.
  Task<bool> follow_anew(Informer& informer) {
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

  // Somebody else wrote it into a store: no cluster ever held it.
  bool never_was(const Object& object) const {
    return object.uid() == "u0" || flipped_.count(EntryHash::of(object.raw())) > 0;
  }

  // --- stores that somebody else writes into -------------------------------------------------------------------------

  // One that is being followed.
  Task<bool> alter(Informer& informer) {
    if (!informer.control) co_return false;
    auto& copies = informer.control->copies;
    Copy& copy = *copies[random_.below(copies.size())];
    if (!copy.store_is_known || copy.shelf->store.size() == 0) co_return false;
    note(copy.name + " is altered");
    if (random_.chance(0.3)) {
      // In memory, so that not even the store knows of it.
      const auto objects = copy.shelf->store.list();
      const Object& victim = *(*objects)[random_.below(objects->size())];
      const_cast<char*>(victim.raw().data())[victim.raw().size() - 2] ^= 1;
      flipped_.insert(EntryHash::of(victim.raw()));
      copy.altered.insert(victim.key());
      copy.flipped_until = time_.now() + kFlipIsFound;
      co_return true;
    }
    copy.altered.insert(co_await forge(*copy.shelf));
    co_return true;
  }

  // Those that outlived their informer.
  Task<void> alter_kept(Informer& informer) {
    for (auto& [name, shelf] : informer.shelves) {
      if (shelf->store.size() == 0 || random_.chance(0.5)) continue;
      note("a kept store of " + informer.client + " is altered");
      if (random_.chance(0.3)) {
        shelf = nullptr;  // Lost.
      } else {
        (void)co_await forge(*shelf);
      }
    }
  }

  // An object is lost, changed, or there is one that never was.
  Task<ObjectKey> forge(Shelf& shelf) {
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
    const ObjectKey forged = batch.events.front().key;
    (void)co_await shelf.store.apply(std::move(batch));
    co_return forged;
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
    if (network_.chance(conditions_.long_delay)) {
      delivery.delay = network_.between(0s, kLongestWay);
      slow_[client].push_back(Slow{time_.now(), time_.now() + delivery.delay});
    } else {
      delivery.delay = network_.between(1ms, kUsualWay);
    }
    return delivery;
  }

  // The earliest moment at which a message to this client that came at `then`, or any since, can have been sent.
  TimePoint sent(const std::string& client, TimePoint then) const {
    TimePoint earliest = then - kUsualWay;
    const auto slow = slow_.find(client);
    if (slow == slow_.end()) return earliest;
    for (const Slow& message : slow->second) {
      if (message.arrives >= then && message.arrives <= time_.now())
        earliest = std::min(earliest, then - (message.arrives - message.sent));
    }
    return earliest;
  }

  // --- what is promised ----------------------------------------------------------------------------------------------

  // After every step of any component.
  void look() {
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

  void tell_the_end() const {
    std::fprintf(stderr, "time stands still: something runs without an end; replay with TINF_SIMULATION_SEED=%llu\n",
                 static_cast<unsigned long long>(story_.seed));
    for (const auto* lines : {&outcome_.story, &time_.log_lines()}) {
      const std::size_t from = lines->size() - std::min(lines->size(), kLastLines);
      for (std::size_t i = from; i < lines->size(); ++i) std::fprintf(stderr, "%s\n", (*lines)[i].c_str());
    }
  }

  // True: it has just ended by itself.
  bool look_at(Control& control) {
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

  void claim(const Control& control, Copy& copy, TimePoint proof) {
    copy.proof = proof;
    ++outcome_.proofs;
    if (control.ended_at && proof > *control.ended_at)
      violation("proof: " + copy.name + " claims to be equal after its session has ended");
    if (proof > time_.now()) violation("proof: " + copy.name + " claims to be equal in the future");
    if (time_.now() < copy.flipped_until) return;
    Fingerprint held;
    const auto entries = copy.shelf->store.measure(ObjectKey(), copy.shelf->store.size() + 1);
    for (const InventoryEntry& entry : *entries) held.add(entry.hash);
    // A proof is of the moment at which the provider's word came, less what the provider said that it was behind. It
    // may have been as long on its way as any that came since then, and the provider may not have known that its watch
    // was dead. Nothing else is allowed for, but for the API server's own way to the provider.
    const TimePoint said = sent(control.client, proof);
    if (!copy.truth->was(held, copy.server->known_at(said - kServersWay)))
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

  // It names another process that had the same name at the time, or has just had it: word of that may be on its way.
  // Only the memory broker does not tell whom it took for the client.
  bool says_who(const Process& process) const {
    const std::string& message = process.end->message;
    if (message == "another client connected with the client id " + process.client + "; give each its own") return true;
    return std::ranges::any_of(known_, [&](const Known& other) {
      return other.host != process.host && other.role == process.role && time_.now() < other.counts_until &&
             message.find("by another process, on " + other.host + " (instance " + other.instance + ")") !=
                 std::string::npos;
    });
  }

  // It has ended, in whatever way.
  void gone(const Process& process) {
    const auto known = std::ranges::find(known_, process.host, &Known::host);
    known->counts_until = std::min(known->counts_until, time_.now() + kTwoAreOver);
  }

  // A process ends by itself only because of another one of its name, and says of which. True: it just has.
  bool look_at_end(Process& process) {
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

  bool equal(const Copy& copy) const {
    const auto held = copy.shelf->store.list();
    const Objects& truth = copy.truth->objects();
    return held->size() == truth.size() && std::ranges::all_of(*held, [&](const ObjectPtr& object) {
             const auto found = truth.find(object->key());
             return found != truth.end() && found->second->raw() == object->raw();
           });
  }

  bool told_all(const Copy& copy) const {
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

  bool proven(const Control& control, const Copy& copy) const {
    const auto standing = control.session->standing(copy.cluster, copy.id);
    return standing && standing->proven_at && *standing->proven_at >= quiet_since_;
  }

  // What is not as it must be once all has been quiet for long enough.
  std::vector<std::string> amiss() const {
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
        if (!told_all(*copy))
          amiss.push_back("handler: " + copy->name + " was told of another set than the store holds");
        if (!proven(*informer.control, *copy))
          amiss.push_back("proof: " + copy->name + " has not proven its copy since all was quiet");
      }
    }
    return amiss;
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
      if (informer.control) co_await end(*informer.control, random_.chance(0.5) ? Way::Leave : Way::Crash);
      informer.control = nullptr;
      informer.elders.clear();
    }
    if (story_.fault == Fault::SomethingRemains) time_.spawn(waits_on());
    co_await time_.sleep_for(kLongestWay + 1s);  // What is still on its way belongs to the broker.
  }

  Task<void> waits_on() { co_await time_.sleep_for(24h); }

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

  const SystemStory story_;
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
  TimePoint quiet_since_{};
  TimePoint looked_at_{};
  std::size_t steps_ = 0;
  std::set<EntryHash> flipped_;  // Of objects whose bytes were altered in memory.
  Signal ended_;                 // A process, by itself; or all is over.
  bool over_ = false;

  MemoryBroker broker_;
  std::vector<Cluster> clusters_;
  std::vector<Informer> informers_;
  std::vector<Known> known_;
  std::map<std::string, std::vector<Slow>> slow_;  // To each client.
};

}  // namespace

SystemOutcome play_system(const SystemStory& story) {
  return System(story).play();
}

std::vector<std::string> kinds_of_mishaps() {
  return System::kinds_of_mishaps();
}

}  // namespace tinf::simulation
