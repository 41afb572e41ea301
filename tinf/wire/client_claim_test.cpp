// Two processes under one client id, whatever they are: the elder ends and names the younger, and nobody fights.
#include "tinf/wire/client_claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tinf::wire {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct ClientClaimTest : ::testing::Test {
  ClientRecord record(const std::string& instance, std::int64_t started) {
    return ClientRecord{"hub", instance, "host-of-" + instance, started};
  }
  ClientClaim claim{record("ours", 100)};
  TimePoint now{1h};
};

TEST_F(ClientClaimTest, SaysItsRecordAtOnceAndAgainUntilItComesBack) {
  EXPECT_FALSE(claim.next(now));
  claim.connected(now);
  ASSERT_TRUE(claim.next(now));
  EXPECT_FALSE(claim.next(now + 1s));
  EXPECT_FALSE(claim.missed());
  EXPECT_TRUE(claim.next(now + 5s));
  EXPECT_TRUE(claim.missed());
  EXPECT_TRUE(claim.receive(record("ours", 100), false));
  EXPECT_TRUE(claim.seen());
  EXPECT_FALSE(claim.missed());
  EXPECT_FALSE(claim.next(now + 1h));
}

TEST_F(ClientClaimTest, AYoungerProcessThatSpeaksEndsUsAndIsNamed) {
  claim.connected(now);
  const auto ended = claim.receive(record("theirs", 200), false);
  EXPECT_EQ(ended.error().code, Code::Conflict);
  EXPECT_THAT(ended.error().message, HasSubstr("host-of-theirs"));
}

TEST_F(ClientClaimTest, AfterAReconnectAYoungerRecordIsOfTheProcessThatTookOurPlace) {
  claim.connected(now);
  claim.disconnected();
  claim.connected(now + 1s);
  EXPECT_FALSE(claim.next(now + 1s));  // Theirs comes first, if there is one.
  EXPECT_EQ(claim.receive(record("theirs", 200), true).error().code, Code::Conflict);
}

TEST_F(ClientClaimTest, AnElderProcessIsAnsweredWithOurRecord) {
  claim.connected(now);
  EXPECT_TRUE(claim.next(now));
  EXPECT_TRUE(claim.receive(record("ours", 100), false));
  EXPECT_TRUE(claim.receive(record("theirs", 50), false));
  EXPECT_FALSE(claim.seen());
  EXPECT_TRUE(claim.next(now + 1s));
  EXPECT_FALSE(claim.missed());
}

TEST_F(ClientClaimTest, WhatADeadProcessLeftEndsNobodyWhateverItsClockSaid) {
  claim.connected(now);
  EXPECT_TRUE(claim.receive(record("dead", 900), true));
  const auto ours = claim.next(now);
  ASSERT_TRUE(ours);
  EXPECT_EQ(ours->started, 901);
}

TEST_F(ClientClaimTest, ARecordOfAnotherIdIsRefused) {
  claim.connected(now);
  EXPECT_EQ(claim.receive(ClientRecord{"other", "i", "h", 1}, true).error().code, Code::Invalid);
}

}  // namespace
}  // namespace tinf::wire
