// System: one history of a whole system as it is played. Its course and its network are in system.cpp, its processes in
// system_processes.cpp, what happens to them in system_mishaps.cpp, and what is promised in system_judging.cpp.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/simulation/api_server.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/system.h"
#include "tinf/follower/broker_session.h"
#include "tinf/informer/shared_informer.h"
#include "tinf/provider/provider.h"
#include "tinf/testing/virtual_time.h"
#include "tinf/transport/memory/memory_broker.h"

namespace tinf::simulation {

constexpr Duration kTrouble = std::chrono::minutes(2);
constexpr Duration kLongestWay = std::chrono::seconds(30);
constexpr Duration kBothEnd =
    std::chrono::seconds(15);  // Two that throw each other out do so at once, or at the next connect.

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

  SystemOutcome play();
  static std::vector<std::string> kinds_of_mishaps();

 private:
  struct Event {
    TimePoint at;
    std::uint64_t order;
    std::function<Task<void>()> act;
    bool operator<(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  // A cluster: an API server and the process that provides it.
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
    bool on_disk = false;        // One that is durable.
    std::shared_ptr<Disk> disk;  // Of the shelves. Null: it has none yet.
    Duration clock{};
  };

  MemoryBrokerOptions broker_options();

  // --- the course of things ------------------------------------------------------------------------------------------

  Task<void> history(bool& done);

  // Whoever has ended by itself leaves at once, as daemons do. What it still holds is looked at to the end.
  Task<void> close_ended();

  void at(Duration delay, std::function<Task<void>()> act);
  void later(Duration delay, std::function<void()> act);
  Task<void> do_now(std::function<void()> act);
  void schedule_trouble();

  void change(ApiServer& server, int times);

  // A kind of mishap. False: there was nobody for it to happen to.
  struct Mishap {
    const char* name;
    Task<bool> (System::*happens)(std::size_t cluster, std::size_t informer);
  };
  static std::span<const Mishap> mishaps();
  Task<void> mishap(const Mishap& kind);

  Task<bool> provider_crashes(std::size_t c, std::size_t);
  Task<bool> provider_leaves(std::size_t c, std::size_t);
  Task<bool> informer_crashes(std::size_t, std::size_t i);
  Task<bool> informer_leaves(std::size_t, std::size_t i);
  Task<bool> second_informer(std::size_t, std::size_t i);
  Task<bool> second_provider(std::size_t c, std::size_t);
  Task<bool> store_is_altered(std::size_t, std::size_t i);
  Task<bool> followed_anew(std::size_t, std::size_t i);

  Task<bool> connection_breaks(std::size_t, std::size_t);
  Task<bool> client_is_unreachable(std::size_t, std::size_t);
  Task<bool> broker_stops(std::size_t, std::size_t);
  Task<bool> broker_forgets(std::size_t, std::size_t);
  bool stop_broker(bool forgets);

  Task<bool> watches_end(std::size_t c, std::size_t);
  Task<bool> history_is_compacted(std::size_t c, std::size_t);
  Task<bool> cluster_is_set_back(std::size_t c, std::size_t);
  Task<bool> cluster_answers_badly(std::size_t c, std::size_t);
  Task<bool> cluster_is_away(std::size_t c, std::size_t);
  Task<bool> cluster_freezes(std::size_t c, std::size_t);
  Task<bool> cluster_denies(std::size_t c, std::size_t);

  Task<bool> clock_jumps(std::size_t c, std::size_t i);
  Task<bool> stores_are_full(std::size_t, std::size_t i);

  void calm();

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

  std::string a_client();
  void make_clusters();

  void start_site(std::size_t c, std::string client);
  Task<bool> end_site(std::size_t c, Way way);

  // Longer than a lease, at times.
  Duration absence();
  Task<void> end(Site& site, Way way);

  // Somebody starts another provider of the cluster, under the same client id or one of its own.
  bool second_site(std::size_t c);

  void make_informers();

  void start_control(std::size_t i);
  // Its file is closed and opened between two of its processes.
  void begin_with_disk(Informer& informer);
  void put_on_shelf(Informer& informer, Copy& copy);
  void follow(Control& control, Copy& copy);

  // A handler that hears something twice, or not at all, where that is the fault of this history.
  void spoil(Handler& handler);
  void told(Copy& copy, const ObjectKey& key, const ObjectPtr& object, bool forged);

  // Of one that has been stopped.
  void let_go(Copy& copy);

  Task<bool> end_control(std::size_t i, Way way);
  Task<void> end(Control& control, Way way);

  // Somebody starts another informer under the same client id, with stores of its own.
  bool second_control(std::size_t i);

  // A copy is let go of and followed again, with the store that it had.
  Task<bool> follow_anew(Informer& informer);

  // Somebody else wrote it into a store: no cluster ever held it.
  bool never_was(const Object& object) const;

  // --- stores that somebody else writes into -------------------------------------------------------------------------

  // One that is being followed.
  Task<bool> alter(Informer& informer);

  // Those that outlived their informer.
  Task<void> alter_kept(Informer& informer);

  // An object is lost, changed, or there is one that never was.
  Task<ObjectKey> forge(Shelf& shelf);

  // --- the network ---------------------------------------------------------------------------------------------------

  MemoryBroker::Delivery fate(const std::string& client, const Message& message);

  // The earliest moment at which a message to this client that came at `then`, or any since, can have been sent.
  TimePoint sent(const std::string& client, TimePoint then) const;

  // --- what is promised ----------------------------------------------------------------------------------------------

  // After every step of any component.
  void look();
  void tell_the_end() const;

  // True: it has just ended by itself.
  bool look_at(Control& control);
  void claim(const Control& control, Copy& copy, TimePoint proof);

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
  bool says_who(const Process& process) const;

  // It has ended, in whatever way.
  void gone(const Process& process);

  // A process ends by itself only because of another one of its name, and says of which. True: it just has.
  bool look_at_end(Process& process);
  bool equal(const Copy& copy) const;

  bool told_all(const Copy& copy) const;
  bool proven(const Control& control, const Copy& copy) const;

  // What is not as it must be once all has been quiet for long enough.
  std::vector<std::string> amiss() const;
  void count(const BrokerSession& session, const Copy& copy);

  Task<void> end_all();
  Task<void> waits_on();

  // Everything has ended: no coroutine is left that waits for a time, holds a watch or a metric.
  void look_for_remains();

  // While two processes provide one cluster, which somebody did by mistake and one of them is about to hear of, a copy
  // may go from what the one sees to what the other sees. Nothing else takes it back.
  void out_of_order(const Copy& copy, const std::string& what);
  void violation(const std::string& what);

  void note(const std::string& what);
  void trace(const std::string& what);

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

}  // namespace tinf::simulation
