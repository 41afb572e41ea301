// A copy repaired by ranges, from a snapshot that answers as a provider does, at every amount of difference.
#include "tinf/follower/reconciliation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tinf/base/backoff.h"
#include "tinf/testing/objects.h"

namespace tinf {
namespace {

using ::testing::IsEmpty;
using testing::object;
using ::testing::SizeIs;

// The other side, without its cuts and bounds: what a range holds, four ways at a time.
struct Peer {
  Inventory inventory;
  std::map<ObjectKey, ObjectPtr> objects;

  void put(const ObjectPtr& one) {
    inventory.put(one->key(), EntryHash::of(*one));
    objects[one->key()] = one;
  }
  void remove(const std::string& name) {
    inventory.remove(testing::key(name));
    objects.erase(testing::key(name));
  }

  wire::Ranges answer(const std::vector<KeyRange>& asked) const {
    wire::Ranges answer{"s", "n", {"e", 7}, inventory.fingerprint(), 1, 0, {}};
    for (const KeyRange& range : asked) {
      wire::Ranges::Range one{range, {}, {}};
      if (inventory.fingerprint(range).count <= 4) {
        for (const InventoryEntry& entry : inventory.entries(range, 4))
          one.entries.push_back(wire::Ranges::Entry{entry.key, entry.hash.low});
      } else {
        for (const KeyRange& piece : inventory.split(range, 4)) {
          const Fingerprint held = inventory.fingerprint(piece);
          one.pieces.push_back(wire::Ranges::Piece{piece.to, held.count, held.low});
        }
      }
      answer.ranges.push_back(std::move(one));
    }
    return answer;
  }
  wire::Objects answer(const std::vector<ObjectKey>& keys) const {
    wire::Objects answer{"s", "n", {}};
    for (const ObjectKey& key : keys) {
      if (objects.count(key) > 0) answer.objects.push_back(objects.at(key));
    }
    return answer;
  }
};

struct ReconciliationTest : ::testing::Test {
  ReconciliationTest() {
    for (int i = 0; i < 1000; ++i) {
      theirs.put(object("o" + std::to_string(1000 + i), 1));
      ours.put(object("o" + std::to_string(1000 + i), 1));
    }
  }

  // Talks until nothing is left to ask; returns how often that went back and forth.
  int talk(Reconciliation& repair) {
    int rounds = 1;
    for (; rounds < 1000; ++rounds) {
      std::vector<wire::Body> questions;
      while (auto question = repair.next_request()) questions.push_back(std::move(*question));
      if (questions.empty()) break;
      for (const wire::Body& question : questions) {
        if (const auto* compare = std::get_if<wire::Compare>(&question)) repair.receive(theirs.answer(compare->ranges));
        if (const auto* fetch = std::get_if<wire::Fetch>(&question)) {
          fetched += fetch->keys.size();
          repair.receive(theirs.answer(fetch->keys));
        }
      }
    }
    return rounds;
  }

  Reconciliation begin() { return Reconciliation("hub", theirs.answer({KeyRange()}), ours.inventory); }

  // "+a", "~b", "-c" in the order told.
  std::vector<std::string> events(Reconciliation& repair) {
    std::vector<std::string> lines;
    auto done = repair.repair();
    if (!done) return {"not equal"};
    EXPECT_EQ(done->inventory.fingerprint(), theirs.inventory.fingerprint());
    for (const WatchEvent& event : done->events) {
      const char* const sign = event.type == EventType::Deleted ? "-" : event.type == EventType::Added ? "+" : "~";
      lines.push_back(sign + event.key.name);
    }
    return lines;
  }

  Peer ours, theirs;
  std::size_t fetched = 0;
};

TEST_F(ReconciliationTest, FetchesOnlyWhatDiffersAndDeletesFirst) {
  theirs.put(object("o1500", 2));
  theirs.put(object("new", 1));
  theirs.remove("o1001");
  ours.put(object("zz", 1));
  auto repair = begin();
  EXPECT_LE(talk(repair), 6);
  ASSERT_TRUE(repair.complete());
  EXPECT_EQ(fetched, 2u);
  EXPECT_THAT(events(repair), ::testing::UnorderedElementsAre("-o1001", "-zz", "~o1500", "+new"));
}

TEST_F(ReconciliationTest, AnEmptySetTakesEverythingAway) {
  for (int i = 0; i < 1000; ++i) theirs.remove("o" + std::to_string(1000 + i));
  auto repair = begin();
  talk(repair);
  ASSERT_TRUE(repair.complete());
  EXPECT_THAT(events(repair), SizeIs(1000));
}

TEST_F(ReconciliationTest, WhatIsLostIsAskedForAgainAndWhatComesTwiceCountsOnce) {
  theirs.put(object("o1500", 2));
  auto repair = begin();
  Random random(3);
  for (int round = 0; round < 200 && !repair.complete(); ++round) {
    repair.ask_again();
    while (auto question = repair.next_request()) {
      if (random.chance(0.6)) continue;
      for (int copies = 0; copies < 2; ++copies) {
        if (const auto* compare = std::get_if<wire::Compare>(&*question))
          repair.receive(theirs.answer(compare->ranges));
        if (const auto* fetch = std::get_if<wire::Fetch>(&*question)) repair.receive(theirs.answer(fetch->keys));
      }
    }
  }
  ASSERT_TRUE(repair.complete());
  EXPECT_THAT(events(repair), ::testing::ElementsAre("~o1500"));
}

TEST_F(ReconciliationTest, GivesUpWhereAlmostEverythingDiffers) {
  for (int i = 0; i < 5000; ++i) theirs.put(object("o" + std::to_string(1000 + i), 2));
  auto repair = begin();
  std::size_t questions = 0;
  while (!repair.hopeless() && questions < 1000) {
    auto question = repair.next_request();
    ASSERT_TRUE(question);
    ++questions;
    ASSERT_TRUE(std::holds_alternative<wire::Compare>(*question)) << "objects are fetched before it is known";
    repair.receive(theirs.answer(std::get<wire::Compare>(*question).ranges));
  }
  EXPECT_TRUE(repair.hopeless());
}

TEST_F(ReconciliationTest, AnAnswerThatContradictsItsSnapshotIsNoRepair) {
  theirs.put(object("o1500", 2));
  wire::Ranges first = theirs.answer({KeyRange()});
  first.fingerprint.low += 1;
  Reconciliation repair("hub", first, ours.inventory);
  talk(repair);
  ASSERT_TRUE(repair.complete());
  EXPECT_THAT(events(repair), ::testing::ElementsAre("not equal"));
}

TEST_F(ReconciliationTest, ObjectsNobodyAskedForOrOfAnotherStateAreNotTaken) {
  theirs.put(object("o1500", 2));
  auto repair = begin();
  while (auto question = repair.next_request()) {
    if (const auto* compare = std::get_if<wire::Compare>(&*question)) repair.receive(theirs.answer(compare->ranges));
    if (std::holds_alternative<wire::Fetch>(*question)) break;
  }
  EXPECT_FALSE(repair.receive(wire::Objects{"s", "n", {object("o1500", 3), object("o1501", 1), object("x", 1)}}));
  EXPECT_FALSE(repair.complete());
  EXPECT_TRUE(repair.receive(wire::Objects{"s", "n", {object("o1500", 2)}}));
  EXPECT_TRUE(repair.complete());
}

}  // namespace
}  // namespace tinf
