#include "tests/simulation/world.h"

#include <xxhash.h>

#include <algorithm>
#include <set>

namespace tinf::simulation {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTrouble = 2min;
constexpr Duration kQuiet = 6min;  // Longer than every retry, lease and digest interval together.
constexpr Duration kLongestWay = 30s;
constexpr std::size_t kMaximumMessage = 2048;  // Small, so that parts and pages are everyday matters.

class World {
 public:
  explicit World(const Story& story) : random_(story.seed), network_(story.seed * 7919 + 1) {
    wire::broken_rule = story.broken;
  }

  Outcome play() {
    conditions_ = Conditions{random_.fraction() * 0.3, random_.fraction() * 0.2, random_.fraction() * 0.1};
    const std::size_t objects = 1 + random_.below(40);
    for (std::size_t i = 0; i < objects; ++i) change();
    start_provider();
    const std::size_t followers = 1 + random_.below(3);
    for (std::size_t i = 0; i < followers; ++i) {
      consumers_.emplace_back();
      start_follower(i);
    }
    schedule_trouble();
    run_until(clock_.now() + kTrouble);

    conditions_ = Conditions();
    outage_until_ = clock_.now();
    if (!provider_up_) provider_connects(true);
    for (std::size_t i = 0; i < consumers_.size(); ++i) {
      if (!consumers_[i].up) follower_connects(i, true);
    }
    quiet_since_ = clock_.now();
    run_until(clock_.now() + kQuiet);
    judge();
    for (const Consumer& consumer : consumers_) count(consumer);
    outcome_.digest = XXH3_64bits(trace_.data(), trace_.size());
    return std::move(outcome_);
  }

 private:
  struct Event {
    TimePoint at;
    std::uint64_t order;
    std::function<void()> act;
    bool operator<(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  // An informer: a follower, and the store that it feeds.
  struct Consumer {
    std::unique_ptr<Follower> follower;
    std::unique_ptr<wire::Decoder> decoder;
    std::unique_ptr<wire::Sender> sender;
    DigestLedger digests;
    bool up = false;
    std::uint64_t life = 0;
    std::map<ObjectKey, ObjectPtr> store;
    wire::Position stored_at;  // Where the store stands.
    Truth::Shown shown;
    std::optional<TimePoint> last_proof;
    bool slow = false;
    bool forgetful = false;    // The store does not always find what it holds.
    bool durable = false;      // The store survives its informer.
    bool altered = false;      // Somebody has changed the store behind our back, and nobody has looked since.
    bool was_altered = false;  // Ever.
  };

  void at(Duration delay, std::function<void()> act) {
    events_.push(Event{clock_.now() + delay, ++order_, std::move(act)});
  }

  void violation(std::string what) {
    if (outcome_.violations.size() < 5) outcome_.violations.push_back(std::move(what));
  }

  void count(const Consumer& consumer) {
    const Follower::Counts& counts = consumer.follower->counts();
    outcome_.snapshots += counts.snapshots;
    outcome_.resumes += counts.resumes;
    outcome_.repairs += counts.repairs;
    outcome_.patches += counts.patches;
    // Repaired it would be; but where both sides keep to the rules there is nothing to repair.
    if (counts.mismatches > 0 && !consumer.was_altered) violation("a copy was not what its own position stands for");
  }

  // --- the truth -----------------------------------------------------------------------------------------------------

  // etcd is set back to a backup: versions go back, and are given to other states later.
  void restore() {
    truth_.set_back(backup_.objects, clock_.now());
    version_ = backup_.version;
    lose_watch(0s);
  }

  void change() {
    ++outcome_.changes;
    for (WatchEvent& event : truth_.change(random_, version_, clock_.now())) tell(std::move(event));
    if (random_.chance(0.05)) backup_ = Backup{truth_.objects(), version_};
  }

  void tell(WatchEvent event) {
    if (!provider_ || !watching_) return;
    EventBatch batch{{std::move(event)}, ResourceVersion(std::to_string(version_)), false};
    provider_->apply(clock_.now(), scope_.id(), batch);
    remember_state();
    pump_provider();
  }

  // Every state that a provider ever gave a number, so that a proof can be held against it.
  void remember_state() {
    for (const auto& [id, stream] : provider_->streams()) {
      if (stream->ready()) states_[stream->position().epoch][stream->position().sequence] = stream->fingerprint();
    }
  }

  // --- the provider --------------------------------------------------------------------------------------------------

  void start_provider() {
    ++provider_life_;
    ProviderOptions options;
    options.cluster = "c1";
    options.instance = std::to_string(provider_life_);
    options.page_bytes = options.stream.frame_bytes = 600;
    options.stream.log_entries = random_.chance(0.3) ? 16 : 1000;
    if (random_.chance(0.2)) options.stream.base_bytes = 2000;
    options.digest_interval = 10s;
    options.longest_lease = 40s;
    provider_ = std::make_unique<ProviderCore>(options, random_);
    provider_sender_ = std::make_unique<wire::Sender>("c1", options.instance);
    provider_decoder_ = std::make_unique<wire::Decoder>();
    watching_ = listing_ = false;
    provider_->offer({ResourceInfo{scope_.resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}},
                     "", "");
    provider_connects(true);
  }

  void crash_provider() {
    provider_ = nullptr;
    provider_up_ = false;
    at(1s + random_.between(0s, 20s), [this] {
      if (!provider_) start_provider();
    });
  }

  void provider_connects(bool up) {
    provider_up_ = up;
    if (!up || !provider_) return;
    provider_->connected(clock_.now(), kMaximumMessage);
    pump_provider();
  }

  // The shell's work: run the sources that are wanted, send what there is to send.
  void pump_provider() {
    if (!provider_) return;
    const bool wanted = !provider_->streams().empty();
    if (!wanted) watching_ = false;
    if (wanted && !watching_ && !listing_) {
      listing_ = true;
      const Duration away = std::max<Duration>(outage_until_ - clock_.now(), 0s);
      at(away + random_.between(10ms, 3s), [this, life = provider_life_] {
        if (life != provider_life_) return;
        listing_ = false;
        if (provider_ && !provider_->streams().empty() && outage_until_ <= clock_.now()) relist();
        pump_provider();
      });
    }
    if (!provider_up_) return;
    while (auto outgoing = provider_->next_message(clock_.now())) {
      for (const Message& message :
           wire::to_messages(outgoing->encoded, outgoing->topic, *provider_sender_, kMaximumMessage)) {
        for (std::size_t i = 0; i < consumers_.size(); ++i) send_to_follower(i, message);
      }
    }
    wake(provider_->next_deadline());
  }

  void relist() {
    Snapshot all;
    all.version = ResourceVersion(std::to_string(version_));
    for (const auto& [key, object] : truth_.objects()) all.objects.push_back(object);
    provider_->replace(clock_.now(), scope_.id(), std::move(all));
    watching_ = true;
    provider_->report(clock_.now(), scope_.id(), Result<void>());
    remember_state();
  }

  // The API server ends the watch, and is away for a while: what changes meanwhile is found by a list.
  void lose_watch(Duration away) {
    if (watching_) current_at_ = clock_.now();
    watching_ = false;
    outage_until_ = std::max(outage_until_, clock_.now() + away);
    if (provider_) provider_->report(current_at_, scope_.id(), Error(Code::Unavailable, "away"));
    pump_provider();
  }

  // --- the followers -------------------------------------------------------------------------------------------------

  void start_follower(std::size_t i) {
    Consumer& consumer = consumers_[i];
    ++consumer.life;
    FollowerOptions options;
    options.client = "f" + std::to_string(i);
    options.window = static_cast<std::uint32_t>(1 + random_.below(4));
    options.lease = 30s;
    if (random_.chance(0.3)) options.delivered_events = 8;
    if (random_.chance(0.3)) options.early_frames = 2;
    if (consumer.follower) count(consumer);
    consumer.follower = std::make_unique<Follower>(scope_, options, clock_, random_);
    consumer.decoder = std::make_unique<wire::Decoder>();
    consumer.digests = DigestLedger();
    consumer.sender = std::make_unique<wire::Sender>(options.client, std::to_string(consumer.life));
    consumer.last_proof.reset();
    consumer.slow = random_.chance(0.3);
    consumer.forgetful = random_.chance(0.1);
    if (random_.chance(0.9)) {
      consumer.follower->find_stored_with([this, i](const ObjectKey& key) -> ObjectPtr {
        const auto held = consumers_[i].store.find(key);
        const bool forgotten = consumers_[i].forgetful && random_.chance(0.5);
        return held == consumers_[i].store.end() || forgotten ? nullptr : held->second;
      });
    }
    if (consumer.life == 1) consumer.durable = random_.chance(0.5);
    if (consumer.durable && random_.chance(0.8)) {
      consumer.follower->repair_from(measured(consumer), random_.chance(0.5) ? consumer.stored_at : wire::Position());
      consumer.altered = false;
    } else {
      consumer.store.clear();
      consumer.stored_at = wire::Position();
      consumer.shown.clear();
    }
    follower_connects(i, true);
    renew(i, consumer.life);
  }

  Inventory measured(const Consumer& consumer) const {
    Inventory inventory;
    for (const auto& [key, object] : consumer.store) inventory.put(key, EntryHash::of(*object));
    return inventory;
  }

  // Somebody else writes into the store; later its bytes are measured, as a session does again and again.
  void alter_store(std::size_t i) {
    Consumer& consumer = consumers_[i];
    if (consumer.store.empty()) return;
    consumer.altered = consumer.was_altered = true;
    auto victim = consumer.store.begin();
    std::advance(victim, static_cast<std::ptrdiff_t>(random_.below(consumer.store.size())));
    if (random_.chance(0.5)) {
      victim->second = make_object(victim->first, 0, ++forged_, 5);
    } else {
      consumer.store.erase(victim);
    }
    at(random_.between(0s, 10s), [this, i, life = consumer.life] {
      Consumer& looked_at = consumers_[i];
      if (looked_at.life != life) return;
      looked_at.altered = false;
      looked_at.follower->repair_from(measured(looked_at));
      pump_follower(i);
    });
  }

  void follower_connects(std::size_t i, bool up) {
    Consumer& consumer = consumers_[i];
    consumer.up = up;
    if (up) {
      consumer.follower->path_up();
      pump_follower(i);
    } else {
      consumer.follower->path_down();
    }
  }

  void renew(std::size_t i, std::uint64_t life) {
    Consumer& consumer = consumers_[i];
    if (consumer.life != life) return;
    if (consumer.up) send_to_provider(i, wire::Renew{"f" + std::to_string(i), {scope_.id()}});
    at(10s, [this, i, life] { renew(i, life); });
  }

  void pump_follower(std::size_t i) {
    Consumer& consumer = consumers_[i];
    while (auto request = consumer.follower->next_request()) send_to_provider(i, *request);
    if (consumer.follower->peek_delivery()) {
      at(consumer.slow ? random_.between(0s, 2s) : 0s, [this, i, life = consumer.life] {
        if (consumers_[i].life == life) consume(i);
      });
    }
    claim(i);
    wake(consumer.follower->next_deadline());
  }

  void consume(std::size_t i) {
    Consumer& consumer = consumers_[i];
    while (auto delivery = consumer.follower->next_delivery()) {
      if (auto* set = std::get_if<Follower::FullSet>(&*delivery)) {
        std::set<ObjectKey> gone;
        for (const auto& [key, object] : consumer.store) gone.insert(key);
        for (const ObjectPtr& object : set->objects) gone.erase(object->key());
        for (const ObjectKey& key : gone) put(consumer, key, nullptr);
        for (ObjectPtr& object : set->objects) put(consumer, object->key(), object);
        consumer.stored_at = set->at;
      } else if (auto* changes = std::get_if<Follower::Changes>(&*delivery)) {
        for (WatchEvent& event : changes->events) {
          put(consumer, event.key, event.type == EventType::Deleted ? nullptr : std::move(event.object));
        }
        consumer.stored_at = changes->exact ? changes->at : wire::Position();
      }
    }
    consumer.follower->consumed();
    pump_follower(i);
  }

  // Stores a state, which must be the one that is stored already or one that the truth was in after that.
  void put(Consumer& consumer, const ObjectKey& key, ObjectPtr object) {
    if (!truth_.leads_to(key, object.get(), consumer.shown))
      violation("order: " + key.to_string() + " was given a state from before the one that it had");
    if (object) {
      consumer.store[key] = std::move(object);
    } else {
      consumer.store.erase(key);
    }
  }

  // A claimed proof must be true: the store is what the provider's state of that number was.
  void claim(std::size_t i) {
    Consumer& consumer = consumers_[i];
    const auto proof = consumer.follower->proven_at();
    if (!proof || proof == consumer.last_proof) return;
    consumer.last_proof = proof;
    ++outcome_.proofs;
    if (consumer.altered) return;
    const Fingerprint held = fingerprint_of(consumer.store);
    // It is dated by the moment at which the provider last saw the cluster; time on the way is not in it.
    if (!truth_.was(held, *proof - kLongestWay))
      violation("proof: follower " + std::to_string(i) + " claims to equal the cluster at a time at which it did not");
    const wire::Position position = consumer.follower->position();
    const auto& states = states_[position.epoch];
    const auto state = states.find(position.sequence);
    if (state == states.end() || state->second != held) {
      violation("proof: follower " + std::to_string(i) + " claims to equal a state that it does not");
    }
  }

  // --- the network ---------------------------------------------------------------------------------------------------

  template <class Deliver>
  void carry(Deliver deliver) {
    ++outcome_.messages;
    if (network_.chance(conditions_.drop)) return;
    const int copies = network_.chance(conditions_.repeat) ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) {
      const Duration delay =
          network_.chance(conditions_.long_delay) ? network_.between(0s, kLongestWay) : network_.between(1ms, 50ms);
      at(delay, [this, deliver, life = broker_life_] {
        if (life == broker_life_) deliver();
      });
    }
  }

  void send_to_follower(std::size_t i, const Message& message) {
    if (message.topic.find("/reply/") != std::string::npos &&
        message.topic != "/payload/c1/reply/f" + std::to_string(i))
      return;
    if (!consumers_[i].up) return;
    carry([this, i, message] {
      Consumer& consumer = consumers_[i];
      if (!consumer.up) return;
      auto decoded = consumer.decoder->decode(message);
      if (!decoded) return violation("wire: " + decoded.error().message);
      if (!*decoded) return;
      wire::Body& body = (*decoded)->body;
      note("f" + std::to_string(i) + std::to_string(body.index()));
      if (auto* frame = std::get_if<wire::Frame>(&body)) consumer.follower->receive(*frame);
      if (auto* page = std::get_if<wire::Page>(&body)) consumer.follower->receive(std::move(*page));
      if (auto* ranges = std::get_if<wire::Ranges>(&body)) consumer.follower->receive(*ranges);
      if (auto* objects = std::get_if<wire::Objects>(&body)) consumer.follower->receive(*objects);
      if (auto* notice = std::get_if<wire::Notice>(&body)) consumer.follower->receive(*notice);
      if (auto* digest = std::get_if<wire::Digest>(&body)) {
        for (const auto& stream : consumer.digests.read((*decoded)->source, *digest)) {
          if (stream.scope == scope_.id())
            consumer.follower->receive(stream, std::chrono::seconds(digest->interval_seconds));
        }
      }
      pump_follower(i);
    });
  }

  void send_to_provider(std::size_t i, const wire::Body& body) {
    if (!consumers_[i].up) return;
    for (const Message& message :
         wire::to_messages(wire::encode(body), "/signal/c1", *consumers_[i].sender, kMaximumMessage)) {
      carry([this, message] {
        if (!provider_ || !provider_up_) return;
        auto decoded = provider_decoder_->decode(message);
        if (!decoded) return violation("wire: " + decoded.error().message);
        if (!*decoded) return;
        note("p" + std::to_string((*decoded)->body.index()));
        provider_->receive(clock_.now(), (*decoded)->body);
        pump_provider();
      });
    }
  }

  // --- trouble, and the course of things -----------------------------------------------------------------------------

  void schedule_trouble() {
    const std::size_t changes = 20 + random_.below(200);
    for (std::size_t i = 0; i < changes; ++i) at(random_.between(0s, kTrouble), [this] { change(); });
    // A burst, as a controller at work makes it.
    at(random_.between(0s, kTrouble), [this] {
      for (int i = 0; i < 60; ++i) change();
    });
    const std::size_t mishaps = random_.below(8);
    for (std::size_t i = 0; i < mishaps; ++i) {
      const std::uint64_t kind = random_.below(9);
      const std::size_t who = random_.below(consumers_.size());
      at(random_.between(0s, kTrouble - 25s), [this, kind, who] { mishap(kind, who); });
    }
  }

  void mishap(std::uint64_t kind, std::size_t who) {
    note("m" + std::to_string(kind));
    switch (kind) {
      case 0:
        if (provider_) crash_provider();
        return;
      case 1:
        return start_follower(who);  // Killed and started again; its store was memory, or a disk.
      case 2:                        // The watch expired.
        return lose_watch(0s);
      case 3:
        return cut_off_provider();
      case 4:
        return cut_off_follower(who);
      case 5:
        return lose_watch(random_.between(1s, 60s));
      case 6:
        return restore();
      case 7:  // The broker dies with all that was on its way.
        ++broker_life_;
        cut_off_provider();
        for (std::size_t i = 0; i < consumers_.size(); ++i) cut_off_follower(i);
        return;
      case 8:
        return alter_store(who);
    }
  }

  void cut_off_provider() {
    provider_connects(false);
    at(random_.between(1s, 20s), [this] { provider_connects(true); });
  }

  void cut_off_follower(std::size_t who) {
    follower_connects(who, false);
    at(random_.between(1s, 20s), [this, who, life = consumers_[who].life] {
      if (consumers_[who].life == life) follower_connects(who, true);
    });
  }

  // Timers: whoever has a deadline is looked at when it comes.
  void wake(TimePoint deadline) {
    if (deadline == TimePoint::max() || (next_wake_ > clock_.now() && next_wake_ <= deadline)) return;
    next_wake_ = std::max(deadline, clock_.now() + 1ms);
    events_.push(Event{next_wake_, ++order_, [this] { tick(); }});
  }

  void tick() {
    if (provider_) {
      provider_->tick(clock_.now());
      pump_provider();
    }
    for (std::size_t i = 0; i < consumers_.size(); ++i) {
      consumers_[i].follower->tick();
      pump_follower(i);
    }
  }

  void run_until(TimePoint end) {
    while (!events_.empty() && events_.top().at <= end) {
      const Event event = events_.top();
      events_.pop();
      clock_.move_to(event.at);
      event.act();
    }
    clock_.move_to(end);
  }

  void judge() {
    for (std::size_t i = 0; i < consumers_.size(); ++i) {
      Consumer& consumer = consumers_[i];
      const std::string who = "follower " + std::to_string(i);
      for (const auto& [key, object] : truth_.objects()) {
        const auto held = consumer.store.find(key);
        if (held == consumer.store.end()) {
          violation("convergence: " + who + " lacks " + key.to_string());
        } else if (held->second->raw() != object->raw()) {
          violation("convergence: " + who + " holds another " + key.to_string());
        }
      }
      for (const auto& [key, object] : consumer.store) {
        if (!truth_.objects().count(key)) violation("delete: " + who + " still holds " + key.to_string());
      }
      const auto proof = consumer.follower->proven_at();
      if (!proof || *proof < quiet_since_) violation("proof: " + who + " has not proven its copy since all was quiet");
    }
  }

  void note(const std::string& what) { trace_ += std::to_string(clock_.now().time_since_epoch().count()) + what + ";"; }

  Random random_;
  Random network_;
  ManualClock clock_;
  Conditions conditions_;
  const Scope scope_{{"", "v1", "configmaps"}, "", "", "", Projection::Full};

  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  TimePoint next_wake_{};

  struct Backup {
    Objects objects;
    std::uint64_t version = 0;
  };
  Truth truth_;
  Backup backup_;
  TimePoint outage_until_{};
  std::uint64_t broker_life_ = 0;
  std::uint64_t version_ = 0;
  std::uint64_t forged_ = 0;

  std::unique_ptr<ProviderCore> provider_;
  std::unique_ptr<wire::Sender> provider_sender_;
  std::unique_ptr<wire::Decoder> provider_decoder_;
  std::uint64_t provider_life_ = 0;
  bool provider_up_ = false;
  bool watching_ = false;
  TimePoint current_at_{};  // When the watch was last lost.
  bool listing_ = false;
  std::map<std::string, std::map<std::uint64_t, Fingerprint>> states_;

  std::vector<Consumer> consumers_;
  TimePoint quiet_since_{};
  std::string trace_;
  Outcome outcome_;
};

}  // namespace

Outcome play(const Story& story) {
  return World(story).play();
}

}  // namespace tinf::simulation
