// A stream numbers what changes, forgets what is old news, and lets a copy catch up at the price of the difference.
#include "tinf/provider/scope_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

namespace tinf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ObjectPtr object(const std::string& name, int version) {
  return *Object::parse(R"({"metadata":{"name":")" + name + R"(","uid":"u-)" + name + R"(","resourceVersion":")" +
                        std::to_string(version) + "\"}}");
}

EventBatch changes(std::vector<WatchEvent> events) {
  return EventBatch{std::move(events), ResourceVersion(), false};
}

struct ScopeStreamTest : ::testing::Test {
  std::optional<ScopeStream> held{std::in_place, Scope{{"", "v1", "configmaps"}, "", "", "", Projection::Full}, "e1"};

  void start_with(ScopeStreamOptions options) {
    held.emplace(Scope{{"", "v1", "configmaps"}, "", "", "", Projection::Full}, "e1", options);
  }

  wire::Frame frame_after(std::uint64_t from) { return decoded(held->frame_after(from)); }
  wire::Frame live_frame(bool patches = true) { return decoded(held->next_live_frame(patches)); }

  wire::Frame decoded(Result<std::optional<ScopeStream::FrameAfter>> frame) {
    EXPECT_TRUE(frame && *frame);
    wire::Sender sender("c", "i");
    wire::Decoder decoder;
    auto decoded = decoder.decode(wire::to_messages((*frame)->encoded, "/t", sender, 1 << 30)[0]);
    EXPECT_TRUE(decoded) << decoded.error().message;
    return std::get<wire::Frame>((*decoded)->body);
  }

  std::vector<std::string> names_after(std::uint64_t from) {
    std::vector<std::string> names;
    for (const WatchEvent& event : frame_after(from).events) {
      names.push_back((event.type == EventType::Deleted ? "-" : "+") + event.key.name + event.resource_version);
    }
    return names;
  }
};

TEST_F(ScopeStreamTest, TheFirstSetIsSequenceZero) {
  EXPECT_FALSE(held->ready());
  held->replace(Snapshot{{object("a", 1), object("b", 2)}, ResourceVersion("2")});
  EXPECT_TRUE(held->ready());
  EXPECT_EQ(held->position(), (wire::Position{"e1", 0}));
  EXPECT_FALSE(*held->frame_after(0));
  EXPECT_EQ(held->snapshot(2 << 20)->objects.size(), 2u);
}

TEST_F(ScopeStreamTest, AnEmptySetIsReadyToo) {
  held->replace(Snapshot());
  EXPECT_TRUE(held->ready());
  EXPECT_THAT(held->snapshot(2 << 20)->page_starts, ElementsAre(0u));
}

TEST_F(ScopeStreamTest, ARelistEmitsOnlyTheDifferences) {
  held->replace(Snapshot{{object("a", 1), object("b", 2), object("c", 3)}, ResourceVersion("3")});
  held->replace(Snapshot{{object("a", 1), object("c", 7), object("d", 8)}, ResourceVersion("9")});
  EXPECT_THAT(names_after(0), ElementsAre("-b9", "+c7", "+d8"));
  const auto position = held->position();
  for (int i = 0; i < 100; ++i)
    held->replace(Snapshot{{object("a", 1), object("c", 7), object("d", 8)}, ResourceVersion("9")});
  EXPECT_EQ(held->position(), position);
}

TEST_F(ScopeStreamTest, ManyChangesOfOneKeyTravelAsOne) {
  held->replace(Snapshot());
  for (int i = 1; i <= 1000; ++i) held->apply(changes({WatchEvent::modified(object("a", i))}));
  EXPECT_THAT(names_after(0), ElementsAre("+a1000"));
  EXPECT_EQ(frame_after(0).through, 1000u);
  EXPECT_EQ(frame_after(0).head, frame_after(0).through);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// A broker that takes nothing: what waits coalesces by key.
TEST_F(ScopeStreamTest, AMillionChangesThatNobodyTakesCostTheMemoryOfTheirThousandObjects) {
  held->replace(Snapshot());
  std::vector<ObjectPtr> states[2];
  for (int version : {0, 1}) {
    for (int i = 0; i < 1000; ++i) {
      states[version].push_back(object("o" + std::to_string(i), 1 + version));
    }
  }
  const auto change_all = [&](int round) {
    EventBatch batch{{}, ResourceVersion("1"), false};
    for (const ObjectPtr& state : states[round % 2]) batch.events.push_back(WatchEvent::modified(state));
    held->apply(batch);
  };
  for (int round = 0; round < 100; ++round) change_all(round);
  const std::size_t before = mallinfo2().uordblks;
  std::size_t most = 0;
  for (int round = 100; round < 1000; ++round) {
    change_all(round);
    most = std::max<std::size_t>(most, mallinfo2().uordblks);
  }
  EXPECT_EQ(held->position().sequence, 1000000u);
  EXPECT_LE(most, before + (2 << 20)) << "beside the states themselves: the log between two of its trims";
  // And a thousand objects on the wire, however often they changed.
  std::size_t events = 0;
  for (std::uint64_t from = 0; from < 1000000; from = frame_after(from).through)
    events += frame_after(from).events.size();
  EXPECT_EQ(events, 1000u);
}
#endif

TEST_F(ScopeStreamTest, AFrameThatEndsEarlyIsNotExactAndLeadsToOneThatIs) {
  ScopeStreamOptions options;
  options.frame_bytes = 100;
  start_with(options);
  held->replace(Snapshot());
  for (const auto* name : {"a", "b", "c", "d"}) held->apply(changes({WatchEvent::added(object(name, 1))}));
  const auto first = frame_after(0);
  EXPECT_GT(first.head, first.through);
  EXPECT_EQ(first.events.size(), 2u);
  const auto second = frame_after(first.through);
  EXPECT_EQ(second.head, second.through);
  EXPECT_EQ(second.through, 4u);
}

TEST_F(ScopeStreamTest, PagesHaveASizeOfTheirOwn) {
  const auto bytes = object("a", 1)->raw().size();
  ScopeStreamOptions options;
  options.frame_bytes = 1;
  start_with(options);
  held->replace(Snapshot());
  for (const auto* name : {"a", "b", "c", "d", "e"}) held->apply(changes({WatchEvent::added(object(name, 1))}));
  EXPECT_EQ(frame_after(0).events.size(), 1u);
  EXPECT_THAT(held->snapshot(2 * bytes)->page_starts, ElementsAre(0u, 2u, 4u));
  EXPECT_THAT(held->snapshot(bytes)->page_starts, ElementsAre(0u, 1u, 2u, 3u, 4u));
}

TEST_F(ScopeStreamTest, RemembersDeletesWithinItsBoundsAndThenSaysExpired) {
  ScopeStreamOptions options;
  options.log_entries = 100;
  start_with(options);
  held->replace(Snapshot{{object("stays", 1)}, ResourceVersion("1")});
  for (int i = 0; i < 10000; ++i) {
    const auto fleeting = object("n" + std::to_string(i), i);
    held->apply(changes({WatchEvent::added(fleeting), WatchEvent::deleted(fleeting)}));
  }
  EXPECT_FALSE(held->can_resume({"e1", 0}));
  EXPECT_EQ(held->frame_after(0).error().code, Code::Expired);
  EXPECT_TRUE(held->can_resume({"e1", held->position().sequence - 10}));
  EXPECT_EQ(held->size(), 1u);
}

TEST_F(ScopeStreamTest, ResumesOnlyItsOwnLife) {
  held->replace(Snapshot());
  EXPECT_TRUE(held->can_resume({"e1", 0}));
  EXPECT_FALSE(held->can_resume({"e0", 0}));
  EXPECT_FALSE(held->can_resume({"e1", 1}));
}

// As clusters have them: a kilobyte of which an update changes little.
ObjectPtr large(const std::string& name, int version) {
  return *Object::parse(R"({"metadata":{"name":")" + name + R"(","uid":"u-)" + name + R"(","resourceVersion":")" +
                        std::to_string(version) + R"("},"data":{"text":")" + std::string(1000, 'x') + "\"}}");
}

TEST_F(ScopeStreamTest, LiveFramesTellAnUpdateAsAPatchOfWhatTheLastOneGave) {
  held->replace(Snapshot{{large("a", 1), large("b", 2)}, ResourceVersion("2")});
  held->apply(changes({WatchEvent::modified(large("a", 3)), WatchEvent::modified(large("a", 4))}));
  const auto frame = live_frame();
  ASSERT_EQ(frame.patches.size(), 1u);
  EXPECT_EQ(frame.events[0].key.name, "a");
  EXPECT_EQ(frame.patches[0].base, EntryHash::of(*large("a", 1)).low);
  std::string made;
  EXPECT_TRUE(splice(large("a", 1)->raw(), frame.patches[0].splices, 1 << 20, made));
  EXPECT_EQ(made, large("a", 4)->raw());
  held->apply(changes({WatchEvent::modified(large("a", 5))}));
  EXPECT_EQ(live_frame().patches[0].base, EntryHash::of(*large("a", 4)).low);
  EXPECT_EQ(held->live(), 3u);
}

TEST_F(ScopeStreamTest, FramesForOneWhoResumesCarryWholeObjectsAndSoDoLiveOnesForWhoCannotPatch) {
  held->replace(Snapshot{{large("a", 1)}, ResourceVersion("1")});
  held->apply(changes({WatchEvent::modified(large("a", 2))}));
  EXPECT_NE(frame_after(0).events[0].object, nullptr);
  EXPECT_NE(live_frame(false).events[0].object, nullptr);
}

TEST_F(ScopeStreamTest, WhatIsNewOrCameBackOrChangedAltogetherIsToldWhole) {
  held->replace(Snapshot{{large("a", 1), large("b", 1)}, ResourceVersion("1")});
  held->apply(changes({WatchEvent::added(large("new", 2)), WatchEvent::deleted(large("a", 3)),
                       WatchEvent::added(large("a", 4)), WatchEvent::modified(object("b", 5))}));
  const auto frame = live_frame();
  EXPECT_EQ(frame.events.size(), 3u);
  EXPECT_THAT(frame.patches, IsEmpty());
}

TEST_F(ScopeStreamTest, WhatASetOrAResumeHasOvertakenIsNotToldByPatches) {
  held->replace(Snapshot{{large("a", 1), large("b", 1)}, ResourceVersion("1")});
  held->apply(changes({WatchEvent::modified(large("a", 2))}));
  held->snapshot(2 << 20);  // Who gets this has another `a` than those who follow live.
  held->apply(changes({WatchEvent::modified(large("a", 3)), WatchEvent::modified(large("b", 4))}));
  const auto frame = live_frame();
  ASSERT_EQ(frame.patches.size(), 1u);
  EXPECT_NE(frame.events[0].object, nullptr);
  EXPECT_EQ(frame.patches[0].base, EntryHash::of(*large("b", 1)).low);
}

TEST_F(ScopeStreamTest, KeepsFormerStatesOnlyWithinItsBounds) {
  ScopeStreamOptions options;
  options.base_bytes = 2500;
  start_with(options);
  std::vector<ObjectPtr> all;
  for (int i = 0; i < 10; ++i) all.push_back(large("o" + std::to_string(i), 1));
  held->replace(Snapshot{all, ResourceVersion("1")});
  for (int version = 2; version < 5; ++version) {
    for (int i = 0; i < 10; ++i) held->apply(changes({WatchEvent::modified(large("o" + std::to_string(i), version))}));
    EXPECT_EQ(live_frame().patches.size(), 2u);
  }
}

TEST_F(ScopeStreamTest, AFrameOfPatchesIsBoundedByWhatTheyMake) {
  ScopeStreamOptions options;
  options.patched_bytes = 2500;
  start_with(options);
  held->replace(Snapshot{{large("a", 1), large("b", 1), large("c", 1), large("d", 1)}, ResourceVersion("1")});
  for (const auto* name : {"a", "b", "c", "d"}) held->apply(changes({WatchEvent::modified(large(name, 2))}));
  EXPECT_EQ(live_frame().patches.size(), 3u);
  EXPECT_EQ(live_frame().patches.size(), 1u);
}

TEST_F(ScopeStreamTest, AHistoryThatDoesNotReachBackToTheLastLiveFrameMovesOnAndOwesNothing) {
  ScopeStreamOptions options;
  options.log_entries = 4;
  start_with(options);
  held->replace(Snapshot{{large("a", 1), large("b", 1), large("c", 1)}, ResourceVersion("1")});
  for (int i = 0; i < 20; ++i) {
    held->apply(changes({WatchEvent::modified(large("a", 2 + i)), WatchEvent::added(object("n" + std::to_string(i), 1)),
                         WatchEvent::deleted(object("n" + std::to_string(i), 2))}));
  }
  EXPECT_EQ(held->next_live_frame(true).error().code, Code::Expired);
  EXPECT_EQ(held->live(), held->position().sequence);
  held->apply(changes({WatchEvent::modified(large("a", 100))}));
  EXPECT_EQ(live_frame().patches.size(), 1u);
}

TEST_F(ScopeStreamTest, ItsFingerprintIsThatOfItsObjects) {
  held->replace(Snapshot{{object("a", 1), object("b", 2)}, ResourceVersion("2")});
  held->apply(changes({WatchEvent::modified(object("a", 3)), WatchEvent::deleted(object("b", 4)),
                       WatchEvent::deleted(object("x", 4))}));
  Fingerprint expected;
  expected.add(EntryHash::of(*object("a", 3)));
  EXPECT_EQ(held->fingerprint(), expected);
}

}  // namespace
}  // namespace tinf
