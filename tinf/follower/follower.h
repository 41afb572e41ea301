// Follower: keeps one copy of one scope equal to a provider's, over messages that may be lost, repeated and late.
// Pure: messages and the time come in, requests and changes come out. docs/protocol.md is its specification.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tinf/base/backoff.h"
#include "tinf/base/clock.h"
#include "tinf/follower/incoming_snapshot.h"
#include "tinf/follower/patched.h"
#include "tinf/follower/reconciliation.h"
#include "tinf/object/inventory.h"
#include "tinf/object/watch_event.h"
#include "tinf/wire/messages.h"

namespace tinf {

struct FollowerOptions {
  std::string client;  // Checked by wire::check_client_id.
  Duration lease = std::chrono::minutes(5);
  std::uint32_t window = 4;  // Pages under way at once: 8 MiB of objects, 1 to 2 MiB on the wire.
  BackoffOptions retry{std::chrono::seconds(2), std::chrono::seconds(30), 2, 0.25, std::chrono::minutes(2)};

  // Bounds. What does not fit is dropped like a lost message, and asked for again when there is room.
  std::size_t delivered_events = 16384;  // Waiting for the store; as many as there are objects, if that is more.
  std::size_t early_frames = 256;        // Waiting for the ones before them.
  std::size_t early_events = 65536;
  std::size_t delivered_patched_bytes = 256 << 20;  // Small messages may make large objects.
};

// Not thread-safe.
class Follower {
 public:
  Follower(Scope scope, FollowerOptions options, Clock& clock, Random& random);

  // Where the states are that patches are about, once they are consumed. Without it none is asked for, and one that
  // comes all the same is a gap. To be called before the first path_up().
  void find_stored_with(FindStored find) { find_stored_ = std::move(find); }

  const Scope& scope() const { return scope_; }
  const std::string& id() const { return id_; }

  enum class State : std::uint8_t {
    Idle,       // Not connected, or the provider is known to be away: nothing is asked.
    Asking,     // A watch is under way: to begin, or to close a gap. Frames that fit are taken all the same.
    Receiving,  // Pages of a snapshot come in.
    Repairing,  // The copy is compared with a snapshot, and what differs comes in.
    Following,  // No gap is known.
  };
  State state() const { return state_; }

  // The path to the provider is there (again): whatever was said meanwhile may be lost.
  void path_up();
  void path_down();
  // The consumer's store holds this, whatever was delivered: what differs from the provider's set is repaired. With a
  // position, it is exactly as the consumer left it there in an earlier life. An empty one begins with the full set.
  void repair_from(Inventory held, wire::Position at = wire::Position());

  void receive(const wire::Frame& frame);
  void receive(wire::Page page);
  void receive(const wire::Ranges& ranges);
  void receive(const wire::Objects& objects);
  void receive(const wire::Notice& notice);
  void receive(const wire::Digest::Stream& stream, Duration interval);

  // Lets time pass. Call at next_deadline() at the latest.
  void tick();
  TimePoint next_deadline() const { return deadline_; }

  // The next message for the provider, if there is one.
  std::optional<wire::Body> next_request();

  // What the consumer is to do next, in order. `at` is where its copy stands afterwards.
  struct FullSet {
    std::vector<ObjectPtr> objects;
    wire::Position at;
  };
  struct Changes {
    std::vector<WatchEvent> events;
    wire::Position at;
    bool exact = true;  // The copy is then what `at` stands for; else changes that were overtaken are still to come.
    std::size_t patched_bytes = 0;  // Of the objects that patches have made.
  };
  using Delivery = std::variant<FullSet, Changes, Error>;  // Error: the provider refuses; asked again later.
  const Delivery* peek_delivery() const { return deliveries_.empty() ? nullptr : &deliveries_.front(); }
  std::optional<Delivery> next_delivery();
  // Everything delivered so far is in the consumer's store; so is, when it takes the next delivery, the one before.
  void consumed();
  std::size_t waiting_events() const { return delivered_events_; }  // Of changes that were not taken yet.
  bool all_consumed() const { return all_consumed_ && deliveries_.empty(); }

  // Of what has been received; equals the store's once everything is consumed.
  const Inventory& inventory() const { return inventory_; }
  const wire::Position& position() const { return position_; }

  // The last moment at which the copy in the store is known to have been equal to the provider's, and that one to have
  // followed its API server; nothing before the first proof. Messages' time on the way is not known and not in it.
  std::optional<TimePoint> proven_at() const { return proven_at_; }
  // How long the provider had been without its API server when it last spoke of the copy; zero: it follows.
  Duration behind() const { return behind_; }

  struct Progress {
    std::uint64_t objects = 0;
    std::uint64_t total = 0;
  };
  Progress progress() const;

  struct Counts {
    std::uint64_t snapshots = 0, resumes = 0, repairs = 0, gaps = 0, mismatches = 0, contradictions = 0, dropped = 0,
                  patches = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  void ask(bool at_once);
  void ask_later();
  void follow();
  bool take(const wire::Frame& frame);
  void keep_early(const wire::Frame& frame);
  void keep_early_of(const std::string& epoch);
  void take_early();
  std::optional<std::vector<ObjectPtr>> patched_objects(const wire::Frame& frame) const;
  void deliver(Delivery delivery);
  void drop_deliveries();
  void drop_incoming();
  void fetch(std::vector<IncomingSnapshot::Pages> pages);
  void finish_snapshot();
  void proceed();
  void finish_repair();
  bool exact() const { return position_.sequence >= complete_from_; }
  TimePoint current_at(std::uint32_t behind_seconds);
  void stand_at(const wire::Position& position, TimePoint current_at);
  void set_deadline(Duration from_now);
  void check(const wire::Digest::Stream& stream);
  void prove();

  // Constant after construction.
  const Scope scope_;
  const std::string id_;
  const FollowerOptions options_;

  Clock& clock_;
  Random& random_;
  Backoff backoff_;
  Backoff contradicted_;   // How soon we ask again where answers contradict themselves.
  std::uint64_t request_;  // Of the last watch.
  State state_ = State::Idle;
  TimePoint deadline_ = TimePoint::max();
  TimePoint asked_at_{};

  // The copy as received.
  wire::Position position_;
  // Frames leave out what later changes overtook: from here on the copy is what its position stands for, and until then
  // only where none of those has struck.
  std::uint64_t complete_from_ = 0;
  Inventory inventory_;

  std::map<std::uint64_t, wire::Frame> early_;  // By `after`, all of position_'s epoch or of the incoming snapshot's.
  std::size_t early_events_ = 0;
  std::optional<IncomingSnapshot> incoming_;
  std::optional<Reconciliation> repair_;
  TimePoint answer_current_at_{};  // Of what comes in; as in Proof.
  // What the last watch named.
  wire::Position asked_have_;
  std::optional<Fingerprint> asked_inventory_;
  int fruitless_ = 0;             // Questions of the incoming snapshot or repair that brought nothing, in a row.
  bool ask_whole_ = false;        // A repair did not lead to equality: the next answer is to be the whole set.
  std::uint64_t resumed_to_ = 0;  // Where the provider said that it would bring us.

  std::deque<wire::Body> requests_;
  std::deque<Delivery> deliveries_;
  std::size_t delivered_events_ = 0;
  std::size_t delivered_patched_bytes_ = 0;
  std::uint64_t made_ = 0;   // Deliveries,
  std::uint64_t taken_ = 0;  // and how many of them the consumer has taken.
  FindStored find_stored_;
  Unstored unstored_;  // Filled only where patches may come.
  bool all_consumed_ = true;
  std::optional<wire::Digest::Stream> claim_;  // The last digest, until it is met or overtaken.
  TimePoint claimed_at_{};
  // Digests in a row that stand before the copy, which has not moved since the first of them.
  int digests_before_us_ = 0;
  std::uint64_t before_sequence_ = 0;
  Duration digest_interval_ = std::chrono::seconds(30);
  // A digest that was met, but whose objects the store may not have yet.
  struct Proof {
    wire::Position at;
    TimePoint current_at;  // When the provider's own copy was last known to be current.
  };
  std::optional<Proof> proof_;
  std::optional<TimePoint> proven_at_;
  Duration behind_{};
  Counts counts_;
};

}  // namespace tinf
