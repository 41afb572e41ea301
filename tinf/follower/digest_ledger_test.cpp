// Digests that name no stream: they stand for what was named before, and for nothing once one was missed.
#include "tinf/follower/digest_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tinf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DigestLedgerTest : public ::testing::Test {
 protected:
  // "scope@sequence" of what the digest says, in the order of the scopes' names.
  std::vector<std::string> read(std::uint64_t number, std::vector<std::pair<std::string, std::uint64_t>> named = {},
                                const std::string& instance = "i1") {
    wire::Digest digest;
    digest.number = number;
    for (auto& [scope, sequence] : named)
      digest.streams.push_back(wire::Digest::Stream{scope, {"e", sequence}, {}, "", 0});
    std::vector<std::string> said;
    for (const auto& stream : ledger.read(instance, digest))
      said.push_back(stream.scope + "@" + std::to_string(stream.at.sequence));
    return said;
  }

  DigestLedger ledger;
};

TEST_F(DigestLedgerTest, OneThatNamesNoneStandsForAllThatWereNamed) {
  EXPECT_THAT(read(1, {{"a", 1}, {"b", 2}}), ElementsAre("a@1", "b@2"));
  EXPECT_THAT(read(1), ElementsAre("a@1", "b@2"));
  EXPECT_THAT(read(2, {{"b", 3}}), ElementsAre("b@3"));
  EXPECT_THAT(read(2), ElementsAre("a@1", "b@3"));
  EXPECT_THAT(read(2), ElementsAre("a@1", "b@3"));  // Those between may be lost: they say the same.
}

TEST_F(DigestLedgerTest, WhoMissedOneKnowsNothingUntilStreamsAreNamedAgain) {
  read(1, {{"a", 1}});
  EXPECT_THAT(read(2), IsEmpty());
  EXPECT_THAT(read(3, {{"b", 1}}), ElementsAre("b@1"));
  EXPECT_THAT(read(3), ElementsAre("b@1"));
  EXPECT_THAT(read(5, {{"a", 4}}), ElementsAre("a@4"));
  EXPECT_THAT(read(5), ElementsAre("a@4"));
}

TEST_F(DigestLedgerTest, ALateOneChangesNothing) {
  read(1, {{"a", 1}});
  read(2, {{"a", 2}});
  EXPECT_THAT(read(1, {{"a", 1}}), ElementsAre("a@1"));  // What it says itself, a follower tells from its position.
  EXPECT_THAT(read(1), IsEmpty());
  EXPECT_THAT(read(2), ElementsAre("a@2"));
}

TEST_F(DigestLedgerTest, AnotherProcessBeginsAnew) {
  read(7, {{"a", 1}});
  EXPECT_THAT(read(1, {}, "i2"), IsEmpty());
  EXPECT_THAT(read(2, {{"a", 1}}, "i2"), ElementsAre("a@1"));
  EXPECT_THAT(read(2, {}, "i2"), ElementsAre("a@1"));
}

}  // namespace
}  // namespace tinf
