// What a BrokerSession opens: the list and watch of scopes behind a broker, over the session's channels.
#include "tinf/follower/broker_session.h"

namespace tinf {

// The events of one channel, as long as they continue what was delivered.
class BrokerSession::Stream final : public WatchStream {
 public:
  Stream(BrokerSession& session, std::shared_ptr<BrokerChannel> channel)
      : session_(session), channel_(std::move(channel)) {}
  ~Stream() override { channel_->waited_for = false; }

  Task<Result<EventBatch>> next() override {
    // Whoever asks for more has stored what came before.
    BrokerChannel& channel = *channel_;
    if (channel.check_store()) channel.follower.consumed();
    session_.pump(channel);
    while (true) {
      if (session_.ended_) co_return *session_.ended_;
      if (channel.unreadable) co_return *channel.unreadable;
      const Follower::Delivery* const waiting = channel.follower.peek_delivery();
      if (waiting == nullptr && channel.unproven && channel.follower.proven_at()) {
        channel.unproven = false;
        EventBatch whole;
        whole.version = ResourceVersion(channel.delivered);
        whole.initial_events_end = true;
        co_return whole;
      }
      if (waiting == nullptr) {
        channel.waited_for = true;
        co_await channel.changed.wait();
        channel.waited_for = false;
        continue;
      }
      if (std::holds_alternative<Follower::FullSet>(*waiting)) {
        co_return Error(Code::Expired, "the copy cannot be continued: the provider sends the whole set");
      }
      auto delivery = channel.follower.next_delivery();
      if (auto* refusal = std::get_if<Error>(&*delivery)) co_return std::move(*refusal);
      auto& changes = std::get<Follower::Changes>(*delivery);
      EventBatch batch;
      batch.events = std::move(changes.events);
      batch.version = ResourceVersion(BrokerChannel::version_of(changes.at, changes.exact));
      channel.delivered = batch.version.text();
      co_return batch;
    }
  }

 private:
  BrokerSession& session_;
  std::shared_ptr<BrokerChannel> channel_;
};

class BrokerSession::Source final : public ListerWatcher {
 public:
  Source(BrokerSession& session, std::string cluster, const StoreReader* store)
      : session_(session), cluster_(std::move(cluster)), store_(store) {}
  ~Source() override {
    for (const auto& [id, channel] : channels_) session_.close(*channel);
  }

  SourceTraits traits() const override {
    SourceTraits traits;
    traits.takes_up_stores = store_ != nullptr;
    return traits;
  }

  Task<Result<Snapshot>> list(const Scope& scope, ListOptions options) override {
    if (!options.once) {
      auto opened = co_await channel(scope, ResourceVersion());
      if (!opened) co_return opened.error();
      co_return co_await whole_set(std::move(*opened), std::move(options));
    }
    if (channels_.count(scope.id()) > 0) co_return taken(cluster_, scope);
    auto opened = co_await session_.channel(cluster_, scope, nullptr, ResourceVersion());
    if (!opened) co_return opened.error();
    struct Closing {
      Closing(BrokerSession& s, std::shared_ptr<BrokerChannel> c) : session(s), channel(std::move(c)) {}
      ~Closing() { session.close(*channel); }
      Closing(const Closing&) = delete;
      Closing& operator=(const Closing&) = delete;
      BrokerSession& session;
      const std::shared_ptr<BrokerChannel> channel;
    } closing(session_, std::move(*opened));
    co_return co_await whole_set(closing.channel, std::move(options));
  }

  Task<Result<std::unique_ptr<WatchStream>>> watch(const Scope& scope, WatchOptions options) override {
    if (options.initial_events)
      co_return Error(Code::Invalid, "a source behind a broker has no streaming list: list instead");
    auto opened = co_await channel(scope, options.from);
    if (!opened) co_return opened.error();
    auto channel = std::move(*opened);
    // Nothing was delivered yet, or not everything that was could be stored.
    if (channel->delivered != options.from.text()) {
      channel->unreadable.reset();
      channel->take_up(options.from);
    } else if (std::exchange(channel->unreadable, std::nullopt)) {
      (void)channel->check_store();
    }
    session_.pump(*channel);
    if (channel->unreadable) co_return *channel->unreadable;
    if (channel->delivered.empty() || channel->delivered != options.from.text()) {
      co_return Error(Code::Expired, "nothing is known of version " + options.from.text() + ": list again");
    }
    std::unique_ptr<WatchStream> stream = std::make_unique<Stream>(session_, std::move(channel));
    co_return stream;
  }

 private:
  // The one in which this source follows `scope`; if it is new, from what the store holds at `held`.
  Task<Result<std::shared_ptr<BrokerChannel>>> channel(const Scope& scope, ResourceVersion held) {
    const auto known = channels_.find(scope.id());
    if (known != channels_.end()) co_return known->second;
    auto opened = co_await session_.channel(cluster_, scope, store_, std::move(held));
    if (opened) channels_.emplace(scope.id(), *opened);
    co_return opened;
  }

  Task<Result<Snapshot>> whole_set(std::shared_ptr<BrokerChannel> channel, ListOptions options) {
    // A list that is given up must not be told of any further.
    struct Telling {
      Telling(BrokerChannel& c, ListOptions& asked) : channel(c) { channel.progress = std::move(asked.progress); }
      ~Telling() { channel.progress = nullptr; }
      Telling(const Telling&) = delete;
      Telling& operator=(const Telling&) = delete;
      BrokerChannel& channel;
    } telling(*channel, options);
    // A set that waits already is the newest; otherwise, whoever lists a second time does not trust what it has.
    const bool waiting = channel->follower.peek_delivery() &&
                         std::holds_alternative<Follower::FullSet>(*channel->follower.peek_delivery());
    if (!waiting && !channel->delivered.empty()) {
      channel->follower.repair_from(Inventory());
      channel->delivered.clear();
    }
    channel->unproven = false;
    session_.pump(*channel);
    while (true) {
      if (session_.ended_) co_return *session_.ended_;
      auto delivery = channel->follower.next_delivery();
      if (!delivery) {
        co_await channel->changed.wait();
        continue;
      }
      if (auto* refusal = std::get_if<Error>(&*delivery)) co_return std::move(*refusal);
      auto* set = std::get_if<Follower::FullSet>(&*delivery);
      if (set == nullptr) continue;  // Changes to a set that the caller has given up.
      Snapshot snapshot;
      snapshot.objects = std::move(set->objects);
      snapshot.version = ResourceVersion(BrokerChannel::version_of(set->at, true));
      channel->delivered = snapshot.version.text();
      co_return snapshot;
    }
  }

  BrokerSession& session_;
  const std::string cluster_;
  const StoreReader* const store_;
  std::map<std::string, std::shared_ptr<BrokerChannel>> channels_;  // By scope id.
};

std::unique_ptr<ListerWatcher> BrokerSession::open(const std::string& cluster, const StoreReader* store) {
  return std::make_unique<Source>(*this, cluster, store);
}

}  // namespace tinf
