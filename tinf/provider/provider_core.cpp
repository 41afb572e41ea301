#include "tinf/provider/provider_core.h"

#include <algorithm>

#include "tinf/wire/rules.h"

namespace tinf {
namespace {

constexpr Duration kLeaseCheck = std::chrono::seconds(1);
constexpr std::size_t kDigestStreams = 256;    // About 30 KiB before compression.
constexpr std::size_t kRangeItems = 2048;      // Pieces and entries in one message: about 30 KiB after compression.
constexpr std::size_t kScopeBytes = 16 << 10;  // Of one scope's texts: more than any URL of an API server takes.
constexpr std::size_t kMessagesOfAPage = 8;    // Before compression: where one of them is lost, all are sent again.
constexpr std::size_t kKeysOfARange = 16;
constexpr std::size_t kControlMessages = 8192;  // Beyond, requests are not answered: their senders ask again.

std::string new_epoch(Random& random) {
  if (wire::broken(wire::Rule::EpochsAreNew)) return "0000000000000000";
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

ProviderCore::ProviderCore(ProviderOptions options, Random& random)
    : options_(std::move(options)), random_(random), started_(options_.started) {}

std::vector<std::string> ProviderCore::signal_topics() const {
  return {options_.topics.signal(options_.cluster), options_.topics.signal_all()};
}

void ProviderCore::offer(std::vector<ResourceInfo> resources, std::string cluster_uid, std::string kubernetes_version) {
  resources_ = std::move(resources);
  cluster_uid_ = std::move(cluster_uid);
  kubernetes_version_ = std::move(kubernetes_version);
  presence_due_ = true;
}

void ProviderCore::connected(TimePoint now, std::size_t maximum_message) {
  page_bytes_ = std::min(options_.page_bytes, maximum_message * kMessagesOfAPage);
  presence_due_ = true;
  digest_due_ = full_digest_due_ = now;
  digests_name_all_ = true;
  digests_.clear();
  short_digest_due_ = false;
  for (auto& [id, outbox] : outboxes_) {
    // Answers under way may be lost: informers ask again when they see what they lack.
    for (auto& [client, subscription] : outbox.subscriptions) subscription.forget_answers();
  }
}

wire::Presence ProviderCore::presence(wire::Presence::State state) const {
  wire::Presence presence;
  presence.state = state;
  presence.cluster = options_.cluster;
  presence.instance = options_.instance;
  presence.host = options_.host;
  presence.started = started_;
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
  if (const auto* compare = std::get_if<wire::Compare>(&body)) return on(now, *compare);
  if (std::holds_alternative<wire::Hello>(body)) {
    presence_due_ = true;
    // Perhaps it has missed a digest.
    digests_name_all_ = true;
    if (!streams_.empty()) digest_due_ = full_digest_due_ = std::min(digest_due_, now + options_.digest_after_change);
  }
}

void ProviderCore::refuse_version(const std::string& client, const Error& why) {
  if (control_.size() >= kControlMessages || !wire::check_client_id(client)) return;
  ++counts_.refusals;
  notice(client, wire::Notice{wire::Notice::Kind::Refused, "", {}, why.code, why.message, 0, 0});
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
  if (watch.scope.canonical().size() > kScopeBytes) {
    return refuse_with(Code::Invalid, "the names and selectors of a scope may have " + std::to_string(kScopeBytes) +
                                          " bytes together");
  }
  auto stream = streams_.find(id);
  const bool known = stream != streams_.end() && outboxes_.at(id).subscriptions.count(watch.client) > 0;
  if (!known && counts().subscriptions >= options_.maximum_subscriptions) {
    return refuse_with(Code::TooManyRequests, "cluster " + options_.cluster + " has " +
                                                  std::to_string(options_.maximum_subscriptions) +
                                                  " subscriptions already, as many as it may: let some end");
  }
  if (stream == streams_.end()) {
    if (streams_.size() >= options_.maximum_scopes) {
      return refuse_with(Code::TooManyRequests, "cluster " + options_.cluster + " follows " +
                                                    std::to_string(options_.maximum_scopes) +
                                                    " scopes already, as many as it may: ask for fewer");
    }
    if (streams_.empty()) digest_due_ = full_digest_due_ = now + options_.digest_interval;
    stream =
        streams_.emplace(id, std::make_unique<ScopeStream>(watch.scope, new_epoch(random_), options_.stream)).first;
    outboxes_.emplace(id, Outbox());
  }
  Outbox& outbox = outboxes_.at(id);
  Subscription& subscription = outbox.subscriptions[watch.client];
  const Duration wanted = std::chrono::seconds(std::max<std::uint32_t>(watch.lease_seconds, 5));
  subscription.lease = std::min(wanted, options_.longest_lease);
  subscription.lease_end = now + subscription.lease;
  subscription.request = watch.request;
  subscription.patches = watch.patches;
  outbox.patches.reset();
  subscription.window = std::clamp<std::uint32_t>(watch.window, 1, options_.maximum_window);
  serve(now, *stream->second, outbox, watch.client, watch.have, watch.inventory);
}

void ProviderCore::serve(TimePoint now, ScopeStream& stream, Outbox& outbox, const std::string& client,
                         const wire::Position& have, const std::optional<Fingerprint>& inventory) {
  Subscription& subscription = outbox.subscriptions.at(client);
  subscription.resumes_after.reset();
  subscription.forget_answers();
  subscription.waits_for_first_set = !stream.ready();
  subscription.inventory = inventory;
  // Nobody knows yet that this copy is equal: a digest says so soon, though nothing has changed.
  outbox.digest_sequence.reset();
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
  digest_due_ = std::min(digest_due_, now + options_.digest_after_change);
  if (stream.can_resume(have)) {
    ++counts_.resumes;
    subscription.snapshot = nullptr;
    if (have.sequence < stream.position().sequence) subscription.resumes_after = have.sequence;
    return notice(client, wire::Notice{wire::Notice::Kind::Resumed, stream.id(), stream.position(), Code::Internal, "",
                                       subscription.request});
  }
  // Always the present set: an older one could take a copy back. While nothing changes it is the same one.
  subscription.snapshot = stream.snapshot(page_bytes_);
  subscription.snapshot_end = now + options_.snapshot_kept;
  if (inventory && *inventory == subscription.snapshot->inventory.fingerprint()) {
    ++counts_.repairs;
    return notice(client, wire::Notice{wire::Notice::Kind::Equal, stream.id(), subscription.snapshot->at,
                                       Code::Internal, "", subscription.request, outbox.behind_seconds(now)});
  }
  if (inventory) {
    ++counts_.repairs;
    subscription.ranges.push_back(KeyRange());
    return;
  }
  ++counts_.snapshots;
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
    outbox->second.patches.reset();
    if (outbox->second.subscriptions.empty()) close(id);
  }
}

// The subscription that a question about a snapshot belongs to, its lease renewed; null, and said so, if there is none.
ProviderCore::Subscription* ProviderCore::asking(TimePoint now, const std::string& client, const std::string& scope,
                                                 const std::string& snapshot) {
  if (!wire::check_client_id(client)) return nullptr;
  const auto unknown = [&](std::string why) {
    notice(client,
           wire::Notice{wire::Notice::Kind::Unknown, scope.substr(0, 64), {}, Code::Expired, std::move(why), 0});
    return nullptr;
  };
  const auto outbox = outboxes_.find(scope);
  if (outbox == outboxes_.end() || outbox->second.subscriptions.count(client) == 0) return unknown("");
  Subscription& subscription = outbox->second.subscriptions.at(client);
  if (!subscription.snapshot || subscription.snapshot->id != snapshot) return unknown("that snapshot is gone");
  subscription.snapshot_end = now + options_.snapshot_kept;
  subscription.lease_end = now + subscription.lease;
  return &subscription;
}

void ProviderCore::on(TimePoint now, const wire::Fetch& fetch) {
  Subscription* const subscription = asking(now, fetch.client, fetch.scope, fetch.snapshot);
  if (subscription == nullptr) return;
  const auto pages = static_cast<std::uint32_t>(subscription->snapshot->page_starts.size());
  for (const auto& [from, to] : fetch.pages) {
    for (std::uint32_t page = from; page < std::min(to, pages); ++page) {
      if (subscription->pages.size() >= options_.maximum_window) break;
      subscription->pages.insert(page);
    }
  }
  for (const ObjectKey& key : fetch.keys) {
    if (subscription->keys.size() >= options_.maximum_ranges * kKeysOfARange) break;
    subscription->keys.push_back(key);
  }
}

void ProviderCore::on(TimePoint now, const wire::Compare& compare) {
  Subscription* const subscription = asking(now, compare.client, compare.scope, compare.snapshot);
  if (subscription == nullptr) return;
  for (const KeyRange& range : compare.ranges) {
    if (subscription->ranges.size() >= options_.maximum_ranges) break;
    subscription->ranges.push_back(range);
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
    if (subscription.waits_for_first_set) serve(now, stream, outbox, client, wire::Position(), subscription.inventory);
  }
}

void ProviderCore::apply(TimePoint now, const std::string& id, const EventBatch& changes) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  found->second->apply(changes);
  digest_due_ = std::min(digest_due_, now + options_.digest_after_change);
}

void ProviderCore::Subscription::forget_answers() {
  pages.clear();
  ranges.clear();
  keys.clear();
}

bool ProviderCore::Outbox::told(const ScopeStream& stream) const {
  return digest_sequence == stream.position().sequence && !named_behind && !behind_since;
}

std::uint32_t ProviderCore::Outbox::behind_seconds(TimePoint now) const {
  if (!behind_since || wire::broken(wire::Rule::BehindIsSaid)) return 0;
  return static_cast<std::uint32_t>(std::chrono::floor<std::chrono::seconds>(now - *behind_since).count()) + 1;
}

void ProviderCore::report(TimePoint current_at, const std::string& id, Result<void> state) {
  const auto found = outboxes_.find(id);
  if (found == outboxes_.end()) return;
  std::optional<TimePoint>& behind_since = found->second.behind_since;
  if (state) {
    behind_since.reset();
    return;
  }
  behind_since = std::min(behind_since.value_or(current_at), current_at);
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
  digests_name_all_ = true;  // Whose lease has ended unnoticed must not take silence about the stream for a word.
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
      if (subscription.snapshot_end <= now && !subscription.owes()) subscription.snapshot = nullptr;
      it = subscription.lease_end <= now ? outbox.subscriptions.erase(it) : std::next(it);
    }
    outbox.patches.reset();
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
  if (auto digest = next_digest(now)) return digest;
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
      if (outbox.digest_due && stream.live() == stream.position().sequence) add_digest(now, stream, outbox);
      if (message) {
        turn_ = at->first;
        return message;
      }
    }
  }
  if (digest_due_ <= now) collect_digests(now);
  return next_digest(now);
}

std::optional<Outgoing> ProviderCore::next_frame(ScopeStream& stream, Outbox& outbox) {
  if (!outbox.patches) {
    outbox.patches = std::all_of(outbox.subscriptions.begin(), outbox.subscriptions.end(),
                                 [](const auto& each) { return each.second.patches; });
  }
  auto frame = stream.next_live_frame(*outbox.patches);
  if (!frame || !*frame) return std::nullopt;
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
        if ((*frame)->through >= stream.live()) {
          subscription.resumes_after.reset();
          stream.forget_bases();
        }
        ++counts_.frames;
        outbox.answered = client;
        return Outgoing{options_.topics.reply(options_.cluster, client), std::move((*frame)->encoded), false};
      }
      subscription.resumes_after.reset();
    }
    if (auto part = next_part(stream, outbox, subscription, now)) {
      subscription.snapshot_end = now + options_.snapshot_kept;
      outbox.answered = client;
      return Outgoing{options_.topics.reply(options_.cluster, client), std::move(*part), false};
    }
  }
  return std::nullopt;
}

// The next part of a snapshot that somebody waits for.
std::optional<wire::Encoded> ProviderCore::next_part(const ScopeStream& stream, const Outbox& outbox,
                                                     Subscription& subscription, TimePoint now) {
  if (!subscription.snapshot) return std::nullopt;
  const PagedSnapshot& snapshot = *subscription.snapshot;
  if (!subscription.ranges.empty()) {
    wire::Ranges answer{stream.id(),
                        snapshot.id,
                        snapshot.at,
                        snapshot.inventory.fingerprint(),
                        subscription.request,
                        outbox.behind_seconds(now),
                        {}};
    for (std::size_t items = 0; items < kRangeItems && !subscription.ranges.empty();) {
      answer.ranges.push_back(snapshot.compare(subscription.ranges.front()));
      items += 1 + answer.ranges.back().pieces.size() + answer.ranges.back().entries.size();
      subscription.ranges.pop_front();
    }
    return wire::encode(answer);
  }
  if (!subscription.keys.empty()) {
    wire::EventsWriter writer(options_.stream.frame_bytes);
    for (; !writer.full() && !subscription.keys.empty(); subscription.keys.pop_front()) {
      if (const ObjectPtr object = snapshot.object(subscription.keys.front())) writer.put(*object);
    }
    if (writer.count() > 0) return std::move(writer).finish_objects(stream.id(), snapshot.id);
  }
  if (!subscription.pages.empty()) {
    const std::uint32_t page = *subscription.pages.begin();
    subscription.pages.erase(subscription.pages.begin());
    ++counts_.pages;
    return snapshot.page(stream.id(), page, subscription.request, outbox.behind_seconds(now));
  }
  return std::nullopt;
}

void ProviderCore::add_digest(TimePoint now, const ScopeStream& stream, Outbox& outbox) {
  outbox.digest_sequence = stream.position().sequence;
  outbox.named_behind = outbox.behind_since.has_value();
  outbox.digest_due = false;
  digests_.push_back(wire::Digest::Stream{stream.id(), stream.position(), stream.fingerprint(),
                                          stream.resource_version(), outbox.behind_seconds(now)});
}

// Each digest names a position that the frames before it lead to: a stream with frames still to send waits for them.
// In a quiet cluster nothing is left to name, and a short one says so.
void ProviderCore::collect_digests(TimePoint now) {
  const bool all = full_digest_due_ <= now;
  if (all) full_digest_due_ = now + options_.digest_interval;
  digest_due_ = full_digest_due_;
  bool in_short = all && !digests_name_all_;
  bool any = false;
  for (const auto& [id, stream] : streams_) {
    if (!stream->ready()) continue;
    any = true;
    const Outbox& outbox = outboxes_.at(id);
    if (outbox.behind_since || stream->live() != stream->position().sequence) in_short = false;
  }
  if (all && std::exchange(digests_name_all_, false)) ++digest_number_;  // As if one had been missed.
  for (const auto& [id, stream] : streams_) {
    Outbox& outbox = outboxes_.at(id);
    const std::uint64_t sequence = stream->position().sequence;
    const bool known = in_short ? outbox.told(*stream) : !all && outbox.digest_sequence == sequence;
    if (!stream->ready() || known) continue;
    if (stream->live() == sequence) {
      add_digest(now, *stream, outbox);
    } else {
      outbox.digest_due = true;
    }
  }
  if (all) short_digest_due_ = in_short && any;
}

std::optional<Outgoing> ProviderCore::next_digest(TimePoint now) {
  if (!digests_.empty()) {
    std::vector<wire::Digest::Stream> streams;
    while (!digests_.empty() && streams.size() < kDigestStreams) {
      streams.push_back(std::move(digests_.front()));
      digests_.pop_front();
    }
    ++digest_number_;
    return digest_of(std::move(streams));
  }
  if (!std::exchange(short_digest_due_, false)) return std::nullopt;
  const bool still_true = !digests_name_all_ && std::all_of(streams_.begin(), streams_.end(), [this](const auto& each) {
    return !each.second->ready() || outboxes_.at(each.first).told(*each.second);
  });
  if (still_true) return digest_of({});
  digest_due_ = full_digest_due_ = now;
  return std::nullopt;
}

Outgoing ProviderCore::digest_of(std::vector<wire::Digest::Stream> streams) {
  wire::Digest digest;
  digest.interval_seconds =
      static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(options_.digest_interval).count());
  digest.streams = std::move(streams);
  digest.number = digest_number_;
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
