// What it costs on the wire to make a copy equal that differs a little, a lot, or not at all: bytes and round trips
// between the two sides themselves, with nothing between them.
#include <gtest/gtest.h>

#include "tests/simulation/world.h"
#include "tinf/wire/codec.h"

namespace tinf::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kObjects = 100000;

ObjectPtr configmap(std::size_t number, std::uint64_t version) {
  // About 500 bytes, of which those that make an object its own do not compress.
  Random random(number * 1000003 + version);
  std::string noise;
  while (noise.size() < 200)
    noise += "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[random.below(64)];
  const std::string name = "config-" + std::to_string(1000000 + number);
  return *Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + name +
                        R"(","namespace":"team-)" + std::to_string(number % 10) + R"(","uid":"7c0e-)" +
                        std::to_string(number) + R"(","resourceVersion":")" + std::to_string(version) +
                        R"(","labels":{"app":"shop","tier":"front"},"annotations":{"owner":"team@example.com"}},)" +
                        R"("data":{"color":"blue","size":"large","secret-of-nobody":")" + noise + "\"}}");
}

// One provider and one informer; whatever either says reaches the other at once.
class Pair {
 public:
  explicit Pair(const std::vector<ObjectPtr>& objects) : random_(1) {
    ProviderOptions options;
    options.cluster = "c1";
    provider_.emplace(options, random_);
    provider_->offer({ResourceInfo{scope_.resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}},
                     "", "");
    provider_->connected(clock_.now(), 256 << 10);
    FollowerOptions following;
    following.client = "hub";
    follower_.emplace(scope_, following, clock_, random_);
    wire::Watch first;
    first.client = "somebody-else";
    first.scope = scope_;
    first.lease_seconds = 600;
    first.window = 1;
    provider_->receive(clock_.now(), first);
    provider_->replace(clock_.now(), scope_.id(), Snapshot{objects, ResourceVersion("1")});
    while (provider_->next_message(clock_.now())) {
    }
  }

  void keeps(const std::vector<ObjectPtr>& objects) {
    Inventory inventory;
    for (const ObjectPtr& object : objects) inventory.put(object->key(), EntryHash::of(*object));
    follower_->repair_from(std::move(inventory));
  }

  void change(ObjectPtr object) {
    EventBatch batch{{WatchEvent::modified(std::move(object))}, ResourceVersion("2"), false};
    provider_->apply(clock_.now(), scope_.id(), batch);
  }

  struct Cost {
    std::size_t bytes = 0;
    int round_trips = 0;
    std::size_t events = 0;
    bool whole_set = false;
  };
  // `each_round` is called between question and answer.
  Cost connect(const std::function<void()>& each_round = [] {}) {
    Cost cost;
    follower_->path_up();
    wire::Sender hub("hub", "0123456789abcdef"), member("c1", "0123456789abcdef");
    wire::Decoder decoder;
    for (int round = 0; round < 10000; ++round) {
      bool asked = false;
      while (auto question = follower_->next_request()) {
        asked = true;
        for (const Message& message : wire::to_messages(wire::encode(*question), "/signal/c1", hub, 256 << 10))
          cost.bytes += message_bytes(message);
        provider_->receive(clock_.now(), *question);
      }
      if (asked) {
        ++cost.round_trips;
        each_round();
      }
      bool said = false;
      while (auto answer = provider_->next_message(clock_.now())) {
        if (answer->topic.find("somebody") != std::string::npos) continue;
        said = true;
        for (const Message& message : wire::to_messages(answer->encoded, answer->topic, member, 256 << 10)) {
          cost.bytes += message_bytes(message);
          auto decoded = decoder.decode(message);
          if (!decoded || !*decoded) continue;
          wire::Body& body = (*decoded)->body;
          if (auto* frame = std::get_if<wire::Frame>(&body)) follower_->receive(*frame);
          if (auto* page = std::get_if<wire::Page>(&body)) follower_->receive(std::move(*page));
          if (auto* ranges = std::get_if<wire::Ranges>(&body)) follower_->receive(*ranges);
          if (auto* objects = std::get_if<wire::Objects>(&body)) follower_->receive(*objects);
          if (auto* notice = std::get_if<wire::Notice>(&body)) follower_->receive(*notice);
          if (auto* digest = std::get_if<wire::Digest>(&body)) follower_->receive(digest->streams.at(0), 30s);
        }
      }
      while (auto delivery = follower_->next_delivery()) {
        cost.whole_set = cost.whole_set || std::holds_alternative<Follower::FullSet>(*delivery);
        if (auto* changes = std::get_if<Follower::Changes>(&*delivery)) cost.events += changes->events.size();
      }
      follower_->consumed();
      if (!asked && !said && follower_->proven_at() && equal()) break;
      if (!asked && !said) clock_.move_to(clock_.now() + 1s);  // Until the next digest.
    }
    return cost;
  }

  // The copy is proven, and equal to what the provider holds now.
  bool proven() const { return follower_->proven_at() && equal(); }

 private:
  bool equal() const {
    return follower_->inventory().fingerprint() == provider_->streams().at(scope_.id())->fingerprint();
  }

  const Scope scope_{{"", "v1", "configmaps"}, "", "", "", Projection::Full};
  ManualClock clock_;
  Random random_;
  std::optional<ProviderCore> provider_;
  std::optional<Follower> follower_;
};

std::vector<ObjectPtr> objects() {
  std::vector<ObjectPtr> all;
  all.reserve(kObjects);
  for (std::size_t i = 0; i < kObjects; ++i) all.push_back(configmap(i, 1));
  return all;
}

void tell(const char* what, const Pair::Cost& cost) {
  std::printf("%s: %zu bytes, %d round trips, %zu events\n", what, cost.bytes, cost.round_trips, cost.events);
}

TEST(RepairCost, OfAnEqualCopyIsOneRoundTripAndTwoKilobytes) {
  const auto all = objects();
  Pair pair(all);
  pair.keeps(all);
  const Pair::Cost cost = pair.connect();
  tell("no difference", cost);
  EXPECT_TRUE(pair.proven());
  EXPECT_FALSE(cost.whole_set);
  EXPECT_EQ(cost.round_trips, 1);
  EXPECT_LE(cost.bytes, 2048u);
}

TEST(RepairCost, OfTenDifferencesAmongAHundredThousandIs64KilobytesAndSixRoundTrips) {
  auto all = objects();
  Pair pair(all);
  // Six that changed, two that are new to the copy, two that the cluster has no more.
  for (std::size_t i = 0; i < 6; ++i) all[i * 16661 + 7] = configmap(i * 16661 + 7, 9);
  all.erase(all.begin() + 70000);
  all.erase(all.begin() + 20);
  all.push_back(configmap(kObjects + 5, 1));
  all.push_back(configmap(kObjects * 2, 1));
  pair.keeps(all);
  const Pair::Cost cost = pair.connect();
  tell("ten differences", cost);
  EXPECT_TRUE(pair.proven());
  EXPECT_EQ(cost.events, 10u);
  EXPECT_LE(cost.round_trips, 6);
  EXPECT_LE(cost.bytes, 64u << 10);
}

TEST(RepairCost, WhileChangesKeepArrivingIsNoMoreThanTheChangesBeside) {
  auto all = objects();
  Pair pair(all);
  for (std::size_t i = 0; i < 10; ++i) all[i * 9973] = configmap(i * 9973, 9);
  pair.keeps(all);
  std::size_t changed = 0;
  const Pair::Cost cost = pair.connect([&] {
    for (int i = 0; i < 20; ++i) pair.change(configmap(changed++ * 31, 20));
  });
  tell("ten differences under change", cost);
  EXPECT_TRUE(pair.proven());
  EXPECT_FALSE(cost.whole_set);
  EXPECT_LE(cost.round_trips, 6);
  EXPECT_LE(cost.bytes, (64u << 10) + changed * 700);
}

TEST(RepairCost, OfACopyThatIsAllDifferentIsThatOfASnapshotAndATenth) {
  auto all = objects();
  Pair pair(all);
  const Pair::Cost snapshot = pair.connect();
  tell("snapshot", snapshot);
  ASSERT_TRUE(snapshot.whole_set);

  Pair other(all);
  for (std::size_t i = 0; i < kObjects; ++i) all[i] = configmap(i, 2);
  other.keeps(all);
  const Pair::Cost cost = other.connect();
  tell("all different", cost);
  EXPECT_TRUE(other.proven());
  EXPECT_LE(cost.bytes, snapshot.bytes * 11 / 10);
}

TEST(RepairCost, GrowsWithTheDifference) {
  const auto all = objects();
  for (const std::size_t differences : {1u, 100u, 1000u, 10000u}) {
    Pair pair(all);
    auto kept = all;
    for (std::size_t i = 0; i < differences; ++i) {
      const std::size_t which = i * (kObjects / differences);
      kept[which] = configmap(which, 2);
    }
    pair.keeps(kept);
    const Pair::Cost cost = pair.connect();
    tell((std::to_string(differences) + " differences").c_str(), cost);
    EXPECT_TRUE(pair.proven());
    EXPECT_EQ(cost.events, differences);
    EXPECT_LE(cost.bytes, 4096 + differences * 4096);
  }
}

}  // namespace
}  // namespace tinf::simulation
