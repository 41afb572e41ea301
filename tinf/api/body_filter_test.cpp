// What becomes of an answer on its way out.
#include "tinf/api/body_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "tinf/api/api_handler.h"
#include "tinf/patch/json.h"
#include "tinf/store/versioned_memory/versioned_memory_store.h"
#include "tinf/testing/virtual_time.h"

namespace tinf::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using tinf::testing::VirtualTime;

constexpr std::string_view kMaps = "/api/v1/namespaces/default/configmaps";

std::string through(std::unique_ptr<BodyFilter> filter, std::string_view text, std::size_t piece) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) filter->add(text.substr(at, piece), out);
  filter->finish(out);
  return out;
}

std::string gunzipped(std::string_view bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string text;
  int state = Z_OK;
  while (state == Z_OK) {
    char room[4096];
    stream.next_out = reinterpret_cast<Bytef*>(room);
    stream.avail_out = sizeof room;
    state = inflate(&stream, Z_NO_FLUSH);
    text.append(room, sizeof room - stream.avail_out);
  }
  EXPECT_EQ(state, Z_STREAM_END) << "the end is there, with the right checksum";
  inflateEnd(&stream);
  return text;
}

TEST(PrettyJson, IsIndentedNoDeeperThanPeopleRead) {
  std::string out;
  pretty_json()->add(std::string(10'000, '['), out);
  EXPECT_LT(out.size(), 10'000u * 70);
}

TEST(PrettyJson, IsIndentedAsGoDoesItWhereverItWasCut) {
  constexpr std::string_view kText = R"({"a":{},"b":[],"c":[1,{"d":"x, \"{y}\": \\"}],"e":null})";
  constexpr std::string_view kPretty = R"({
  "a": {},
  "b": [],
  "c": [
    1,
    {
      "d": "x, \"{y}\": \\"
    }
  ],
  "e": null
})";
  for (const std::size_t piece : {1, 2, 7, 1000}) EXPECT_EQ(through(pretty_json(), kText, piece), kPretty);
  EXPECT_EQ(through(pretty_json(), kPretty, 3), kPretty);
}

TEST(Gzip, IsReadAsWhatItWas) {
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += std::to_string(i * 7919) + ",";
  const auto compressed = through(gzip(), text, 50'000);
  EXPECT_LT(compressed.size(), text.size());
  EXPECT_EQ(gunzipped(compressed), text);
  EXPECT_EQ(gunzipped(through(gzip(), "", 1)), "");
}

TEST(BodyFilter, IsTakenAsKubeApiserverTakesIt) {
  for (const auto* yes : {"gzip", "deflate, gzip;q=1.0", "br,GZIP"}) EXPECT_TRUE(takes_gzip(yes)) << yes;
  for (const auto* no : {"", "identity", "gzip;q=0", "deflate"}) EXPECT_FALSE(takes_gzip(no)) << no;
  const auto pretty = [](std::string target, std::string agent, std::string accept = "") {
    ApiRequest request;
    request.target = std::move(target);
    request.user_agent = std::move(agent);
    request.accept = std::move(accept);
    return wants_pretty(request);
  };
  EXPECT_TRUE(pretty("/api?pretty=true", "kubectl"));
  EXPECT_TRUE(pretty("/api", "curl/8"));
  EXPECT_TRUE(pretty("/api?pretty", "Mozilla/5.0 (X11)"));
  EXPECT_TRUE(pretty("/api", "kubectl", "application/json;pretty=1"));
  EXPECT_FALSE(pretty("/api?pretty=0", "curl/8"));
  EXPECT_FALSE(pretty("/api?pretty=banana", "kubectl"));
  EXPECT_FALSE(pretty("/api", "kubectl"));
}

struct AnswersOnTheirWayOut : ::testing::Test {
  VirtualTime time;
  VersionedMemoryStore store{time};
  ApiHandler handler{time.runtime(), store};

  void SetUp() override { ASSERT_TRUE(time.await(handler.start())); }

  ApiResponse get(std::string target, std::string_view encoding = "", std::string_view agent = "kubectl") {
    ApiRequest request;
    request.method = "GET";
    request.target = std::move(target);
    request.accept_encoding = encoding;
    request.user_agent = agent;
    return time.await(handler.handle(request));
  }
  void make(const std::string& name, std::size_t bytes) {
    ApiRequest request;
    request.method = "POST";
    request.target = kMaps;
    request.body = R"({"metadata":{"name":")" + name + R"("},"data":{"k":")" + std::string(bytes, 'x') + "\"}}";
    ASSERT_EQ(time.await(handler.handle(request)).status, 201);
  }
  static std::string encoding(const ApiResponse& response) {
    for (const auto& [name, value] : response.headers) {
      if (name == "Content-Encoding") return value;
    }
    return "none";
  }
  // All of its stream.
  std::string read(ApiResponse& response) {
    std::string text;
    while (auto piece = time.await(response.stream->next())) text += *piece;
    EXPECT_FALSE(response.stream->failed());
    return text;
  }
};

TEST_F(AnswersOnTheirWayOut, WhatIsLongIsCompressedForWhoTakesIt) {
  make("a", 100'000);
  EXPECT_EQ(encoding(get(std::string(kMaps), "gzip")), "none") << "it is short";
  make("b", 100'000);
  const auto plain = get(std::string(kMaps));
  const auto compressed = get(std::string(kMaps), "gzip");
  EXPECT_EQ(encoding(plain), "none");
  EXPECT_EQ(encoding(compressed), "gzip");
  EXPECT_LT(compressed.body.size(), 20'000u);
  EXPECT_EQ(gunzipped(compressed.body), plain.body);
}

TEST_F(AnswersOnTheirWayOut, AListSentInPartsIsCompressedAndAWatchIsNot) {
  for (int i = 0; i < 600; ++i) make("m" + std::to_string(i), 1);
  auto plain = get(std::string(kMaps));
  auto compressed = get(std::string(kMaps), "gzip");
  ASSERT_NE(compressed.stream, nullptr);
  EXPECT_EQ(encoding(compressed), "gzip");
  EXPECT_EQ(gunzipped(read(compressed)), read(plain));
  auto pretty = get(std::string(kMaps) + "?pretty=1");
  EXPECT_THAT(read(pretty), HasSubstr("\n  \"items\": [\n    {\n      \"kind\": \"ConfigMap\","));

  auto watch = get(std::string(kMaps) + "?watch=1&resourceVersion=0&pretty=1", "gzip", "curl/8");
  EXPECT_EQ(encoding(watch), "none");
  EXPECT_THAT(*time.await(watch.stream->next()), Not(HasSubstr("  ")));
  watch.stream->cut();
}

TEST_F(AnswersOnTheirWayOut, IndentedForPeopleAndNotForPrograms) {
  EXPECT_EQ(get("/api/v1/namespaces/none", "", "curl/8").body.substr(0, 24), "{\n  \"kind\": \"Status\",\n  ");
  EXPECT_THAT(get("/api").body, Not(HasSubstr("\n")));
  EXPECT_THAT(get("/version").body, HasSubstr("\n  \"major\": \"1\",")) << "as always";
  EXPECT_THAT(get("/openapi/v3", "", "curl/8").body, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace tinf::api
