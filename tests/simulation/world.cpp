#include "tests/simulation/world.h"

#include <xxhash.h>

#include <set>

namespace tinf::simulation {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTrouble = 2min;
constexpr Duration kQuiet = 6min;              // Longer than every retry, lease and digest interval together.
constexpr std::size_t kMaximumMessage = 2048;  // Small, so that parts and pages are everyday matters.

ObjectPtr make_object(const std::string& name, std::uint64_t uid, std::uint64_t version, std::size_t padding) {
  return *Object::parse(R"({"metadata":{"name":")" + name + R"(","namespace":"n","uid":"u)" + std::to_string(uid) +
                        R"(","resourceVersion":")" + std::to_string(version) + R"("},"p":")" +
                        std::string(padding, static_cast<char>('a' + version % 26)) + "\"}");
}

Fingerprint fingerprint_of(const std::map<ObjectKey, ObjectPtr>& objects) {
  Fingerprint fingerprint;
  for (const auto& [key, object] : objects) fingerprint.add(EntryHash::of(*object));
  return fingerprint;
}

class World {
 public:
  explicit World(const Story& story) : story_(story), random_(story.seed), network_(story.seed * 7919 + 1) {}

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
    if (!provider_up_) provider_connects(true);
    for (std::size_t i = 0; i < consumers_.size(); ++i) {
      if (!consumers_[i].up) follower_connects(i, true);
    }
    quiet_since_ = clock_.now();
    run_until(clock_.now() + kQuiet);
    judge();
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
    bool up = false;
    std::uint64_t life = 0;
    std::map<ObjectKey, ObjectPtr> store;
    std::map<ObjectKey, std::uint64_t> newest;  // Versions seen in this life, per key.
    std::optional<TimePoint> last_proof;
    bool slow = false;
  };

  void at(Duration delay, std::function<void()> act) {
    events_.push(Event{clock_.now() + delay, ++order_, std::move(act)});
  }

  void violation(std::string what) {
    if (outcome_.violations.size() < 5) outcome_.violations.push_back(std::move(what));
  }

  // --- the truth -----------------------------------------------------------------------------------------------------

  void change() {
    ++outcome_.changes;
    const std::string name = "o" + std::to_string(random_.below(50));
    const ObjectKey key{"n", name};
    const auto held = truth_.find(key);
    const std::uint64_t version = ++version_;
    if (held != truth_.end() && random_.chance(0.3)) {
      const ObjectPtr gone = held->second;
      truth_.erase(held);
      tell(WatchEvent::deleted(ObjectKey(key), std::string(gone->uid()), std::to_string(version)));
      if (random_.chance(0.5)) return;
      const auto again = make_object(name, ++uid_, ++version_, random_.below(300));
      truth_[key] = again;
      return tell(WatchEvent::added(again));
    }
    const std::uint64_t uid = held != truth_.end() ? std::stoull(std::string(held->second->uid().substr(1))) : ++uid_;
    const std::size_t padding = random_.chance(0.02) ? 9000 : random_.below(300);
    const auto made = make_object(name, uid, version, padding);
    truth_[key] = made;
    tell(held != truth_.end() ? WatchEvent::modified(made) : WatchEvent::added(made));
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
    options.stream.frame_bytes = 600;
    options.stream.log_entries = random_.chance(0.3) ? 16 : 1000;
    options.digest_interval = 10s;
    options.longest_lease = 40s;
    provider_ = std::make_unique<ProviderCore>(options, random_);
    provider_sender_ = std::make_unique<wire::Sender>("c1", options.instance);
    provider_decoder_ = std::make_unique<wire::Decoder>();
    watching_ = false;
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
    provider_->connected(clock_.now());
    pump_provider();
  }

  // The shell's work: run the sources that are wanted, send what there is to send.
  void pump_provider() {
    if (!provider_) return;
    const bool wanted = !provider_->streams().empty();
    if (!wanted) watching_ = false;
    if (wanted && !watching_ && !listing_) {
      listing_ = true;
      at(random_.between(10ms, 3s), [this, life = provider_life_] {
        listing_ = false;
        if (life == provider_life_ && provider_ && !provider_->streams().empty()) relist();
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
    for (const auto& [key, object] : truth_) all.objects.push_back(object);
    provider_->replace(clock_.now(), scope_.id(), std::move(all));
    watching_ = true;
    remember_state();
  }

  // --- the followers -------------------------------------------------------------------------------------------------

  void start_follower(std::size_t i) {
    Consumer& consumer = consumers_[i];
    ++consumer.life;
    FollowerOptions options;
    options.client = "f" + std::to_string(i);
    options.window = static_cast<std::uint32_t>(1 + random_.below(4));
    options.lease = 30s;
    options.mutation = story_.mutation;
    if (random_.chance(0.3)) options.delivered_events = 8;
    if (random_.chance(0.3)) options.early_frames = 2;
    consumer.follower = std::make_unique<Follower>(scope_, options, clock_, random_);
    consumer.decoder = std::make_unique<wire::Decoder>();
    consumer.sender = std::make_unique<wire::Sender>(options.client, std::to_string(consumer.life));
    consumer.store.clear();
    consumer.newest.clear();
    consumer.last_proof.reset();
    consumer.slow = random_.chance(0.3);
    follower_connects(i, true);
    renew(i, consumer.life);
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
        consumer.store.clear();
        for (ObjectPtr& object : set->objects) put(consumer, std::move(object));
      } else if (auto* changes = std::get_if<Follower::Changes>(&*delivery)) {
        for (WatchEvent& event : changes->events) {
          if (event.type == EventType::Deleted) {
            consumer.store.erase(event.key);
          } else {
            put(consumer, std::move(event.object));
          }
        }
      }
    }
    consumer.follower->consumed();
    pump_follower(i);
  }

  void put(Consumer& consumer, ObjectPtr object) {
    const std::uint64_t version = std::stoull(std::string(object->resource_version()));
    std::uint64_t& newest = consumer.newest[object->key()];
    if (version < newest) {
      violation("order: " + object->key().to_string() + " went back from " + std::to_string(newest) + " to " +
                std::to_string(version));
    }
    newest = std::max(newest, version);
    consumer.store[object->key()] = std::move(object);
  }

  // A claimed proof must be true: the store is what the provider's state of that number was.
  void claim(std::size_t i) {
    Consumer& consumer = consumers_[i];
    const auto proof = consumer.follower->proven_at();
    if (!proof || proof == consumer.last_proof) return;
    consumer.last_proof = proof;
    ++outcome_.proofs;
    const wire::Position position = consumer.follower->position();
    const auto& states = states_[position.epoch];
    const auto state = states.find(position.sequence);
    if (state == states.end() || state->second != fingerprint_of(consumer.store)) {
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
          network_.chance(conditions_.long_delay) ? network_.between(0s, 30s) : network_.between(1ms, 50ms);
      at(delay, deliver);
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
      if (auto* notice = std::get_if<wire::Notice>(&body)) consumer.follower->receive(*notice);
      if (auto* digest = std::get_if<wire::Digest>(&body)) {
        for (const auto& stream : digest->streams) {
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
      const std::uint64_t kind = random_.below(5);
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
        return start_follower(who);  // Killed and started again; its store was memory.
      case 2:  // The API server's watch expired: changes are missed, then a new list shows what they came to.
        watching_ = false;
        return pump_provider();
      case 3:
        provider_connects(false);
        return at(random_.between(1s, 20s), [this] { provider_connects(true); });
      case 4:
        follower_connects(who, false);
        return at(random_.between(1s, 20s), [this, who, life = consumers_[who].life] {
          if (consumers_[who].life == life) follower_connects(who, true);
        });
    }
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
      for (const auto& [key, object] : truth_) {
        const auto held = consumer.store.find(key);
        if (held == consumer.store.end()) {
          violation("convergence: " + who + " lacks " + key.to_string());
        } else if (held->second->raw() != object->raw()) {
          violation("convergence: " + who + " holds another " + key.to_string());
        }
      }
      for (const auto& [key, object] : consumer.store) {
        if (!truth_.count(key)) violation("delete: " + who + " still holds " + key.to_string());
      }
      const auto proof = consumer.follower->proven_at();
      if (!proof || *proof < quiet_since_) violation("proof: " + who + " has not proven its copy since all was quiet");
    }
  }

  void note(const std::string& what) { trace_ += std::to_string(clock_.now().time_since_epoch().count()) + what + ";"; }

  const Story story_;
  Random random_;
  Random network_;
  ManualClock clock_;
  Conditions conditions_;
  const Scope scope_{{"", "v1", "configmaps"}, "", "", "", Projection::Full};

  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  TimePoint next_wake_{};

  std::map<ObjectKey, ObjectPtr> truth_;
  std::uint64_t version_ = 0;
  std::uint64_t uid_ = 0;

  std::unique_ptr<ProviderCore> provider_;
  std::unique_ptr<wire::Sender> provider_sender_;
  std::unique_ptr<wire::Decoder> provider_decoder_;
  std::uint64_t provider_life_ = 0;
  bool provider_up_ = false;
  bool watching_ = false;
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
