// A follower asks, takes what continues its copy, closes every gap, and claims nothing that was not proven.
#include "tinf/follower/follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/testing/objects.h"
#include "tinf/testing/virtual_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using testing::configmaps;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::object;

Fingerprint fingerprint_of(const std::vector<ObjectPtr>& objects) {
  Fingerprint fingerprint;
  for (const ObjectPtr& each : objects) fingerprint.add(EntryHash::of(*each));
  return fingerprint;
}

struct FollowerTest : ::testing::Test {
  FollowerTest() { start(FollowerOptions()); }

  void start(FollowerOptions options) {
    options.client = "hub";
    options.window = 2;
    follower.emplace(configmaps(), options, time, random);
  }

  // The last watch among what the follower asks; its own wishes are dropped.
  std::optional<wire::Watch> asked() {
    std::optional<wire::Watch> watch;
    while (auto request = follower->next_request()) {
      if (auto* one = std::get_if<wire::Watch>(&*request)) watch = *one;
    }
    return watch;
  }

  std::optional<wire::Fetch> fetched() {
    while (auto request = follower->next_request()) {
      if (auto* one = std::get_if<wire::Fetch>(&*request)) return *one;
    }
    return std::nullopt;
  }

  wire::Page page(std::uint32_t number, bool last, std::vector<ObjectPtr> objects, std::vector<ObjectPtr> all,
                  std::uint64_t sequence = 10) {
    wire::Page page;
    page.scope = follower->id();
    page.snapshot = "s1";
    page.at = wire::Position{"e1", sequence};
    page.number = number;
    page.last = last;
    page.total = all.size();
    page.fingerprint = fingerprint_of(all);
    page.request = request;
    page.objects = std::move(objects);
    return page;
  }

  wire::Frame frame(std::uint64_t after, std::uint64_t through, std::vector<WatchEvent> events,
                    std::string epoch = "e1") {
    wire::Frame frame;
    frame.scope = follower->id();
    frame.epoch = std::move(epoch);
    frame.after = after;
    frame.through = frame.head = through;
    frame.events = std::move(events);
    for (std::size_t i = 0; i < frame.events.size(); ++i)
      frame.sequences.push_back(through - frame.events.size() + 1 + i);
    return frame;
  }

  wire::Notice notice(wire::Notice::Kind kind) {
    wire::Notice notice;
    notice.kind = kind;
    notice.scope = follower->id();
    notice.request = request;
    return notice;
  }

  // Connects, and receives a set of these objects as of sequence 10 of life e1.
  void begin_with(std::vector<ObjectPtr> objects) {
    follower->path_up();
    request = asked()->request;
    follower->receive(page(0, true, objects, objects));
  }

  // What the consumer is told, as "=a1 b2" for a set and "+a2" or "-a" for changes; and consumes it.
  std::vector<std::string> told() {
    std::vector<std::string> lines;
    while (auto delivery = follower->next_delivery()) {
      if (auto* set = std::get_if<Follower::FullSet>(&*delivery)) {
        std::string line = "=";
        for (const ObjectPtr& each : set->objects)
          line += " " + std::string(each->name()) + std::string(each->resource_version());
        lines.push_back(line);
      } else if (auto* changes = std::get_if<Follower::Changes>(&*delivery)) {
        for (const WatchEvent& event : changes->events) {
          lines.push_back(event.type == EventType::Deleted
                              ? "-" + event.key.name
                              : (event.type == EventType::Added ? "+" : "~") + event.key.name + event.resource_version);
        }
      } else {
        lines.push_back("error: " + std::get<Error>(*delivery).message);
      }
    }
    follower->consumed();
    return lines;
  }

  void digest(std::uint64_t sequence, const std::vector<ObjectPtr>& objects, std::string epoch = "e1") {
    follower->receive(wire::Digest::Stream{follower->id(), {std::move(epoch), sequence}, fingerprint_of(objects), "1"},
                      30s);
  }

  void pass(Duration duration) {
    time.run_for(duration);
    follower->tick();
  }

  testing::VirtualTime time;
  Random random{1};
  std::optional<Follower> follower;
  std::uint64_t request = 0;
};

TEST_F(FollowerTest, AsksForNothingBeforeThereIsAPath) {
  EXPECT_FALSE(follower->next_request());
  EXPECT_EQ(follower->next_deadline(), TimePoint::max());
}

TEST_F(FollowerTest, AWatchWithoutACopyAsksForTheWholeSet) {
  follower->path_up();
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->client, "hub");
  EXPECT_EQ(watch->have, wire::Position());
}

TEST_F(FollowerTest, AWatchThatNobodyAnswersIsAskedAgain) {
  follower->path_up();
  asked();
  pass(1min);
  EXPECT_TRUE(asked());
}

TEST_F(FollowerTest, ASetInPagesOfAnyOrderIsDeliveredWholeOrNotAtAll) {
  follower->path_up();
  request = asked()->request;
  const auto a = object("a", 1), b = object("b", 2);
  follower->receive(page(1, true, {b}, {a, b}));
  EXPECT_THAT(told(), IsEmpty());
  follower->receive(page(0, false, {a}, {a, b}));
  EXPECT_THAT(told(), ElementsAre("= a1 b2"));
  EXPECT_EQ(follower->state(), Follower::State::Following);
}

TEST_F(FollowerTest, AnEmptySetIsASet) {
  begin_with({});
  EXPECT_THAT(told(), ElementsAre("="));
  EXPECT_TRUE(follower->proven_at());
}

TEST_F(FollowerTest, NotReadyIsNotEmpty) {
  follower->path_up();
  request = asked()->request;
  follower->receive(notice(wire::Notice::Kind::NotReady));
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_FALSE(follower->proven_at());
}

TEST_F(FollowerTest, LostPagesAreFetchedAloneAndTheRestOnlyAsTheWindowAllows) {
  follower->path_up();
  request = asked()->request;
  const auto a = object("a", 1), b = object("b", 2), c = object("c", 3);
  follower->receive(page(0, false, {a}, {a, b, c}));
  const auto credit = fetched();
  ASSERT_TRUE(credit);
  EXPECT_THAT(credit->pages, ElementsAre(std::pair(2u, 3u)));
  follower->receive(page(2, true, {c}, {a, b, c}));
  pass(5s);
  const auto again = fetched();
  ASSERT_TRUE(again);
  EXPECT_THAT(again->pages, ElementsAre(std::pair(1u, 2u)));
  follower->receive(page(1, false, {b}, {a, b, c}));
  EXPECT_THAT(told(), ElementsAre("= a1 b2 c3"));
}

// A frame that makes `to` of `from`.
wire::Frame patch_frame(wire::Frame frame, const ObjectPtr& from, const ObjectPtr& to) {
  frame.events = {WatchEvent(EventType::Modified, from->key(), "", nullptr, "")};
  frame.sequences = {frame.through};
  frame.patches = {wire::Patch{EntryHash::of(*from).low, splices_between(from->raw(), to->raw())}};
  return frame;
}

TEST_F(FollowerTest, AsksForPatchesOnlyIfItCanFindWhatTheyAreAbout) {
  follower->path_up();
  EXPECT_FALSE(asked()->patches);
  start(FollowerOptions());
  follower->find_stored_with([](const ObjectKey&) { return ObjectPtr(); });
  follower->path_up();
  EXPECT_TRUE(asked()->patches);
}

TEST_F(FollowerTest, APatchIsAppliedToWhatWaitsForTheStoreAndToWhatIsInIt) {
  const auto first = object("a", 1), second = object("a", 2), third = object("a", 3), fourth = object("a", 4);
  ObjectPtr stored;
  follower->find_stored_with([&](const ObjectKey&) { return stored; });
  begin_with({first});
  follower->receive(patch_frame(frame(10, 11, {}), first, second));
  follower->receive(patch_frame(frame(11, 12, {}), second, third));
  EXPECT_EQ(follower->inventory().fingerprint(), fingerprint_of({third}));
  EXPECT_THAT(told(), ElementsAre("= a1", "~a2", "~a3"));
  stored = third;
  follower->receive(patch_frame(frame(12, 13, {}), third, fourth));
  EXPECT_THAT(told(), ElementsAre("~a4"));
  digest(13, {fourth});
  EXPECT_TRUE(follower->proven_at());
  EXPECT_EQ(follower->counts().patches, 3u);
  EXPECT_EQ(follower->counts().gaps, 0u);
}

TEST_F(FollowerTest, APatchOfWhatTheCopyDoesNotHoldIsAGap) {
  const auto first = object("a", 1), second = object("a", 2), third = object("a", 3), other = object("b", 1);
  ObjectPtr stored = first;
  follower->find_stored_with([&](const ObjectKey&) { return stored; });
  begin_with({first});
  told();
  const auto refused = [&](wire::Frame frame) {
    asked();
    follower->receive(frame);
    const auto watch = asked();
    EXPECT_EQ(follower->position().sequence, 10u);
    EXPECT_THAT(told(), IsEmpty());
    follower->receive([&] {
      request = watch ? watch->request : 0;
      auto resumed = notice(wire::Notice::Kind::Resumed);
      resumed.at = wire::Position{"e1", 10};
      return resumed;
    }());
    return watch && watch->have == wire::Position{"e1", 10};
  };
  EXPECT_TRUE(refused(patch_frame(frame(10, 11, {}), second, third)));  // Of another state.
  EXPECT_TRUE(refused(patch_frame(frame(10, 11, {}), other, second)));  // Of another object.
  EXPECT_TRUE(refused(patch_frame(frame(10, 11, {}), first, other)));   // That makes one of another name,
  auto broken = patch_frame(frame(10, 11, {}), first, second);          // or none at all,
  broken.patches[0].splices = {Splice{1, 0, "{"}};
  EXPECT_TRUE(refused(broken));
  broken.patches[0].splices = {Splice{1 << 20, 0, ""}};  // or reaches beyond its base.
  EXPECT_TRUE(refused(broken));
  stored = second;  // The store was altered,
  EXPECT_TRUE(refused(patch_frame(frame(10, 11, {}), first, second)));
  stored = nullptr;  // or has lost it.
  EXPECT_TRUE(refused(patch_frame(frame(10, 11, {}), first, second)));
  stored = first;
  follower->receive(patch_frame(frame(10, 12, {}), first, second));
  EXPECT_THAT(told(), ElementsAre("~a2"));
}

TEST_F(FollowerTest, WhatPatchesMakeIsBounded) {
  const auto small = object("a", 1), large = object("a", 2, "", R"("p":")" + std::string(1000, 'p') + '"');
  FollowerOptions options;
  options.delivered_patched_bytes = 1500;
  start(options);
  ObjectPtr stored = small;
  follower->find_stored_with([&](const ObjectKey&) { return stored; });
  begin_with({small});
  told();
  follower->receive(patch_frame(frame(10, 11, {}), small, large));
  follower->receive(
      patch_frame(frame(11, 12, {}), large, object("a", 3, "", R"("p":")" + std::string(999, 'q') + '"')));
  EXPECT_EQ(follower->position().sequence, 11u);
  EXPECT_TRUE(asked());
  EXPECT_THAT(told(), ElementsAre("~a2"));
}

TEST_F(FollowerTest, PagesThatAnswerAnEarlierQuestionAreNotTaken) {
  follower->path_up();
  request = asked()->request - 1;
  follower->receive(page(0, true, {object("a", 1)}, {object("a", 1)}));
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(FollowerTest, ASetThatDoesNotMatchItsOwnFingerprintIsAskedForAgain) {
  follower->path_up();
  request = asked()->request;
  follower->receive(page(0, true, {object("a", 2)}, {object("a", 1)}));
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_EQ(follower->counts().contradictions, 1u);
  pass(5s);
  EXPECT_TRUE(asked());
}

TEST_F(FollowerTest, FramesContinueTheSet) {
  begin_with({object("a", 1)});
  told();
  follower->receive(frame(10, 12, {testing::modified("a", 2), testing::modified("b", 3)}));
  EXPECT_THAT(told(), ElementsAre("~a2", "+b3"));
  follower->receive(frame(12, 13, {testing::deleted("a", 4)}));
  EXPECT_THAT(told(), ElementsAre("-a"));
}

TEST_F(FollowerTest, ARepeatedFrameChangesNothing) {
  begin_with({});
  told();
  follower->receive(frame(10, 11, {testing::modified("a", 1)}));
  follower->receive(frame(10, 11, {testing::modified("a", 1)}));
  EXPECT_THAT(told(), ElementsAre("+a1"));
}

TEST_F(FollowerTest, AGapIsNotSkippedButAskedForFromWhereTheCopyStands) {
  begin_with({});
  told();
  follower->receive(frame(11, 12, {testing::modified("b", 2)}));
  EXPECT_THAT(told(), IsEmpty());
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->have, (wire::Position{"e1", 10}));
  follower->receive(frame(10, 11, {testing::modified("a", 1)}));
  EXPECT_THAT(told(), ElementsAre("+a1", "+b2"));  // The one that came too early was kept.
}

TEST_F(FollowerTest, AFrameOfAnotherLifeOfTheStreamIsNotTaken) {
  begin_with({});
  told();
  pass(10s);
  follower->receive(frame(10, 11, {testing::modified("a", 1)}, "e2"));
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_TRUE(asked());
}

TEST_F(FollowerTest, FramesThatOvertakeTheSetWaitForIt) {
  follower->path_up();
  request = asked()->request;
  const auto a = object("a", 1), b = object("b", 2);
  follower->receive(page(0, false, {a}, {a, b}));
  follower->receive(frame(10, 11, {testing::deleted("b", 3)}));
  follower->receive(page(1, true, {b}, {a, b}));
  EXPECT_THAT(told(), ElementsAre("= a1 b2", "-b"));
}

TEST_F(FollowerTest, ADeleteOfWhatNeverCameIsNotTold) {
  begin_with({});
  told();
  follower->receive(frame(10, 11, {testing::deleted("a", 1)}));
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_EQ(follower->position().sequence, 11u);
}

TEST_F(FollowerTest, AProofCountsOnlyOnceTheStoreHasWhatItSpeaksOf) {
  begin_with({object("a", 1)});
  told();
  const auto first = follower->proven_at();
  time.run_for(1s);
  follower->receive(frame(10, 11, {testing::modified("a", 2)}));
  digest(11, {object("a", 2)});
  EXPECT_EQ(follower->proven_at(), first);
  told();
  EXPECT_EQ(follower->proven_at(), time.now());
}

TEST_F(FollowerTest, ASetThatTheProviderItselfCannotVouchForIsProvenOnlyAsOfWhenItCould) {
  begin_with({object("a", 1)});
  told();
  const auto first = follower->proven_at();
  time.run_for(5min);
  auto stale = wire::Digest::Stream{follower->id(), {"e1", 10}, fingerprint_of({object("a", 1)}), "1"};
  stale.behind_seconds = 400;
  follower->receive(stale, 30s);
  EXPECT_EQ(follower->proven_at(), first);
  stale.behind_seconds = 60;
  follower->receive(stale, 30s);
  EXPECT_EQ(follower->proven_at(), time.now() - 60s);
}

TEST_F(FollowerTest, AnInexactPositionProvesNothing) {
  begin_with({object("a", 1)});
  told();
  const auto first = follower->proven_at();
  time.run_for(1s);
  auto partial = frame(10, 11, {testing::modified("b", 2)});
  partial.head = partial.through + 1;
  follower->receive(partial);
  digest(11, {object("a", 1), object("b", 2)});
  told();
  EXPECT_EQ(follower->proven_at(), first);
}

TEST_F(FollowerTest, AnOlderFrameDoesNotMakeAnInexactPositionExact) {
  begin_with({object("a", 1)});
  told();
  const auto first = follower->proven_at();
  time.run_for(1s);
  auto partial = frame(10, 12, {testing::modified("b", 2)});
  partial.head = 15;  // What changed at 11 has changed again at 15.
  follower->receive(partial);
  follower->receive(frame(12, 13, {testing::modified("c", 3)}));  // Made before that, and late.
  digest(13, {object("a", 1), object("b", 2), object("c", 3)});
  told();
  EXPECT_EQ(follower->proven_at(), first);
  EXPECT_EQ(follower->counts().mismatches, 0u);
  follower->receive(frame(13, 15, {testing::modified("d", 4)}));
  digest(15, {object("a", 1), object("b", 2), object("c", 3), object("d", 4)});
  told();
  EXPECT_EQ(follower->proven_at(), time.now());
}

TEST_F(FollowerTest, ADigestThatDoesNotFitFetchesTheWholeSetAnew) {
  begin_with({object("a", 1)});
  told();
  digest(10, {object("a", 9)});
  EXPECT_EQ(follower->counts().mismatches, 1u);
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->have, wire::Position());
}

TEST_F(FollowerTest, ADigestThatWasOvertakenProvesNothing) {
  begin_with({object("a", 1)});
  digest(12, {object("a", 3)});
  const auto before = follower->proven_at();
  pass(1s);
  digest(10, {object("a", 1)});  // True once; but the stream is known to stand at 12.
  EXPECT_EQ(follower->proven_at(), before);
}

TEST_F(FollowerTest, ADigestBeyondTheCopyShowsThatFramesWereLost) {
  begin_with({});
  told();
  digest(12, {object("a", 1)});
  EXPECT_FALSE(asked());  // They may be merely late.
  pass(5s);
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->have, (wire::Position{"e1", 10}));
}

TEST_F(FollowerTest, ACopyLedToWhereTheStreamHasNeverBeenIsComparedAnew) {
  begin_with({object("a", 1)});
  told();
  follower->receive(frame(10, std::uint64_t{1} << 62, {}));  // Forged.
  digest(10, {object("a", 1)});
  digest(11, {object("a", 2)});
  EXPECT_FALSE(asked());  // They may be merely late.
  digest(11, {object("a", 2)});
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->have, wire::Position());
  EXPECT_TRUE(watch->inventory);
}

TEST_F(FollowerTest, ASetFromBeforeTheCopyIsTakenWhereTheCopyStoodThereWhenItAsked) {
  begin_with({object("a", 1)});
  told();
  follower->receive(frame(10, std::uint64_t{1} << 62, {}));  // Forged.
  follower->path_down();
  follower->path_up();
  request = asked()->request;
  follower->receive(page(0, true, {object("b", 2)}, {object("b", 2)}, 11));
  EXPECT_FALSE(asked());
  EXPECT_THAT(told(), ElementsAre("= b2"));
}

TEST_F(FollowerTest, ALastPageBeforePagesThatHaveComeContradictsThem) {
  follower->path_up();
  request = asked()->request;
  const std::vector<ObjectPtr> all{object("a", 1), object("b", 1), object("c", 1)};
  follower->receive(page(0, false, {object("a", 1)}, all));
  follower->receive(page(2, false, {object("c", 1)}, all));
  follower->receive(page(1, true, {object("b", 1)}, all));
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_EQ(follower->counts().contradictions, 1u);
}

TEST_F(FollowerTest, AnswersThatContradictThemselvesAreAskedForAtABoundedPace) {
  follower->path_up();
  int asked_times = 0;
  for (int i = 0; i < 600; ++i) {
    if (const auto watch = asked()) {
      ++asked_times;
      request = watch->request;
      follower->receive(page(0, true, {object("a", 1)}, {object("a", 2)}));
    }
    pass(100ms);
  }
  EXPECT_GE(asked_times, 3);
  EXPECT_LE(asked_times, 10);  // In a minute.
}

TEST_F(FollowerTest, SilenceIsSuspicious) {
  begin_with({});
  told();
  pass(5min);
  EXPECT_TRUE(asked());
}

TEST_F(FollowerTest, AnOutageKeepsTheCopyAndAsksForTheDifference) {
  begin_with({object("a", 1)});
  told();
  follower->path_down();
  EXPECT_EQ(follower->state(), Follower::State::Idle);
  follower->receive(frame(10, 11, {testing::deleted("a", 2)}));  // A straggler: the path is gone.
  EXPECT_THAT(told(), IsEmpty());
  follower->path_up();
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->have, (wire::Position{"e1", 10}));
  request = watch->request;
  auto resumed = notice(wire::Notice::Kind::Resumed);
  resumed.at = wire::Position{"e1", 11};
  follower->receive(resumed);
  EXPECT_EQ(follower->state(), Follower::State::Asking);
  follower->receive(frame(10, 11, {testing::deleted("a", 2)}));
  EXPECT_EQ(follower->state(), Follower::State::Following);
  EXPECT_THAT(told(), ElementsAre("-a"));
}

TEST_F(FollowerTest, ALeaseThatTheProviderForgotIsTakenAnew) {
  begin_with({});
  told();
  pass(10s);
  follower->receive(notice(wire::Notice::Kind::Unknown));
  EXPECT_TRUE(asked());
}

TEST_F(FollowerTest, ARefusalIsToldWithItsReasonAndAskedAgainLater) {
  follower->path_up();
  request = asked()->request;
  auto refused = notice(wire::Notice::Kind::Refused);
  refused.code = Code::Forbidden;
  refused.message = "may not list configmaps";
  follower->receive(refused);
  EXPECT_THAT(told(), ElementsAre("error: may not list configmaps"));
  EXPECT_FALSE(asked());
  pass(31s);
  EXPECT_TRUE(asked());
}

TEST_F(FollowerTest, AConsumerThatStallsBoundsWhatWaitsAndCatchesUpByAsking) {
  FollowerOptions options;
  options.delivered_events = 2;
  start(options);
  begin_with({});
  told();
  for (std::uint64_t i = 10; i < 20; ++i)
    follower->receive(frame(i, i + 1, {testing::modified("o" + std::to_string(i), 1)}));
  EXPECT_GT(follower->counts().dropped, 0u);
  EXPECT_EQ(told().size(), 2u);
  pass(5s);
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->have, (wire::Position{"e1", 12}));
}

TEST_F(FollowerTest, StartingOverForgetsEverything) {
  begin_with({object("a", 1)});
  told();
  follower->repair_from(Inventory());
  const auto watch = asked();
  ASSERT_TRUE(watch);
  EXPECT_EQ(watch->have, wire::Position());
}

}  // namespace
}  // namespace tinf
