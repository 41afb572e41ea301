// What a provider says to whom: answers, leases, refusals, digests, and its bounds against a hostile informer.
#include "tinf/provider/provider_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/testing/objects.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using testing::configmaps;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::object;

constexpr std::size_t kMaximumMessage = 256 << 10;

ProviderOptions small_options() {
  ProviderOptions options;
  options.cluster = "c1";
  options.instance = "i1";
  options.page_bytes = options.stream.frame_bytes = 100;  // One object fills a page.
  options.stream.log_entries = 4;
  options.maximum_scopes = 2;
  options.maximum_window = 3;
  return options;
}

struct ProviderCoreTest : ::testing::Test {
  ProviderCoreTest() {
    core.offer({ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}},
               "uid", "v1.34");
    core.connected(now, kMaximumMessage);
    said();
  }

  struct Said {
    std::string topic;
    wire::Body body;
  };

  // All that there is to say now.
  std::vector<Said> said() {
    std::vector<Said> all;
    while (auto message = core.next_message(now)) {
      auto decoded = decoder.decode(wire::to_messages(message->encoded, message->topic, sender, 1 << 30)[0]);
      EXPECT_TRUE(decoded) << decoded.error().message;
      all.push_back(Said{message->topic, std::move((*decoded)->body)});
    }
    return all;
  }

  // Those of one kind.
  template <class T>
  std::vector<T> said_of() {
    std::vector<T> some;
    for (Said& one : said()) {
      if (auto* body = std::get_if<T>(&one.body)) some.push_back(std::move(*body));
    }
    return some;
  }

  wire::Watch watch(std::string client = "hub", wire::Position have = wire::Position(), std::uint64_t request = 1) {
    wire::Watch watch;
    watch.client = std::move(client);
    watch.scope = configmaps();
    watch.have = std::move(have);
    watch.lease_seconds = 60;
    watch.window = 2;
    watch.request = request;
    return watch;
  }

  void give(std::vector<ObjectPtr> objects) {
    core.replace(now, id, Snapshot{std::move(objects), ResourceVersion("9")});
  }

  void change(WatchEvent event) { core.apply(now, id, EventBatch{{std::move(event)}, ResourceVersion("10"), false}); }

  void pass(Duration duration) {
    now += duration;
    core.tick(now);
  }

  TimePoint now{1h};
  Random random{1};
  ProviderCore core{small_options(), random};
  wire::Sender sender{"c1", "i1"};
  wire::Decoder decoder;
  const std::string id = configmaps().id();
};

TEST_F(ProviderCoreTest, NotReadyIsSaidAtOnceAndTheSetFollowsWhenItIsThere) {
  core.receive(now, watch());
  const auto notices = said_of<wire::Notice>();
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].kind, wire::Notice::Kind::NotReady);
  give({});
  const auto pages = said_of<wire::Page>();
  ASSERT_EQ(pages.size(), 1u);
  EXPECT_TRUE(pages[0].last);
  EXPECT_THAT(pages[0].objects, IsEmpty());
  EXPECT_EQ(pages[0].request, 1u);
}

TEST_F(ProviderCoreTest, PagesGoOutWithinTheWindowAndOnlyToWhoAsked) {
  core.receive(now, watch());
  give({object("a", 1), object("b", 2), object("c", 3), object("d", 4)});
  std::vector<std::uint32_t> numbers;
  for (const Said& one : said()) {
    if (const auto* page = std::get_if<wire::Page>(&one.body)) {
      EXPECT_EQ(one.topic, "/payload/c1/reply/hub");
      numbers.push_back(page->number);
    }
  }
  EXPECT_THAT(numbers, ElementsAre(0, 1));
}

TEST_F(ProviderCoreTest, AFetchIsHeldToTheLargestWindow) {
  core.receive(now, watch());
  give({object("a", 1), object("b", 2), object("c", 3), object("d", 4), object("e", 5)});
  const auto pages = said_of<wire::Page>();
  core.receive(now, wire::Fetch{"hub", id, pages.at(0).snapshot, {{0, 1u << 31}}, {}});
  EXPECT_EQ(said_of<wire::Page>().size(), 3u);
}

TEST_F(ProviderCoreTest, ChangesGoOutOnceForAllInformersOfAScope) {
  core.receive(now, watch("hub"));
  core.receive(now, watch("other"));
  give({});
  said();
  change(testing::added("a", 10));
  const auto all = said();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].topic, "/payload/c1/stream/" + id);
}

TEST_F(ProviderCoreTest, WhatIsNotAskedForYetCoalescesByKey) {
  core.receive(now, watch());
  give({});
  said();
  for (int version = 10; version < 1000; ++version) change(testing::modified("a", version));
  const auto frames = said_of<wire::Frame>();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].events.size(), 1u);
  EXPECT_EQ(frames[0].through, 990u);
}

TEST_F(ProviderCoreTest, ACopyOfThisLifeIsBroughtForwardByTheDifferenceAlone) {
  core.receive(now, watch());
  give({object("a", 1)});
  const auto at = said_of<wire::Page>().at(0).at;
  change(testing::deleted("a", 10));
  said();
  core.receive(now, watch("hub", at, 2));
  const auto all = said();
  ASSERT_EQ(all.size(), 2u);
  const auto& resumed = std::get<wire::Notice>(all[0].body);
  EXPECT_EQ(resumed.kind, wire::Notice::Kind::Resumed);
  EXPECT_EQ(resumed.at.sequence, 1u);
  EXPECT_EQ(all[1].topic, "/payload/c1/reply/hub");
  EXPECT_EQ(std::get<wire::Frame>(all[1].body).events.at(0).type, EventType::Deleted);
}

TEST_F(ProviderCoreTest, ACopyOfAnotherLifeGetsTheWholeSet) {
  core.receive(now, watch());
  give({object("a", 1)});
  said();
  core.receive(now, watch("hub", wire::Position{"another", 3}, 2));
  EXPECT_EQ(said_of<wire::Page>().size(), 1u);
}

TEST_F(ProviderCoreTest, AResourceThatIsNotOfferedIsRefusedByName) {
  auto secrets = watch();
  secrets.scope.resource.name = "secrets";
  core.receive(now, secrets);
  const auto notices = said_of<wire::Notice>();
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].kind, wire::Notice::Kind::Refused);
  EXPECT_EQ(notices[0].code, Code::NotFound);
  EXPECT_THAT(notices[0].message, HasSubstr("secrets"));
  EXPECT_THAT(core.streams(), IsEmpty());
}

TEST_F(ProviderCoreTest, ASourceThatCannotBeHadIsToldToWhoWaitsAndToWhoAsksLater) {
  core.receive(now, watch());
  said();
  core.report(now, id, Error(Code::Forbidden, "may not list configmaps"));
  EXPECT_EQ(said_of<wire::Notice>().at(0).code, Code::Forbidden);
  core.receive(now, watch("late"));
  EXPECT_EQ(said_of<wire::Notice>().at(0).message, "may not list configmaps");
}

TEST_F(ProviderCoreTest, ASourceThatIsLostLaterDoesNotTakeTheSetAway) {
  core.receive(now, watch());
  give({object("a", 1)});
  said();
  core.report(now, id, Error(Code::Forbidden, "no more"));
  core.receive(now, watch("late"));
  EXPECT_EQ(said_of<wire::Page>().size(), 1u);
}

TEST_F(ProviderCoreTest, ASourceThatIsAwayForAMomentIsNoRefusal) {
  core.receive(now, watch());
  said();
  core.report(now, id, Error(Code::Unavailable, "away"));
  EXPECT_THAT(said(), IsEmpty());
}

TEST_F(ProviderCoreTest, DigestsAndPagesSayHowLongTheSetHasNotBeenCurrent) {
  core.receive(now, watch());
  give({object("a", 1)});
  pass(2s);
  said();
  core.report(now - 5s, id, Error(Code::Unavailable, "away"));  // And has been silent before.
  pass(30s);
  EXPECT_EQ(said_of<wire::Digest>().at(0).streams.at(0).behind_seconds, 36u);  // Rounded up: never less than it is.
  core.receive(now, watch("late"));
  EXPECT_EQ(said_of<wire::Page>().at(0).behind_seconds, 36u);
  core.report(now, id, Result<void>());
  pass(30s);
  EXPECT_EQ(said_of<wire::Digest>().at(0).streams.at(0).behind_seconds, 0u);
}

TEST_F(ProviderCoreTest, ALeaseThatIsNotRenewedEndsAndTheStreamWithTheLastOne) {
  core.receive(now, watch());
  pass(50s);
  core.receive(now, wire::Renew{"hub", {id}});
  pass(50s);
  EXPECT_EQ(core.streams().size(), 1u);
  pass(50s);
  EXPECT_THAT(core.streams(), IsEmpty());
  said();
  core.receive(now, wire::Renew{"hub", {id}});
  EXPECT_EQ(said_of<wire::Notice>().at(0).kind, wire::Notice::Kind::Unknown);
}

TEST_F(ProviderCoreTest, AnInformerThatLeavesFreesWhatOnlyItFollowed) {
  core.receive(now, watch("hub"));
  core.receive(now, watch("other"));
  core.receive(now, wire::Unwatch{"hub", {id}});
  EXPECT_EQ(core.streams().size(), 1u);
  core.receive(now, wire::Unwatch{"other", {id}});
  EXPECT_THAT(core.streams(), IsEmpty());
}

TEST_F(ProviderCoreTest, AStreamThatIsNeverQuietIsProvenToo) {
  ProviderOptions options = small_options();
  options.stream = ScopeStreamOptions();  // A frame holds what comes while one is sent.
  ProviderCore busy(options, random);
  busy.offer({ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}},
             "uid", "v1.34");
  busy.connected(now, kMaximumMessage);
  busy.receive(now, watch());
  busy.replace(now, id, Snapshot{{object("a", 1)}, ResourceVersion("9")});
  while (busy.next_message(now)) {
  }
  int digests = 0;
  for (int i = 0; i < 100; ++i) {  // 10 s, in which there is always something to send.
    now += 100ms;
    busy.apply(now, id, EventBatch{{testing::added("b" + std::to_string(i), 10 + i)}, ResourceVersion("10"), false});
    const auto message = busy.next_message(now);
    ASSERT_TRUE(message);
    if (message->topic.ends_with("/digest")) ++digests;
  }
  EXPECT_GE(digests, 3);
}

TEST_F(ProviderCoreTest, TheDigestNamesWhereTheStreamStandsAfterItsFrames) {
  core.receive(now, watch());
  give({object("a", 1)});
  said();
  change(testing::added("b", 10));
  pass(2s);
  const auto all = said();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<wire::Frame>(all[0].body));
  const auto& digest = std::get<wire::Digest>(all[1].body);
  ASSERT_EQ(digest.streams.size(), 1u);
  EXPECT_EQ(digest.streams[0].at.sequence, 1u);
  EXPECT_EQ(digest.streams[0].fingerprint.count, 2u);
}

TEST_F(ProviderCoreTest, LiveFramesHoldPatchesOnlyWhileAllWhoFollowCanApplyThem) {
  const auto large = [](int version) { return object("a", version, "", R"("p":")" + std::string(1000, 'p') + '"'); };
  wire::Watch can = watch("can");
  can.patches = true;
  const auto patches = [&](int version) {
    change(WatchEvent::modified(large(version)));
    const auto frames = said_of<wire::Frame>();
    EXPECT_EQ(frames.size(), 1u);
    return frames.at(0).patches.size();
  };
  core.receive(now, can);
  give({large(1)});
  said();
  EXPECT_EQ(patches(10), 1u);
  core.receive(now, watch("cannot"));
  said();
  EXPECT_EQ(patches(11), 0u);
  core.receive(now, wire::Unwatch{"cannot", {id}});
  EXPECT_EQ(patches(12), 1u);
}

TEST_F(ProviderCoreTest, WhoResumesBeyondTheLastLiveFrameIsNotSentPatchesOfWhatItNeverHad) {
  const auto large = [](int version) { return object("a", version, "", R"("p":")" + std::string(1000, 'p') + '"'); };
  wire::Watch one = watch("hub");
  one.patches = true;
  core.receive(now, one);
  give({large(1)});
  said();
  one.have = core.streams().at(id)->position();
  change(WatchEvent::modified(large(10)));
  core.receive(now, one);  // Its resume may go out before the live frame.
  change(WatchEvent::modified(large(11)));
  for (const auto& said : this->said()) {
    const auto* frame = std::get_if<wire::Frame>(&said.body);
    if (frame == nullptr || frame->patches.empty()) continue;
    EXPECT_EQ(said.topic, "/payload/c1/stream/" + id);
    EXPECT_EQ(frame->patches[0].base, EntryHash::of(*large(1)).low);
  }
  change(WatchEvent::modified(large(12)));
  const auto next = said_of<wire::Frame>();
  ASSERT_EQ(next.size(), 1u);
  ASSERT_EQ(next[0].patches.size(), 1u);
  EXPECT_EQ(next[0].patches[0].base, EntryHash::of(*large(11)).low);
}

TEST_F(ProviderCoreTest, AQuietStreamIsStillProvenEveryInterval) {
  core.receive(now, watch());
  give({});
  pass(2s);
  said();
  pass(10s);
  EXPECT_THAT(said(), IsEmpty());
  pass(30s);
  EXPECT_EQ(said_of<wire::Digest>().size(), 1u);
}

TEST_F(ProviderCoreTest, WhereMessagesAreSmallPagesAre) {
  ProviderOptions large_pages = small_options();
  large_pages.page_bytes = 2 << 20;
  ProviderCore other(large_pages, random);
  other.offer({ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}},
              "uid", "v1.34");
  const std::size_t of_two = 2 * object("a", 1)->raw().size();
  for (const auto& [message, pages] : {std::pair(of_two / 8 + 1, 2u), std::pair(kMaximumMessage, 1u)}) {
    other.connected(now, message);
    other.receive(now, watch("hub-" + std::to_string(message)));
    other.replace(now, id, Snapshot{{object("a", 1), object("b", 2), object("c", 3)}, ResourceVersion("9")});
    unsigned sent = 0;
    while (auto outgoing = other.next_message(now))
      sent += outgoing->topic.find("/reply/") != std::string::npos ? 1 : 0;
    EXPECT_EQ(sent, pages + (message == kMaximumMessage ? 0 : 1)) << message;  // And "not ready", once.
  }
}

// The digests of the next interval: for each its number and how many streams it names.
using Named = std::pair<std::uint64_t, std::size_t>;

TEST_F(ProviderCoreTest, WhereNothingHasChangedADigestNamesNoStream) {
  const auto digests = [this] {
    std::vector<Named> some;
    for (const auto& digest : said_of<wire::Digest>()) some.emplace_back(digest.number, digest.streams.size());
    return some;
  };
  wire::Watch long_lived = watch();
  long_lived.lease_seconds = 600;
  core.receive(now, long_lived);
  give({object("a", 1)});
  said();
  pass(2s);
  EXPECT_THAT(digests(), ElementsAre(Named(2, 1)));  // Nobody can have heard the first.
  pass(30s);
  EXPECT_THAT(digests(), ElementsAre(Named(2, 0)));
  long_lived.client = "late";  // Has heard none of them.
  core.receive(now, long_lived);
  said();
  pass(2s);
  EXPECT_THAT(digests(), ElementsAre(Named(3, 1)));
  pass(30s);
  EXPECT_THAT(digests(), ElementsAre(Named(3, 0)));

  core.report(now, id, Error(Code::Unavailable, "away"));
  pass(30s);
  EXPECT_THAT(digests(), ElementsAre(Named(4, 1)));
  core.report(now, id, Result<void>());
  pass(30s);  // What was last named as behind is named once more.
  EXPECT_THAT(digests(), ElementsAre(Named(5, 1), Named(5, 0)));

  change(testing::modified("a", 2));
  said();
  pass(2s);
  EXPECT_THAT(digests(), ElementsAre(Named(6, 1)));
  core.connected(now, kMaximumMessage);  // What was said before may be lost.
  EXPECT_THAT(digests(), ElementsAre(Named(8, 1)));
}

TEST_F(ProviderCoreTest, AHelloOfOneWhoMissedADigestHasAllStreamsNamed) {
  core.receive(now, watch());
  give({object("a", 1)});
  said();
  pass(2s);
  const std::uint64_t last = said_of<wire::Digest>().at(0).number;
  core.receive(now, wire::Hello{"late"});
  EXPECT_THAT(said_of<wire::Digest>(), IsEmpty());
  pass(1s);
  const auto digests = said_of<wire::Digest>();
  ASSERT_EQ(digests.size(), 1u);
  EXPECT_EQ(digests[0].streams.size(), 1u);
  EXPECT_EQ(digests[0].number, last + 2);
}

TEST_F(ProviderCoreTest, AfterAStreamHasEndedWhoeverHasItsLastWordMustForgetIt) {
  core.receive(now, watch());
  give({object("a", 1)});
  wire::Watch other = watch("other");
  other.scope.namespace_name = "n";
  core.receive(now, other);
  core.replace(now, other.scope.id(), Snapshot{{object("a", 1)}, ResourceVersion("1")});
  said();
  pass(2s);
  const auto both = said_of<wire::Digest>();
  ASSERT_EQ(both.size(), 1u);
  EXPECT_EQ(both[0].streams.size(), 2u);
  core.receive(now, wire::Unwatch{"other", {other.scope.id()}});
  pass(30s);
  const auto rest = said_of<wire::Digest>();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].streams.size(), 1u);
  EXPECT_EQ(rest[0].number, both[0].number + 2);
}

TEST_F(ProviderCoreTest, AHelloIsAnsweredWithThePresence) {
  core.receive(now, wire::Hello{"hub"});
  const auto presence = said_of<wire::Presence>();
  ASSERT_EQ(presence.size(), 1u);
  EXPECT_EQ(presence[0].cluster, "c1");
  EXPECT_EQ(presence[0].resources.size(), 1u);
}

TEST_F(ProviderCoreTest, MoreScopesThanAllowedAreRefusedAndTheOthersGoOn) {
  for (const char* selector : {"a=1", "a=2", "a=3"}) {
    auto one = watch();
    one.scope.label_selector = selector;
    core.receive(now, one);
  }
  const auto notices = said_of<wire::Notice>();
  ASSERT_EQ(notices.size(), 3u);
  EXPECT_EQ(notices[2].code, Code::TooManyRequests);
  EXPECT_EQ(core.streams().size(), 2u);
}

TEST_F(ProviderCoreTest, MoreSubscriptionsThanAllowedAreRefusedAndThoseThatAreThereGoOn) {
  ProviderOptions options = small_options();
  options.maximum_subscriptions = 2;
  ProviderCore few(options, random);
  few.offer({ResourceInfo{configmaps().resource, "ConfigMap", "configmap", {}, {}, {"list", "watch"}, true, true}},
            "uid", "v1.34");
  few.connected(now, kMaximumMessage);
  for (const char* client : {"a", "b", "c", "a"}) few.receive(now, watch(client));
  EXPECT_EQ(few.counts().subscriptions, 2u);
  EXPECT_EQ(few.counts().refusals, 1u);
}

TEST_F(ProviderCoreTest, AScopeWhoseTextsNoServerWouldTakeIsRefused) {
  auto endless = watch();
  endless.scope.label_selector = "a=" + std::string(20000, 'x');
  core.receive(now, endless);
  EXPECT_EQ(said_of<wire::Notice>().at(0).code, Code::Invalid);
}

TEST_F(ProviderCoreTest, AClientIdThatWouldBeAnotherTopicIsNotAnswered) {
  core.receive(now, watch("../other"));
  core.receive(now, watch("a/b"));
  core.receive(now, wire::Renew{"+", {"x"}});
  EXPECT_THAT(said(), IsEmpty());
}

TEST_F(ProviderCoreTest, ASnapshotThatIsGoneIsSaidToBeUnknown) {
  core.receive(now, watch());
  give({object("a", 1)});
  said();
  core.receive(now, wire::Fetch{"hub", id, "another", {{0, 1}}, {}});
  EXPECT_EQ(said_of<wire::Notice>().at(0).kind, wire::Notice::Kind::Unknown);
}

TEST_F(ProviderCoreTest, ACopyOfAnotherLifeThatIsEqualIsToldSoAndNothingElse) {
  core.receive(now, watch());
  const ObjectPtr a = object("a", 1);
  give({a});
  said();
  wire::Watch again = watch("hub", wire::Position{"another life", 70}, 2);
  again.inventory = Fingerprint();
  again.inventory->add(EntryHash::of(*a));
  core.receive(now, again);
  const auto all = said();
  ASSERT_EQ(all.size(), 1u);
  const auto& equal = std::get<wire::Notice>(all[0].body);
  EXPECT_EQ(equal.kind, wire::Notice::Kind::Equal);
  EXPECT_EQ(equal.at.sequence, 0u);
  EXPECT_EQ(equal.request, 2u);
}

TEST_F(ProviderCoreTest, ACopyThatDiffersIsToldWhatTheSetHoldsAndSentWhatItFetches) {
  core.receive(now, watch());
  give({object("a", 1), object("b", 2)});
  said();
  wire::Watch again = watch("hub", wire::Position(), 2);
  again.inventory = Fingerprint{1, 2, 3};
  core.receive(now, again);
  const auto ranges = said_of<wire::Ranges>();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].request, 2u);
  ASSERT_EQ(ranges[0].ranges.size(), 1u);
  ASSERT_EQ(ranges[0].ranges[0].entries.size(), 2u);
  EXPECT_EQ(ranges[0].ranges[0].entries[1].hash, EntryHash::of(*object("b", 2)).low);

  const KeyRange to_b{{}, {"default", "b"}};
  core.receive(now, wire::Compare{"hub", id, ranges[0].snapshot, {to_b}});
  const auto part = said_of<wire::Ranges>();
  ASSERT_EQ(part.size(), 1u);
  EXPECT_EQ(part[0].ranges[0].range, to_b);
  EXPECT_EQ(part[0].ranges[0].entries.size(), 1u);

  // The snapshot stays as it was, whatever changes meanwhile.
  change(testing::modified("b", 10));
  core.receive(now, wire::Fetch{"hub", id, ranges[0].snapshot, {}, {{"default", "b"}, {"default", "none"}}});
  const auto objects = said_of<wire::Objects>();
  ASSERT_EQ(objects.size(), 1u);
  ASSERT_EQ(objects[0].objects.size(), 1u);
  EXPECT_EQ(objects[0].objects[0]->resource_version(), "2");
}

TEST_F(ProviderCoreTest, ACopyThatCameBeforeTheFirstSetIsComparedWithIt) {
  wire::Watch early = watch();
  early.inventory = Fingerprint{1, 2, 3};
  core.receive(now, early);
  EXPECT_EQ(said_of<wire::Notice>().at(0).kind, wire::Notice::Kind::NotReady);
  give({object("a", 1)});
  EXPECT_EQ(said_of<wire::Ranges>().size(), 1u);
}

TEST_F(ProviderCoreTest, ASetAskedForAgainIsThePresentOneSoThatNoCopyGoesBack) {
  core.receive(now, watch());
  give({object("a", 1)});
  said();
  change(testing::modified("a", 10));
  said();
  core.receive(now, watch("hub", wire::Position(), 2));
  EXPECT_EQ(said_of<wire::Page>().at(0).objects.at(0)->resource_version(), "10");
}

TEST_F(ProviderCoreTest, QuestionsAboutRangesAndKeysAreBounded) {
  core.receive(now, watch());
  give({object("a", 1)});
  said();
  wire::Watch again = watch("hub", wire::Position(), 2);
  again.inventory = Fingerprint{1, 2, 3};
  core.receive(now, again);
  const std::string snapshot = said_of<wire::Ranges>().at(0).snapshot;
  core.receive(now, wire::Compare{"hub", id, snapshot, std::vector<KeyRange>(100000)});
  core.receive(now, wire::Fetch{"hub", id, snapshot, {}, std::vector<ObjectKey>(100000, ObjectKey{"default", "a"})});
  std::size_t ranges = 0, objects = 0;
  for (const Said& one : said()) {
    if (const auto* answer = std::get_if<wire::Ranges>(&one.body)) ranges += answer->ranges.size();
    if (const auto* answer = std::get_if<wire::Objects>(&one.body)) objects += answer->objects.size();
  }
  EXPECT_EQ(ranges, small_options().maximum_ranges);
  EXPECT_EQ(objects, small_options().maximum_ranges * 16);
}

}  // namespace
}  // namespace tinf
