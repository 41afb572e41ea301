// An object's form in the fleet, held against what a tree of it would say.
#include "tinf/api/fleet_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

namespace json = boost::json;

std::string text(std::string_view raw, Naming naming = Naming::Fleet, std::string_view reference = "") {
  return fleet_text(raw, "c1", 42, naming, reference).value_or("unreadable");
}

// The rules, carried out on a tree.
json::value expected(const Object& object, Naming naming, std::string_view reference) {
  auto tree = *parse_json(object.raw());
  auto& root = tree.as_object();
  auto& metadata = root.at("metadata").as_object();
  const auto rename = [](json::object& names) {
    const auto prefix = [&](std::string_view member) {
      auto* value = names.if_contains(member);
      if (value == nullptr || !value->is_string()) return false;
      if (member == "namespace" && value->as_string().empty()) return false;
      *value = json::string("c1." + std::string(value->as_string()));
      return true;
    };
    if (!prefix("namespace")) prefix("name");
  };
  if (naming == Naming::Fleet) {
    rename(metadata);
    if (!reference.empty() && root.contains(reference) && root.at(reference).is_object()) {
      rename(root.at(reference).as_object());
    }
  }
  json_object_in(metadata, "labels")[kClusterLabel] = "c1";
  if (auto* own = metadata.if_contains("resourceVersion"); own != nullptr && own->is_string()) {
    const auto version = own->as_string();
    json_object_in(metadata, "annotations")[kClusterVersionAnnotation] = version;
  }
  metadata["resourceVersion"] = "42";
  return tree;
}

TEST(FleetForm, NamesTheClusterAndKeepsEveryOtherByte) {
  EXPECT_EQ(
      text(
          R"({"kind":"Pod","metadata":{"name":"web","namespace":"default","resourceVersion":"7","labels":{"a":"b"},"annotations":{}},"spec":{ "x" : 1e3 }})"),
      R"({"kind":"Pod","metadata":{"name":"web","namespace":"c1.default","resourceVersion":"42","labels":{"fleet.transport-informer.io/cluster":"c1","a":"b"},"annotations":{"fleet.transport-informer.io/resource-version":"7"}},"spec":{ "x" : 1e3 }})");
  EXPECT_EQ(
      text(R"({"metadata":{"name":"n","resourceVersion":"7"},"spec":{"metadata":{"name":"inner"}}})"),
      R"({"metadata":{"labels":{"fleet.transport-informer.io/cluster":"c1"},"annotations":{"fleet.transport-informer.io/resource-version":"7"},"name":"c1.n","resourceVersion":"42"},"spec":{"metadata":{"name":"inner"}}})");
}

TEST(FleetForm, ANodeThatAnEventNamesInPlaceOfItsUidIsNamedTwice) {
  const auto event = [](std::string_view uid, std::string_view prefix) {
    return R"(,"involvedObject":{"kind":"Node","name":")" + std::string(prefix) + R"(n","uid":")" + std::string(uid) +
           R"("}})";
  };
  const std::string head = R"({"metadata":{"name":"e","namespace":"d")";
  using ::testing::HasSubstr;
  EXPECT_THAT(text(head + "}" + event("n", ""), Naming::Fleet, "involvedObject"), HasSubstr(event("c1.n", "c1.")));
  EXPECT_THAT(text(head + "}" + event("5d4f", ""), Naming::Fleet, "involvedObject"), HasSubstr(event("5d4f", "c1.")));
  EXPECT_THAT(text(head + "}" + event("n", ""), Naming::Native, "involvedObject"), HasSubstr(event("n", "")));
}

TEST(FleetForm, KeepsNativeNamesForTheClustersOwnPath) {
  EXPECT_EQ(
      text(R"({"metadata":{"labels":{},"name":"web","namespace":"default","resourceVersion":"7"}})", Naming::Native),
      R"({"metadata":{"annotations":{"fleet.transport-informer.io/resource-version":"7"},"labels":{"fleet.transport-informer.io/cluster":"c1"},"name":"web","namespace":"default","resourceVersion":"42"}})");
}

TEST(FleetForm, LeavesOwnersAndNestedMetadataAlone) {
  const auto made = text(
      R"({"spec":{"template":{"metadata":{"name":"t","namespace":"default","labels":{"a":"b"}}}},"metadata":{"ownerReferences":[{"name":"rs","uid":"1","namespace":"default"}],"name":"web","namespace":"default","resourceVersion":"7"}})");
  EXPECT_THAT(made,
              ::testing::HasSubstr(R"("template":{"metadata":{"name":"t","namespace":"default","labels":{"a":"b"}}})"));
  EXPECT_THAT(made, ::testing::HasSubstr(R"("ownerReferences":[{"name":"rs","uid":"1","namespace":"default"}])"));
  EXPECT_THAT(made, ::testing::HasSubstr(R"("name":"web","namespace":"c1.default")"));
}

TEST(FleetForm, NamesWhatAnEventIsAboutInTheSameWay) {
  EXPECT_THAT(
      text(R"({"metadata":{"name":"e","namespace":"d"},"involvedObject":{"kind":"Pod","namespace":"d","name":"p"}})",
           Naming::Fleet, "involvedObject"),
      ::testing::HasSubstr(R"("involvedObject":{"kind":"Pod","namespace":"c1.d","name":"p"})"));
  EXPECT_THAT(text(R"({"involvedObject":{"kind":"Node","name":"n"},"metadata":{"name":"e","namespace":"d"}})",
                   Naming::Fleet, "involvedObject"),
              ::testing::HasSubstr(R"("involvedObject":{"kind":"Node","name":"c1.n"})"));
  EXPECT_THAT(text(R"({"involvedObject":{"kind":"Node","name":"n"},"metadata":{"name":"e","namespace":"d"}})",
                   Naming::Native, "involvedObject"),
              ::testing::HasSubstr(R"("involvedObject":{"kind":"Node","name":"n"})"));
}

TEST(FleetForm, ReadsObjectsAsTheirTreesDo) {
  for (
      const std::string_view raw : {
          R"({"metadata":{"name":"a"}})",
          R"({ "metadata" : { "name" : "a" , "namespace" : "" , "labels" : null , "annotations" : null } })",
          R"({"metadata":{"name":"a","generateName":null,"resourceVersion":"1"}})",
          R"({"metadata":{"n\u0061me":"a\u0026b","namesp\u0061ce":"d\u0065f","resourceVersion":"\u0037","lab\u0065ls":{"k":"v"}}})",
          R"({"m\u0065tadata":{"name":"a","namespace":"d","labels":{"fleet.transport-informer.io/cluster":"other","x":"y"}}})",
          R"({"metadata":{"name":"a","labels":{"x":"}\"{","fleet.transport-informer.io\/cluster":"other"}},"z":"\\\""})",
          R"({"metadata":{"name":"a","resourceVersion":"5","annotations":{"fleet.transport-informer.io/resource-version":"1","b":"{\"metadata\":{\"name\":\"q\"}}"}}})",
          R"({"data":{"metadata":"{\"metadata\":{"},"metadata":{"name":"a","namespace":"d"},"metadata2":[{"metadata":{}}]})",
          R"({"spec":[[[{"a":[]}]]],"metadata":{"finalizers":[],"managedFields":[{"f":{}}],"name":"a","labels":{ }}})",
          R"({"metadata":{"name":"a","namespace":"ünï"},"involvedObject":null})",
          R"({"metadata":{"name":"a","namespace":"d"},"involvedObject":{"name":"x","namespace":"d","fieldPath":"spec{a}"}})",
          R"({"metadata":{"name":"a","namespace":"d"},"involvedObject":{"namespace":null}})",
      }) {
    ParseOptions options;
    options.keep_managed_fields = true;
    const auto object = Object::parse(raw, options);
    ASSERT_TRUE(object) << raw << object.error().message;
    for (const auto naming : {Naming::Native, Naming::Fleet}) {
      for (const std::string_view reference : {"", "involvedObject"}) {
        const auto made = fleet_form(**object, "c1", 42, naming, reference);
        ASSERT_NE(made, nullptr) << raw;
        EXPECT_EQ(*parse_json(made->raw()), expected(**object, naming, reference)) << made->raw();
        EXPECT_EQ(made->resource_version(), "42");
        if (naming == Naming::Native) continue;
        EXPECT_EQ(made->key(), fleet_key(FleetPlace{"c1", (*object)->key()}));
        EXPECT_EQ(fleet_place(made->key()), (FleetPlace{"c1", (*object)->key()}));
      }
    }
  }
}

TEST(FleetForm, SaysOfWhatItCannotReadThatItCannot) {
  const std::string whole =
      R"({"metadata":{"name":"a","namespace":"d","labels":{"x":"y"},"resourceVersion":"1"},"involvedObject":{"name":"p"}})";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto cut = whole.substr(0, size);
    const auto made = fleet_text(cut, "c1", 42, Naming::Fleet, "involvedObject");
    EXPECT_FALSE(made) << cut;
  }
  for (const std::string_view raw : {"{}", "", "[]", "null", R"({"metadata":[]})", R"({"metadata":{}})", "{\"a\\"}) {
    EXPECT_EQ(text(raw), "unreadable") << raw;
  }
  EXPECT_EQ(fleet_form(*Object::of_key("d", "a"), "c1", 42, Naming::Fleet, ""), nullptr);
}

// Whatever is done to the bytes: what Object can read has the form that its tree says, and nothing is read beyond them.
TEST(FleetForm, HoldsForBytesThatWereAltered) {
  const std::string seed =
      R"({"kind":"Event","metadata":{"name":"a\u0026","labels":{"x":"y"},"namespace":"d","annotations":{"q":"\\\""},"resourceVersion":"1"},"involvedObject":{"name":"p","namespace":"d"},"n":[1,{"metadata":{"name":"z"}}]})";
  unsigned state = 3;
  const auto random = [&state](std::size_t bound) {
    return (state = state * 1103515245u + 12345u) / 65536u % static_cast<unsigned>(bound);
  };
  constexpr std::string_view kBytes = "{}[]\",:\\ nule1\n";
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string raw = seed;
    for (unsigned edits = 1 + random(3); edits > 0; --edits) {
      const auto at = random(raw.size());
      const auto with = std::string(1, kBytes[random(kBytes.size())]);
      raw.replace(at, random(2), random(3) == 0 ? raw.substr(random(raw.size()), random(12)) : with);
    }
    const auto object = Object::parse(raw);
    if (!object) {
      (void)fleet_text(raw, "c1", 42, Naming::Fleet, "involvedObject");
      continue;
    }
    ++read;
    const auto made = fleet_form(**object, "c1", 42, Naming::Fleet, "involvedObject");
    ASSERT_NE(made, nullptr) << raw;
    const auto tree = parse_json(made->raw());
    ASSERT_TRUE(tree) << raw;
    EXPECT_EQ(*tree, expected(**object, Naming::Fleet, "involvedObject")) << raw;
  }
  EXPECT_GT(read, 1000);
}

TEST(FleetForm, TheFirstDotDecides) {
  EXPECT_EQ(fleet_place(ObjectKey{"", "c1.node.example.com"}), (FleetPlace{"c1", ObjectKey{"", "node.example.com"}}));
  EXPECT_EQ(fleet_place(ObjectKey{"c1.default", "a.b"}), (FleetPlace{"c1", ObjectKey{"default", "a.b"}}));
  EXPECT_FALSE(fleet_place(ObjectKey{"default", "a.b"}));
  EXPECT_FALSE(fleet_place(ObjectKey{"", "a"}));
  EXPECT_FALSE(fleet_place(ObjectKey{"", ".a"}));
  EXPECT_FALSE(fleet_place(ObjectKey{"c1.", "a"}));
}

}  // namespace
}  // namespace tinf::api
