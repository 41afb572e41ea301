// Patches against the examples of their RFCs and of Kubernetes' documentation.
#include "tinf/patch/patch.h"

#include <gtest/gtest.h>

#include "tinf/patch/json.h"

namespace tinf {
namespace {

boost::json::value tree(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value) << text;
  return value ? *value : boost::json::value();
}

std::string json_patched(std::string_view target, std::string_view patch) {
  auto value = tree(target);
  const auto done = apply_json_patch(value, tree(patch));
  return done ? json_text(value) : "error: " + done.error().message;
}

std::string merged(std::string_view target, std::string_view patch) {
  auto value = tree(target);
  apply_merge_patch(value, tree(patch));
  return json_text(value);
}

std::string strategic(std::string_view target, std::string_view patch) {
  auto value = tree(target);
  const auto done = apply_strategic_merge_patch(value, tree(patch));
  return done ? json_text(value) : "error: " + done.error().message;
}

TEST(Json, KeepsWholeNumbersWholeAndReadsDeepTrees) {
  EXPECT_EQ(json_text(tree(R"({"a":3,"b":0.5,"c":-1,"d":"é\n\u0001","e":18446744073709551615})")),
            R"({"a":3,"b":0.5,"c":-1,"d":"é\n\u0001","e":18446744073709551615})");
  EXPECT_TRUE(parse_json(std::string(200, '[') + std::string(200, ']')));
  EXPECT_FALSE(parse_json(std::string(300, '[') + std::string(300, ']')));
}

TEST(JsonPatch, DoesEveryOperation) {
  EXPECT_EQ(json_patched(R"({"a":{"x":1},"l":[1,2]})",
                         R"([{"op":"add","path":"/l/1","value":9},{"op":"add","path":"/l/-","value":3}])"),
            R"({"a":{"x":1},"l":[1,9,2,3]})");
  EXPECT_EQ(json_patched(R"({"a":1,"b":2,"c":3})", R"([{"op":"remove","path":"/a"}])"), R"({"b":2,"c":3})");
  EXPECT_EQ(json_patched(R"({"a~/b":1})",
                         R"([{"op":"test","path":"/a~0~1b","value":1},{"op":"replace","path":"/a~0~1b","value":2}])"),
            R"({"a~/b":2})");
  EXPECT_EQ(
      json_patched(R"({"a":1})", R"([{"op":"copy","from":"/a","path":"/b"},{"op":"move","from":"/a","path":"/c"}])"),
      R"({"b":1,"c":1})");
}

TEST(JsonPatch, RefusesWhatDoesNotFit) {
  for (auto patch : {R"({})", R"([{"op":"remove","path":"/x"}])", R"([{"op":"replace","path":"/x","value":1}])",
                     R"([{"op":"test","path":"/a","value":2}])", R"([{"op":"add","path":"/x/y","value":1}])",
                     R"([{"op":"add","path":"x","value":1}])", R"([{"op":"jump","path":"/a"}])",
                     R"([{"op":"add","path":"/l/5","value":1}])"}) {
    EXPECT_TRUE(json_patched(R"({"a":1,"l":[]})", patch).starts_with("error")) << patch;
  }
}

TEST(JsonPatch, BoundsWhatItsCopiesAddUpTo) {
  std::string patch = "[";
  for (int i = 0; i < 40; ++i) patch += R"({"op":"copy","from":"","path":"/l/-"},)";
  patch.back() = ']';
  EXPECT_TRUE(json_patched(R"({"l":["x"]})", patch).starts_with("error"));
}

TEST(JsonPatch, MakesNothingDeeperThanWhatCanBeRead) {
  std::string patch = "[", place = "/l";
  for (int i = 0; i < 200; ++i, place += "/0/0") {
    patch += R"({"op":"add","path":")" + place + R"(/-","value":[[]]},)";
  }
  patch.back() = ']';
  EXPECT_TRUE(json_patched(R"({"l":[]})", patch).starts_with("error"));
  EXPECT_TRUE(json_patched(R"({"l":[]})", R"([{"op":"move","from":"","path":"/l/-"}])").starts_with("error"));
}

TEST(MergePatch, FollowsTheRfc) {
  EXPECT_EQ(merged(R"({"a":"b","c":{"d":"e","f":"g"}})", R"({"a":"z","c":{"f":null}})"), R"({"a":"z","c":{"d":"e"}})");
  EXPECT_EQ(merged(R"({"a":[1]})", R"({"a":[2],"b":{"c":null,"d":1}})"), R"({"a":[2],"b":{"d":1}})");
}

TEST(StrategicMergePatch, MergesListsOfBuiltInKindsByTheirKeys) {
  EXPECT_EQ(
      strategic(R"({"containers":[{"name":"a","image":"1","ports":[{"containerPort":80}]},{"name":"b"}]})",
                R"({"containers":[{"name":"a","image":"2","ports":[{"containerPort":81}]},{"name":"c"}]})"),
      R"({"containers":[{"name":"a","image":"2","ports":[{"containerPort":80},{"containerPort":81}]},{"name":"b"},{"name":"c"}]})");
  EXPECT_EQ(strategic(R"({"args":["a"],"finalizers":["x"]})", R"({"args":["b"],"finalizers":["y","x"]})"),
            R"({"args":["b"],"finalizers":["x","y"]})");
  EXPECT_EQ(strategic(R"({"m":{"a":"1","b":"2"}})", R"({"m":{"a":null,"c":"3"}})"), R"({"m":{"b":"2","c":"3"}})");
}

TEST(StrategicMergePatch, FollowsDirectives) {
  EXPECT_EQ(
      strategic(R"({"containers":[{"name":"a"},{"name":"b"}]})", R"({"containers":[{"name":"a","$patch":"delete"}]})"),
      R"({"containers":[{"name":"b"}]})");
  EXPECT_EQ(strategic(R"({"env":[{"name":"a"},{"name":"b"}]})", R"({"env":[{"$patch":"replace"},{"name":"c"}]})"),
            R"({"env":[{"name":"c"}]})");
  EXPECT_EQ(strategic(R"({"strategy":{"type":"RollingUpdate","rollingUpdate":{"x":1}}})",
                      R"({"strategy":{"$retainKeys":["type"],"type":"Recreate"}})"),
            R"({"strategy":{"type":"Recreate"}})");
  EXPECT_EQ(strategic(R"({"env":[{"name":"a"},{"name":"b"}]})",
                      R"({"$setElementOrder/env":[{"name":"c"},{"name":"b"},{"name":"a"}],"env":[{"name":"c"}]})"),
            R"({"env":[{"name":"c"},{"name":"b"},{"name":"a"}]})");
  EXPECT_EQ(strategic(R"({"finalizers":["x","y"]})", R"({"$deleteFromPrimitiveList/finalizers":["x"]})"),
            R"({"finalizers":["y"]})");
  EXPECT_EQ(strategic(R"({"a":{"b":1}})", R"({"a":{"$patch":"replace","c":2}})"), R"({"a":{"c":2}})");
}

TEST(StrategicMergePatch, RefusesAnItemWithoutItsKeyAndUnknownDirectives) {
  EXPECT_TRUE(strategic(R"({})", R"({"containers":[{"image":"x"}]})").starts_with("error"));
  EXPECT_TRUE(strategic(R"({})", R"({"$what":1})").starts_with("error"));
  EXPECT_TRUE(strategic(R"({})", R"({"a":{"$patch":"burn"}})").starts_with("error"));
}

}  // namespace
}  // namespace tinf
