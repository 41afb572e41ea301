// What goes on the wire comes back equal, and what did not come from us is refused with a reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "tinf/wire/codec.h"
#include "tinf/wire/compression.h"
#include "tinf/wire/topics.h"

namespace tinf::wire {
namespace {

using ::testing::HasSubstr;

ObjectPtr object(const std::string& name, std::size_t size = 10) {
  return *Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + name +
                        R"(","namespace":"default","uid":"u-)" + name + R"(","resourceVersion":"7"},"data":{"k":")" +
                        std::string(size, 'x') + "\"}}");
}

// Incompressible, so that sizes on the wire are what they seem.
ObjectPtr noisy_object(const std::string& name, std::size_t size) {
  std::string noise;
  std::uint64_t state = 42;
  while (noise.size() < size) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    noise += "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[state >> 58];
  }
  return *Object::parse(R"({"metadata":{"name":")" + name + R"("},"data":")" + noise + "\"}");
}

Frame big_frame(std::size_t size) {
  return Frame{"s", "e", 0, 1, 1, {WatchEvent::modified(noisy_object("big", size))}, {1}, {}};
}

Scope configmaps() {
  return Scope{{"", "v1", "configmaps"}, "default", "app=web", "", Projection::Metadata};
}

Result<std::optional<Decoded>> through_the_wire(const Encoded& encoded, Decoder& decoder,
                                                std::size_t maximum = 256 << 10) {
  Sender sender("cluster1", "i1");
  Result<std::optional<Decoded>> last = std::optional<Decoded>();
  for (const Message& message : to_messages(encoded, "/payload/cluster1/x", sender, maximum)) {
    last = decoder.decode(message);
    if (!last) break;
  }
  return last;
}

template <class T>
T round_trip(const T& sent) {
  Decoder decoder;
  auto decoded = through_the_wire(encode(sent), decoder);
  EXPECT_TRUE(decoded && *decoded) << (decoded ? "" : decoded.error().message);
  EXPECT_EQ((*decoded)->source, "cluster1/i1");
  return std::get<T>((*decoded)->body);
}

Message one_message(std::string type, std::string body) {
  Message message;
  message.topic = "/t";
  message.attributes = {{"specversion", "1.0"}, {"id", "1"}, {"source", "c/i"}, {"type", std::move(type)}};
  message.body = std::move(body);
  return message;
}

TEST(Wire, RequestsComeBackEqual) {
  Watch watch{"hub", configmaps(), Position{"e1", 18446744073709551615u}, Fingerprint{3, 1, 2}, 120, 16, 5};
  const Watch read = round_trip(watch);
  EXPECT_EQ(read.client, watch.client);
  EXPECT_EQ(read.scope, watch.scope);
  EXPECT_EQ(read.have, watch.have);
  EXPECT_EQ(read.inventory, watch.inventory);
  EXPECT_EQ(read.lease_seconds, 120u);
  EXPECT_EQ(read.request, 5u);
  EXPECT_EQ(round_trip(Renew{"hub", {"a", "b"}}).scopes, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(round_trip(Unwatch{"hub", {"a"}}).client, "hub");
  const Fetch fetch = round_trip(Fetch{"hub", "s", "n", {{0, 4}, {7, 8}}, {{"default", "a"}, {"", "node"}}});
  EXPECT_EQ(fetch.pages[1], (std::pair<std::uint32_t, std::uint32_t>{7, 8}));
  EXPECT_EQ(fetch.keys, (std::vector<ObjectKey>{{"default", "a"}, {"", "node"}}));
  const KeyRange range{{"default", "a"}, {}};
  EXPECT_EQ(round_trip(Compare{"hub", "s", "n", {range}}).ranges, (std::vector<KeyRange>{range}));
  EXPECT_EQ(round_trip(Hello{"hub"}).client, "hub");
  EXPECT_EQ(round_trip(ClientRecord{"hub", "i", "h", 12}).started, 12);
}

TEST(Wire, AnswersComeBackEqual) {
  Notice notice{Notice::Kind::Refused, "s", Position{}, Code::Forbidden, "no right to list secrets", 5, 0};
  const Notice read = round_trip(notice);
  EXPECT_EQ(read.code, Code::Forbidden);
  EXPECT_EQ(read.message, notice.message);
  Digest digest{30, {{"s", {"e", 9}, {1, 2, 3}, "812", 61}}};
  EXPECT_EQ(round_trip(digest).streams[0].fingerprint, digest.streams[0].fingerprint);
  EXPECT_EQ(round_trip(digest).streams[0].behind_seconds, 61u);
  Digest in_short{30, {}, 7};
  EXPECT_TRUE(round_trip(in_short).streams.empty());
  EXPECT_EQ(round_trip(in_short).number, 7u);
  Presence presence;
  presence.cluster = "cluster1";
  presence.instance = "i";
  presence.resources = {
      {{"apps", "v1", "deployments"}, "Deployment", "deployment", {"deploy"}, {"all"}, {"list", "watch"}, true, true}};
  const Presence seen = round_trip(presence);
  EXPECT_EQ(seen.state, Presence::State::Present);
  EXPECT_EQ(seen.resources[0].short_names, presence.resources[0].short_names);
  const Notice equal = round_trip(Notice{Notice::Kind::Equal, "s", {"e", 7}, Code::Internal, "", 5, 61});
  EXPECT_EQ(equal.kind, Notice::Kind::Equal);
  EXPECT_EQ(equal.behind_seconds, 61u);
}

TEST(Wire, AResourceWhoseNameIsNoDnsNameIsRefused) {
  Presence presence;
  presence.cluster = "cluster1";
  presence.resources = {{{"apps", "v1", "deployments\nc2"}, "D", "", {}, {}, {"list"}, true, true}};
  Decoder decoder;
  const auto decoded = through_the_wire(encode(presence), decoder);
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message, HasSubstr("DNS names"));
}

TEST(Wire, ABodyWithoutObjectsIsHeldToASmallerLimit) {
  const std::string large = R"({"client":")" + std::string(5 << 20, 'x') + "\"}";
  EXPECT_THAT(decode_body("hello", large).error().message, HasSubstr("above the limit"));
}

TEST(Wire, RangesComeBackEqual) {
  const ObjectKey m{"default", "m"};
  Ranges ranges{"s", "n", {"e", 1}, {3, 1, 2}, 5, 61, {}};
  ranges.ranges.push_back(Ranges::Range{{{}, {}}, {{m, 2, 0xfedcba9876543210}, {{}, 1, 7}}, {}});
  ranges.ranges.push_back(Ranges::Range{{{}, m}, {}, {{{"default", "a"}, 1}, {{"default", "b"}, 2}}});
  ranges.ranges.push_back(Ranges::Range{{m, {}}, {}, {}});
  const Ranges read = round_trip(ranges);
  EXPECT_EQ(read.at, ranges.at);
  EXPECT_EQ(read.fingerprint, ranges.fingerprint);
  EXPECT_EQ(read.request, 5u);
  EXPECT_EQ(read.behind_seconds, 61u);
  ASSERT_EQ(read.ranges.size(), 3u);
  EXPECT_EQ(read.ranges[0].pieces[0].to, m);
  EXPECT_EQ(read.ranges[0].pieces[0].sum, 0xfedcba9876543210);
  EXPECT_EQ(read.ranges[0].pieces[1].count, 1u);
  EXPECT_EQ(read.ranges[1].entries[1].key, (ObjectKey{"default", "b"}));
  EXPECT_EQ(read.ranges[1].entries[1].hash, 2u);
  EXPECT_EQ(read.ranges[2].range, (KeyRange{m, {}}));
  EXPECT_TRUE(read.ranges[2].pieces.empty() && read.ranges[2].entries.empty());
}

TEST(Wire, RangesThatDoNotCoverWhatTheySayAreRefused) {
  const auto refused = [](std::string ranges) {
    const auto body = decode_body("ranges", R"({"scope":"s","snapshot":"n","epoch":"e","sequence":1,"fingerprint":)"
                                            R"("3:00000000000000000000000000000000","ranges":[)" +
                                                ranges + "]}");
    return body ? "" : body.error().message;
  };
  const std::string sum = R"("0000000000000000")";
  EXPECT_EQ(refused(R"({"from":"","to":"n/m","pieces":[["n/c",1,)" + sum + R"(],["n/m",1,)" + sum + "]]}"), "");
  for (const std::string pieces :
       {R"([])", R"([["n/c",1,"0"]])", R"([["n/c",1]])", R"([["n/c",-1,"0000000000000000"]])",
        R"([["n/x",1,"0000000000000000"]])",
        R"([["n/d",1,"0000000000000000"],["n/c",1,"0000000000000000"],["n/m",1,"0000000000000000"]])",
        R"([["",1,"0000000000000000"],["n/m",1,"0000000000000000"]])"}) {
    EXPECT_THAT(refused(R"({"from":"","to":"n/m","pieces":)" + pieces + "}"), HasSubstr("\"pieces\"")) << pieces;
  }
  for (const std::string entries :
       {R"([["n/x","0000000000000000"]])", R"([["n/a",1]])", R"(["n/a"])", R"([["","0000000000000000"]])",
        R"([["n/b","0000000000000000"],["n/a","0000000000000000"]])"}) {
    EXPECT_THAT(refused(R"({"from":"","to":"n/m","entries":)" + entries + "}"), HasSubstr("\"entries\"")) << entries;
  }
}

TEST(Wire, KeysThatCouldBeWrittenOtherwiseAreRefused) {
  for (const std::string key : {"/b/c", "/b", "b/", "a/b/c", "/", "a\\u0000b", "a\\u0000/b"}) {
    const std::string quoted = "[\"" + key + "\"";
    const std::string head = R"({"client":"c","scope":"s","snapshot":"n",)";
    const std::string hash = R"(,"0000000000000000"])";
    EXPECT_FALSE(decode_body("fetch", head + R"("keys":)" + quoted + "]}")) << key;
    EXPECT_FALSE(decode_body("compare", head + R"("ranges":[)" + quoted + R"(,""]]})")) << key;
    const std::string ranges =
        R"({"scope":"s","snapshot":"n","epoch":"e","sequence":1,"fingerprint":"3:00000000000000000000000000000000",)";
    EXPECT_FALSE(decode_body("ranges", ranges + R"("ranges":[{"from":"","to":"","entries":[)" + quoted + hash + "]}]}"))
        << key;
  }
  const std::string frame = R"({"scope":"s","epoch":"e","after":1,"through":2,"count":1,"events":[{"at":2,)";
  EXPECT_TRUE(decode_body("frame", frame + R"("delete":{"namespace":"a","name":"b"}}]})"));
  EXPECT_FALSE(decode_body("frame", frame + R"("delete":{"namespace":"","name":"a/b"}}]})"));
  EXPECT_FALSE(decode_body("frame", frame + R"("patch":{"name":"a/b","base":"0000000000000000","splices":[]}}]})"));
}

TEST(Wire, ObjectsKeepEveryByte) {
  Frame frame{"s",
              "e",
              3,
              9,
              12,
              {WatchEvent::modified(object("a", 5000)), WatchEvent::deleted({"default", "b"}, "u", "8"),
               WatchEvent::modified(object("c"))},
              {4, 7, 9},
              {}};
  const Frame read = round_trip(frame);
  ASSERT_EQ(read.events.size(), 3u);
  EXPECT_EQ(read.after, 3u);
  EXPECT_EQ(read.through, 9u);
  EXPECT_EQ(read.head, 12u);
  EXPECT_EQ(read.sequences, frame.sequences);
  EXPECT_EQ(read.events[0].object->raw(), frame.events[0].object->raw());
  EXPECT_EQ(read.events[1].type, EventType::Deleted);
  EXPECT_EQ(read.events[1].key, (ObjectKey{"default", "b"}));
  EXPECT_EQ(read.events[1].uid, "u");
  EXPECT_EQ(read.events[1].resource_version, "8");
  Page page{"s", "n", {"e", 4}, 3, true, 1, {1, 2, 3}, 5, 61, {object("a")}};
  const Page back = round_trip(page);
  EXPECT_TRUE(back.last);
  EXPECT_EQ(back.number, 3u);
  EXPECT_EQ(back.behind_seconds, 61u);
  EXPECT_EQ(back.objects[0]->raw(), page.objects[0]->raw());
}

TEST(Wire, ObjectsFetchedByKeyKeepEveryByte) {
  const Objects objects{"s", "n", {object("a", 5000), object("b")}};
  const Objects read = round_trip(objects);
  EXPECT_EQ(read.snapshot, "n");
  ASSERT_EQ(read.objects.size(), 2u);
  EXPECT_EQ(read.objects[0]->raw(), objects.objects[0]->raw());
}

TEST(Wire, APatchKeepsItsBaseAndEveryByteOfItsSplices) {
  Frame frame;
  frame.scope = "s";
  frame.epoch = "e";
  frame.through = 3;
  frame.events = {WatchEvent::modified(object("a")), WatchEvent(EventType::Modified, {"default", "b"}, "", nullptr, ""),
                  WatchEvent(EventType::Modified, {"", "c"}, "", nullptr, "")};
  frame.sequences = {1, 2, 3};
  frame.patches = {Patch{0x0123456789abcdef, {Splice{3, 4, "\"\\\n\t€😀"}, Splice{0, ~std::uint64_t{0}, ""}}},
                   Patch{0, {}}};
  const Frame read = round_trip(frame);
  ASSERT_EQ(read.events.size(), 3u);
  EXPECT_NE(read.events[0].object, nullptr);
  EXPECT_EQ(read.events[1].object, nullptr);
  EXPECT_EQ(read.events[1].type, EventType::Modified);
  EXPECT_EQ(read.events[1].key, (ObjectKey{"default", "b"}));
  EXPECT_EQ(read.events[2].key, (ObjectKey{"", "c"}));
  ASSERT_EQ(read.patches.size(), 2u);
  EXPECT_EQ(read.patches[0].base, 0x0123456789abcdefu);
  EXPECT_EQ(read.patches[0].splices, frame.patches[0].splices);
  EXPECT_EQ(read.patches[1].base, 0u);
}

TEST(Wire, RefusesAPatchThatIsNone) {
  const auto frame = [](const std::string& patch) {
    return decode_body(
        "frame",
        R"({"scope":"s","epoch":"e","after":0,"through":1,"count":1,"events":[{"at":1,"patch":)" + patch + "}]}");
  };
  const std::string base = R"("name":"a","base":"0123456789abcdef")";
  std::string many;
  for (std::size_t i = 0; i <= kMaximumSplices; ++i) many += (i > 0 ? "," : "") + std::string(R"([0,0,""])");
  EXPECT_TRUE(frame("{" + base + R"(,"splices":[[1,2,"x"]]})"));
  for (const std::string& bad :
       {std::string("7"), "{" + base + R"(,"splices":7})", "{" + base + R"(,"splices":[7]})",
        "{" + base + R"(,"splices":[[1,2]]})", "{" + base + R"(,"splices":[[1,2,"x",3]]})",
        "{" + base + R"(,"splices":[[-1,2,"x"]]})", "{" + base + R"(,"splices":[[1,2.5,"x"]]})",
        "{" + base + R"(,"splices":[[1,2,null]]})", "{" + base + ",\"splices\":[" + many + "]}",
        std::string(R"({"name":"a","base":"0123","splices":[]})"), std::string(R"({"name":"a","splices":[]})"),
        std::string(R"({"name":"a","base":"0123456789abcdeg","splices":[]})"),
        std::string(R"({"base":"0123456789abcdef","splices":[]})")}) {
    EXPECT_FALSE(frame(bad)) << bad;
  }
  EXPECT_FALSE(
      decode_body("page", R"({"scope":"s","snapshot":"n","epoch":"e","sequence":1,"page":0,"total":1,)"
                          R"("fingerprint":"0:00000000000000000000000000000000","count":1,"events":[{"patch":{)" +
                              base + R"(,"splices":[]}}]})"));
}

TEST(Wire, AnEmptySetIsAPageOfItsOwn) {
  const Page empty = round_trip(Page{"s", "n", {"e", 0}, 0, true, 0, {}, 0, 0, {}});
  EXPECT_TRUE(empty.last);
  EXPECT_EQ(empty.total, 0u);
}

TEST(Wire, WhatIsTooLargeTravelsInPartsThatMayComeInAnyOrderAndTwice) {
  const Encoded encoded = encode(big_frame(120000));
  Sender sender("cluster1", "i1");
  auto messages = to_messages(encoded, "/payload/cluster1/stream/s", sender, 8192);
  ASSERT_GT(messages.size(), 10u);
  for (const Message& message : messages) {
    std::size_t size = message.topic.size() + message.content_type.size() + message.body.size() + 8;
    for (const auto& [name, value] : message.attributes) size += name.size() + value.size() + 5;
    EXPECT_LE(size, 8192u);
  }
  std::reverse(messages.begin(), messages.end());
  Decoder decoder;
  for (std::size_t i = 0; i + 1 < messages.size(); ++i) {
    for (int twice = 0; twice < 2; ++twice) {
      auto decoded = decoder.decode(messages[i]);
      ASSERT_TRUE(decoded) << decoded.error().message;
      EXPECT_FALSE(*decoded);
    }
  }
  auto decoded = decoder.decode(messages.back());
  ASSERT_TRUE(decoded && *decoded);
  EXPECT_EQ(std::get<Frame>((*decoded)->body).events[0].object->raw(), noisy_object("big", 120000)->raw());
  EXPECT_EQ(decoder.waiting_bytes(), 0u);
}

TEST(Wire, PartsWhoseSiblingsWereLostDoNotStay) {
  DecodeLimits limits;
  limits.waiting_bytes = 50000;
  Decoder decoder(limits);
  Sender sender("cluster1", "i1");
  const Encoded encoded = encode(big_frame(30000));
  for (int i = 0; i < 100; ++i) {
    auto messages = to_messages(encoded, "/t", sender, 8192);
    messages.pop_back();
    for (const Message& message : messages) ASSERT_TRUE(decoder.decode(message));
    EXPECT_LE(decoder.waiting_bytes(), limits.waiting_bytes + 30000);
  }
}

TEST(Wire, RefusesWhatContradictsItself) {
  Decoder decoder;
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"frame",
       R"({"scope":"s","epoch":"e","after":0,"through":2,"count":2,"events":[{"at":1,"put":{"metadata":{"name":"a"}}}]})"},
      {"frame",
       R"({"scope":"s","epoch":"e","after":0,"through":1,"count":1,"events":[{"put":{"metadata":{"name":"a"}}}]})"},
      {"frame",
       R"({"scope":"s","epoch":"e","after":0,"through":1,"count":1,"events":[{"at":2,"put":{"metadata":{"name":"a"}}}]})"},
      {"frame",
       R"({"scope":"s","epoch":"e","after":0,"through":3,"count":2,"events":[{"at":2,"put":{"metadata":{"name":"a"}}},{"at":2,"put":{"metadata":{"name":"b"}}}]})"},
      {"frame", R"({"scope":"s","epoch":"e","after":3,"through":3,"count":0,"events":[]})"},
      {"frame", R"({"scope":"s","epoch":"e","after":0,"through":1,"count":1,"events":[{"at":1,"put":{}}]})"},
      {"frame", R"({"scope":"s","epoch":"e","after":0,"through":1,"count":1,"events":[{"at":1,"other":{}}]})"},
      {"frame", R"({"scope":"s","after":0,"through":1,"count":0,"events":[]})"},
      {"frame", R"([])"},
      {"page",
       R"({"scope":"s","snapshot":"n","epoch":"e","sequence":1,"page":0,"total":0,"fingerprint":"x","count":0,"events":[]})"},
      {"page",
       R"({"scope":"s","snapshot":"n","epoch":"e","sequence":1,"page":-1,"total":0,"fingerprint":"0:00000000000000000000000000000000","count":0,"events":[]})"},
      {"watch", R"({"client":"c","lease":1,"window":1})"},
      {"watch", R"({"client":7,"scope":{"version":"v1","resource":"x"},"lease":1,"window":1})"},
      {"fetch", R"({"client":"c","scope":"s","snapshot":"n","pages":[[4,4]]})"},
      {"notice", R"({"scope":"s","notice":"other"})"},
      {"digest", R"({"interval":1,"streams":[7]})"},
      {"nothing", "{}"},
      {"renew", std::string(100, '[')},
  };
  for (const auto& [kind, body] : bad) {
    auto decoded = decoder.decode(one_message("tinf.v1." + kind, body));
    EXPECT_FALSE(decoded) << kind << " " << body;
  }
}

TEST(Wire, RefusesATruncatedBodyAtEveryByte) {
  const Encoded encoded = encode(Frame{"s",
                                       "e",
                                       3,
                                       5,
                                       true,
                                       {WatchEvent::deleted({"default", "b"}, "u", "8"),
                                        WatchEvent::modified(*Object::parse(R"({"metadata":{"name":"a"}})"))},
                                       {4, 5},
                                       {}});
  const std::string body = *decompress(encoded.body, 1 << 20);
  ASSERT_TRUE(decode_body("frame", body));
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(decode_body("frame", std::string_view(body).substr(0, size))) << size;
  }
}

TEST(Wire, RefusesADecompressionBomb) {
  const std::string zeros(100 << 20, ' ');
  std::string bomb(ZSTD_compressBound(zeros.size()), '\0');
  bomb.resize(ZSTD_compress(bomb.data(), bomb.size(), zeros.data(), zeros.size(), 1));
  ASSERT_LT(bomb.size(), 20000u);
  Message message = one_message("tinf.v1.frame", bomb);
  message.attributes.emplace_back("encoding", "zstd");
  Decoder decoder;
  auto decoded = decoder.decode(message);
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message, HasSubstr("above the limit"));
}

TEST(Wire, TellsAnotherVersionFromAnAlien) {
  Decoder decoder;
  EXPECT_EQ(decoder.decode(one_message("tinf.v2.frame", "{}")).error().code, Code::Conflict);
  EXPECT_EQ(decoder.decode(one_message("com.example.frame", "{}")).error().code, Code::Invalid);
  EXPECT_EQ(decoder.decode(Message()).error().code, Code::Invalid);
}

TEST(Wire, IgnoresMembersThatItDoesNotKnow) {
  Decoder decoder;
  EXPECT_TRUE(decoder.decode(one_message("tinf.v1.hello", R"({"client":"c","later":{"x":[1]}})")));
  EXPECT_TRUE(decoder.decode(one_message(
      "tinf.v1.frame",
      R"({"later":[{}],"scope":"s","epoch":"e","after":0,"through":1,"count":1,"events":[{"at":1,"put":{"metadata":{"name":"a"}}}]})")));
}

TEST(Topics, SayWhoMayWriteThere) {
  const Topics topics("/signal", "/payload");
  EXPECT_EQ(topics.stream("c1", "abc"), "/payload/c1/stream/abc");
  EXPECT_EQ(topics.cluster_of("/payload/c1/presence"), "c1");
  EXPECT_EQ(topics.cluster_of("/payload/c1"), std::nullopt);
  EXPECT_EQ(topics.cluster_of("/payloads/c1/presence"), std::nullopt);
}

TEST(Topics, RefuseNamesThatWouldLeaveTheirLevel) {
  for (const auto* bad : {"", "a/b", "a+", "#", "A", "-a", "a-", "a.b", "_all"})
    EXPECT_FALSE(check_cluster_name(bad)) << bad;
  EXPECT_TRUE(check_cluster_name("cluster1"));
  for (const auto* bad : {"", "a/b", "a+", "#", "_x", "a b"}) EXPECT_FALSE(check_client_id(bad)) << bad;
  EXPECT_TRUE(check_client_id("controlplaneId"));
  for (const auto* bad : {"", "/a/+", "/a/#", "/a/", "$SYS"}) EXPECT_FALSE(check_topic_base("--signal", bad)) << bad;
  EXPECT_TRUE(check_topic_base("--signal", "/signal"));
}

}  // namespace
}  // namespace tinf::wire
