// Pages in any order, lost, repeated, unasked and contradicting: the set is whole or it is none.
#include "tinf/follower/incoming_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/testing/objects.h"

namespace tinf {
namespace {

using ::testing::ElementsAre;
using Pages = IncomingSnapshot::Pages;
using Taken = IncomingSnapshot::Taken;

constexpr std::uint32_t kWindow = 2;

// Page `number` of a set of five pages, each with the one object that has its number for a name.
wire::Page page(std::uint32_t number) {
  Inventory all;
  for (int i = 0; i < 5; ++i) {
    const ObjectPtr object = testing::object(std::to_string(i), i + 1);
    all.put(object->namespace_name(), object->name(), EntryHash::of(*object));
  }
  wire::Page made;
  made.snapshot = "s1";
  made.at = {"e1", 7};
  made.number = number;
  made.last = number == 4;
  made.total = 5;
  made.fingerprint = all.fingerprint();
  made.objects = {testing::object(std::to_string(number), number + 1)};
  return made;
}

TEST(IncomingSnapshot, IsWholeOncePagesHaveComeInAnyOrder) {
  IncomingSnapshot incoming(page(1), kWindow);
  for (const std::uint32_t number : {1, 0, 3, 2}) {
    EXPECT_EQ(incoming.receive(page(number)), Taken::New) << number;
    EXPECT_FALSE(incoming.whole());
    incoming.next_pages();
  }
  EXPECT_EQ(incoming.receive(page(3)), Taken::Ignored);
  EXPECT_EQ(incoming.receive(page(4)), Taken::New);
  ASSERT_TRUE(incoming.whole());
  const auto set = std::move(incoming).finish();
  ASSERT_TRUE(set);
  EXPECT_EQ(set->objects.size(), 5u);
  EXPECT_EQ(set->inventory.fingerprint(), page(0).fingerprint);
}

TEST(IncomingSnapshot, AsksForTheNextHalfOfItsWindowAndForWhatIsMissing) {
  IncomingSnapshot incoming(page(0), kWindow);
  EXPECT_THAT(incoming.missing(), ElementsAre(Pages(0, 2)));
  incoming.receive(page(1));
  EXPECT_EQ(incoming.next_pages(), std::nullopt);  // The first is still under way.
  EXPECT_THAT(incoming.missing(), ElementsAre(Pages(0, 1)));
  incoming.receive(page(0));
  EXPECT_EQ(incoming.next_pages(), Pages(2, 4));
  EXPECT_EQ(incoming.next_pages(), std::nullopt);
  incoming.receive(page(4));
  EXPECT_THAT(incoming.missing(), ElementsAre(Pages(2, 4)));
  incoming.receive(page(2));
  EXPECT_EQ(incoming.next_pages(), std::nullopt);  // All have been asked for: the last one is here.
  EXPECT_THAT(incoming.missing(), ElementsAre(Pages(3, 4)));
}

TEST(IncomingSnapshot, IgnoresWhatIsFarFromAnythingAskedFor) {
  IncomingSnapshot incoming(page(0), kWindow);
  wire::Page far = page(0);
  far.number = 2 * kWindow + 1;
  EXPECT_EQ(incoming.receive(far), Taken::Ignored);
}

TEST(IncomingSnapshot, NoticesPagesThatContradictEachOther) {
  wire::Page elsewhere = page(1);
  elsewhere.at.sequence = 8;
  wire::Page early_end = page(1);
  early_end.last = true;
  wire::Page endless = page(0);
  endless.number = 1 << 20;
  for (const wire::Page& wrong : {elsewhere, early_end, endless}) {
    IncomingSnapshot incoming(page(0), kWindow);
    incoming.receive(page(0));
    incoming.receive(page(2));
    EXPECT_EQ(incoming.receive(wrong), Taken::Contradicts) << wrong.number;
  }
}

TEST(IncomingSnapshot, IsNoSetIfItIsNotTheOneThatWasAnnounced) {
  wire::Page only = page(0);  // The sum is that of five.
  only.last = true;
  IncomingSnapshot incoming(only, kWindow);
  incoming.receive(only);
  ASSERT_TRUE(incoming.whole());
  EXPECT_FALSE(std::move(incoming).finish());
}

}  // namespace
}  // namespace tinf
