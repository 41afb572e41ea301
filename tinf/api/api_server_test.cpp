// The server on real sockets, in the hands of clients that mean no good: slow, silent, greedy, too many; and behind TLS
// with files that are replaced while it serves.
#include "tinf/api/api_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>

#include "tinf/store/memory/fleet_memory_store.h"
#include "tinf/testing/real_time.h"

namespace tinf::api {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using tcp = asio::ip::tcp;
using boost::system::error_code;

// A certificate and its key, signed by another one or by itself.
struct Signed {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;

  Signed(const std::string& name, std::vector<std::string> groups, const Signed* by, Duration lasts = 1h)
      : certificate(X509_new(), X509_free), key(EVP_EC_gen("P-256"), EVP_PKEY_free) {
    static long serial = 0;
    X509* const made = certificate.get();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made), -60);
    X509_gmtime_adj(X509_getm_notAfter(made), std::chrono::duration_cast<std::chrono::seconds>(lasts).count());
    X509_set_pubkey(made, key.get());
    X509_NAME* const subject = X509_get_subject_name(made);
    for (const auto& group : groups) add(subject, "O", group);
    if (!name.empty()) add(subject, "CN", name);
    X509_set_issuer_name(made, X509_get_subject_name(by == nullptr ? made : by->certificate.get()));
    extend(made, NID_basic_constraints, by == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(made, NID_subject_alt_name, "IP:127.0.0.1");
    X509_sign(made, (by == nullptr ? key : by->key).get(), EVP_sha256());
  }

  void write(const std::string& to_certificate, const std::string& to_key) const {
    // As whoever rotates files does it: never half a file under the name that is read.
    put(to_certificate, [this](BIO* out) { PEM_write_bio_X509(out, certificate.get()); });
    if (to_key.empty()) return;
    put(to_key, [this](BIO* out) { PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
  }

 private:
  static void add(X509_NAME* name, const char* field, const std::string& text) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()), -1, 0);
  }
  static void extend(X509* made, int kind, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    X509_add_ext(made, extension, -1);
    X509_EXTENSION_free(extension);
  }
  template <class Write>
  static void put(const std::string& path, Write write) {
    BIO* const out = BIO_new_file((path + ".new").c_str(), "w");
    write(out);
    BIO_free(out);
    std::filesystem::rename(path + ".new", path);
  }
};

struct ApiServerTest : ::testing::Test {
  ApiServerTest() {
    char name[] = "/tmp/tinf-api-XXXXXX";
    folder = mkdtemp(name);
    FleetCluster known;
    known.name = "c1";
    known.present = true;
    ResourceInfo pods;
    pods.resource = Resource{"", "v1", "pods"};
    pods.kind = "Pod";
    known.offer = {pods};
    EXPECT_TRUE(time.await(store.put_cluster(known)));
    Scope scope;
    scope.resource = pods.resource;
    copy = store.open("c1", scope).value();
    put("one", 10);
  }
  ~ApiServerTest() override {
    if (serving) time.await(end());
    std::filesystem::remove_all(folder);
  }

  Task<bool> end() {
    co_await serving->stop();
    co_return true;
  }
  void put(const std::string& name, std::size_t size) {
    EventBatch batch;
    batch.events.push_back(
        WatchEvent::modified(Object::parse(R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":")" + name +
                                           R"(","namespace":"shop","resourceVersion":")" + std::to_string(++version) +
                                           R"("},"x":")" + std::string(size, 'x') + "\"}")
                                 .value()));
    batch.version = ResourceVersion(std::to_string(version));
    ASSERT_TRUE(time.await(copy->apply(std::move(batch))));
  }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder + "/" + name;
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
    return path;
  }

  void start() {
    server = std::make_unique<ApiServer>(time.runtime(), store, options);
    const auto ready = time.await(server->listen());
    ASSERT_TRUE(ready) << ready.error().message;
    serving.emplace(time.runtime().executor);
    serving->spawn(server->run());
  }

  Task<tcp::socket> connected() {
    tcp::socket socket(time.runtime().executor);
    const tcp::endpoint to(asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(server->port()));
    co_await socket.async_connect(to, asio::use_awaitable);
    co_return socket;
  }
  tcp::socket connect() { return time.await(connected()); }

  template <class Stream>
  Task<std::string> read_all(Stream& stream) {
    std::string all;
    error_code failure;
    co_await asio::async_read(stream, asio::dynamic_buffer(all), asio::redirect_error(asio::use_awaitable, failure));
    co_return all;
  }
  // What is answered until the connection is closed.
  template <class Stream>
  std::string rest(Stream& stream) {
    return time.await(read_all(stream));
  }
  template <class Stream>
  Task<error_code> write_all(Stream& stream, const std::string& text) {
    error_code failure;
    co_await asio::async_write(stream, asio::buffer(text), asio::redirect_error(asio::use_awaitable, failure));
    co_return failure;
  }
  template <class Stream>
  error_code say(Stream& stream, const std::string& text) {
    return time.await(write_all(stream, text));
  }
  static std::string request(const std::string& target, const std::string& more = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
  }
  std::string ask(const std::string& target, const std::string& more = "") {
    auto socket = connect();
    say(socket, request(target, more + "Connection: close\r\n"));
    return rest(socket);
  }

  double metric(std::string_view name, const Labels& labels = {}) {
    double sum = 0;
    for (const auto& family : time.runtime().metrics.collect()) {
      for (const auto& sample : family.samples) {
        if (family.name == name && (labels.empty() || sample.labels == labels)) sum += sample.value;
      }
    }
    return sum;
  }
  double closed(const std::string& reason) { return metric("tinf_api_connections_closed_total", {{"reason", reason}}); }

  testing::RealTime time;
  FleetMemoryStore store{time.runtime().clock};
  std::unique_ptr<Store> copy;
  int version = 0;
  std::string folder;
  std::vector<std::string> audit;  // Its lines.
  ApiOptions options;
  std::unique_ptr<ApiServer> server;
  std::optional<TaskGroup> serving;
};

TEST_F(ApiServerTest, WhoTricklesARequestIsClosedAndOthersAreAnswered) {
  options.request_timeout = 1s;
  start();
  auto silent = connect(), head = connect(), body = connect();
  say(head, "GET /api/v1/pods HTTP/1.1\r\nHost: lo");
  say(body, "POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc");
  const auto trickle = [&]() -> Task<bool> {
    error_code failure;
    while (!failure) {
      co_await asio::async_write(head, asio::buffer("x", 1), asio::redirect_error(asio::use_awaitable, failure));
      co_await time.runtime().clock.sleep_for(50ms);
    }
    co_return true;
  };
  EXPECT_THAT(ask("/api/v1/pods"), HasSubstr("200 OK"));
  EXPECT_TRUE(time.await(trickle()));
  EXPECT_EQ(rest(body), "");
  EXPECT_EQ(rest(silent), "");
  EXPECT_EQ(closed("slow-request"), 2);
  EXPECT_EQ(closed("idle"), 1);
}

TEST_F(ApiServerTest, WhatIsTooLargeIsRefusedByItsName) {
  options.maximum_header_bytes = 4096;
  options.maximum_body_bytes = 1000;
  options.maximum_body_bytes_at_once = 1500;
  start();
  EXPECT_THAT(ask("/api/v1/pods", "X: " + std::string(8000, 'x') + "\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("/" + std::string(8000, 'x')), StartsWith("HTTP/1.1 400"));
  auto large = connect();
  say(large, "POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_THAT(rest(large), StartsWith("HTTP/1.1 413"));
  auto chunked = connect();
  say(chunked, "POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                   std::string(2000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_THAT(rest(chunked), StartsWith("HTTP/1.1 413"));
  // Bodies have room together, and it is given back.
  const std::string begun =
      "POST /api/v1/pods HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 900\r\n\r\n";
  auto first = connect(), second = connect();
  say(first, begun + "x");
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_connections") >= 2; }));
  say(second, begun + "x");
  EXPECT_THAT(rest(second), StartsWith("HTTP/1.1 503"));
  say(first, std::string(899, 'x'));
  EXPECT_THAT(rest(first), StartsWith("HTTP/1.1 405"));
  auto third = connect();
  say(third, begun + std::string(900, 'x'));
  EXPECT_THAT(rest(third), StartsWith("HTTP/1.1 405"));
  EXPECT_GE(metric("tinf_api_unreadable_requests_total"), 5);
}

TEST_F(ApiServerTest, WhatIsNoRequestIsRefusedOrCloses) {
  start();
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), std::string("GET\r\n\r\n"),
        std::string("GET / HTTP/9.9\r\n\r\n"), std::string("\0\0\0\0", 4) + std::string(5000, '\0'),
        std::string("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
        std::string("GET /%00%ff%fe/../../.. HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n")}) {
    auto socket = connect();
    say(socket, garbage);
    error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    const auto answer = rest(socket);
    EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 4")) << garbage << answer;
  }
  EXPECT_THAT(ask("/api/v1/pods"), HasSubstr("200 OK"));
}

TEST_F(ApiServerTest, WhatAWarningQuotesOfARequestIsCut) {
  start();
  const auto head_of = [&](const std::string& name) {
    const auto answer = ask("/api/v1/namespaces/" + name + "/pods");
    return answer.substr(0, answer.find("\r\n\r\n"));
  };
  const auto plain = head_of(std::string(33'000, 'a'));
  EXPECT_THAT(plain, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(plain, HasSubstr("aaa...\""));
  EXPECT_LT(plain.size(), 1500u);
  // Quoting makes it no longer, and no character is cut in two.
  EXPECT_LT(head_of(std::string(33'000, '"')).size(), 1500u);
  std::string umlauts;
  for (int i = 0; i < 5000; ++i) umlauts += "%C3%A4";
  EXPECT_THAT(head_of(umlauts), HasSubstr("\xC3\xA4...\""));
  EXPECT_THAT(head_of("c1." + std::string(60'000, 'a')), StartsWith("HTTP/1.1 200"));
}

TEST_F(ApiServerTest, AnAnswerThatThrowsEndsItsOwnConnectionAlone) {
  options.not_ready = []() -> std::string { throw std::length_error("too long"); };
  start();
  EXPECT_EQ(ask("/readyz"), "");
  EXPECT_THAT(time.log_lines().back(), HasSubstr("too long"));
  EXPECT_THAT(ask("/api/v1/pods"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ApiServerTest, RequestsThatComeBeforeTheirTurnWait) {
  start();
  auto socket = connect();
  std::string many;
  for (int i = 0; i < 500; ++i) many += request("/version");
  many += request("/version", "Connection: close\r\n");
  const auto both = [&]() -> Task<std::string> {
    co_await write_all(socket, many);
    co_return co_await read_all(socket);
  };
  const auto answers = time.await(both());
  std::size_t count = 0;
  for (auto at = answers.find("HTTP/1.1 200"); at != std::string::npos; at = answers.find("HTTP/1.1 200", at + 1))
    ++count;
  EXPECT_EQ(count, 501u);
  // Behind a watch, a request is the end of it.
  auto watch = connect();
  say(watch, request("/api/v1/pods?watch=1") + request("/version"));
  EXPECT_THAT(rest(watch), Not(HasSubstr("gitVersion")));
}

TEST_F(ApiServerTest, AThousandIdleConnectionsLeaveRoomForOneThatWorks) {
  options.maximum_connections = 1000;
  start();
  std::vector<tcp::socket> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(connect());
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_connections") == 1000; }));
  auto working = connect();
  for (int i = 0; i < 3; ++i) {
    say(working, request("/nothing"));
    std::string head;
    const auto read = [&]() -> Task<std::size_t> {
      co_return co_await asio::async_read_until(working, asio::dynamic_buffer(head), "\"code\":404}",
                                                asio::use_awaitable);
    };
    EXPECT_GT(time.await(read()), 0u);
    EXPECT_THAT(head, StartsWith("HTTP/1.1 404"));
  }
  EXPECT_EQ(rest(idle.front()), "") << "the one that waited longest gives way";
  EXPECT_EQ(closed("crowded-out"), 1);
}

TEST_F(ApiServerTest, WhoDoesNotEndARequestLeavesRoomForOneThatWorks) {
  options.maximum_connections = 3;
  start();
  std::vector<tcp::socket> begun;
  for (int i = 0; i < 3; ++i) {
    begun.push_back(connect());
    say(begun.back(), "GET /version HTTP/1.1\r\nHost: lo");
  }
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_connections") == 3; }));
  EXPECT_THAT(ask("/version"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(rest(begun.front()), "");
  EXPECT_EQ(closed("crowded-out"), 1);
}

TEST_F(ApiServerTest, AllAtWorkNobodyElseIsTaken) {
  options.maximum_connections = 2;
  start();
  auto first = connect(), second = connect();
  say(first, request("/api/v1/pods?watch=1"));
  say(second, request("/api/v1/pods?watch=1"));
  ASSERT_TRUE(time.run_until([&] { return server->open_watches() == 2; }));
  auto third = connect();
  EXPECT_EQ(rest(third), "");
  EXPECT_EQ(closed("refused"), 1);
}

TEST_F(ApiServerTest, AWatcherThatDoesNotReadIsCutAndOthersHearEverything) {
  options.write_timeout = 1s;
  options.audit = [&](const std::string& line) { audit.push_back(line); };
  start();
  auto deaf = connect();
  say(deaf, request("/api/v1/pods?watch=1&resourceVersion=" + std::to_string(store.version())));
  auto good = connect();
  say(good, request("/api/v1/pods?watch=1&resourceVersion=" + std::to_string(store.version())));
  ASSERT_TRUE(time.run_until([&] { return server->open_watches() == 2; }));
  std::string heard;
  const auto listen = [&]() -> Task<void> {
    error_code failure;
    while (!failure) {
      char some[64 * 1024];
      const auto size =
          co_await good.async_read_some(asio::buffer(some), asio::redirect_error(asio::use_awaitable, failure));
      heard.append(some, size);
    }
  };
  TaskGroup listening(time.runtime().executor);
  listening.spawn(listen());
  // More than the kernel takes for a socket that nobody reads.
  for (int i = 0; i < 40; ++i) put("large-" + std::to_string(i), 500'000);
  ASSERT_TRUE(time.run_until([&] { return closed("slow-reader") == 1; }));
  put("last", 10);
  EXPECT_TRUE(time.run_until([&] { return heard.find("\"last\"") != std::string::npos; }));
  for (int i = 0; i < 40; ++i) EXPECT_NE(heard.find("\"large-" + std::to_string(i) + "\""), std::string::npos) << i;
  ASSERT_TRUE(time.run_until([&] { return server->open_watches() == 1; }));
  ASSERT_TRUE(time.run_until([&] {
    return std::ranges::any_of(audit,
                               [](const auto& line) { return line.find("\"cut\":\"slow-reader\"") != line.npos; });
  }));
  listening.cancel();
  time.run_until([&] { return listening.running() == 0; });
}

TEST_F(ApiServerTest, OneUsersThousandListsLeaveOthersTheirTurn) {
  options.token_file = write("tokens", "greedy-token,greedy,1\nmodest-token,modest,2\n");
  options.limits.requests_of_one_user = 4;
  for (int i = 0; i < 40; ++i) put("p" + std::to_string(i), 400'000);
  start();
  // Each asks for 16 MB, more than the kernel takes for it, and reads nothing: it stays at work.
  std::vector<tcp::socket> greedy;
  for (int i = 0; i < 200; ++i) {
    greedy.push_back(connect());
    say(greedy.back(), request("/api/v1/pods", "Authorization: Bearer greedy-token\r\n"));
  }
  const auto modest = ask("/api/v1/pods?limit=1", "Authorization: Bearer modest-token\r\n");
  EXPECT_THAT(modest, StartsWith("HTTP/1.1 200"));
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_throttled_requests_total") >= 190; }));
  std::string head(15, '\0');
  const auto read = [&]() -> Task<std::size_t> {
    co_return co_await asio::async_read(greedy.back(), asio::buffer(head), asio::use_awaitable);
  };
  time.await(read());
  EXPECT_EQ(head, "HTTP/1.1 429 To");
}

// With TLS: a client who may have a certificate, on a connection of its own.
struct TlsTest : ApiServerTest {
  TlsTest() {
    Signed serving_authority("authority", {}, nullptr);
    Signed("server", {}, &serving_authority).write(path("server.crt"), path("server.key"));
    clients.write(path("clients.crt"), "");
    options.certificate_file = path("server.crt");
    options.key_file = path("server.key");
    options.client_authority_file = path("clients.crt");
  }

  std::string path(const std::string& name) const { return folder + "/" + name; }

  struct Call {
    std::string answer;
    std::string server;  // The name in the certificate that it showed.
  };
  static std::string name_of(SSL* connection) {
    char name[64] = "";
    const X509* const shown = SSL_get0_peer_certificate(connection);
    if (shown != nullptr) X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, sizeof name);
    return name;
  }
  std::shared_ptr<asio::ssl::context> context_of(const Signed* client) {
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
    if (client != nullptr) {
      SSL_CTX_use_certificate(context->native_handle(), client->certificate.get());
      SSL_CTX_use_PrivateKey(context->native_handle(), client->key.get());
    }
    return context;
  }
  Task<Call> calling(std::shared_ptr<asio::ssl::context> context, std::string text) {
    Call call;
    auto socket = co_await connected();
    asio::ssl::stream<tcp::socket> stream(std::move(socket), *context);
    error_code failure;
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::redirect_error(asio::use_awaitable, failure));
    if (failure) {
      call.answer = "no handshake: " + failure.message();
      co_return call;
    }
    call.server = name_of(stream.native_handle());
    co_await write_all(stream, text);
    call.answer = co_await read_all(stream);
    co_return call;
  }
  Call call(const Signed* client, const std::string& more = "", const std::string& target = "/api/v1/pods") {
    return time.await(calling(context_of(client), request(target, more + "Connection: close\r\n")));
  }
  std::string who(const Signed* client) {
    const std::string body = "{}";
    return time
        .await(calling(context_of(client),
                       "POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nHost: localhost\r\n"
                       "Connection: close\r\nContent-Length: 2\r\n\r\n{}"))
        .answer;
  }

  Signed clients{"clients", {}, nullptr};
};

TEST_F(TlsTest, ACertificateSaysWhoCalls) {
  start();
  const Signed jane("jane", {"dev", "ops"}, &clients);
  EXPECT_THAT(who(&jane), HasSubstr(R"("userInfo":{"username":"jane","groups":["dev","ops","system:authenticated"]})"));
  EXPECT_THAT(call(nullptr).answer, StartsWith("HTTP/1.1 401"));
  const Signed strangers("strangers", {}, nullptr);
  const Signed forged("jane", {"dev"}, &strangers), nameless("", {"dev"}, &clients), over("jane", {}, &clients, -30s);
  EXPECT_THAT(call(&forged).answer, Not(StartsWith("HTTP/1.1 200")));
  EXPECT_THAT(call(&over).answer, Not(StartsWith("HTTP/1.1 200")));
  EXPECT_THAT(call(&nameless).answer, StartsWith("HTTP/1.1 401"));
  EXPECT_GE(metric("tinf_api_tls_handshake_failures_total"), 1);
}

TEST_F(TlsTest, OldTlsIsNotSpokenAndNewerAloneIfSaidSo) {
  options.minimum_tls = TlsVersion::Tls13;
  start();
  const Signed jane("jane", {}, &clients);
  auto context = context_of(&jane);
  SSL_CTX_set_max_proto_version(context->native_handle(), TLS1_2_VERSION);
  EXPECT_THAT(time.await(calling(context, request("/version", "Connection: close\r\n"))).answer,
              StartsWith("no handshake"));
  EXPECT_THAT(call(&jane).answer, StartsWith("HTTP/1.1 200"));
  // And of what may be spoken inside, HTTP/1.1 alone.
  auto other = context_of(&jane);
  const unsigned char h2[] = "\x02h2";
  SSL_CTX_set_alpn_protos(other->native_handle(), h2, 3);
  EXPECT_THAT(time.await(calling(other, request("/version", "Connection: close\r\n"))).answer,
              StartsWith("no handshake"));
  auto both = context_of(&jane);
  const unsigned char two[] = "\x02h2\x08http/1.1";
  SSL_CTX_set_alpn_protos(both->native_handle(), two, 12);
  EXPECT_THAT(time.await(calling(both, request("/version", "Connection: close\r\n"))).answer,
              StartsWith("HTTP/1.1 200"));
}

TEST_F(TlsTest, AHandshakeThatNeverEndsIsClosed) {
  options.handshake_timeout = 1s;
  start();
  auto silent = connect();
  auto begun = connect();
  say(begun, std::string("\x16\x03\x01\x02", 4));
  EXPECT_EQ(rest(silent), "");
  EXPECT_EQ(rest(begun), "");
  EXPECT_EQ(closed("slow-handshake"), 2);
}

TEST_F(TlsTest, CertificatesAreReplacedWhileItServes) {
  options.token_file = write("tokens", "t\n");
  start();
  EXPECT_EQ(call(nullptr).server, "server");
  Signed authority("authority", {}, nullptr);
  const Signed later("later", {}, &authority);
  // Between the two files, and with one that is none, the old ones serve on.
  later.write(path("server.crt"), "");
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_reload_failures_total") == 1; }));
  EXPECT_EQ(call(nullptr, "Authorization: Bearer t\r\n").server, "server");
  write("server.crt", "no certificate");
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_reload_failures_total") == 2; }));
  EXPECT_THAT(call(nullptr, "Authorization: Bearer t\r\n").answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(time.log_lines().back(), HasSubstr("the new certificate is no good"));
  later.write(path("server.crt"), path("server.key"));
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_reloads_total") == 1; }));
  EXPECT_EQ(call(nullptr).server, "later");
}

TEST_F(TlsTest, AnAuthorityThatIsTakenBackTakesItsClientsAlong) {
  start();
  const Signed jane("jane", {}, &clients);
  Call watched;
  const auto watch = [&]() -> Task<void> {
    watched = co_await calling(context_of(&jane), request("/api/v1/pods?watch=1"));
    watched.server = "ended";
  };
  TaskGroup watching(time.runtime().executor);
  watching.spawn(watch());
  ASSERT_TRUE(time.run_until([&] { return server->open_watches() == 1; }));
  const Signed others("others", {}, nullptr);
  others.write(path("clients.crt"), "");
  ASSERT_TRUE(time.run_until([&] { return watched.server == "ended"; }));
  EXPECT_THAT(watched.answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(call(&jane).answer, Not(StartsWith("HTTP/1.1 200")));
  const Signed eve("eve", {}, &others);
  EXPECT_THAT(call(&eve).answer, StartsWith("HTTP/1.1 200"));
}

TEST_F(ApiServerTest, TokensAndRulesAreReadAgainAndBrokenOnesAreNot) {
  options.token_file = write("tokens", "first,jane,1\n");
  options.authorization_file = write("rules", "jane");
  options.read_authorization = [](const std::string& user) -> Result<AuthorizationPolicy> {
    if (user == "broken") return Error(Code::Invalid, "line 1: broken");
    AuthorizationRule all;
    all.users = {user};
    all.clusters = all.namespaces = all.api_groups = all.resources = all.verbs = {"*"};
    return AuthorizationPolicy({all});
  };
  start();
  const auto status = [&](const std::string& token) {
    return ask("/api/v1/pods", "Authorization: Bearer " + token + "\r\n").substr(9, 3);
  };
  EXPECT_EQ(status("first"), "200");
  write("tokens", "second,jane,1\n");
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_reloads_total") == 1; }));
  EXPECT_EQ(status("first"), "401");
  EXPECT_EQ(status("second"), "200");
  EXPECT_THAT(ask("/api/v1/pods", "Authorization: Bearer second\r\nimpersonate-user: joe\r\n"),
              StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(ask("/api/v1/pods", "Authorization: Bearer second\r\nImpersonate-Group: x\r\n"),
              StartsWith("HTTP/1.1 403"));
  write("rules", "broken");
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_reload_failures_total") == 1; }));
  EXPECT_EQ(status("second"), "200");
  write("rules", "joe");
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_reloads_total") == 2; }));
  EXPECT_EQ(status("second"), "403");
  std::filesystem::remove(options.token_file);
  ASSERT_TRUE(time.run_until([&] { return metric("tinf_api_reload_failures_total") == 2; }));
  EXPECT_EQ(status("second"), "403") << "known as before";
  for (const auto& line : time.log_lines()) EXPECT_THAT(line, Not(HasSubstr("second")));
}

TEST_F(ApiServerTest, WhatIsWrongWithAFileAtTheStartIsSaid) {
  const auto said = [&] {
    ApiServer one(time.runtime(), store, options);
    const auto ready = time.await(one.listen());
    return ready ? "ready" : ready.error().message;
  };
  options.token_file = folder + "/none";
  EXPECT_THAT(said(), HasSubstr("/none cannot be read"));
  options.token_file = write("tokens", "a\nb,jane\n");
  EXPECT_THAT(said(), HasSubstr("tokens: line 2 of the token file"));
  options.token_file = write("large", std::string((1 << 20) + 1, 'x'));
  EXPECT_THAT(said(), HasSubstr("is larger than 1 MiB"));
  options.token_file.clear();
  options.client_authority_file = write("ca", "x");
  EXPECT_THAT(said(), HasSubstr("clients show certificates in TLS only"));
  options.certificate_file = options.key_file = write("pem", "no PEM");
  EXPECT_THAT(said(), HasSubstr("the certificate " + folder + "/pem cannot be used"));
}

}  // namespace
}  // namespace tinf::api
