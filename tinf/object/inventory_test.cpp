// An inventory against the plainest model of it: a map, and sums taken one by one.
#include "tinf/object/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <map>
#include <random>

namespace tinf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

EntryHash hash(std::uint64_t n) {
  return EntryHash{n * 0x9e3779b97f4a7c15, n * 0xd1342543de82ef95 + 1};
}

ObjectKey key(std::uint64_t n) {
  return ObjectKey{"ns" + std::to_string(n % 7), "object-" + std::to_string(n)};
}

struct Model {
  std::map<ObjectKey, EntryHash> entries;

  Fingerprint fingerprint(const KeyRange& range) const {
    Fingerprint sum;
    for (const auto& [key, hash] : entries) {
      if (range.contains(key)) sum.add(hash);
    }
    return sum;
  }
  void expect_equal(const Inventory& inventory) const {
    std::vector<InventoryEntry> all;
    for (const auto& [key, hash] : entries) all.push_back(InventoryEntry{key, hash});
    ASSERT_EQ(inventory.entries(), all);
    ASSERT_EQ(inventory.size(), entries.size());
    ASSERT_EQ(inventory.fingerprint(), fingerprint(KeyRange()));
  }
};

TEST(Inventory, AnEmptyOneHasNoEntriesAndOnePiece) {
  const Inventory inventory;
  EXPECT_TRUE(inventory.empty());
  EXPECT_EQ(inventory.fingerprint(), Fingerprint());
  EXPECT_EQ(inventory.fingerprint(KeyRange{key(1), key(2)}), Fingerprint());
  EXPECT_THAT(inventory.entries(), IsEmpty());
  EXPECT_THAT(inventory.split(KeyRange(), 8), ElementsAre(KeyRange()));
  EXPECT_FALSE(inventory.find(key(1)));
}

TEST(Inventory, AgreesWithAMapThroughPutsAndRemovesOfEveryKind) {
  std::mt19937_64 random(7);
  Inventory inventory;
  Model model;
  for (int round = 0; round < 20000; ++round) {
    // Grows for a while, then shrinks to almost nothing, and again.
    const bool grow = random() % 100 < ((round / 4000) % 2 == 0 ? 80U : 15U);
    const ObjectKey one = key(random() % 3000);
    const auto held = model.entries.find(one);
    const auto before = held == model.entries.end() ? std::nullopt : std::optional<EntryHash>(held->second);
    ASSERT_EQ(inventory.find(one), before);
    if (grow) {
      const EntryHash fresh = hash(random());
      ASSERT_EQ(inventory.put(one, fresh), before);
      model.entries[one] = fresh;
    } else {
      ASSERT_EQ(inventory.remove(one), before);
      model.entries.erase(one);
    }
    if (round % 500 == 0) {
      model.expect_equal(inventory);
      const KeyRange range{key(random() % 3000), random() % 4 == 0 ? ObjectKey() : key(random() % 3000)};
      if (range.to.name.empty() || range.from < range.to) {
        ASSERT_EQ(inventory.fingerprint(range), model.fingerprint(range));
      }
    }
  }
  for (const auto& [one, unused] : std::map<ObjectKey, EntryHash>(model.entries)) inventory.remove(one);
  EXPECT_TRUE(inventory.empty());
}

TEST(Inventory, ACopyStaysAsItWasWhileTheOriginalChanges) {
  Inventory inventory;
  Model model;
  for (std::uint64_t n = 0; n < 5000; ++n) {
    inventory.put(key(n), hash(n));
    model.entries[key(n)] = hash(n);
  }
  const Inventory copy = inventory;
  for (std::uint64_t n = 0; n < 5000; n += 3) inventory.remove(key(n));
  for (std::uint64_t n = 1; n < 5000; n += 3) inventory.put(key(n), hash(n + 1));
  model.expect_equal(copy);
  EXPECT_NE(copy.fingerprint(), inventory.fingerprint());
}

TEST(Inventory, SplitsARangeIntoPiecesOfEqualCountWithoutGaps) {
  Inventory inventory;
  for (std::uint64_t n = 0; n < 10000; ++n) inventory.put(key(n * 7919 % 10007), hash(n));
  const KeyRange range{{"ns1", "object-5"}, {"ns4", "object-2"}};
  Fingerprint sum;
  ObjectKey from = range.from;
  const auto pieces = inventory.split(range, 64);
  ASSERT_EQ(pieces.size(), 64U);
  const std::uint64_t each = inventory.fingerprint(range).count / 64;
  for (const KeyRange& piece : pieces) {
    EXPECT_EQ(piece.from, from);
    from = piece.to;
    const Fingerprint fingerprint = inventory.fingerprint(piece);
    EXPECT_GE(fingerprint.count, each);
    EXPECT_LE(fingerprint.count, each + 1);
    sum.add(fingerprint);
  }
  EXPECT_EQ(from, range.to);
  EXPECT_EQ(sum, inventory.fingerprint(range));
}

TEST(Inventory, ListsARangeUpToALimit) {
  Inventory inventory;
  for (std::uint64_t n = 0; n < 1000; ++n) inventory.put("n", std::to_string(1000 + n), hash(n));
  const auto some = inventory.entries(KeyRange{{"n", "1500"}, {"n", "1503"}}, 10);
  EXPECT_THAT(some, ElementsAre(InventoryEntry{{"n", "1500"}, hash(500)}, InventoryEntry{{"n", "1501"}, hash(501)},
                                InventoryEntry{{"n", "1502"}, hash(502)}));
  EXPECT_EQ(inventory.entries(KeyRange{{"n", "1500"}, {}}, 10).size(), 10U);
}

TEST(Inventory, ARangeThatEndsBeforeItBeginsIsEmpty) {
  Inventory inventory;
  for (std::uint64_t n = 0; n < 1000; ++n) inventory.put(key(n), hash(n));
  const KeyRange backwards{{"ns4", "a"}, {"ns1", "a"}};
  EXPECT_EQ(inventory.fingerprint(backwards), Fingerprint());
  EXPECT_THAT(inventory.entries(backwards, 10), IsEmpty());
  EXPECT_THAT(inventory.split(backwards, 8), ElementsAre(backwards));
}

// Namespaces that begin alike: "a" comes before "a-b", though '/' would come after '-'.
TEST(Inventory, OrdersAsObjectKeysDo) {
  Inventory inventory;
  inventory.put("a-b", "x", hash(1));
  inventory.put("a", "z", hash(2));
  inventory.put("", "node", hash(3));
  EXPECT_THAT(inventory.entries(),
              ElementsAre(InventoryEntry{{"", "node"}, hash(3)}, InventoryEntry{{"a", "z"}, hash(2)},
                          InventoryEntry{{"a-b", "x"}, hash(1)}));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Inventory, AnEntryCostsAtMostAHundredBytesBesideItsKey) {
  for (const bool in_order : {true, false}) {
    constexpr std::uint64_t kEntries = 100000;
    const std::size_t before = mallinfo2().uordblks;
    Inventory inventory;
    for (std::uint64_t n = 0; n < kEntries; ++n) {
      // Too long for a string's own room: what a key costs is counted by itself.
      inventory.put("namespace",
                    "an-object-of-ordinary-length-" + std::to_string(100000 + (in_order ? n : n * 7919 % kEntries)),
                    hash(n));
    }
    const std::size_t used = mallinfo2().uordblks - before;
    const std::size_t key_bytes = std::string("namespace/an-object-of-ordinary-length-100000").size() + 1;
    EXPECT_EQ(inventory.size(), kEntries);
    EXPECT_LE(used / kEntries, 100 + key_bytes) << (in_order ? "in order" : "in any order");
  }
}
#endif

}  // namespace
}  // namespace tinf
