#include "tinf/follower/broker_session.h"

#include <algorithm>
#include <tuple>

#include "tinf/base/first_of.h"

namespace tinf {

using namespace std::chrono_literals;

namespace {

constexpr Duration kTick = 200ms;  // How late a follower's deadline may be seen.
constexpr Duration kHelloFirst = 5s;
constexpr Duration kHelloAgain = 1min;
constexpr Duration kElderWaits = 1min;         // Since the younger was heard; clocks may have told them apart wrongly.
constexpr std::size_t kRenewScopes = 512;      // 10 KiB of ids in one message.
constexpr Duration kFormerLife = 5s;           // For who follows a scope before us and is about to let go of it.
constexpr Duration kGoodbye = 1s;              // For what is still to be said.
constexpr Duration kSilence = 15s;             // Three questions without an answer.
constexpr std::size_t kMaximumOutbox = 65536;  // Messages, for a broker that takes none.
constexpr std::size_t kWaitingEvents = 2048;   // From which on who takes them goes before further messages,
constexpr int kTurnsOfConsumer = 64;           // for so long.
constexpr std::size_t kMaximumClusters = 65536;  // Names come from the broker.

}  // namespace

BrokerSession::BrokerSession(Runtime& runtime, Transport& transport, SessionOptions options)
    : runtime_(runtime),
      transport_(transport),
      options_([&] {
        options.follower.client = options.client;
        return std::move(options);
      }()),
      log_(runtime.log.with("follower")),
      admission_(options_.admission, runtime.random),
      sender_(options_.client, options_.instance),
      claim_(wire::ClientRecord{options_.client, options_.instance, options_.host, options_.started}),
      refusals_(runtime, log_),
      tasks_(runtime.executor) {}

BrokerSession::~BrokerSession() = default;

// The provider keeps one subscription for each client and scope: two followers of it would take each other's answers.
Error BrokerSession::taken(const std::string& cluster, const Scope& scope) {
  return Error(Code::AlreadyExists, scope.resource.group_resource() + " of cluster " + cluster + " (scope " +
                                        scope.id() +
                                        ") are followed through this session already: share that copy, or open another "
                                        "session with a client id of its own");
}

Task<Result<std::shared_ptr<BrokerChannel>>> BrokerSession::channel(const std::string& cluster, const Scope& scope,
                                                                    const StoreReader* store, ResourceVersion held) {
  const ChannelName name(cluster, scope.id());
  const TimePoint deadline = runtime_.clock.now() + kFormerLife;
  while (channels_.count(name) > 0) {
    if (ended_) co_return *ended_;
    const bool let_go = co_await closed_.wait_until(runtime_.clock, deadline);
    if (!let_go && channels_.count(name) > 0) co_return taken(cluster, scope);
  }
  auto opened = std::make_shared<BrokerChannel>(cluster, scope, options_.follower, runtime_, store, measure_pace_);
  // Before it asks anything: it would ask for the whole set.
  if (!held.empty()) opened->take_up(held);
  if (opened->unreadable) co_return *opened->unreadable;
  channels_.emplace(name, opened);
  if (reachable(cluster)) admission_.want(name);
  tasks_.spawn([](BrokerSession& self, std::string filter) -> Task<void> {
    auto subscribed = co_await self.transport_.subscribe(std::move(filter));
    if (!subscribed) self.log_.error(subscribed.error().message);
  }(*this, options_.topics.stream(cluster, scope.id())));
  admit();
  co_return opened;
}

void BrokerSession::close(const BrokerChannel& channel) {
  const ChannelName name(channel.cluster, channel.follower.id());
  const auto found = channels_.find(name);
  if (found == channels_.end() || found->second.get() != &channel) return;
  channels_.erase(found);
  admission_.done(name);
  if (connected_) send(options_.topics.signal(name.first), wire::Unwatch{options_.client, {name.second}});
  tasks_.spawn([](BrokerSession& self, std::string filter) -> Task<void> {
    auto ended = co_await self.transport_.unsubscribe(std::move(filter));
    if (!ended) self.log_.debug(ended.error().message);
  }(*this, options_.topics.stream(name.first, name.second)));
  closed_.notify();
}

std::optional<BrokerSession::Standing> BrokerSession::standing(const std::string& cluster,
                                                               const std::string& scope) const {
  const auto found = channels_.find({cluster, scope});
  if (found == channels_.end()) return std::nullopt;
  const Follower& follower = found->second->follower;
  Standing standing;
  standing.proven_at = follower.proven_at();
  standing.following = follower.state() == Follower::State::Following;
  standing.unanswered =
      follower.state() == Follower::State::Asking && runtime_.clock.now() - found->second->heard_at > kSilence;
  standing.behind = follower.behind();
  standing.progress = follower.progress();
  standing.counts = follower.counts();
  return standing;
}

bool BrokerSession::reachable(const std::string& cluster) const {
  const auto view = clusters_.find(cluster);
  return connected_ && view != clusters_.end() && view->second.present;
}

Task<Result<void>> BrokerSession::run() {
  std::optional<Error> failure;
  running_ = true;
  tasks_.spawn(send_loop());
  tasks_.spawn(tick_loop());
  tasks_.spawn(renew_loop());
  tasks_.spawn(hello_loop());
  auto subscribed = co_await subscribe_all();
  if (!subscribed) failure = subscribed.error();
  if (!failure) co_await receive_loop(failure);
  ended_ = failure;
  for (auto& [name, channel] : channels_) {
    channel->follower.path_down();
    channel->changed.notify();
  }
  closed_.notify();
  co_await stop();
  co_return *failure;
}

Task<Result<void>> BrokerSession::subscribe_all() {
  std::vector<std::string> filters{options_.topics.client(options_.client)};
  const std::vector<std::string> every{"+"};
  for (const std::string& cluster : options_.clusters.empty() ? every : options_.clusters) {
    filters.push_back(options_.topics.presence(cluster));
    filters.push_back(options_.topics.digest(cluster));
    filters.push_back(options_.topics.reply(cluster, options_.client));
  }
  for (std::string& filter : filters) {
    auto subscribed = co_await transport_.subscribe(std::move(filter));
    if (!subscribed) co_return subscribed.error();
  }
  co_return Result<void>();
}

Task<void> BrokerSession::receive_loop(std::optional<Error>& failure) {
  bool was_connected = false;
  while (!failure) {
    TransportEvent event = co_await transport_.receive();
    if (const auto* here = std::get_if<TransportConnected>(&event)) {
      was_connected = true;
      on_connected(here->maximum_message_bytes);
    } else if (auto* gone = std::get_if<TransportDisconnected>(&event)) {
      on_disconnected();
      if (ends_session(gone->reason, was_connected)) failure = std::move(gone->reason);
    } else {
      fed_.reset();
      failure = on_message(std::get<Message>(event));
      co_await let_consumer_run();
    }
  }
}

// Messages that wait already would keep the strand until none is left, and what they bring would overflow, be dropped
// and be asked for again, while those who are to take it wait for their turn. A store that needs longer than turns is
// not waited for.
Task<void> BrokerSession::let_consumer_run() {
  for (int turns = 0; turns < kTurnsOfConsumer; ++turns) {
    const auto channel = fed_.lock();
    if (!channel || channel->follower.waiting_events() < kWaitingEvents) break;
    co_await asio::post(runtime_.executor, asio::use_awaitable);
  }
}

void BrokerSession::on_connected(std::size_t maximum_message) {
  connected_ = true;
  maximum_message_ = maximum_message;
  decoder_ = wire::Decoder();
  claim_.connected(runtime_.clock.now());
  say_record();
  for (auto& [name, channel] : channels_) {
    if (reachable(name.first)) admission_.want(name);
  }
  admit();
}

void BrokerSession::on_disconnected() {
  claim_.disconnected();
  connected_ = false;
  outbox_.clear();
  for (auto& [name, channel] : channels_) {
    channel->follower.path_down();
    admission_.done(name);
  }
}

void BrokerSession::say_record() {
  const bool missed = claim_.missed();
  const auto record = claim_.next(runtime_.clock.now());
  if (!record) return;
  const std::string topic = options_.topics.client(options_.client);
  if (claim_.missed() && !missed) {
    log_.warning("what we say on " + topic +
                 " does not come back from the broker: its access rules must let us write and read " + topic +
                 ", write the requests' and read all answers' topics");
  }
  send(topic, *record, true);
}

std::optional<Error> BrokerSession::on_message(const Message& message) {
  const auto cluster = options_.topics.cluster_of(message.topic);
  const bool about_us = message.topic == options_.topics.client(options_.client);
  if (!cluster && !about_us) return std::nullopt;
  if (message.body.empty()) {  // A retained message was taken back.
    if (cluster && message.topic == options_.topics.presence(*cluster)) {
      wire::Presence left;
      left.state = wire::Presence::State::Lost;
      left.cluster = std::string(*cluster);
      on_presence(left.cluster, message, left);
    }
    return std::nullopt;
  }
  auto decoded = decoder_.decode(message);
  if (!decoded) {
    refusals_.add(message, decoded.error());
    return std::nullopt;
  }
  if (!*decoded) return std::nullopt;
  auto& [source, body] = **decoded;

  if (about_us) {
    const auto* record = std::get_if<wire::ClientRecord>(&body);
    const auto ours = record != nullptr ? claim_.receive(*record, message.retain)
                                        : Result<void>(Error(Code::Invalid, "not a record of this client id"));
    if (!ours && ours.error().code == Code::Conflict) return ours.error();
    if (!ours) refusals_.add(message, ours.error());
    say_record();
    return std::nullopt;
  }

  // The topic says who speaks. A message that says otherwise is somebody else's.
  if (std::string_view(source).substr(0, source.find('/')) != *cluster) {
    refusals_.add(message, Error(Code::Forbidden, "a message of \"" + source.substr(0, 64) +
                                                      "\" on a topic of cluster " + std::string(*cluster)));
    return std::nullopt;
  }
  if (const auto* presence = std::get_if<wire::Presence>(&body)) {
    if (presence->cluster != *cluster || message.topic != options_.topics.presence(*cluster)) {
      refusals_.add(message, Error(Code::Forbidden, "a presence of another cluster"));
    } else {
      on_presence(std::string(*cluster), message, *presence);
    }
    return std::nullopt;
  }
  if (const auto* notice = std::get_if<wire::Notice>(&body); notice != nullptr && notice->scope.empty()) {
    refusals_.add(message, Error(notice->code, "cluster " + std::string(*cluster) + "'s provider: " + notice->message));
    return std::nullopt;
  }
  const std::string name(*cluster);
  if (from_another(name, source)) {
    // Perhaps its word was late; but where a presence was lost on its way, the elder of two goes on and may be behind
    // the younger. Asked for, their presences tell them of each other.
    say_hello(name);
    return std::nullopt;
  }
  if (reachable(name)) words_[name].last_at = runtime_.clock.now();
  dispatch(name, source, body);
  return std::nullopt;
}

// Another process speaks for the cluster than the one that is there.
bool BrokerSession::from_another(const std::string& cluster, const std::string& source) const {
  const auto view = clusters_.find(cluster);
  return view != clusters_.end() && view->second.present &&
         std::string_view(source).substr(source.find('/') + 1) != view->second.presence.instance;
}

// At a bounded pace: providers then say who they are, and name all their streams.
void BrokerSession::say_hello(const std::string& cluster) {
  const TimePoint now = runtime_.clock.now();
  TimePoint& presence_at = words_[cluster].presence_at;
  if (now - presence_at < kHelloFirst) return;
  presence_at = now;
  send(options_.topics.signal(cluster), wire::Hello{options_.client});
}

void BrokerSession::on_presence(const std::string& cluster, const Message& message, const wire::Presence& presence) {
  if (!wire::check_cluster_name(cluster))
    return refusals_.add(message, Error(Code::Invalid, "a presence whose cluster is no DNS label"));
  const bool present = presence.state == wire::Presence::State::Present;
  if (present &&
      std::find(presence.versions.begin(), presence.versions.end(), wire::kVersion) == presence.versions.end()) {
    return refusals_.add(message, Error(Code::Conflict, "cluster " + cluster + "'s provider does not speak version " +
                                                            std::to_string(wire::kVersion) +
                                                            " of the protocol: upgrade the older of the two"));
  }
  const bool known = clusters_.count(cluster) > 0;
  const bool withdrawn = !present && presence.instance.empty();
  if (!known && withdrawn) return;
  if (!known && clusters_.size() >= kMaximumClusters) {
    return refusals_.add(message, Error(Code::TooManyRequests, "more clusters than one informer can know"));
  }
  ClusterView& view = clusters_[cluster];
  const bool was_present = view.present;
  // The last will of an earlier process must not take the present one away.
  if (!present && was_present && !presence.instance.empty() && presence.instance != view.presence.instance) return;
  const bool restarted = present && was_present && presence.instance != view.presence.instance;
  // Of two that are there the younger stays. The elder, which is about to hear that, would take copies back in time.
  const TimePoint now = runtime_.clock.now();
  ProviderWords& words = words_[cluster];
  if (restarted && now - words.last_at < kElderWaits &&
      std::tie(presence.started, presence.instance) < std::tie(view.presence.started, view.presence.instance))
    return;
  if (present) words.last_at = words.presence_at = now;
  view.name = cluster;
  view.present = present;
  if (present) view.presence = presence;
  for (auto at = channels_.lower_bound({cluster, ""}); at != channels_.end() && at->first.first == cluster; ++at) {
    if (!present || restarted) {
      at->second->follower.path_down();
      admission_.done(at->first);
    }
    if (present && (!was_present || restarted)) admission_.want(at->first);
  }
  admit();
  if (on_cluster_) on_cluster_(view);
}

void BrokerSession::receive_digest(const std::string& cluster, const std::string& source, const wire::Digest& digest) {
  if (clusters_.count(cluster) == 0) return;
  const auto streams = words_[cluster].digests.read(source, digest);
  if (streams.empty()) say_hello(cluster);  // We have missed what it speaks of.
  for (const wire::Digest::Stream& stream : streams) {
    const auto found = channels_.find({cluster, stream.scope});
    if (found == channels_.end()) continue;
    const bool altered = found->second->waited_for && !found->second->check_store();
    if (!altered) found->second->follower.receive(stream, std::chrono::seconds(digest.interval_seconds));
    pump(*found->second);
  }
}

void BrokerSession::dispatch(const std::string& cluster, const std::string& source, wire::Body& body) {
  if (const auto* digest = std::get_if<wire::Digest>(&body)) return receive_digest(cluster, source, *digest);
  const auto channel_of = [&](const std::string& scope) { return channels_.find({cluster, scope}); };
  auto found = channels_.end();
  if (auto* frame = std::get_if<wire::Frame>(&body)) {
    if ((found = channel_of(frame->scope)) != channels_.end()) found->second->follower.receive(*frame);
  } else if (auto* page = std::get_if<wire::Page>(&body)) {
    if ((found = channel_of(page->scope)) != channels_.end()) {
      found->second->follower.receive(std::move(*page));
      const auto progress = found->second->follower.progress();
      if (found->second->progress) found->second->progress(progress.objects, progress.total);
    }
  } else if (auto* ranges = std::get_if<wire::Ranges>(&body)) {
    if ((found = channel_of(ranges->scope)) != channels_.end()) found->second->follower.receive(*ranges);
  } else if (auto* objects = std::get_if<wire::Objects>(&body)) {
    if ((found = channel_of(objects->scope)) != channels_.end()) found->second->follower.receive(*objects);
  } else if (auto* notice = std::get_if<wire::Notice>(&body)) {
    if ((found = channel_of(notice->scope)) != channels_.end()) found->second->follower.receive(*notice);
  }
  if (found != channels_.end()) {
    if (!std::holds_alternative<wire::Frame>(body)) heard(*found->second);  // Frames may be meant for others.
    pump(*found->second);
    fed_ = found->second;
  }
  admit();
}

void BrokerSession::heard(BrokerChannel& channel) {
  channel.heard_at = runtime_.clock.now();
  if (silent_.erase(channel.cluster) > 0) log_.info("the provider answers again", {{"cluster", channel.cluster}});
}

// A presence may outlive its provider, and rights may let it be seen and nothing else.
void BrokerSession::look_for_silence(BrokerChannel& channel) {
  const TimePoint now = runtime_.clock.now();
  if (channel.follower.state() != Follower::State::Asking) channel.heard_at = now;
  if (now - channel.heard_at <= kSilence || !silent_.insert(channel.cluster).second) return;
  log_.warning("a provider is said to be there and does not answer: is it running, and may it read " +
                   options_.topics.signal(channel.cluster) + " and write its answers?",
               {{"cluster", channel.cluster}, {"resource", channel.follower.scope().resource.group_resource()}});
}

// Lets those ask whose turn it is. (A hub whose thousand clusters come back at once must not shout at all of them.)
void BrokerSession::admit() {
  for (const Admission::Name& name : admission_.admit(runtime_.clock.now())) {
    const auto found = channels_.find(name);
    if (found == channels_.end()) continue;
    found->second->admitted = true;
    found->second->follower.path_up();
    pump(*found->second);
  }
}

// Sends what a follower asks and wakes who waits for it.
void BrokerSession::pump(BrokerChannel& channel) {
  while (auto request = channel.follower.next_request()) send(options_.topics.signal(channel.cluster), *request);
  channel.wake();
  if (channel.admitted && channel.follower.state() == Follower::State::Following) {
    channel.admitted = false;
    admission_.done({channel.cluster, channel.follower.id()});
  }
}

void BrokerSession::send(std::string topic, const wire::Body& body, bool retain) {
  if (outbox_.size() >= kMaximumOutbox) outbox_.pop_front();  // As if it were lost: the follower asks again.
  outbox_.push_back(Outbound{std::move(topic), wire::encode(body), retain});
  outbox_filled_.notify();
}

Task<void> BrokerSession::stop() {
  (void)co_await within(runtime_.clock, runtime_.clock.now() + kGoodbye, said_all());
  running_ = false;
  co_await tasks_.stop();
}

Task<bool> BrokerSession::said_all() {
  while (running_ && transport_.connected() && (sending_ || !outbox_.empty())) co_await outbox_sent_.wait();
  co_return true;
}

std::optional<Message> BrokerSession::last_word() const {
  if (!claim_.seen()) return std::nullopt;
  Message empty;
  empty.topic = options_.topics.client(options_.client);
  empty.retain = true;
  return empty;
}

Task<void> BrokerSession::send_loop() {
  while (true) {
    if (outbox_.empty()) {
      sending_ = false;
      outbox_sent_.notify();
      co_await outbox_filled_.wait();
      continue;
    }
    sending_ = true;
    Outbound outbound = std::move(outbox_.front());
    outbox_.pop_front();
    for (Message& message :
         wire::to_messages(outbound.encoded, outbound.topic, sender_, maximum_message_, outbound.retain)) {
      auto published = co_await transport_.publish(std::move(message));
      if (published) continue;
      log_.debug(published.error().message);  // As if it were lost: the follower asks again.
      break;
    }
  }
}

Task<void> BrokerSession::tick_loop() {
  while (true) {
    co_await runtime_.clock.sleep_for(kTick);
    say_record();
    const TimePoint now = runtime_.clock.now();
    for (auto& [name, channel] : channels_) {
      look_for_silence(*channel);
      if (channel->waited_for && channel->check_store()) channel->follower.consumed();
      if (channel->follower.next_deadline() <= now) channel->follower.tick();
      pump(*channel);
    }
    admit();
  }
}

Task<void> BrokerSession::renew_loop() {
  while (true) {
    const Duration third = options_.follower.lease / 3;
    co_await runtime_.clock.sleep_for(third * 3 / 4 - runtime_.random.between(Duration::zero(), third / 4));
    if (!connected_) continue;
    // Spread over a part of the time that there is: thousands of clusters are not all told at once.
    const Duration pause = third / 4 / std::max<std::size_t>(clusters_.size(), 1);
    ChannelName last;
    for (auto at = channels_.begin(); at != channels_.end(); at = channels_.upper_bound(last)) {
      wire::Renew renew{options_.client, {}};
      const std::string cluster = at->first.first;
      for (; at != channels_.end() && at->first.first == cluster && renew.scopes.size() < kRenewScopes; ++at) {
        renew.scopes.push_back(at->first.second);
        last = at->first;
      }
      if (reachable(cluster)) send(options_.topics.signal(cluster), renew);
      co_await runtime_.clock.sleep_for(pause);
    }
  }
}

// A broker may keep presences from us (its limits, its lost state): ask those that are missing.
Task<void> BrokerSession::hello_loop() {
  co_await runtime_.clock.sleep_for(kHelloFirst);
  while (true) {
    if (connected_) {
      const wire::Hello hello{options_.client};
      for (const std::string& cluster : options_.clusters) {
        if (!reachable(cluster)) send(options_.topics.signal(cluster), hello);
      }
      // Nobody can miss a name that it never heard: as long as none has come, all are asked.
      if (options_.clusters.empty() && clusters_.empty()) send(options_.topics.signal_all(), hello);
      if (options_.clusters.empty()) {
        for (const auto& [cluster, view] : clusters_) {
          if (!view.present) send(options_.topics.signal(cluster), hello);
        }
      }
    }
    co_await runtime_.clock.sleep_for(kHelloAgain + runtime_.random.between(0s, kHelloAgain / 4));
  }
}

}  // namespace tinf
