// ProviderCore: what a provider says to whom, and when. docs/protocol.md is its specification.
// Pure: messages and the time come in, messages come out; no I/O, no clock. The simulation runs this very class.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tinf/base/backoff.h"
#include "tinf/base/clock.h"
#include "tinf/provider/scope_stream.h"
#include "tinf/wire/topics.h"

namespace tinf {

struct ProviderOptions {
  std::string cluster;   // Checked by wire::check_cluster_name.
  std::string client;    // The client id at the broker; empty: unknown, and not claimed.
  std::string instance;  // A random id of this process.
  std::string host;
  std::int64_t started = 0;  // Unix milliseconds.
  wire::Topics topics{"/signal", "/payload"};
  ScopeStreamOptions stream;
  // Objects' bytes in one page, before compression: what many objects have in common travels once in each. Less where
  // messages are small.
  std::size_t page_bytes = 2 << 20;

  Duration longest_lease = std::chrono::minutes(10);
  Duration digest_interval = std::chrono::seconds(30);
  // A busy stream is proven more often: this long after a change at the earliest.
  Duration digest_after_change = std::chrono::seconds(1);
  Duration snapshot_kept = std::chrono::minutes(1);  // Without a fetch.

  // Against a hostile or mistaken informer.
  std::size_t maximum_scopes = 4096;
  std::size_t maximum_subscriptions = 65536;
  std::uint32_t maximum_window = 16;  // Pages.
  std::size_t maximum_ranges = 256;   // To compare for one informer, and so many keys sixteenfold.
};

// A message with its place to go.
struct Outgoing {
  std::string topic;
  wire::Encoded encoded;
  bool retain = false;
};

// Not thread-safe.
class ProviderCore {
 public:
  ProviderCore(ProviderOptions options, Random& random);

  // What is offered; announced to everybody when it changes.
  void offer(std::vector<ResourceInfo> resources, std::string cluster_uid, std::string kubernetes_version);

  // Somebody spoke whom we do not understand, in another version of the protocol: it is told so, if `client` can be.
  void refuse_version(const std::string& client, const Error& why);

  // What presences say from now on of when we began.
  void say_started(std::int64_t milliseconds) { started_ = milliseconds; }

  // A message that came to one of signal_topics().
  void receive(TimePoint now, const wire::Body& body);
  std::vector<std::string> signal_topics() const;

  // The transport has connected, and takes messages of so many bytes: what was said before may be lost.
  void connected(TimePoint now, std::size_t maximum_message);

  // The sources that the shell must run: it opens those that are new and closes those that are gone.
  // Changes only in receive() and tick().
  const std::map<std::string, std::unique_ptr<ScopeStream>>& streams() const { return streams_; }
  // What came from a stream's source. A stream that has closed meanwhile ignores it.
  void replace(TimePoint now, const std::string& stream, Snapshot all);
  void apply(TimePoint now, const std::string& stream, const EventBatch& changes);
  // The source is current, or what keeps it from that; then it was last known to be at `current_at`. Digests say how
  // long ago that is, so that nobody takes an old set for a proven one. An error that does not pass by itself is told
  // to all who wait for their first set, now and later.
  void report(TimePoint current_at, const std::string& stream, Result<void> state);

  // Lets time pass. Call at next_deadline() at the latest.
  void tick(TimePoint now);
  TimePoint next_deadline() const;

  // The next message to publish, if there is one. Asked only while the transport takes one: what is not asked for yet
  // coalesces by key.
  std::optional<Outgoing> next_message(TimePoint now);

  wire::Presence presence(wire::Presence::State state) const;

  struct Counts {
    std::size_t scopes = 0, subscriptions = 0, objects = 0;
    std::uint64_t snapshots = 0, resumes = 0, repairs = 0, frames = 0, pages = 0, refusals = 0;
  };
  Counts counts() const;

 private:
  // One informer's interest in one scope.
  struct Subscription {
    TimePoint lease_end{};
    Duration lease{};
    bool waits_for_first_set = false;
    std::optional<Fingerprint> inventory;  // Of the copy that is to be repaired once there is a set.
    bool patches = false;                  // It can apply them.
    std::uint64_t request = 0;             // The last one, which answers echo.
    std::uint32_t window = 0;
    std::shared_ptr<const PagedSnapshot> snapshot;
    TimePoint snapshot_end{};
    std::set<std::uint32_t> pages;               // To send, lowest first.
    std::deque<KeyRange> ranges;                 // To compare.
    std::deque<ObjectKey> keys;                  // To send the objects of.
    std::optional<std::uint64_t> resumes_after;  // Frames to send on the reply topic, from here on.

    bool owes() const { return !pages.empty() || !ranges.empty() || !keys.empty(); }
    void forget_answers();
  };

  // What a stream has to send besides its truth.
  struct Outbox {
    std::map<std::string, Subscription> subscriptions;  // By client id.
    std::optional<bool> patches;                        // All of them can apply patches; empty: not counted yet.
    std::optional<Error> refusal;
    std::optional<TimePoint> behind_since;         // The source was last known to be current here.
    std::optional<std::uint64_t> digest_sequence;  // Where the last digest that all can have heard named this stream,
    bool named_behind = false;                     // as one that is behind.
    bool digest_due = false;                       // As soon as the frames before it have gone out.
    bool frame_had_its_turn = false;
    std::string answered;  // The client that was answered last.

    std::uint32_t behind_seconds(TimePoint now) const;
    // There is nothing to say of the stream that the last digest which named it has not said.
    bool told(const ScopeStream& stream) const;
  };

  void on(TimePoint now, const wire::Watch& watch);
  void on(TimePoint now, const wire::Renew& renew);
  void on(TimePoint now, const wire::Unwatch& unwatch);
  void on(TimePoint now, const wire::Fetch& fetch);
  void on(TimePoint now, const wire::Compare& compare);
  void serve(TimePoint now, ScopeStream& stream, Outbox& outbox, const std::string& client, const wire::Position& have,
             const std::optional<Fingerprint>& inventory);
  Subscription* asking(TimePoint now, const std::string& client, const std::string& scope, const std::string& snapshot);
  void notice(const std::string& client, wire::Notice notice);
  void close(const std::string& stream);
  std::optional<Outgoing> next_frame(ScopeStream& stream, Outbox& outbox);
  std::optional<Outgoing> next_answer(TimePoint now, ScopeStream& stream, Outbox& outbox);
  std::optional<wire::Encoded> next_part(const ScopeStream& stream, const Outbox& outbox, Subscription& subscription,
                                         TimePoint now);
  void collect_digests(TimePoint now);
  void add_digest(TimePoint now, const ScopeStream& stream, Outbox& outbox);
  std::optional<Outgoing> next_digest(TimePoint now);
  Outgoing digest_of(std::vector<wire::Digest::Stream> streams);
  const ResourceInfo* offered(const Resource& resource) const;
  void refuse(const std::string& stream, Error why);

  // Constant after construction.
  const ProviderOptions options_;

  Random& random_;
  std::int64_t started_;
  std::vector<ResourceInfo> resources_;
  std::string cluster_uid_;
  std::string kubernetes_version_;

  std::map<std::string, std::unique_ptr<ScopeStream>> streams_;  // By scope id.
  std::map<std::string, Outbox> outboxes_;                       // The same keys.
  std::string turn_;                                             // The stream that was served last.
  std::size_t page_bytes_ = options_.page_bytes;
  std::deque<Outgoing> control_;  // Notices and presence: small, at most one or two for each message received.
  bool presence_due_ = false;
  TimePoint digest_due_ = TimePoint::max();       // Of the streams that have changed since they were in one.
  TimePoint full_digest_due_ = TimePoint::max();  // Of all: a heartbeat, too.
  std::deque<wire::Digest::Stream> digests_;      // To send before any further frame.
  bool short_digest_due_ = false;                 // After these, if it is still true.
  bool digests_name_all_ = false;                 // The next full digest; who holds an older word must forget it.
  std::uint64_t digest_number_ = 0;
  TimePoint leases_checked_{};
  Counts counts_;
};

}  // namespace tinf
