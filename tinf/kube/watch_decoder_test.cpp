// The watch decoder: every cut of the bytes gives the same events, and no bad line passes or holds up a good one.
#include "tinf/kube/watch_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tinf::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string pod(const std::string& name, int version) {
  return R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":")" + name + R"(","namespace":"default","uid":"u-)" +
         name + R"(","resourceVersion":")" + std::to_string(version) + "\"}}";
}

std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string bookmark(int version, const std::string& annotations = "") {
  return event("BOOKMARK", R"({"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":")" +
                               std::to_string(version) + "\"" +
                               (annotations.empty() ? "" : ",\"annotations\":" + annotations) + "}}");
}

const char* const kEnd = R"({"k8s.io/initial-events-end":"true"})";

WatchExpectation pods(const std::string& from = "1") {
  WatchExpectation expectation;
  expectation.api_version = "v1";
  expectation.kind = "Pod";
  expectation.from = ResourceVersion(from);
  return expectation;
}

WatchExpectation initial_pods() {
  WatchExpectation expectation = pods("");
  expectation.initial_events = true;
  return expectation;
}

// All batches told as text, and how it ended.
std::vector<std::string> told(WatchDecoder& decoder) {
  std::vector<std::string> lines;
  while (auto batch = decoder.next()) {
    if (!*batch) {
      lines.push_back(std::string(to_string(batch->error().code)));
      return lines;
    }
    for (const WatchEvent& e : (*batch)->events)
      lines.push_back(std::string(to_string(e.type)) + " " + e.key.to_string() + " " + e.resource_version);
    lines.push_back("@" + (*batch)->version.text() + ((*batch)->initial_events_end ? " complete" : ""));
  }
  return lines;
}

std::vector<std::string> told(const std::string& bytes, WatchExpectation expectation = pods()) {
  WatchDecoder decoder(std::move(expectation));
  decoder.feed(bytes);
  return told(decoder);
}

TEST(WatchDecoder, HandsOutAllCompleteLinesAsOneBatch) {
  EXPECT_THAT(
      told(event("ADDED", pod("a", 5)) + event("MODIFIED", pod("a", 6)) + event("DELETED", pod("a", 7)) + "{\"type"),
      ElementsAre("ADDED default/a 5", "MODIFIED default/a 6", "DELETED default/a 7", "@7"));
}

TEST(WatchDecoder, FindsTheSameEventsWhateverTheCut) {
  const std::string bytes = event("ADDED", pod("a", 5)) + bookmark(9) + event("DELETED", pod("b", 10));
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    WatchDecoder decoder(pods());
    decoder.feed(bytes.substr(0, cut));
    std::vector<std::string> lines = told(decoder);
    decoder.feed(bytes.substr(cut));
    for (std::string& line : told(decoder)) lines.push_back(std::move(line));
    std::erase_if(lines, [](const std::string& line) { return line.starts_with('@') && line != "@10"; });
    EXPECT_THAT(lines, ElementsAre("ADDED default/a 5", "DELETED default/b 10", "@10")) << cut;
    EXPECT_FALSE(decoder.mid_line());
  }
}

TEST(WatchDecoder, CostsEachByteOnceHoweverSmallTheChunks) {
  WatchDecoder decoder(pods());
  std::string big = pod("a", 5);
  big.insert(big.size() - 1, ",\"x\":\"" + std::string(1u << 20, 'x') + "\"");
  const std::string bytes = event("ADDED", pod("z", 4)) + event("ADDED", big);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < bytes.size(); at += 64) {
    decoder.feed(bytes.substr(at, 64));
    for (std::string& line : told(decoder)) lines.push_back(std::move(line));
  }
  EXPECT_THAT(lines, ElementsAre("ADDED default/z 4", "@4", "ADDED default/a 5", "@5"));
}

TEST(WatchDecoder, TakesAnyOrderOfMembersAndCarriageReturns) {
  EXPECT_THAT(told("{\"object\": " + pod("a", 5) +
                   ", \"type\" : \"ADDED\"}\r\n\n{\"type\":\"MODIFIED\",\"object\":" + pod("a", 6) + ",\"more\":1}\n"),
              ElementsAre("ADDED default/a 5", "MODIFIED default/a 6", "@6"));
}

TEST(WatchDecoder, BoundsABatch) {
  std::string bytes;
  for (int i = 0; i < 600; ++i) bytes += event("MODIFIED", pod("a", 10 + i));
  WatchDecoder decoder(pods());
  decoder.feed(bytes);
  EXPECT_EQ((*decoder.next())->events.size(), 512u);
  EXPECT_EQ((*decoder.next())->events.size(), 88u);
  EXPECT_FALSE(decoder.next());
}

TEST(WatchDecoder, ABookmarkAdvancesTheVersion) {
  EXPECT_THAT(told(bookmark(9)), ElementsAre("@9"));
}

TEST(WatchDecoder, InitialEventsMeanNothingToTheVersionUntilTheAnnotatedBookmark) {
  EXPECT_THAT(told(event("ADDED", pod("b", 9)) + event("ADDED", pod("a", 5)) + bookmark(3) +
                       event("DELETED", pod("b", 10)) + bookmark(12, kEnd) + event("ADDED", pod("c", 13)),
                   initial_pods()),
              ElementsAre("ADDED default/b 9", "ADDED default/a 5", "DELETED default/b 10", "@12 complete",
                          "ADDED default/c 13", "@13"));
}

TEST(WatchDecoder, AnEndBookmarkNeedsTheAnnotationAndItsValue) {
  EXPECT_THAT(told(bookmark(12) + bookmark(13, R"({"k8s.io/initial-events-end":"false"})") +
                       bookmark(14, R"({"other":"true"})"),
                   initial_pods()),
              ElementsAre());
  EXPECT_THAT(told(bookmark(15, kEnd)), ElementsAre("@15"));  // Nobody asked for initial events.
}

TEST(WatchDecoder, RefusesWhatIsNoEventOfThisWatch) {
  for (const std::string& line : {
           std::string("not json\n"),
           std::string("{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",}}\n"),
           std::string("{\"type\":\"ADDED\"}\n"),
           std::string("{}\n"),
           std::string("[]\n"),
           event("RENAMED", pod("a", 5)),
           event("ADDED", R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}})"),
           event("ADDED", R"({"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7"}})"),
           event("ADDED", R"({"kind":"Node","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"7"}})"),
           event("ADDED", R"({"kind":"Pod","apiVersion":"v2","metadata":{"name":"a","resourceVersion":"7"}})"),
           event("ADDED",
                 R"({"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","resourceVersion":"7"}})"),
           event("ADDED", R"({"metadata":{"name":"a","resourceVersion":"7"}})"),
           event("BOOKMARK", R"({"kind":"Pod","apiVersion":"v1","metadata":{}})"),
           event("BOOKMARK", R"({"kind":"Pod","apiVersion":"v2","metadata":{"resourceVersion":"7"}})"),
           event("ERROR", R"({"kind":"Pod"})"),
           event("ERROR", R"({"kind":"Status","status":"Failure"})"),
       }) {
    EXPECT_THAT(told(event("ADDED", pod("good", 4)) + line + event("ADDED", pod("late", 8))),
                ElementsAre("ADDED default/good 4", "@4", "InternalError"))
        << line;
  }
}

TEST(WatchDecoder, StaysInItsError) {
  WatchDecoder decoder(pods());
  decoder.feed("garbage\n");
  EXPECT_EQ(decoder.next()->error().code, Code::Internal);
  decoder.feed(event("ADDED", pod("a", 5)));
  EXPECT_EQ(decoder.next()->error().code, Code::Internal);
  EXPECT_THAT(decoder.next()->error().message, HasSubstr("garbage"));
}

TEST(WatchDecoder, AnErrorEventSaysWhatItsStatusSays) {
  const auto status = [](const std::string& rest) {
    return event("ERROR", R"({"kind":"Status","apiVersion":"v1",)" + rest + "}");
  };
  EXPECT_THAT(told(status(R"("code":410,"reason":"Expired","message":"too old resource version: 1 5")")),
              ElementsAre("Expired"));
  EXPECT_THAT(told(status(R"("code":410,"reason":"Gone")")), ElementsAre("Expired"));
  EXPECT_THAT(told(status(R"("code":410)")), ElementsAre("Expired"));
  EXPECT_THAT(told(status(R"("code":429,"reason":"TooManyRequests")")), ElementsAre("TooManyRequests"));
  EXPECT_THAT(told(status(R"("code":403,"reason":"Forbidden")")), ElementsAre("Forbidden"));
  EXPECT_THAT(told(status(R"("code":500,"reason":"InternalError")")), ElementsAre("InternalError"));
}

TEST(WatchDecoder, AVersionFromTheServersFutureIsExpiredInEachOfItsThreeForms) {
  const auto status = [](const std::string& rest) {
    return event("ERROR", R"({"kind":"Status","code":504,"reason":"Timeout",)" + rest + "}");
  };
  EXPECT_THAT(told(status(R"("details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"x"}]})")),
              ElementsAre("Expired"));
  EXPECT_THAT(told(status(R"("details":{"causes":[{"message":"Too large resource version"}]})")),
              ElementsAre("Expired"));
  EXPECT_THAT(told(status(R"("message":"Too large resource version: 9, current: 3")")), ElementsAre("Expired"));
  EXPECT_THAT(told(status(R"("message":"request did not complete")")), ElementsAre("Timeout"));
}

TEST(WatchDecoder, VersionsThatGoBackAreExpired) {
  EXPECT_THAT(told(event("ADDED", pod("a", 5)) + event("ADDED", pod("b", 4))),
              ElementsAre("ADDED default/a 5", "@5", "Expired"));
  EXPECT_THAT(told(bookmark(6), pods("7")), ElementsAre("Expired"));
  EXPECT_THAT(told(bookmark(7), pods("7")), ElementsAre("@7"));
}

TEST(WatchDecoder, LearnsTheKindFromTheFirstEvent) {
  WatchExpectation unknown = pods();
  unknown.kind.clear();
  EXPECT_THAT(
      told(event("ADDED", pod("a", 5)) +
               event("ADDED", R"({"kind":"Other","apiVersion":"v1","metadata":{"name":"b","resourceVersion":"6"}})"),
           unknown),
      ElementsAre("ADDED default/a 5", "@5", "InternalError"));
}

TEST(WatchDecoder, KnowsWhenTheStreamWasCutInsideALine) {
  WatchDecoder decoder(pods());
  decoder.feed(event("ADDED", pod("a", 5)) + "{\"type\":\"ADD");
  (void)told(decoder);
  EXPECT_TRUE(decoder.mid_line());
}

}  // namespace
}  // namespace tinf::kube
