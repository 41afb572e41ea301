// BrokerSession: one connection of an informer to a broker, and through it a source for every cluster behind it.
// Runs the followers: feeds them what comes, sends what they ask, and tells the time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/contract/lister_watcher.h"
#include "tinf/contract/refusals.h"
#include "tinf/contract/store.h"
#include "tinf/contract/transport.h"
#include "tinf/follower/admission.h"
#include "tinf/follower/broker_channel.h"
#include "tinf/follower/digest_ledger.h"
#include "tinf/wire/client_claim.h"
#include "tinf/wire/codec.h"
#include "tinf/wire/topics.h"

namespace tinf {

struct SessionOptions {
  std::string client;    // Checked by wire::check_client_id.
  std::string instance;  // A random id of this process.
  std::string host;
  std::int64_t started = 0;  // Unix milliseconds.
  wire::Topics topics{"/signal", "/payload"};
  std::vector<std::string> clusters;  // Empty: every cluster whose presence is seen.
  FollowerOptions follower;           // Its client id is set from `client`.
  AdmissionOptions admission;         // Of scopes that ask, as when thousands of clusters come back at once.
};

// A cluster as its provider's presence tells it.
struct ClusterView {
  std::string name;
  bool present = false;
  wire::Presence presence;  // The last one seen, also while the cluster is away.
};

// Confined to one strand. Outlives the sources it opens.
class BrokerSession {
 public:
  BrokerSession(Runtime& runtime, Transport& transport, SessionOptions options);
  ~BrokerSession();

  // Runs until cancelled, or ends with:
  // Conflict: another process uses our client id (the message names it); Forbidden: the broker denies a topic.
  Task<Result<void>> run();

  // Sends what is still to be said, as that a scope is no longer wanted (a second at most), then ends every task; to be
  // awaited before destruction when run() was cancelled, and again if this was.
  Task<void> stop();

  // What takes the record of our client id back when we leave in good order; nothing if the record is not ours.
  std::optional<Message> last_word() const;

  // Called when a cluster is seen for the first time, changes its offer, goes or comes back.
  void on_cluster(std::function<void(const ClusterView&)> callback) { on_cluster_ = std::move(callback); }
  const std::map<std::string, ClusterView>& clusters() const { return clusters_; }

  // A source of scopes of `cluster`; opening it asks nothing yet, destroying it tells the provider.
  // A list waits until the provider answers, however long that takes; a refusal is its error. A watch must begin at the
  // version that the last list or watch ended with, or, where there was none, at that of a `store` which is not empty;
  // from any other it is Expired. Such a stream says EventBatch::initial_events_end once the store is proven equal.
  // A scope has one follower in a session: while another source follows it, a list or watch waits a moment for the
  // other to let go, and is then refused as AlreadyExists. When run() has ended, every list and watch ends as it did.
  // `store`, if given, is where the copy ends up, as it came (no transform): every proof then compares that, too, its
  // bytes are hashed again and again, what somebody altered behind our back is repaired, and updates may come as
  // patches of what it holds. It must outlive the source.
  std::unique_ptr<ListerWatcher> open(const std::string& cluster, const StoreReader* store = nullptr);

  // What a source of open() knows of its copy; null for others.
  struct Standing {
    std::optional<TimePoint> proven_at;  // When the store was last proven equal.
    bool following = false;
    bool unanswered = false;  // Asked for, and for a while nobody has said anything.
    Duration behind{};        // As the provider last said: how long it had been without its API server.
    Follower::Progress progress;
    Follower::Counts counts;
  };
  std::optional<Standing> standing(const std::string& cluster, const std::string& scope) const;

  bool connected() const { return connected_; }

  // Scopes that ask now, and those that wait until they may.
  std::size_t asking() const { return admission_.under_way(); }
  std::size_t waiting() const { return admission_.waiting(); }

 private:
  class Source;
  class Stream;
  using ChannelName = std::pair<std::string, std::string>;  // Cluster, scope id.

  Task<void> receive_loop(std::optional<Error>& failure);
  Task<void> let_consumer_run();
  Task<void> send_loop();
  Task<bool> said_all();
  Task<void> tick_loop();
  Task<void> renew_loop();
  Task<void> hello_loop();
  void say_record();
  Task<Result<void>> subscribe_all();

  void on_connected(std::size_t maximum_message);
  void on_disconnected();
  std::optional<Error> on_message(const Message& message);
  void on_presence(const std::string& cluster, const Message& message, const wire::Presence& presence);
  bool from_another(const std::string& cluster, const std::string& source) const;
  void say_hello(const std::string& cluster);
  void dispatch(const std::string& cluster, const std::string& source, wire::Body& body);
  void receive_digest(const std::string& cluster, const std::string& source, const wire::Digest& digest);
  void send(std::string topic, const wire::Body& body, bool retain = false);
  void pump(BrokerChannel& channel);
  bool reachable(const std::string& cluster) const;
  void admit();
  void heard(BrokerChannel& channel);
  void look_for_silence(BrokerChannel& channel);

  // A new one, of this scope the only one.
  Task<Result<std::shared_ptr<BrokerChannel>>> channel(const std::string& cluster, const Scope& scope,
                                                       const StoreReader* store, ResourceVersion held);
  static Error taken(const std::string& cluster, const Scope& scope);
  void close(const BrokerChannel& channel);

  // Constant after construction.
  Runtime& runtime_;
  Transport& transport_;
  const SessionOptions options_;
  const Log log_;

  // Confined to the strand.
  std::function<void(const ClusterView&)> on_cluster_;
  std::map<std::string, ClusterView> clusters_;
  struct ProviderWords {
    TimePoint last_at{};      // Anything of the process that is present.
    TimePoint presence_at{};  // A presence, or asked for one.
    DigestLedger digests;
  };
  std::map<std::string, ProviderWords> words_;  // By cluster.
  MeasurePace measure_pace_;
  std::map<ChannelName, std::shared_ptr<BrokerChannel>> channels_;
  std::weak_ptr<BrokerChannel> fed_;  // By the last message.
  Signal closed_;                     // One of them.
  std::optional<Error> ended_;        // How run() did.
  Admission admission_;
  std::set<std::string> silent_;  // Clusters that are present and do not answer, as was said.
  wire::Sender sender_;
  wire::Decoder decoder_;
  bool connected_ = false;
  std::size_t maximum_message_ = 0;
  wire::ClientClaim claim_;
  Refusals refusals_;

  struct Outbound {
    std::string topic;
    wire::Encoded encoded;
    bool retain;
  };
  std::deque<Outbound> outbox_;
  Signal outbox_filled_;
  Signal outbox_sent_;  // All of it.
  bool sending_ = false;
  bool running_ = false;
  TaskGroup tasks_;
};

}  // namespace tinf
