// Many want to ask at once: a bounded number may, clusters take turns, and nobody waits for one that does not answer.
#include "tinf/follower/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tinf {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct AdmissionTest : ::testing::Test {
  AdmissionTest() {
    AdmissionOptions options;
    options.at_once = 4;
    admission.emplace(options, random);
  }
  void want(const std::string& cluster, int scopes) {
    for (int i = 0; i < scopes; ++i) admission->want({cluster, "s" + std::to_string(i)});
  }

  Random random{1};
  std::optional<Admission> admission;
  TimePoint now{1h};
};

TEST_F(AdmissionTest, LetsInOnlySoManyAtOnce) {
  want("c1", 3);
  want("c2", 3);
  const auto first = admission->admit(now);
  EXPECT_THAT(first, SizeIs(4));
  EXPECT_THAT(admission->admit(now), IsEmpty());
  admission->done(first[0]);
  EXPECT_THAT(admission->admit(now), SizeIs(1));
  EXPECT_EQ(admission->waiting(), 1u);
}

TEST_F(AdmissionTest, ClustersTakeTurnsHoweverManyScopesOneHas) {
  want("greedy", 100);
  want("modest", 2);
  int modest = 0;
  for (const auto& name : admission->admit(now)) modest += name.first == "modest" ? 1 : 0;
  EXPECT_EQ(modest, 2);
}

TEST_F(AdmissionTest, WhoDoesNotGetAnAnswerHoldsUpNobodyForLong) {
  want("dead", 4);
  EXPECT_THAT(admission->admit(now), SizeIs(4));
  want("alive", 4);
  EXPECT_THAT(admission->admit(now + 5s), IsEmpty());
  EXPECT_THAT(admission->admit(now + 10s), SizeIs(4));
}

TEST_F(AdmissionTest, WhoWaitsOrIsInsideIsNotQueuedAgainAndWhoGoesIsNotLetIn) {
  want("c1", 6);
  want("c1", 6);
  const auto inside = admission->admit(now);
  admission->want(inside[0]);
  EXPECT_EQ(admission->waiting(), 2u);
  admission->done({"c1", "s4"});
  admission->done({"c1", "s5"});
  for (const auto& name : inside) admission->done(name);
  EXPECT_THAT(admission->admit(now), IsEmpty());
  want("c1", 6);
  EXPECT_THAT(admission->admit(now), SizeIs(4));
}

TEST_F(AdmissionTest, TheOrderIsNotThatOfTheNames) {
  for (int i = 0; i < 100; ++i) want("c" + std::to_string(100 + i), 1);
  std::vector<std::string> order;
  while (true) {
    const auto admitted = admission->admit(now);
    if (admitted.empty()) break;
    for (const auto& name : admitted) {
      order.push_back(name.first);
      admission->done(name);
    }
  }
  EXPECT_THAT(order, SizeIs(100));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

}  // namespace
}  // namespace tinf
