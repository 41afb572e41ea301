// What users write for a broker, and what they are told when it cannot be read.
#include "tinf/transport/mqtt/broker_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tinf {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

BrokerAddress parsed(const char* url) {
  const auto result = parse_broker_url(url);
  EXPECT_TRUE(result.has_value()) << url << ": " << result.error().message;
  return result ? *result : BrokerAddress();
}

std::string refused(const char* url) {
  const auto result = parse_broker_url(url);
  EXPECT_FALSE(result.has_value()) << url;
  if (result) return "";
  EXPECT_EQ(result.error().code, Code::Invalid);
  return result.error().message;
}

TEST(BrokerUrl, SchemesGiveTheirPorts) {
  EXPECT_EQ(parsed("tcp://broker"), (BrokerAddress{"broker", 1883, false}));
  EXPECT_EQ(parsed("mqtt://broker.example.org/"), (BrokerAddress{"broker.example.org", 1883, false}));
  EXPECT_EQ(parsed("ssl://broker"), (BrokerAddress{"broker", 8883, true}));
  EXPECT_EQ(parsed("mqtts://broker:443"), (BrokerAddress{"broker", 443, true}));
}

TEST(BrokerUrl, ABareHostIsEnough) {
  EXPECT_EQ(parsed("broker"), (BrokerAddress{"broker", 1883, false}));
  EXPECT_EQ(parsed("10.0.0.1:2883"), (BrokerAddress{"10.0.0.1", 2883, false}));
}

TEST(BrokerUrl, Ipv6StandsInBrackets) {
  EXPECT_EQ(parsed("[::1]"), (BrokerAddress{"::1", 1883, false}));
  EXPECT_EQ(parsed("mqtts://[fe80::1]:8884"), (BrokerAddress{"fe80::1", 8884, true}));
  EXPECT_EQ(parsed("tcp://[::1]:1").to_string(), "[::1]:1");
  EXPECT_THAT(refused("::1"), HasSubstr("brackets"));
  EXPECT_THAT(refused("tcp://[::1"), HasSubstr("closed"));
  EXPECT_THAT(refused("[::1]1883"), HasSubstr(":port"));
  EXPECT_THAT(refused("[broker]"), HasSubstr("IPv6"));
}

TEST(BrokerUrl, MistakesAreNamed) {
  EXPECT_THAT(refused(""), HasSubstr("host"));
  EXPECT_THAT(refused("tcp://"), HasSubstr("host"));
  EXPECT_THAT(refused("tcp://:1883"), HasSubstr("host"));
  EXPECT_THAT(refused("ws://broker"), HasSubstr("scheme"));
  EXPECT_THAT(refused("broker:"), HasSubstr("port"));
  EXPECT_THAT(refused("broker:0"), HasSubstr("port"));
  EXPECT_THAT(refused("broker:65536"), HasSubstr("port"));
  EXPECT_THAT(refused("broker:18 83"), HasSubstr("space"));
  EXPECT_THAT(refused("broker:99999999999999999999"), HasSubstr("port"));
  EXPECT_THAT(refused("broker:12x"), HasSubstr("port"));
  EXPECT_THAT(refused("tcp://broker/topic"), HasSubstr("path"));
}

TEST(BrokerUrl, APasswordIsNotRepeated) {
  EXPECT_THAT(refused("tcp://user:secret@broker"), Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace tinf
