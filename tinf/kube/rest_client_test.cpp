// The REST client against a server that says exactly what each test needs it to say.
#include "tinf/kube/rest_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/kube/scripted_server.h"

namespace tinf::kube {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LiveLoop;
using ::testing::Not;
using testing::ScriptedServer;

struct RestClientTest : ::testing::Test {
  LiveLoop loop;
  ScriptedServer server{loop};
  std::unique_ptr<RestClient> client_ = std::make_unique<RestClient>(loop.runtime(), server.target());
  RestClient& client = *client_;

  Result<Response> get(const std::string& path) { return loop.await(client.request(Request(path))); }
  std::unique_ptr<ResponseStream> open(Request request) {
    auto stream = loop.await(client.stream(std::move(request)));
    EXPECT_TRUE(stream) << stream.error().message;
    return stream ? std::move(*stream) : nullptr;
  }
  void TearDown() override { EXPECT_THAT(server.surprises(), IsEmpty()); }
};

std::string status(int code, const std::string& reason, const std::string& message) {
  return R"({"kind":"Status","apiVersion":"v1","status":"Failure","code":)" + std::to_string(code) + R"(,"reason":")" +
         reason + R"(","message":")" + message + "\"}";
}

TEST_F(RestClientTest, SendsWhatItIsToldToAndReadsTheAnswer) {
  server.connection()
      .expects("POST /api/v1/namespaces/a/pods?dryRun=All&labelSelector=a%3Db%2Cc HTTP/1.1\r\n")
      .replies("201 Created", "{}");
  Request request("/api/v1/namespaces/a/pods");
  request.method = "POST";
  request.query = {{"dryRun", "All"}, {"labelSelector", "a=b,c"}};
  request.headers = {{"Content-Type", "application/json"}};
  request.body = R"({"kind":"Pod"})";
  auto response = loop.await(client.request(std::move(request)));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 201);
  EXPECT_EQ(response->body, "{}");
  EXPECT_EQ(response->header("content-type"), "application/json");
  EXPECT_THAT(server.requests()[0], HasSubstr("User-Agent: tinf/"));
  EXPECT_THAT(server.requests()[0], HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(server.requests()[0], HasSubstr("\r\n\r\n{\"kind\":\"Pod\"}"));
  EXPECT_THAT(server.requests()[0], Not(HasSubstr("Expect:")));
  EXPECT_THAT(server.requests()[0], Not(HasSubstr("Accept-Encoding")));
}

TEST_F(RestClientTest, ReusesAConnectionUnlessAskedForAFreshOne) {
  server.connection().expects("GET /1 ").replies_json("1").expects("GET /2 ").replies_json("2").stays_silent();
  server.connection().expects("GET /3 ").replies_json("3").stays_silent();
  EXPECT_EQ(get("/1")->body, "1");
  EXPECT_EQ(get("/2")->body, "2");
  Request third("/3");
  third.fresh_connection = true;
  EXPECT_EQ(loop.await(client.request(std::move(third)))->body, "3");
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(RestClientTest, AReusedConnectionThatDiedMeanwhileIsReplaced) {
  server.connection().expects("GET /1 ").replies_json("1").resets();
  server.connection().expects("GET /2 ").replies_json("2");
  EXPECT_EQ(get("/1")->body, "1");
  EXPECT_EQ(get("/2")->body, "2");
}

TEST_F(RestClientTest, TellsAlreadyExistsFromConflictByTheReason) {
  server.connection().expects("GET").replies("409 Conflict", status(409, "AlreadyExists", "pods a already exists"));
  server.connection().expects("GET").replies("409 Conflict", status(409, "Conflict", "the object has been modified"));
  const auto first = get("/");
  EXPECT_EQ(first.error().code, Code::AlreadyExists);
  EXPECT_THAT(first.error().message, HasSubstr("pods a already exists"));
  EXPECT_EQ(get("/").error().code, Code::Conflict);
}

TEST_F(RestClientTest, AnAnswerWithoutAStatusObjectGoesByItsHttpStatus) {
  const std::vector<std::pair<std::string, Code>> cases{
      {"404 Not Found", Code::NotFound},      {"410 Gone", Code::Expired},
      {"502 Bad Gateway", Code::Unavailable}, {"503 Busy", Code::Unavailable},
      {"500 Oops", Code::Internal},           {"403 Forbidden", Code::Forbidden},
      {"302 Found", Code::Invalid},           {"401 Unauthorized", Code::Unauthorized}};
  for (const auto& [line, code] : cases) {
    server.connection().expects("GET").replies(line, "<html>no</html>");
    const auto answer = get("/");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, code) << line;
    EXPECT_THAT(answer.error().message, HasSubstr("<html>no</html>"));
  }
}

TEST_F(RestClientTest, WaitsAsLongAsTheServerAsks) {
  server.connection()
      .expects("GET /1 ")
      .replies("429 Too Many Requests", status(429, "TooManyRequests", "later"), "Retry-After: 7\r\n")
      .expects("GET /2 ")
      .replies_json("2");
  const auto refused = get("/1");
  EXPECT_EQ(refused.error().code, Code::TooManyRequests);
  EXPECT_THAT(refused.error().message, HasSubstr("Retry-After: 7"));
  EXPECT_EQ(client.retry_after(), 7s);

  std::optional<Result<Response>> second;
  const auto ask = [](RestClient& to, std::optional<Result<Response>>& result) -> Task<void> {
    Request request("/2");
    result.emplace(co_await to.request(std::move(request)));
  };
  loop.spawn(ask(client, second));
  loop.run_until([&] { return loop.something_waits(); });
  EXPECT_EQ(server.requests().size(), 1u);
  loop.advance(7s);
  loop.run_until([&] { return second.has_value(); });
  EXPECT_EQ((*second)->body, "2");
}

TEST_F(RestClientTest, NobodyListeningIsUnavailable) {
  asio::ip::tcp::acceptor taken(loop.runtime().executor, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  Connection nowhere;
  nowhere.server = "http://127.0.0.1:" + std::to_string(taken.local_endpoint().port());
  taken.close();
  RestClient other(loop.runtime(), nowhere);
  const auto answer = loop.await(other.request(Request("/")));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::Unavailable);
  EXPECT_THAT(answer.error().message, HasSubstr(nowhere.server));
}

TEST_F(RestClientTest, SilenceBeforeTheHeadersIsATimeoutAndClosesTheConnection) {
  server.connection().expects("GET").stays_silent();
  Request request("/");
  request.deadlines.headers = 30s;
  const auto answer = loop.await_after(client.request(std::move(request)), 30s, [&] { return server.silences() == 1; });
  EXPECT_EQ(answer.error().code, Code::Timeout);
  loop.run_until([&] { return server.hang_ups() == 1; });
}

TEST_F(RestClientTest, SilenceInsideTheBodyIsATimeout) {
  server.connection().expects("GET").starts_stream().sends("first").stays_silent();
  auto stream = open(Request("/"));
  EXPECT_EQ(*loop.await(stream->read()), "first");
  const auto silence = loop.await_after(stream->read(), 60s, [] { return true; });
  EXPECT_EQ(silence.error().code, Code::Timeout);
  stream.reset();
  loop.run_until([&] { return server.hang_ups() == 1; });
}

TEST_F(RestClientTest, BytesKeepTheIdleDeadlineAway) {
  server.connection().expects("GET").starts_stream().sends("a").pauses().sends("b").pauses().sends("c").ends_stream();
  auto stream = open(Request("/"));
  std::string all = *loop.await(stream->read());
  for (int i = 1; i <= 2; ++i) {
    loop.run_until([&] { return server.pauses() == i; });
    loop.advance(50s);
    server.resume();
    all += *loop.await(stream->read());
  }
  EXPECT_EQ(all, "abc");
  EXPECT_EQ(*loop.await(stream->read()), "");
}

TEST_F(RestClientTest, ABodyThatIsCutIsUnavailable) {
  server.connection().expects("GET").starts_stream().sends("whole").sends_raw("40\r\nhal");
  server.connection().expects("GET").starts_stream().sends("whole").resets();
  server.connection().expects("GET").sends_raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  server.connection().expects("GET").sends_raw("HTTP/1.1 200 O");
  server.connection().expects("GET");
  for (int i = 0; i < 5; ++i) {
    const auto answer = get("/");
    ASSERT_FALSE(answer) << i;
    EXPECT_EQ(answer.error().code, Code::Unavailable) << i;
  }
}

TEST_F(RestClientTest, WhatIsNotHttpIsAnError) {
  server.connection().expects("GET").sends_raw("SSH-2.0-OpenSSH\r\n");
  EXPECT_FALSE(get("/"));
}

TEST_F(RestClientTest, AStreamHandsOutBytesAsTheyCome) {
  server.connection().expects("GET").starts_stream().sends("one").pauses().sends("two").ends_stream();
  auto stream = open(Request("/"));
  EXPECT_EQ(stream->status(), 200);
  EXPECT_EQ(*loop.await(stream->read()), "one");
  server.resume();
  EXPECT_EQ(*loop.await(stream->read()), "two");
  EXPECT_EQ(*loop.await(stream->read()), "");
  EXPECT_EQ(*loop.await(stream->read()), "");
}

TEST_F(RestClientTest, ABodyThatNobodyReadsWaitsAtTheServer) {
  const std::string chunk(4u << 20, 'x');
  auto& conversation = server.connection().expects("GET").starts_stream();
  for (int i = 0; i < 16; ++i) conversation.sends(chunk);
  conversation.ends_stream().expects("GET /after").replies_json("after");
  auto stream = open(Request("/"));
  // Other requests go on meanwhile.
  server.connection().expects("GET /beside").replies_json("beside");
  EXPECT_EQ(get("/beside")->body, "beside");
  std::size_t total = 0;
  std::size_t largest = 0;
  while (true) {
    const auto bytes = loop.await(stream->read());
    ASSERT_TRUE(bytes) << bytes.error().message;
    if (bytes->empty()) break;
    total += bytes->size();
    largest = std::max(largest, bytes->size());
  }
  EXPECT_EQ(total, 16 * chunk.size());
  EXPECT_LE(largest, (1u << 20) + (512u << 10));
  stream.reset();
}

TEST_F(RestClientTest, AnAnswerOfSeveralChunksMayBeTooLarge) {
  server.connection().expects("GET").replies_json(std::string(2000, 'x'));
  Request request("/");
  request.largest_body = 1000;
  EXPECT_EQ(loop.await(client.request(std::move(request))).error().code, Code::Internal);
}

Task<void> ask_and_note_the_end(RestClient& client, bool& ended) {
  struct Note {
    explicit Note(bool& f) : flag(f) {}
    ~Note() { flag = true; }
    bool& flag;
  } note(ended);
  Request request("/");
  auto answer = co_await client.request(std::move(request));
  (void)answer;
}

TEST_F(RestClientTest, CancellingTheCallerEndsTheTransfer) {
  server.connection().expects("GET").stays_silent();
  TaskGroup group(loop.runtime().executor);
  bool ended = false;
  group.spawn(ask_and_note_the_end(client, ended));
  loop.run_until([&] { return server.silences() == 1; });
  group.cancel();
  loop.run_until([&] { return ended && server.hang_ups() == 1; });
}

TEST_F(RestClientTest, AStreamMayOutliveItsClient) {
  server.connection().expects("GET").starts_stream().sends("one").stays_silent();
  auto stream = open(Request("/"));
  client_.reset();
  EXPECT_EQ(*loop.await(stream->read()), "one");
  stream.reset();
  loop.run_until([&] { return server.hang_ups() == 1; });
}

TEST_F(RestClientTest, KeepsThePathOfTheServer) {
  Connection connection = server.target();
  connection.server += "/clusters/c1";
  connection.credentials.token = "secret";
  RestClient other(loop.runtime(), connection);
  server.connection().expects("GET /clusters/c1/api ").replies_json("{}");
  EXPECT_TRUE(loop.await(other.request(Request("/api"))));
  EXPECT_THAT(server.requests()[0], HasSubstr("Authorization: Bearer secret\r\n"));
}

TEST_F(RestClientTest, GoesThroughTheProxyThatTheKubeconfigNames) {
  Connection connection;
  connection.server = "http://cluster.invalid:6443";
  connection.proxy_url = server.url();
  RestClient other(loop.runtime(), connection);
  server.connection().expects("GET http://cluster.invalid:6443/version ").replies_json("{}");
  EXPECT_TRUE(loop.await(other.request(Request("/version"))));
}

}  // namespace
}  // namespace tinf::kube
