// A state that was delivered is found until the store has it; a patch makes of the state it is about the next one, of
// the same name, or nothing.
#include "tinf/follower/patched.h"

#include <gtest/gtest.h>

#include "tinf/testing/objects.h"

namespace tinf {
namespace {

using testing::object;

TEST(Unstored, WhatWasDeliveredIsFoundUntilTheStoreHasIt) {
  Unstored unstored;
  const auto first = object("a", 1), second = object("a", 2), other = object("b", 1);
  unstored.put(1, first);
  unstored.put(2, other);
  unstored.put(2, second);
  EXPECT_EQ(unstored.find(first->key()), second);
  unstored.stored(1);
  EXPECT_EQ(unstored.find(first->key()), second);
  EXPECT_EQ(unstored.find(other->key()), other);
  unstored.stored(2);
  EXPECT_EQ(unstored.find(first->key()), nullptr);
  EXPECT_EQ(unstored.find(other->key()), nullptr);
}

TEST(Unstored, ASetTakesThePlaceOfAllThatWasThere) {
  Unstored unstored;
  const auto old = object("c", 1), a = object("a", 1), b = object("b", 1);
  unstored.put(1, old);
  unstored.replace(2, {a, b});
  EXPECT_EQ(unstored.find(old->key()), nullptr);
  EXPECT_EQ(unstored.find(b->key()), b);
  const auto newer = object("b", 2);
  unstored.put(3, newer);
  unstored.stored(2);
  EXPECT_EQ(unstored.find(a->key()), nullptr);
  EXPECT_EQ(unstored.find(b->key()), newer);
}

TEST(Unstored, ManyDeliveriesLeaveNothingBehind) {
  Unstored unstored;
  const auto one_of = [](std::uint64_t delivery) { return object("o" + std::to_string(delivery), 1); };
  for (std::uint64_t delivery = 1; delivery <= 1000; ++delivery) {
    unstored.put(delivery, one_of(delivery));
    if (delivery > 2) unstored.stored(delivery - 2);
    if (delivery <= 8) continue;
    EXPECT_EQ(unstored.find(one_of(delivery - 8)->key()), nullptr);
    EXPECT_NE(unstored.find(one_of(delivery - 1)->key()), nullptr);
    EXPECT_NE(unstored.find(one_of(delivery)->key()), nullptr);
  }
}

TEST(Patched, APatchMakesTheNextState) {
  const auto base = object("a", 1), next = object("a", 2);
  const wire::Patch patch{EntryHash::of(*base).low, splices_between(base->raw(), next->raw())};
  const auto made = patched(base, patch, 1 << 20);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ((*made)->raw(), next->raw());
  EXPECT_EQ((*made)->resource_version(), "2");
}

TEST(Patched, WhatIsNoObjectOfThatNameIsRefused) {
  const auto base = object("a", 1), other = object("b", 1);
  EXPECT_FALSE(patched(base, wire::Patch{0, {Splice{1, 5, ""}}}, 1 << 20));
  EXPECT_FALSE(patched(base, wire::Patch{0, {Splice{1 << 20, 5, ""}}}, 1 << 20));
  EXPECT_FALSE(patched(base, wire::Patch{0, splices_between(base->raw(), other->raw())}, 1 << 20));
  EXPECT_FALSE(patched(base, wire::Patch{0, {}}, base->raw().size() - 1));
}

}  // namespace
}  // namespace tinf
