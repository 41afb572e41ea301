// Provider: offers one cluster's objects to informers behind a broker.
// Runs the pure core on a transport: feeds it signals and changes, sends what it has to say.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/contract/refusals.h"
#include "tinf/contract/store.h"
#include "tinf/contract/transport.h"
#include "tinf/provider/provider_core.h"
#include "tinf/wire/client_claim.h"

namespace tinf {

// Keeps `sink` equal to `scope` at the source until it is cancelled. Calls `report` without an error when the sink has
// become current and each change reaches it, and as soon as that is no longer so with the reason and the moment at
// which it was last known to be: while a set is listed again, too. Usually a Reflector over the cluster's API server.
using SourceReport = std::function<void(Result<void> state, TimePoint current_at)>;
using Reflect = std::function<Task<void>(Scope scope, StoreWriter& sink, SourceReport report)>;

// Confined to one strand.
class Provider {
 public:
  Provider(Runtime& runtime, Transport& transport, ProviderOptions options, Reflect reflect);
  ~Provider();

  // Announces what may be asked for. Nothing is answered before the first call.
  void offer(std::vector<ResourceInfo> resources, std::string cluster_uid, std::string kubernetes_version);
  bool offering() const { return offering_; }

  // Runs until cancelled, or ends with:
  // Conflict: another process provides the same cluster (the message names it); Forbidden: the broker denies a topic.
  Task<Result<void>> run();

  // Ends every task; to be awaited before destruction when run() was cancelled.
  Task<void> stop();

  // What the broker is to say if we are cut off, and what we say ourselves when we leave in good order.
  static Message last_will(const ProviderOptions& options);
  static Message last_word(const ProviderOptions& options);

  // What to close the transport with: the last word, unless the presence is another process's by now.
  std::optional<Message> farewell() const;

  // Sets the metrics that are computed when they are asked for.
  void refresh_metrics();
  ProviderCore::Counts counts() const { return core_.counts(); }
  bool connected() const { return connected_; }

  // Why informers cannot find us at the broker, with the remedy; empty if they can, or if nothing is offered yet.
  std::string unheard() const;

 private:
  class Sink;
  // A source that runs for a stream of the core.
  struct Running {
    std::string epoch;
    std::unique_ptr<Sink> sink;
    std::unique_ptr<TaskGroup> tasks;
  };

  Task<void> receive_loop(std::optional<Error>& failure);
  Task<void> send_loop();
  Task<void> tick_loop();
  Task<void> run_source(Scope scope, Sink& sink, std::string id, std::string epoch);
  bool current(const std::string& id, const std::string& epoch) const;
  std::optional<Error> on_message(const Message& message);
  void announce();
  void look_for_presence();
  Task<void> follow_client_topic();
  Task<void> say_record();
  void match_sources();

  // Constant after construction.
  Runtime& runtime_;
  Transport& transport_;
  const ProviderOptions options_;
  const Reflect reflect_;
  const Log log_;

  // Confined to the strand.
  ProviderCore core_;
  wire::Sender sender_;
  wire::Decoder decoder_;
  bool offering_ = false;
  bool connected_ = false;
  bool reconnected_ = false;
  // Our presence must come back from the broker: what a broker denies it may well deny in silence.
  TimePoint presence_asked_{};
  bool presence_seen_ = false;
  bool presence_missed_ = false;
  std::int64_t started_;     // As we say it: later than what any process before us has said.
  bool superseded_ = false;  // Another process provides our cluster now.
  std::size_t maximum_message_ = 0;
  Signal work_;  // The core may have something to say.
  std::map<std::string, Running> sources_;
  // Of our client id: two that share it throw each other out at the broker. That a broker denies us this is no fault.
  wire::ClientClaim claim_;
  Refusals refusals_;
  std::shared_ptr<Gauge> scopes_, subscriptions_, objects_;
  std::shared_ptr<Counter> frames_, pages_, snapshots_, resumes_, repairs_;
  ProviderCore::Counts exported_;
  TaskGroup tasks_;
};

}  // namespace tinf
