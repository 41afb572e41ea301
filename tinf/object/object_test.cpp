// Objects keep their bytes, lose only managedFields, and refuse what is not one.
#include "tinf/object/object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/object/fingerprint.h"

namespace tinf {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

ObjectPtr parsed(std::string_view json, const ParseOptions& options = ParseOptions()) {
  auto object = Object::parse(json, options);
  EXPECT_TRUE(object) << (object ? "" : object.error().message);
  return object ? *object : nullptr;
}

constexpr std::string_view kConfigMap =
    R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"web","namespace":"default","uid":"u1","resourceVersion":"812",)"
    R"("labels":{"app":"a\"b","tier":"x"},"managedFields":[{"manager":"kubectl","x":["]"]}]},"data":{"k":"v"}})";

TEST(Object, KeepsTheBytesButManagedFields) {
  const auto object = parsed(kConfigMap);
  EXPECT_EQ(
      object->raw(),
      R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"web","namespace":"default","uid":"u1","resourceVersion":"812",)"
      R"("labels":{"app":"a\"b","tier":"x"}},"data":{"k":"v"}})");
  EXPECT_EQ(object->kind(), "ConfigMap");
  EXPECT_EQ(object->key(), (ObjectKey{"default", "web"}));
  EXPECT_EQ(object->uid(), "u1");
  EXPECT_EQ(object->resource_version(), "812");
  EXPECT_THAT(object->labels(), ElementsAre(Pair("app", "a\"b"), Pair("tier", "x")));
}

TEST(Object, CutsManagedFieldsWhereverTheyStand) {
  EXPECT_EQ(parsed(R"({"metadata":{"managedFields":[1],"name":"a","uid":"u"}})")->raw(),
            R"({"metadata":{"name":"a","uid":"u"}})");
  EXPECT_EQ(parsed(R"({"metadata":{"name":"a" , "managedFields" : [1] }})")->raw(), R"({"metadata":{"name":"a" }})");
  EXPECT_EQ(parsed(R"({"metadata":{"name":"a","managedFields":[],"uid":"u"}})")->uid(), "u");
  ParseOptions keep;
  keep.keep_managed_fields = true;
  EXPECT_EQ(parsed(kConfigMap, keep)->raw(), kConfigMap);
}

TEST(Object, RefusesManagedFieldsThatStandThereTwice) {
  // To cut the one would leave the other; and the second, being null, once gave the cut a length below zero.
  for (const auto* bad : {R"({"metadata":{"name":"a","managedFields":[1,2],"managedFields":null}})",
                          R"({"metadata":{"name":"a","managedFields":[1],"managedFields":[2]}})",
                          R"({"metadata":{"name":"a","managedFields":[1],"managed\u0046ields":[2]}})"}) {
    EXPECT_FALSE(Object::parse(bad)) << bad;
  }
  EXPECT_EQ(parsed(R"({"metadata":{"managedFields":null,"name":"a"}})")->name(), "a");
}

TEST(Object, ReadsNamesOfMembersUnescaped) {
  const auto object =
      parsed(R"({"k\u0069nd":"K","metad\u0061ta":{"n\u0061me":"a","l\u0061bels":{"x":"y"},"managed\u0046ields":[1]}})");
  EXPECT_EQ(object->raw(), R"({"k\u0069nd":"K","metad\u0061ta":{"n\u0061me":"a","l\u0061bels":{"x":"y"}}})");
  EXPECT_EQ(object->kind(), "K");
  EXPECT_THAT(object->labels(), ElementsAre(Pair("x", "y")));
  EXPECT_FALSE(Object::parse(R"({"metadata":{"name":"a"},"met\u0061data":{"name":"b"}})"));
}

TEST(Object, KnowsItsOwners) {
  EXPECT_THAT(parsed(R"({"metadata":{"managedFields":[1],"name":"a","ownerReferences":[{"kind":"Job","uid":"u1"},)"
                     R"({"kind":"Odd"},{"uid":"u\u0032"}]}})")
                  ->owner_uids(),
              ElementsAre("u1", "u2"));
  for (const auto* none : {R"({"metadata":{"name":"a"}})", R"({"metadata":{"name":"a","ownerReferences":null}})",
                           R"({"metadata":{"name":"a","ownerReferences":{"uid":"u1"}}})",
                           R"({"metadata":{"name":"a","ownerReferences":["u1"]}})"})
    EXPECT_THAT(parsed(none)->owner_uids(), ElementsAre()) << none;
}

TEST(Object, OfTwoLabelsMembersTheLastOneCounts) {
  EXPECT_THAT(parsed(R"({"metadata":{"name":"a","labels":{"x":"y"},"labels":null}})")->labels(), ElementsAre());
}

TEST(Object, GivesNoSecondKindToWhatHasAnEmptyOne) {
  ParseOptions options;
  options.kind = "ConfigMap";
  options.api_version = "v1";
  EXPECT_EQ(parsed(R"({"kind":"","metadata":{"name":"a"}})", options)->raw(),
            R"({"apiVersion":"v1","kind":"","metadata":{"name":"a"}})");
}

TEST(Object, GivesAListItemTheTypeThatItsListCarries) {
  ParseOptions options;
  options.kind = "ConfigMap";
  options.api_version = "v1";
  const auto object = parsed(R"({"metadata":{"name":"a","managedFields":[1],"uid":"u"},"data":{}})", options);
  EXPECT_EQ(object->raw(), R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","uid":"u"},"data":{}})");
  EXPECT_EQ(object->kind(), "ConfigMap");
  EXPECT_EQ(object->api_version(), "v1");
  EXPECT_EQ(object->uid(), "u");
  EXPECT_EQ(parsed(kConfigMap, options)->raw(), parsed(kConfigMap)->raw());
}

TEST(Object, ANameWithEscapesIsItsTextAndTheBytesStay) {
  const std::string json =
      R"({"kind":"Role","metadata":{"managedFields":[1],"name":"a\u0026b\"\\c\u00e9","namespace":"n\u0026",)"
      R"("uid":"u\u003c","resourceVersion":"7\u003e","labels":{"l":"x"}},"rules":[]})";
  ParseOptions options;
  options.api_version = "rbac.authorization.k8s.io/v1";
  const auto object = parsed(json, options);
  EXPECT_EQ(object->name(), "a&b\"\\c\xc3\xa9");
  EXPECT_EQ(object->key(), (ObjectKey{"n&", "a&b\"\\c\xc3\xa9"}));
  EXPECT_EQ(object->uid(), "u<");
  EXPECT_EQ(object->resource_version(), "7>");
  EXPECT_EQ(object->kind(), "Role");
  EXPECT_EQ(object->api_version(), "rbac.authorization.k8s.io/v1");
  EXPECT_THAT(object->labels(), ElementsAre(Pair("l", "x")));
  EXPECT_EQ(object->raw(),
            R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"a\u0026b\"\\c\u00e9",)"
            R"("namespace":"n\u0026","uid":"u\u003c","resourceVersion":"7\u003e","labels":{"l":"x"}},"rules":[]})");
  const auto plain = parsed(R"({"metadata":{"name":"abcdef"}})");
  EXPECT_EQ(plain->memory_bytes() - plain->raw().size(), object->memory_bytes() - object->raw().size() - 14);
}

TEST(Object, FindsValuesByPointer) {
  const auto object = parsed(R"({"metadata":{"name":"a"},"spec":{"replicas" : 3 ,"names":["x","y\n"],"o":{"k":1}}})");
  EXPECT_EQ(object->json_at("/spec/replicas"), "3");
  EXPECT_EQ(object->integer_at("/spec/replicas"), 3);
  EXPECT_EQ(object->string_at("/spec/names/1"), "y\n");
  EXPECT_EQ(object->json_at("/spec/o"), R"({"k":1})");
  EXPECT_EQ(object->json_at("/spec/none"), std::nullopt);
  EXPECT_EQ(object->string_at("/spec/replicas"), std::nullopt);
  EXPECT_EQ(object->json_at(""), object->raw());
  EXPECT_EQ(object->string_at(""), std::nullopt);
  EXPECT_EQ(object->integer_at(""), std::nullopt);
}

TEST(Object, RefusesWhatIsNotAnObject) {
  std::string deep = R"({"metadata":{"name":"a"},"x":)";
  for (int i = 0; i < 1000; ++i) deep += "[";
  for (const std::string& bad : std::vector<std::string>{
           "", "[]", "null", "{", R"({"metadata":{}})", R"({"metadata":{"name":""}})", R"({"metadata":{"name":7}})",
           R"({"metadata":{"name":"a/b"}})", R"({"metadata":{"name":"a\u002fb"}})", R"({"metadata":{"name":"a\/b"}})",
           R"({"metadata":{"name":"a\u0000b"}})", R"({"metadata":{"name":"\ud800"}})",
           R"({"metadata":{"name":"a","namespace":"n\u0000"}})", R"({"metadata":{"name":"a","namespace":"m/n"}})",
           R"({"metadata":{"name":"a"},"metadata":{"name":"b"}})", R"({"metadata":{"name":"a"},"spec":{"x":tru}})",
           R"({"metadata":{"name":"a"}} {})", "{\"metadata\":{\"name\":\"\xff\"}}", deep}) {
    EXPECT_FALSE(Object::parse(bad)) << bad;
  }
}

TEST(Fingerprint, DependsOnContentAndNotOnOrder) {
  const auto a = EntryHash::of(*parsed(R"({"metadata":{"name":"a","uid":"1"}})"));
  const auto b = EntryHash::of(*parsed(R"({"metadata":{"name":"b","uid":"2"}})"));
  Fingerprint ab, ba;
  ab.add(a), ab.add(b);
  ba.add(b), ba.add(a);
  EXPECT_EQ(ab, ba);
  ab.remove(a), ab.remove(b);
  EXPECT_EQ(ab, Fingerprint());
  EXPECT_NE(EntryHash::of(*parsed(R"({"metadata":{"name":"a","uid":"1"},"d":1})")), a);
}

TEST(Fingerprint, ReadsWhatItWrites) {
  Fingerprint fingerprint;
  for (int i = 0; i < 100; ++i)
    fingerprint.add(EntryHash::of(*parsed(R"({"metadata":{"name":"n)" + std::to_string(i) + "\"}}")));
  const auto read = Fingerprint::from_string(fingerprint.to_string());
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, fingerprint);
  for (const auto* bad :
       {"", "1:", "1:xyz", "x:00000000000000000000000000000000", "1:0000000000000000000000000000000g"}) {
    EXPECT_FALSE(Fingerprint::from_string(bad)) << bad;
  }
}

}  // namespace
}  // namespace tinf
