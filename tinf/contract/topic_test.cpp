// Topic filters match as MQTT 5 says.
#include <gtest/gtest.h>

#include "tinf/contract/transport.h"

namespace tinf {
namespace {

TEST(TopicMatches, FollowsTheRulesOfMqtt) {
  EXPECT_TRUE(topic_matches("/payload/+/presence", "/payload/c1/presence"));
  EXPECT_FALSE(topic_matches("/payload/+/presence", "/payload/c1/x/presence"));
  EXPECT_TRUE(topic_matches("a/#", "a/b/c"));
  EXPECT_TRUE(topic_matches("a/#", "a"));
  EXPECT_TRUE(topic_matches("#", "a/b"));
  EXPECT_FALSE(topic_matches("#", "$SYS/x"));
  EXPECT_FALSE(topic_matches("a/b", "a/b/c"));
  EXPECT_FALSE(topic_matches("a/b/c", "a/b"));
  EXPECT_TRUE(topic_matches("a/+", "a/"));
}

}  // namespace
}  // namespace tinf
