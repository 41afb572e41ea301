#include "tinf/object/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tinf {
namespace {

TEST(Search, LooksForTextInEitherCaseOfAsciiLettersAlone) {
  EXPECT_TRUE(holds_text("Shop-Web", "p-w"));
  EXPECT_TRUE(holds_text("shop", "SHOP"));
  EXPECT_TRUE(holds_text("shop", ""));
  EXPECT_TRUE(holds_text("", ""));
  EXPECT_FALSE(holds_text("", "a"));
  EXPECT_FALSE(holds_text("shop", "shops"));
  EXPECT_FALSE(holds_text("a_b", "a%b"));
  EXPECT_TRUE(holds_text("[a]", "[A]"));
  EXPECT_FALSE(holds_text("[a]", "{A}")) << "no letters, though a bit apart as these are";
  EXPECT_TRUE(holds_text("größe", "GRöß"));
  EXPECT_FALSE(holds_text("größe", "GRÖSS"));
}

TEST(Search, FindsAnObjectByNameNamespaceAndLabels) {
  const auto object = Object::parse(R"({"kind":"Pod","metadata":{"name":"web-1","namespace":"shop","uid":"needle",
      "labels":{"example.com/Tier":"Front"},"annotations":{"a":"needle"}},"spec":{"nodeName":"needle"}})")
                          .value();
  for (const auto* found : {"", "WEB", "b-1", "hop", "com/tier", "front"})
    EXPECT_TRUE(search_finds(found, *object)) << found;
  for (const auto* not_found : {"needle", "shopweb", "web-1shop", "tierfront", "pod"})
    EXPECT_FALSE(search_finds(not_found, *object)) << not_found;
}

TEST(Search, KnowsTheOwnersOfAnObject) {
  const auto owned = [](const std::string& owners) {
    return Object::parse(R"({"metadata":{"name":"a")" + owners + "}}").value();
  };
  EXPECT_THAT(owned("")->owner_uids(), ::testing::IsEmpty());
  for (const auto* odd : {R"(,"ownerReferences":null)", R"(,"ownerReferences":{"0":{"uid":"a"}})",
                          R"(,"ownerReferences":"a")", R"(,"ownerReferences":[])", R"(,"ownerReferences":[1,null,{}])"})
    EXPECT_THAT(owned(odd)->owner_uids(), ::testing::IsEmpty()) << odd;
  const auto two = owned(R"(,"ownerReferences":[{"kind":"A","uid":"u2"},{"uid":7},{"uid":"u1"}])");
  EXPECT_THAT(two->owner_uids(), ::testing::ElementsAre("u2", "u1"));
  EXPECT_TRUE(is_owned_by(*two, "u1"));
  EXPECT_FALSE(is_owned_by(*two, "u"));
  EXPECT_FALSE(is_owned_by(*two, "7"));
}

}  // namespace
}  // namespace tinf
