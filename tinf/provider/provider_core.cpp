#include "tinf/provider/provider_core.h"

#include <algorithm>

namespace tinf {
namespace {

constexpr Duration kLeaseCheck = std::chrono::seconds(1);
constexpr std::size_t kDigestStreams = 256;     // About 30 KiB before compression.
constexpr std::size_t kControlMessages = 8192;  // Beyond, requests are not answered: their senders ask again.

std::string random_id(Random& random) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id(16, '0');
  std::uint64_t bits = random.next();
  for (char& digit : id) {
    digit = kDigits[bits & 15];
    bits >>= 4;
  }
  return id;
}

}  // namespace

ProviderCore::ProviderCore(ProviderOptions options, Random& random) : options_(std::move(options)), random_(random) {}

std::vector<std::string> ProviderCore::signal_topics() const {
  return {options_.topics.signal(options_.cluster), options_.topics.signal_all()};
}

void ProviderCore::offer(std::vector<ResourceInfo> resources, std::string cluster_uid, std::string kubernetes_version) {
  resources_ = std::move(resources);
  cluster_uid_ = std::move(cluster_uid);
  kubernetes_version_ = std::move(kubernetes_version);
  presence_due_ = true;
}

void ProviderCore::connected(TimePoint now) {
  presence_due_ = true;
  digest_due_ = full_digest_due_ = now;
  for (auto& [id, outbox] : outboxes_) {
    // Answers under way may be lost: informers ask again when they see what they lack.
    for (auto& [client, subscription] : outbox.subscriptions) subscription.pages.clear();
  }
}

wire::Presence ProviderCore::presence(wire::Presence::State state) const {
  wire::Presence presence;
  presence.state = state;
  presence.cluster = options_.cluster;
  presence.instance = options_.instance;
  presence.host = options_.host;
  presence.started = options_.started;
  if (state == wire::Presence::State::Lost) return presence;
  presence.cluster_uid = cluster_uid_;
  presence.kubernetes = kubernetes_version_;
  presence.resources = resources_;
  return presence;
}

const ResourceInfo* ProviderCore::offered(const Resource& resource) const {
  for (const ResourceInfo& info : resources_) {
    if (info.resource == resource) return &info;
  }
  return nullptr;
}

void ProviderCore::receive(TimePoint now, const wire::Body& body) {
  if (control_.size() >= kControlMessages) return;
  if (const auto* watch = std::get_if<wire::Watch>(&body)) return on(now, *watch);
  if (const auto* renew = std::get_if<wire::Renew>(&body)) return on(now, *renew);
  if (const auto* unwatch = std::get_if<wire::Unwatch>(&body)) return on(now, *unwatch);
  if (const auto* fetch = std::get_if<wire::Fetch>(&body)) return on(now, *fetch);
  if (std::holds_alternative<wire::Hello>(body)) presence_due_ = true;
  if (const auto* ranges = std::get_if<wire::Ranges>(&body); ranges && wire::check_client_id(ranges->client)) {
    notice(ranges->client, wire::Notice{wire::Notice::Kind::Refused,
                                        ranges->scope,
                                        {},
                                        Code::Invalid,
                                        "this provider does not reconcile by ranges: ask with a watch",
                                        0});
  }
}

void ProviderCore::notice(const std::string& client, wire::Notice notice) {
  control_.push_back(Outgoing{options_.topics.reply(options_.cluster, client), wire::encode(notice), false});
}

void ProviderCore::on(TimePoint now, const wire::Watch& watch) {
  if (!wire::check_client_id(watch.client)) return;
  const std::string id = watch.scope.id();
  const auto refuse_with = [&](Code code, std::string why) {
    ++counts_.refusals;
    notice(watch.client, wire::Notice{wire::Notice::Kind::Refused, id, {}, code, std::move(why), watch.request});
  };
  if (offered(watch.scope.resource) == nullptr) {
    return refuse_with(Code::NotFound,
                       "cluster " + options_.cluster + " does not offer " + watch.scope.resource.group_resource() +
                           " in version " + watch.scope.resource.version +
                           ": its provider's account may not list it, or --allow and --offer leave it out");
  }
  auto stream = streams_.find(id);
  if (stream == streams_.end()) {
    if (streams_.size() >= options_.maximum_scopes || counts().subscriptions >= options_.maximum_subscriptions) {
      return refuse_with(Code::TooManyRequests,
                         "cluster " + options_.cluster + " follows as many scopes as it may already");
    }
    if (streams_.empty()) digest_due_ = full_digest_due_ = now + options_.digest_interval;
    stream =
        streams_.emplace(id, std::make_unique<ScopeStream>(watch.scope, random_id(random_), options_.stream)).first;
    outboxes_.emplace(id, Outbox());
  }
  Outbox& outbox = outboxes_.at(id);
  Subscription& subscription = outbox.subscriptions[watch.client];
  const Duration wanted = std::chrono::seconds(std::max<std::uint32_t>(watch.lease_seconds, 5));
  subscription.lease = std::min(wanted, options_.longest_lease);
  subscription.lease_end = now + subscription.lease;
  subscription.request = watch.request;
  subscription.window = std::clamp<std::uint32_t>(watch.window, 1, options_.maximum_window);
  serve(now, *stream->second, outbox, watch.client, watch.have);
}

void ProviderCore::serve(TimePoint now, ScopeStream& stream, Outbox& outbox, const std::string& client,
                         const wire::Position& have) {
  Subscription& subscription = outbox.subscriptions.at(client);
  subscription.resumes_after.reset();
  subscription.pages.clear();
  subscription.waits_for_first_set = !stream.ready();
  if (!stream.ready()) {
    if (outbox.refusal) {
      ++counts_.refusals;
      return notice(client, wire::Notice{wire::Notice::Kind::Refused,
                                         stream.id(),
                                         {},
                                         outbox.refusal->code,
                                         outbox.refusal->message,
                                         subscription.request});
    }
    return notice(
        client,
        wire::Notice{wire::Notice::Kind::NotReady, stream.id(), {}, Code::Unavailable, "", subscription.request});
  }
  if (stream.can_resume(have)) {
    ++counts_.resumes;
    subscription.snapshot = nullptr;
    if (have.sequence < stream.position().sequence) subscription.resumes_after = have.sequence;
    return notice(client, wire::Notice{wire::Notice::Kind::Resumed, stream.id(), stream.position(), Code::Internal, "",
                                       subscription.request});
  }
  // A snapshot from which frames still lead on serves again: who asks twice has lost its beginning.
  if (!subscription.snapshot || !stream.can_resume(subscription.snapshot->at)) {
    ++counts_.snapshots;
    subscription.snapshot = stream.snapshot();
  }
  subscription.snapshot_end = now + options_.snapshot_kept;
  const auto pages = static_cast<std::uint32_t>(subscription.snapshot->page_starts.size());
  for (std::uint32_t page = 0; page < std::min(pages, subscription.window); ++page) subscription.pages.insert(page);
}

void ProviderCore::on(TimePoint now, const wire::Renew& renew) {
  if (!wire::check_client_id(renew.client)) return;
  for (const std::string& id : renew.scopes) {
    const auto outbox = outboxes_.find(id);
    const bool known = outbox != outboxes_.end() && outbox->second.subscriptions.count(renew.client) > 0;
    if (known) {
      Subscription& subscription = outbox->second.subscriptions.at(renew.client);
      subscription.lease_end = now + subscription.lease;
    } else if (control_.size() < kControlMessages) {
      notice(renew.client, wire::Notice{wire::Notice::Kind::Unknown, id.substr(0, 64), {}, Code::Expired, "", 0});
    }
  }
}

void ProviderCore::on(TimePoint, const wire::Unwatch& unwatch) {
  for (const std::string& id : unwatch.scopes) {
    const auto outbox = outboxes_.find(id);
    if (outbox == outboxes_.end()) continue;
    outbox->second.subscriptions.erase(unwatch.client);
    if (outbox->second.subscriptions.empty()) close(id);
  }
}

void ProviderCore::on(TimePoint now, const wire::Fetch& fetch) {
  const auto outbox = outboxes_.find(fetch.scope);
  if (outbox == outboxes_.end() || outbox->second.subscriptions.count(fetch.client) == 0) {
    if (wire::check_client_id(fetch.client)) {
      notice(fetch.client,
             wire::Notice{wire::Notice::Kind::Unknown, fetch.scope.substr(0, 64), {}, Code::Expired, "", 0});
    }
    return;
  }
  Subscription& subscription = outbox->second.subscriptions.at(fetch.client);
  if (!subscription.snapshot || subscription.snapshot->id != fetch.snapshot) {
    return notice(
        fetch.client,
        wire::Notice{wire::Notice::Kind::Unknown, fetch.scope, {}, Code::Expired, "that snapshot is gone", 0});
  }
  subscription.snapshot_end = now + options_.snapshot_kept;
  subscription.lease_end = now + subscription.lease;
  const auto pages = static_cast<std::uint32_t>(subscription.snapshot->page_starts.size());
  for (const auto& [from, to] : fetch.pages) {
    for (std::uint32_t page = from; page < std::min(to, pages); ++page) {
      if (subscription.pages.size() >= options_.maximum_window) break;
      subscription.pages.insert(page);
    }
  }
}

void ProviderCore::replace(TimePoint now, const std::string& id, Snapshot all) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  ScopeStream& stream = *found->second;
  Outbox& outbox = outboxes_.at(id);
  stream.replace(std::move(all));
  outbox.refusal.reset();
  digest_due_ = std::min(digest_due_, now + options_.digest_after_change);
  for (auto& [client, subscription] : outbox.subscriptions) {
    if (subscription.waits_for_first_set) serve(now, stream, outbox, client, wire::Position());
  }
}

void ProviderCore::apply(TimePoint now, const std::string& id, const EventBatch& changes) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  found->second->apply(changes);
  digest_due_ = std::min(digest_due_, now + options_.digest_after_change);
}

std::uint32_t ProviderCore::Outbox::behind_seconds(TimePoint now) const {
  if (!behind_since) return 0;
  return static_cast<std::uint32_t>(std::chrono::floor<std::chrono::seconds>(now - *behind_since).count()) + 1;
}

void ProviderCore::report(TimePoint now, const std::string& id, Result<void> state) {
  const auto found = outboxes_.find(id);
  if (found == outboxes_.end()) return;
  std::optional<TimePoint>& behind_since = found->second.behind_since;
  if (state) {
    behind_since.reset();
    return;
  }
  if (!behind_since) behind_since = now;
  // What may pass by itself is not refused: informers are told "not ready" and wait.
  const Code code = state.error().code;
  const bool lasting =
      code == Code::Forbidden || code == Code::NotFound || code == Code::Unauthorized || code == Code::Invalid;
  if (lasting) refuse(id, state.error());
}

void ProviderCore::refuse(const std::string& id, Error why) {
  if (streams_.at(id)->ready()) return;  // A set once had is served on; the digests say how old it is.
  Outbox& outbox = outboxes_.at(id);
  for (const auto& [client, subscription] : outbox.subscriptions) {
    if (!subscription.waits_for_first_set || control_.size() >= kControlMessages) continue;
    ++counts_.refusals;
    notice(client, wire::Notice{wire::Notice::Kind::Refused, id, {}, why.code, why.message, subscription.request});
  }
  outbox.refusal = std::move(why);
}

void ProviderCore::close(const std::string& id) {
  outboxes_.erase(id);
  streams_.erase(id);
}

void ProviderCore::tick(TimePoint now) {
  if (now - leases_checked_ < kLeaseCheck) return;
  leases_checked_ = now;
  std::vector<std::string> unwanted;
  for (auto& [id, outbox] : outboxes_) {
    for (auto it = outbox.subscriptions.begin(); it != outbox.subscriptions.end();) {
      Subscription& subscription = it->second;
      if (subscription.snapshot && subscription.snapshot_end <= now && subscription.pages.empty())
        subscription.snapshot = nullptr;
      it = subscription.lease_end <= now ? outbox.subscriptions.erase(it) : std::next(it);
    }
    if (outbox.subscriptions.empty()) unwanted.push_back(id);
  }
  for (const std::string& id : unwanted) close(id);
}

TimePoint ProviderCore::next_deadline() const {
  return outboxes_.empty() ? TimePoint::max() : std::min(digest_due_, leases_checked_ + kLeaseCheck);
}

std::optional<Outgoing> ProviderCore::next_message(TimePoint now) {
  if (presence_due_) {
    presence_due_ = false;
    return Outgoing{options_.topics.presence(options_.cluster), wire::encode(presence(wire::Presence::State::Present)),
                    true};
  }
  if (!control_.empty()) {
    Outgoing message = std::move(control_.front());
    control_.pop_front();
    return message;
  }
  // What is late is told also while some stream is never quiet.
  if (digests_.empty() && digest_due_ <= now - options_.digest_after_change) collect_digests(now);
  if (!digests_.empty()) return next_digest();
  // Every stream in turn, and in each stream live frames and answers in turn, so that none waits for another for ever.
  if (!streams_.empty()) {
    auto at = streams_.upper_bound(turn_);
    for (std::size_t i = 0; i < streams_.size(); ++i, ++at) {
      if (at == streams_.end()) at = streams_.begin();
      ScopeStream& stream = *at->second;
      if (!stream.ready()) continue;
      Outbox& outbox = outboxes_.at(at->first);
      std::optional<Outgoing> message;
      if (outbox.frame_had_its_turn) message = next_answer(now, stream, outbox);
      outbox.frame_had_its_turn = false;
      if (!message && (message = next_frame(stream, outbox))) outbox.frame_had_its_turn = true;
      if (!message) message = next_answer(now, stream, outbox);
      if (outbox.digest_due && outbox.sent == stream.position().sequence) add_digest(now, stream, outbox);
      if (message) {
        turn_ = at->first;
        return message;
      }
    }
  }
  if (digest_due_ <= now) collect_digests(now);
  return digests_.empty() ? std::nullopt : next_digest();
}

std::optional<Outgoing> ProviderCore::next_frame(ScopeStream& stream, Outbox& outbox) {
  auto frame = stream.frame_after(outbox.sent);
  if (!frame) {
    // The log has moved past what was sent: informers see the gap and ask.
    outbox.sent = stream.position().sequence;
    return std::nullopt;
  }
  if (!*frame) return std::nullopt;
  outbox.sent = (*frame)->through;
  ++counts_.frames;
  return Outgoing{options_.topics.stream(options_.cluster, stream.id()), std::move((*frame)->encoded), false};
}

std::optional<Outgoing> ProviderCore::next_answer(TimePoint now, ScopeStream& stream, Outbox& outbox) {
  auto& subscriptions = outbox.subscriptions;
  auto at = subscriptions.upper_bound(outbox.answered);
  for (std::size_t i = 0; i < subscriptions.size(); ++i, ++at) {
    if (at == subscriptions.end()) at = subscriptions.begin();
    auto& [client, subscription] = *at;
    if (subscription.resumes_after) {
      auto frame = stream.frame_after(*subscription.resumes_after);
      if (frame && *frame) {
        // From what went out live on, the stream's own frames lead on.
        subscription.resumes_after = (*frame)->through;
        if ((*frame)->through >= outbox.sent) subscription.resumes_after.reset();
        ++counts_.frames;
        outbox.answered = client;
        return Outgoing{options_.topics.reply(options_.cluster, client), std::move((*frame)->encoded), false};
      }
      subscription.resumes_after.reset();
    }
    if (!subscription.pages.empty() && subscription.snapshot) {
      const std::uint32_t page = *subscription.pages.begin();
      subscription.pages.erase(subscription.pages.begin());
      subscription.snapshot_end = now + options_.snapshot_kept;
      ++counts_.pages;
      outbox.answered = client;
      return Outgoing{options_.topics.reply(options_.cluster, client),
                      subscription.snapshot->page(stream.id(), page, subscription.request, outbox.behind_seconds(now)),
                      false};
    }
  }
  return std::nullopt;
}

void ProviderCore::add_digest(TimePoint now, const ScopeStream& stream, Outbox& outbox) {
  outbox.digest_sequence = stream.position().sequence;
  outbox.digest_due = false;
  digests_.push_back(wire::Digest::Stream{stream.id(), stream.position(), stream.fingerprint(),
                                          stream.resource_version(), outbox.behind_seconds(now)});
}

// Each digest names a position that the frames before it lead to: a stream with frames still to send waits for them.
void ProviderCore::collect_digests(TimePoint now) {
  const bool all = full_digest_due_ <= now;
  if (all) full_digest_due_ = now + options_.digest_interval;
  digest_due_ = full_digest_due_;
  for (const auto& [id, stream] : streams_) {
    Outbox& outbox = outboxes_.at(id);
    const std::uint64_t sequence = stream->position().sequence;
    if (!stream->ready() || (!all && outbox.digest_sequence == sequence)) continue;
    if (outbox.sent == sequence) {
      add_digest(now, *stream, outbox);
    } else {
      outbox.digest_due = true;
    }
  }
}

std::optional<Outgoing> ProviderCore::next_digest() {
  wire::Digest digest;
  digest.interval_seconds =
      static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(options_.digest_interval).count());
  while (!digests_.empty() && digest.streams.size() < kDigestStreams) {
    digest.streams.push_back(std::move(digests_.front()));
    digests_.pop_front();
  }
  return Outgoing{options_.topics.digest(options_.cluster), wire::encode(digest), false};
}

ProviderCore::Counts ProviderCore::counts() const {
  Counts counts = counts_;
  counts.scopes = streams_.size();
  for (const auto& [id, outbox] : outboxes_) counts.subscriptions += outbox.subscriptions.size();
  for (const auto& [id, stream] : streams_) counts.objects += stream->size();
  return counts;
}

}  // namespace tinf
