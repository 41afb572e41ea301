// MqttTransport against a real mosquitto, and against scripted peers for what mosquitto never says.
#include "tinf/transport/mqtt/mqtt_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <fstream>

#include "tinf/contract/transport_contract.h"
#include "tinf/testing/mosquitto_broker.h"
#include "tinf/testing/real_time.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::MosquittoBroker;
using ::testing::Not;
using testing::RealTime;

// The helpers of the suite; the harness itself is not used.
struct NoHarness {};
using Contract = TransportContract<NoHarness>;

struct MqttTransportTest : ::testing::Test {
  MqttOptions options(int port, std::string client_id = "a") {
    MqttOptions made;
    made.host = "127.0.0.1";
    made.port = port;
    made.client_id = std::move(client_id);
    return made;
  }
  std::unique_ptr<MqttTransport> open(MqttOptions with) {
    auto opened = MqttTransport::open(time.runtime(), std::move(with));
    EXPECT_TRUE(opened.has_value()) << opened.error().message;
    return std::move(*opened);
  }
  std::unique_ptr<MqttTransport> connect(MqttOptions with) {
    auto transport = open(std::move(with));
    limit = time.await(Contract::connected(*transport)).maximum_message_bytes;
    return transport;
  }
  Error disconnected(Transport& transport) { return time.await(Contract::disconnected(transport)); }
  Message next(Transport& transport) { return time.await(Contract::next_message(transport)); }
  void subscribe(Transport& transport, const std::string& filter) {
    const auto result = time.await(transport.subscribe(filter));
    EXPECT_TRUE(result.has_value()) << result.error().message;
  }
  Result<void> publish(Transport& transport, Message message) {
    return time.await(transport.publish(std::move(message)));
  }
  std::uint64_t counted(const std::string& name) {
    for (const auto& family : time.runtime().metrics.collect()) {
      if (family.name == name) return static_cast<std::uint64_t>(family.samples.at(0).value);
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
  }

  RealTime time;
  std::size_t limit = 0;
};

TEST_F(MqttTransportTest, WaitsForABrokerThatComesLaterAndSaysOnceThatItIsAway) {
  MosquittoBroker broker;
  auto transport = open(options(broker.port()));
  const Error reason = disconnected(*transport);
  EXPECT_EQ(reason.code, Code::Unavailable);
  EXPECT_THAT(reason.message, AllOf(HasSubstr(std::to_string(broker.port())), HasSubstr("Connection refused")));
  const auto lines_of = [this](std::string_view level) {
    return std::ranges::count_if(time.log_lines(), [&](const auto& line) { return line.starts_with(level); });
  };
  ASSERT_TRUE(time.run_until([&] { return lines_of("debug still no connection") >= 3; }));
  broker.start();
  time.await(Contract::connected(*transport));
  EXPECT_EQ(lines_of("warning"), 1) << ::testing::PrintToString(time.log_lines());
}

TEST_F(MqttTransportTest, AHostThatCannotBeResolvedIsNamed) {
  MqttOptions nowhere = options(1883);
  nowhere.host = "no-such-host.invalid";
  auto transport = open(nowhere);
  const Error reason = disconnected(*transport);
  EXPECT_EQ(reason.code, Code::Unavailable);
  EXPECT_THAT(reason.message, HasSubstr("no-such-host.invalid"));
}

TEST_F(MqttTransportTest, GoesAwayWhileConnectingWithoutWaiting) {
  MqttOptions nowhere = options(1883);
  nowhere.host = "no-such-host.invalid";
  auto transport = open(nowhere);
  time.run_until([] { return true; });
  transport.reset();
  auto second = open(nowhere);
  time.await(Contract::closed(*second, std::nullopt));
}

TEST_F(MqttTransportTest, TheBrokersSmallerLimitIsTheLimit) {
  MosquittoBroker broker("max_packet_size 20000");
  broker.start();
  auto transport = connect(options(broker.port()));
  EXPECT_EQ(limit, 20000u);
  subscribe(*transport, "large");
  Message message = Contract::message("large", "");
  message.body.resize(20000 - message_bytes(message), 'x');
  EXPECT_TRUE(publish(*transport, message).has_value());
  EXPECT_EQ(next(*transport).body.size(), message.body.size());
  message.body += "1";
  EXPECT_EQ(publish(*transport, message).error().code, Code::Invalid);
  EXPECT_TRUE(transport->connected());
}

TEST_F(MqttTransportTest, ABrokerWhoseLimitIsFoundByItsRefusalIsSentSmallerMessages) {
  MosquittoBroker broker("message_size_limit 30000");
  broker.start();
  auto transport = connect(options(broker.port()));
  EXPECT_EQ(limit, 256u * 1024);
  subscribe(*transport, "large");
  std::vector<std::size_t> limits;
  for (std::size_t size = 200000; size > 30000; size = limits.back() - 1000) {
    EXPECT_TRUE(publish(*transport, Contract::message("large", std::string(size, 'x'))).has_value());
    // Perhaps on their way before the first is refused: then each is, and that is one reason for smaller ones, not
    // three.
    for (int i = 0; i < 2; ++i) (void)publish(*transport, Contract::message("large", std::string(size, 'x')));
    auto event = time.await(transport->receive());
    ASSERT_TRUE(std::holds_alternative<TransportConnected>(event));
    limits.push_back(std::get<TransportConnected>(event).maximum_message_bytes);
    ASSERT_LT(limits.back(), size);
  }
  ASSERT_EQ(limits.size(), 2u);
  EXPECT_NEAR(static_cast<double>(limits.back()), 12300, 300);
  EXPECT_TRUE(transport->connected());
  EXPECT_EQ(publish(*transport, Contract::message("large", std::string(28000, 'x'))).error().code, Code::Invalid);
  EXPECT_TRUE(publish(*transport, Contract::message("large", std::string(10000, 'x'))).has_value());
  EXPECT_EQ(next(*transport).body.size(), 10000u);
  EXPECT_EQ(std::ranges::count_if(
                time.log_lines(),
                [](const std::string& line) { return line.find("message_size_limit") != std::string::npos; }),
            1);
}

TEST_F(MqttTransportTest, AnInboundMessageAboveTheLimitIsRefusedAndCounted) {
  MosquittoBroker broker;
  broker.start();
  auto sender = connect(options(broker.port(), "sender"));
  MqttOptions small = options(broker.port(), "receiver");
  small.maximum_message_bytes = 1000;
  auto receiver = connect(small);
  subscribe(*receiver, "t");
  EXPECT_TRUE(publish(*sender, Contract::message("t", std::string(1001, 'x'))).has_value());
  EXPECT_TRUE(publish(*sender, Contract::message("t", "small")).has_value());
  EXPECT_EQ(next(*receiver).body, "small");
  EXPECT_EQ(counted("tinf_transport_refused_messages_total"), 1u);
}

TEST_F(MqttTransportTest, AFloodArrivesCompleteThroughASlowReceiverInBoundedMemory) {
  MosquittoBroker broker("max_queued_messages 0");
  broker.start();
  auto sender = connect(options(broker.port(), "sender"));
  MqttOptions few = options(broker.port(), "receiver");
  few.receive_queue_messages = 100;
  auto receiver = connect(few);
  subscribe(*receiver, "flood");
  std::size_t deepest = 0;
  int accepted = 0;
  const auto flood = [](Transport& from, Transport& to, Metrics& metrics, std::size_t& deepest,
                        int& accepted) -> Task<int> {
    const auto send = [](Transport& transport, int& count) -> Task<void> {
      count = co_await Contract::publish_many(transport, "flood", 20000, 2048);
    };
    TaskGroup sending(co_await asio::this_coro::executor);
    sending.spawn(send(from, accepted));
    const auto depth = metrics.gauge("tinf_transport_receive_queue_messages", "");
    std::vector<bool> seen(20000);
    int different = 0;
    while (different < 20000) {
      const Message message = co_await Contract::next_message(to);
      deepest = std::max(deepest, static_cast<std::size_t>(depth->value()));
      const auto number = static_cast<std::size_t>(std::stoi(message.body));
      if (!seen.at(number)) ++different;
      seen[number] = true;
      EXPECT_EQ(message.body.size(), 2048u);
    }
    co_await sending.join();
    co_return different;
  };
  EXPECT_EQ(time.await(flood(*sender, *receiver, time.runtime().metrics, deepest, accepted), 60s), 20000);
  EXPECT_EQ(accepted, 20000);
  EXPECT_LE(deepest, 200u);  // A read may bring a few packets at once.
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(usage.ru_maxrss, 100 * 1024) << "kilobytes";
#endif
}

TEST_F(MqttTransportTest, AReceiverThatStopsReceivingStopsTheReadingAndLosesNothing) {
  MosquittoBroker broker("max_queued_messages 0");
  broker.start();
  auto sender = connect(options(broker.port(), "sender"));
  MqttOptions few = options(broker.port(), "receiver");
  few.receive_queue_messages = 10;
  auto receiver = connect(few);
  subscribe(*receiver, "t");
  EXPECT_EQ(time.await(Contract::publish_many(*sender, "t", 1000, 1000)), 1000);
  EXPECT_LE(counted("tinf_transport_received_messages_total"), 40u);
  EXPECT_EQ(time.await(Contract::receive_many(*receiver, 1000)).size(), 1000u);
}

TEST_F(MqttTransportTest, PublishWaitsForItsWindowAndGivesUpWithTheConnection) {
  MosquittoBroker broker;
  broker.start();
  MqttOptions narrow = options(broker.port());
  narrow.window = 4;
  auto transport = connect(narrow);
  broker.freeze();
  std::vector<Result<void>> results;
  const auto publish_five = [](Transport& to, std::vector<Result<void>>& out) -> Task<void> {
    for (int i = 0; i < 5; ++i) {
      Message message = Contract::message("t", "x");
      Result<void> result = co_await to.publish(std::move(message));
      out.push_back(result);
    }
  };
  TaskGroup group(time.runtime().executor);
  group.spawn(publish_five(*transport, results));
  EXPECT_TRUE(time.run_until([&] { return results.size() == 4; }));
  broker.kill();
  EXPECT_TRUE(time.run_until([&] { return results.size() == 5; }));
  EXPECT_TRUE(results[3].has_value());
  ASSERT_FALSE(results[4].has_value());
  EXPECT_EQ(results[4].error().code, Code::Unavailable);
}

TEST_F(MqttTransportTest, AtQualityOfServiceZeroAFullSocketIsTheBackpressure) {
  MosquittoBroker broker;
  broker.start();
  MqttOptions fast = options(broker.port());
  fast.qos = 0;
  auto transport = connect(fast);
  broker.freeze();
  int published = 0;
  const auto publish_on = [](Transport& to, int& count) -> Task<void> {
    Message message = Contract::message("t", std::string(100000, 'x'));
    while (true) {
      const Result<void> result = co_await to.publish(message);
      if (!result) co_return;
      ++count;
    }
  };
  TaskGroup group(time.runtime().executor);
  group.spawn(publish_on(*transport, published));
  int before = -1;
  while (before != published) {
    before = published;
    time.run_until([] { return false; }, 200ms);
  }
  EXPECT_GT(published, 0);
  EXPECT_LT(published, 200);  // 20 MB: more than any socket takes here.
  broker.thaw();
  EXPECT_TRUE(time.run_until([&] { return published > before + 100; }));
  group.cancel();
  time.run_until([&] { return group.running() == 0; });
}

TEST_F(MqttTransportTest, WrongCredentialsAreUnauthorizedAndNeverLogged) {
  MosquittoBroker broker("allow_anonymous false\npassword_file @FOLDER@/passwords");
  const std::string file = broker.folder() + "/passwords";
  ASSERT_EQ(std::system(("mosquitto_passwd -b -c " + file + " user right-secret 2>/dev/null").c_str()), 0);
  broker.start();
  MqttOptions good = options(broker.port(), "good");
  good.username = "user";
  good.password = "right-secret";
  connect(good);
  MqttOptions bad = good;
  bad.client_id = "bad";
  bad.password = "wrong-secret";
  auto refused = open(bad);
  const Error reason = disconnected(*refused);
  EXPECT_THAT(reason.code, AnyOf(Code::Unauthorized, Code::Forbidden)) << reason.message;
  EXPECT_THAT(::testing::PrintToString(time.log_lines()) + reason.message, Not(HasSubstr("-secret")));
}

struct MqttTlsTest : MqttTransportTest {
  MqttTlsTest() {
    make_authority("ca");
    make_authority("other");
    run("openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=broker.test");
    broker.write_file("names", "subjectAltName=DNS:broker.test,IP:127.0.0.1");
    run("openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out "
        "server.crt");
    run("openssl req -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=client");
    run("openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out client.crt");
    broker.start();
  }
  void run(const std::string& command) {
    const std::string line = "cd " + broker.folder() + " && " + command + " >>openssl.log 2>&1";
    if (std::system(line.c_str()) != 0) throw std::runtime_error("failed: " + line);
  }
  void make_authority(const std::string& name) {
    run("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout " + name + ".key -out " + name +
        ".crt -subj /CN=" + name);
  }
  std::string file(const std::string& name) { return broker.folder() + "/" + name; }
  MqttOptions tls_options() {
    MqttOptions made = options(broker.port());
    made.tls.enabled = true;
    made.tls.ca_file = file("ca.crt");
    made.tls.certificate_file = file("client.crt");
    made.tls.key_file = file("client.key");
    return made;
  }

  MosquittoBroker broker{
      "cafile @FOLDER@/ca.crt\ncertfile @FOLDER@/server.crt\nkeyfile @FOLDER@/server.key\nrequire_certificate true"};
};

TEST_F(MqttTlsTest, MessagesOfAllSizesPassThroughTls) {
  auto transport = connect(tls_options());
  subscribe(*transport, "t");
  for (const std::size_t size : {0u, 1u, 16000u, 17000u, 200000u}) {
    EXPECT_TRUE(publish(*transport, Contract::message("t", std::string(size, 'x'))).has_value());
    EXPECT_EQ(next(*transport).body.size(), size);
  }
  int accepted = 0;
  EXPECT_EQ(time.await(Contract::flood(*transport, *transport, "t", 2000, accepted)).size(), 2000u);
}

TEST_F(MqttTlsTest, AnUnknownAuthorityIsRefusedAndTheRemedyNamed) {
  MqttOptions wrong = tls_options();
  wrong.tls.ca_file = file("other.crt");
  auto transport = open(wrong);
  const Error reason = disconnected(*transport);
  EXPECT_EQ(reason.code, Code::Unauthorized);
  EXPECT_THAT(reason.message, AllOf(HasSubstr("certificate of the broker"), HasSubstr("authority")));
}

TEST_F(MqttTlsTest, ACertificateForAnotherNameIsRefusedUnlessThatNameIsWanted) {
  MqttOptions wrong = tls_options();
  wrong.tls.server_name = "elsewhere.test";
  auto transport = open(wrong);
  const Error reason = disconnected(*transport);
  EXPECT_EQ(reason.code, Code::Unauthorized);
  EXPECT_THAT(reason.message, AllOf(HasSubstr("mismatch"), HasSubstr("elsewhere.test")));

  MqttOptions right = tls_options();
  right.client_id = "b";
  right.tls.server_name = "broker.test";
  EXPECT_TRUE(connect(right)->connected());
}

TEST_F(MqttTlsTest, OnlyWhoAsksForItBelievesAnyCertificate) {
  MqttOptions insecure = tls_options();
  insecure.tls.ca_file = file("other.crt");
  insecure.tls.insecure = true;
  EXPECT_TRUE(connect(insecure)->connected());
}

TEST_F(MqttTlsTest, AMissingClientCertificateOrFileIsNamed) {
  MqttOptions without = tls_options();
  without.tls.certificate_file.clear();
  without.tls.key_file.clear();
  auto refused = open(without);
  EXPECT_THAT(disconnected(*refused).message, AllOf(HasSubstr("TLS"), HasSubstr("client certificate")));

  MqttOptions absent = tls_options();
  absent.client_id = "b";
  absent.tls.ca_file = file("absent.crt");
  const auto unopened = MqttTransport::open(time.runtime(), absent);
  ASSERT_FALSE(unopened);
  EXPECT_EQ(unopened.error().code, Code::Invalid);
  EXPECT_THAT(unopened.error().message, HasSubstr("absent.crt"));
}

// A peer of a few bytes: takes the CONNECT, answers, and then holds the connection.
struct ScriptedBroker {
  explicit ScriptedBroker(RealTime& time, std::string answer)
      : acceptor(time.runtime().executor, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        serving(time.runtime().executor) {
    serving.spawn(serve(acceptor, std::move(answer), connects));
  }
  int port() const { return acceptor.local_endpoint().port(); }

  static Task<void> serve(asio::ip::tcp::acceptor& acceptor, std::string answer, int& connects) {
    std::list<asio::ip::tcp::socket> held;
    while (true) {
      held.push_back(co_await acceptor.async_accept(asio::use_awaitable));
      ++connects;
      char first = 0;
      boost::system::error_code ignored;
      co_await asio::async_read(held.back(), asio::buffer(&first, 1),
                                asio::redirect_error(asio::use_awaitable, ignored));
      co_await asio::async_write(held.back(), asio::buffer(answer), asio::redirect_error(asio::use_awaitable, ignored));
    }
  }

  int connects = 0;
  asio::ip::tcp::acceptor acceptor;
  TaskGroup serving;
};

struct Answer {
  std::string bytes;
  Code code;
  std::string words;
};

TEST_F(MqttTransportTest, EachRefusalNamesTheThingAndTheRemedy) {
  const auto connack = [](char reason) { return std::string("\x20\x03\x00", 3) + reason + std::string(1, '\0'); };
  const std::vector<Answer> answers = {
      {connack('\x86'), Code::Unauthorized, "password"},
      {connack('\x87'), Code::Forbidden, "not authorised"},
      {connack('\x85'), Code::Invalid, "client id"},
      {connack('\x84'), Code::Invalid, "only MQTT 3.1.1; use one that speaks MQTT 5"},
      {std::string("\x20\x02\x00\x01", 4), Code::Invalid,
       "only MQTT 3.1.1"},  // As a broker says it that knows no MQTT 5.
      {connack('\x88'), Code::Unavailable, "navailable"},
      {"HTTP/1.1 400 Bad Request\r\n\r\n" + std::string(500, ' '), Code::Invalid, "MQTT"},
      {connack('\0') + std::string("\xe0\x01\x8e", 3), Code::Conflict, "client id \"a\""},
  };
  for (const Answer& answer : answers) {
    ScriptedBroker broker(time, answer.bytes);
    auto transport = open(options(broker.port()));
    const Error reason = disconnected(*transport);
    EXPECT_EQ(to_string(reason.code), to_string(answer.code)) << reason.message;
    EXPECT_THAT(reason.message, HasSubstr(answer.words));
    transport.reset();
    broker.serving.cancel();
    EXPECT_TRUE(time.run_until([&] { return broker.serving.running() == 0; }));
  }
}

TEST_F(MqttTransportTest, APeerThatTakesTheConnectionAndSaysNothingIsGivenUpInTime) {
  ScriptedBroker broker(time, "");
  MqttOptions impatient = options(broker.port());
  impatient.connect_timeout = 200ms;
  auto transport = open(impatient);
  const Error reason = disconnected(*transport);
  EXPECT_EQ(reason.code, Code::Unavailable);
  EXPECT_THAT(reason.message, HasSubstr("no answer"));
  EXPECT_TRUE(time.run_until([&] { return broker.connects >= 2; }));
  transport.reset();
  broker.serving.cancel();
  EXPECT_TRUE(time.run_until([&] { return broker.serving.running() == 0; }));
}

TEST_F(MqttTransportTest, ABrokerThatClosesWithoutAnAnswerMayBeOneOfMqtt311) {
  asio::ip::tcp::acceptor acceptor(time.runtime().executor,
                                   asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  TaskGroup closing(time.runtime().executor);
  closing.spawn([](asio::ip::tcp::acceptor& from) -> Task<void> {
    asio::ip::tcp::socket socket = co_await from.async_accept(asio::use_awaitable);
    char connect[64];
    co_await socket.async_read_some(asio::buffer(connect), asio::use_awaitable);
    boost::system::error_code ignored;
    socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }(acceptor));
  auto transport = open(options(acceptor.local_endpoint().port()));
  const Error reason = disconnected(*transport);
  EXPECT_EQ(reason.code, Code::Unavailable);  // Perhaps it is only starting.
  EXPECT_THAT(reason.message, HasSubstr("without an answer; if that repeats, it may speak only MQTT 3.1.1"));
}

TEST_F(MqttTransportTest, ABrokerThatAcknowledgesNothingIsLeftForANewConnection) {
  ScriptedBroker broker(time, std::string("\x20\x03\x00\x00\x00", 5));
  MqttOptions impatient = options(broker.port());
  impatient.acknowledge_timeout = 200ms;
  auto transport = connect(impatient);
  EXPECT_TRUE(publish(*transport, Contract::message("t", "x")).has_value());
  const Error reason = disconnected(*transport);
  EXPECT_EQ(reason.code, Code::Unavailable);
  EXPECT_THAT(reason.message, HasSubstr("acknowledged none of 1 messages"));
  time.await(Contract::connected(*transport));
  EXPECT_EQ(broker.connects, 2);
  transport.reset();
  broker.serving.cancel();
  EXPECT_TRUE(time.run_until([&] { return broker.serving.running() == 0; }));
}

TEST_F(MqttTransportTest, AttributesThatMqttCannotCarryAreInvalid) {
  MosquittoBroker broker;
  broker.start();
  auto transport = connect(options(broker.port()));
  for (const std::string& bad : {std::string("a\0b", 3), std::string("\xff\xfe"), std::string(70000, 'x')}) {
    Message message = Contract::message("t", "x");
    message.attributes.emplace_back("name", bad);
    const Result<void> result = publish(*transport, message);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, Code::Invalid);
  }
  for (const char* topic : {"", "a/+", "a/#"})
    EXPECT_EQ(publish(*transport, Contract::message(topic, "x")).error().code, Code::Invalid);
  EXPECT_EQ(time.await(transport->subscribe("a/#/b")).error().code, Code::Invalid);
  EXPECT_TRUE(transport->connected());
}

TEST_F(MqttTransportTest, ManySubscriptionsAreBackAfterAReconnect) {
  MosquittoBroker broker;
  broker.start();
  auto transport = connect(options(broker.port()));
  for (int i = 0; i < 250; ++i) subscribe(*transport, "many/" + std::to_string(i));
  broker.kill();
  disconnected(*transport);
  broker.start();
  time.await(Contract::connected(*transport));
  EXPECT_TRUE(publish(*transport, Contract::message("many/249", "x")).has_value());
  EXPECT_EQ(next(*transport).topic, "many/249");
  EXPECT_EQ(counted("tinf_transport_reconnects_total"), 1u);
}

TEST_F(MqttTransportTest, OptionsThatContradictThemselvesAreInvalid) {
  const auto refused = [&](auto change) {
    MqttOptions wrong = options(1883);
    change(wrong);
    const auto opened = MqttTransport::open(time.runtime(), wrong);
    return opened ? std::string() : opened.error().message;
  };
  EXPECT_THAT(refused([](MqttOptions& o) { o.qos = 3; }), HasSubstr("quality"));
  EXPECT_THAT(refused([](MqttOptions& o) { o.client_id.clear(); }), HasSubstr("client id"));
  EXPECT_THAT(refused([](MqttOptions& o) { o.keepalive = 1s; }), HasSubstr("keepalive"));
  EXPECT_THAT(refused([](MqttOptions& o) { o.password = "secret"; }),
              AllOf(HasSubstr("user name"), Not(HasSubstr("secret"))));
  EXPECT_THAT(refused([](MqttOptions& o) { o.tls.key_file = "k"; }), HasSubstr("certificate"));
  EXPECT_THAT(refused([](MqttOptions& o) { o.last_will = Contract::message("a/#", "x"); }), HasSubstr("last will"));
}

}  // namespace
}  // namespace tinf
