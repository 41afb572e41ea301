#include "tinf/provider/provider.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "tinf/base/first_of.h"

namespace tinf {

using namespace std::chrono_literals;

namespace {

constexpr Duration kLongestSleep = 1s;
constexpr Duration kPresenceBack = 5s;  // How long our own presence may take to come back.
constexpr Duration kGoodbye = 1s;

}  // namespace

// Where a source writes: straight into the core's stream, which numbers what differs.
class Provider::Sink final : public StoreWriter {
 public:
  Sink(Provider& provider, std::string id, std::string epoch)
      : provider_(provider), id_(std::move(id)), epoch_(std::move(epoch)) {}

  Task<Result<void>> replace(Snapshot all) override {
    if (!provider_.current(id_, epoch_)) co_return Result<void>();
    provider_.core_.replace(provider_.runtime_.clock.now(), id_, std::move(all));
    provider_.work_.notify();
    co_return Result<void>();
  }

  Task<Result<void>> apply(EventBatch changes) override {
    if (!provider_.current(id_, epoch_)) co_return Result<void>();
    provider_.core_.apply(provider_.runtime_.clock.now(), id_, changes);
    provider_.work_.notify();
    co_return Result<void>();
  }

 private:
  Provider& provider_;
  const std::string id_;
  const std::string epoch_;
};

Provider::Provider(Runtime& runtime, Transport& transport, ProviderOptions options, Reflect reflect)
    : runtime_(runtime),
      transport_(transport),
      options_(std::move(options)),
      reflect_(std::move(reflect)),
      log_(runtime.log.with("provider")),
      core_(options_, runtime.random),
      sender_(options_.cluster, options_.instance),
      started_(options_.started),
      claim_(wire::ClientRecord{options_.client, options_.instance, options_.host, options_.started}),
      refusals_(runtime, log_),
      scopes_(runtime.metrics.gauge("tinf_provider_scopes", "Scopes that informers follow.")),
      subscriptions_(runtime.metrics.gauge("tinf_provider_subscriptions",
                                           "Informers, counted once for each scope that they follow.")),
      objects_(runtime.metrics.gauge("tinf_provider_objects", "Objects in all scopes that informers follow.")),
      frames_(runtime.metrics.counter("tinf_provider_frames_total", "Frames of changes sent.")),
      pages_(runtime.metrics.counter("tinf_provider_pages_total", "Pages of snapshots sent.")),
      snapshots_(runtime.metrics.counter("tinf_provider_snapshots_total", "Copies that had to begin with a full set.")),
      resumes_(runtime.metrics.counter("tinf_provider_resumes_total", "Copies that caught up by frames.")),
      repairs_(runtime.metrics.counter("tinf_provider_repairs_total", "Copies that were compared by ranges.")),
      tasks_(runtime.executor) {}

Provider::~Provider() = default;

void Provider::offer(std::vector<ResourceInfo> resources, std::string cluster_uid, std::string kubernetes_version) {
  core_.offer(std::move(resources), std::move(cluster_uid), std::move(kubernetes_version));
  offering_ = true;
  work_.notify();
}

Message Provider::last_will(const ProviderOptions& options) {
  Random unused(0);
  const ProviderCore core(options, unused);
  wire::Sender sender(options.cluster, options.instance);
  return wire::to_messages(wire::encode(core.presence(wire::Presence::State::Lost)),
                           options.topics.presence(options.cluster), sender, 64 << 10, true)
      .front();
}

Message Provider::last_word(const ProviderOptions& options) {
  Message empty;  // Takes the retained presence back.
  empty.topic = options.topics.presence(options.cluster);
  empty.retain = true;
  return empty;
}

Task<Result<void>> Provider::run() {
  std::optional<Error> failure;
  tasks_.spawn(send_loop());
  tasks_.spawn(tick_loop());
  std::vector<std::string> filters = core_.signal_topics();
  filters.push_back(options_.topics.presence(options_.cluster));
  for (std::string& filter : filters) {
    auto subscribed = co_await transport_.subscribe(std::move(filter));
    if (!subscribed) {
      failure = subscribed.error();
      break;
    }
  }
  co_await receive_loop(failure);
  co_await stop();
  co_return *failure;
}

Task<void> Provider::stop() {
  co_await tasks_.stop();
  if (claim_.seen() && transport_.connected()) {
    Message empty;
    empty.topic = options_.topics.client(options_.client);
    empty.retain = true;
    (void)co_await within(runtime_.clock, runtime_.clock.now() + kGoodbye, transport_.publish(std::move(empty)));
    claim_.disconnected();
  }
  // One by one: while one ends, a message that is still being received may end another.
  while (!sources_.empty()) {
    auto ending = sources_.extract(sources_.begin());
    co_await ending.mapped().tasks->stop();
  }
}

Task<void> Provider::receive_loop(std::optional<Error>& failure) {
  bool was_connected = false;
  while (!failure) {
    TransportEvent event = co_await transport_.receive();
    if (auto* here = std::get_if<TransportConnected>(&event)) {
      reconnected_ = was_connected;
      connected_ = was_connected = true;
      presence_seen_ = presence_missed_ = false;
      presence_asked_ = runtime_.clock.now();
      maximum_message_ = here->maximum_message_bytes;
      decoder_ = wire::Decoder();
      core_.connected(runtime_.clock.now(), maximum_message_);
      if (!options_.client.empty()) {
        claim_.connected(runtime_.clock.now());
        if (!reconnected_) tasks_.spawn(follow_client_topic());
        tasks_.spawn(say_record());
      }
      work_.notify();
    } else if (auto* gone = std::get_if<TransportDisconnected>(&event)) {
      reconnected_ = was_connected;
      connected_ = false;
      claim_.disconnected();
      if (ends_session(gone->reason, was_connected)) failure = std::move(gone->reason);
    } else {
      failure = on_message(std::get<Message>(event));
    }
  }
}

std::optional<Error> Provider::on_message(const Message& message) {
  const bool about_us = message.topic == options_.topics.presence(options_.cluster);
  if (message.body.empty()) {
    if (about_us) announce();  // Somebody took our presence back: one before us, when it left.
    return std::nullopt;
  }
  auto decoded = decoder_.decode(message);
  if (!decoded) {
    refusals_.add(message, decoded.error());
    const std::string* const source = message.attribute("source");
    if (decoded.error().code == Code::Conflict && !about_us && source != nullptr) {
      core_.refuse_version(source->substr(0, source->find('/')), decoded.error());
      work_.notify();
    }
    return std::nullopt;
  }
  if (!*decoded) return std::nullopt;
  if (const auto* record = std::get_if<wire::ClientRecord>(&(*decoded)->body)) {
    if (message.topic != options_.topics.client(options_.client)) return std::nullopt;
    auto ours = claim_.receive(*record, message.retain);
    if (!ours && ours.error().code == Code::Conflict) return ours.error();
    return std::nullopt;
  }
  if (!about_us) {
    core_.receive(runtime_.clock.now(), (*decoded)->body);
    match_sources();
    work_.notify();
    return std::nullopt;
  }
  const auto* other = std::get_if<wire::Presence>(&(*decoded)->body);
  if (other == nullptr || other->cluster != options_.cluster) return std::nullopt;
  if (other->instance == options_.instance && other->state == wire::Presence::State::Present) {
    if (presence_missed_) log_.info("our presence is seen at the broker", {{"topic", message.topic}});
    presence_seen_ = true;
    presence_missed_ = false;
    return std::nullopt;
  }
  // Of two that claim a name the younger stays, as the broker itself does with client ids. Two that share a client id,
  // too, throw each other out, and all that one sees of the other is its last will.
  const bool lost = other->state == wire::Presence::State::Lost;
  const bool younger = std::tie(other->started, other->instance) > std::tie(started_, options_.instance);
  // Kept from before our first connect, it is of a process that came before us, whatever its clock said.
  if (message.retain && !reconnected_) {
    if (younger) {
      started_ = std::min(other->started, std::numeric_limits<std::int64_t>::max() - 1) + 1;
      core_.say_started(started_);
    }
    announce();
    return std::nullopt;
  }
  if (younger && (!lost || reconnected_)) {
    superseded_ = true;
    return Error(Code::Conflict, "cluster " + options_.cluster + " is provided by another process, on " + other->host +
                                     " (instance " + other->instance +
                                     "): stop one of the two, or give it another --cluster and --client-id");
  }
  // The last will of a process before us, or of ourselves before a reconnect, came late.
  if (lost) announce();
  return std::nullopt;
}

Task<void> Provider::follow_client_topic() {
  auto subscribed = co_await transport_.subscribe(options_.topics.client(options_.client));
  if (!subscribed) log_.debug(subscribed.error().message);
}

Task<void> Provider::say_record() {
  const auto record = claim_.next(runtime_.clock.now());
  if (!record) co_return;
  for (Message& message : wire::to_messages(wire::encode(*record), options_.topics.client(options_.client), sender_,
                                            maximum_message_, true)) {
    auto published = co_await transport_.publish(std::move(message));
    if (!published) log_.debug(published.error().message);
  }
}

void Provider::announce() {
  if (!offering_) return;
  core_.receive(runtime_.clock.now(), wire::Hello{});
  work_.notify();
}

void Provider::look_for_presence() {
  const TimePoint now = runtime_.clock.now();
  if (!connected_ || !offering_) presence_asked_ = now;
  if (presence_seen_ || now - presence_asked_ < kPresenceBack) return;
  presence_asked_ = now;
  if (!presence_missed_) {
    presence_missed_ = true;
    log_.warning(unheard());
  }
  announce();  // Rights may be granted while we are connected.
}

std::string Provider::unheard() const {
  if (!connected_ || !presence_missed_) return "";
  const std::string presence = options_.topics.presence(options_.cluster);
  return "what we say on " + presence +
         " does not come back from the broker: its access rules must let us write and read " + presence + " and read " +
         options_.topics.signal(options_.cluster) + " and " + options_.topics.signal_all();
}

std::optional<Message> Provider::farewell() const {
  if (superseded_) return std::nullopt;
  return last_word(options_);
}

// A source that is being stopped may speak once more, when its scope has been opened anew: that stream is not its own.
bool Provider::current(const std::string& id, const std::string& epoch) const {
  const auto stream = core_.streams().find(id);
  return stream != core_.streams().end() && stream->second->position().epoch == epoch;
}

// Runs a source for each stream of the core, and for no other.
void Provider::match_sources() {
  for (auto it = sources_.begin(); it != sources_.end();) {
    if (current(it->first, it->second.epoch)) {
      ++it;
      continue;
    }
    // The frames unwind on a later turn and use the sink until then: both live as long as that takes.
    tasks_.spawn([](Running ended) -> Task<void> { co_await ended.tasks->stop(); }(std::move(it->second)));
    it = sources_.erase(it);
  }
  for (const auto& [id, stream] : core_.streams()) {
    if (sources_.count(id) > 0) continue;
    Running running;
    running.epoch = stream->position().epoch;
    running.sink = std::make_unique<Sink>(*this, id, running.epoch);
    running.tasks = std::make_unique<TaskGroup>(runtime_.executor);
    running.tasks->spawn(run_source(stream->scope(), *running.sink, id, running.epoch));
    sources_.emplace(id, std::move(running));
  }
}

Task<void> Provider::run_source(Scope scope, Sink& sink, std::string id, std::string epoch) {
  SourceReport report = [this, id, epoch](Result<void> state, TimePoint current_at) {
    if (!current(id, epoch)) return;
    core_.report(current_at, id, std::move(state));
    work_.notify();
  };
  co_await reflect_(std::move(scope), sink, std::move(report));
}

Task<void> Provider::send_loop() {
  while (true) {
    std::optional<Outgoing> outgoing;
    if (connected_ && offering_) outgoing = core_.next_message(runtime_.clock.now());
    if (!outgoing) {
      co_await work_.wait();
      continue;
    }
    for (Message& message :
         wire::to_messages(outgoing->encoded, outgoing->topic, sender_, maximum_message_, outgoing->retain)) {
      auto published = co_await transport_.publish(std::move(message));
      if (published) continue;
      // As if it were lost on the way: informers notice and ask.
      log_.debug(published.error().message, {{"topic", outgoing->topic}});
      break;
    }
  }
}

Task<void> Provider::tick_loop() {
  while (true) {
    const TimePoint now = runtime_.clock.now();
    const TimePoint deadline = std::clamp(core_.next_deadline(), now + 50ms, now + kLongestSleep);
    co_await runtime_.clock.sleep_until(deadline);
    core_.tick(runtime_.clock.now());
    look_for_presence();
    co_await say_record();
    match_sources();
    work_.notify();
  }
}

void Provider::refresh_metrics() {
  const ProviderCore::Counts counts = core_.counts();
  scopes_->set(static_cast<double>(counts.scopes));
  subscriptions_->set(static_cast<double>(counts.subscriptions));
  objects_->set(static_cast<double>(counts.objects));
  frames_->add(counts.frames - exported_.frames);
  pages_->add(counts.pages - exported_.pages);
  snapshots_->add(counts.snapshots - exported_.snapshots);
  resumes_->add(counts.resumes - exported_.resumes);
  repairs_->add(counts.repairs - exported_.repairs);
  exported_ = counts;
}

}  // namespace tinf
