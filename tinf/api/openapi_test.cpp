// The documents that tell the schemas of what is served.
#include "tinf/api/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/api/api_handler.h"
#include "tinf/api/components.h"
#include "tinf/api/openapi_v2.h"
#include "tinf/patch/json.h"
#include "tinf/store/versioned_memory/versioned_memory_store.h"
#include "tinf/testing/virtual_time.h"

namespace tinf::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using tinf::testing::VirtualTime;

constexpr std::string_view kPod = "io.k8s.api.core.v1.Pod";
constexpr std::string_view kMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
constexpr std::string_view kProtobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

ResourceType type_of(Resource resource, std::string kind) {
  ResourceType type;
  type.info.resource = std::move(resource);
  type.info.kind = std::move(kind);
  return type;
}

TEST(BuiltInSchemas, AreKubernetesOwn) {
  const auto& schemas = BuiltInSchemas::get();
  EXPECT_EQ(schemas.name_of(Resource{"", "v1", "pods"}, "Pod"), kPod);
  EXPECT_EQ(schemas.name_of(Resource{"apps", "v1", "deployments"}, "DeploymentList"),
            "io.k8s.api.apps.v1.DeploymentList");
  EXPECT_EQ(schemas.name_of(Resource{"example.com", "v1", "pods"}, "Pod"), "");
  EXPECT_THAT(std::string(schemas.find(kPod)), HasSubstr("Pod is a collection of containers"));
  EXPECT_EQ(schemas.find("io.k8s.api.core.v1.Nothing"), "");
  EXPECT_THAT(std::string(schemas.version()), ::testing::MatchesRegex("1\\.[0-9]+"));
}

TEST(Components, HaveAllThatTheyReferToAndNothingElse) {
  Components components;
  components.add(type_of({"", "v1", "pods"}, "Pod"), "");
  EXPECT_TRUE(components.by_name().contains("io.k8s.api.core.v1.PodList"));
  EXPECT_FALSE(components.by_name().contains("io.k8s.api.core.v1.Node"));
  for (const auto& [name, schema] : components.by_name()) {
    EXPECT_TRUE(parse_json(schema)) << name;
    for (const auto reference : references_in(schema))
      EXPECT_TRUE(components.by_name().contains(reference)) << reference;
  }
}

TEST(Components, ACustomKindHasTheMembersOfEveryObject) {
  Components components;
  components.add(
      type_of({"shop.example.com", "v1", "widgets"}, "Widget"),
      R"({"type":"object","description":"A widget.","properties":{"spec":{"type":"object"},"metadata":{"type":"object"}}})");
  const auto& all = components.by_name();
  ASSERT_TRUE(all.contains("com.example.shop.v1.Widget"));
  const auto schema = parse_json(all.at("com.example.shop.v1.Widget")).value();
  EXPECT_EQ(json_string_at(schema, {"description"}), "A widget.");
  EXPECT_EQ(json_string_at(schema, {"properties", "spec", "type"}), "object");
  EXPECT_THAT(std::string(json_string_at(schema, {"properties", "kind", "description"})),
              HasSubstr("Kind is a string"));
  EXPECT_EQ(json_text(*json_at(schema, {"properties", "metadata", "allOf"})),
            R"([{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}])");
  EXPECT_EQ(json_text(*json_at(schema, {"x-kubernetes-group-version-kind"})),
            R"([{"group":"shop.example.com","kind":"Widget","version":"v1"}])");
  EXPECT_TRUE(all.contains(kMeta));
  EXPECT_THAT(std::string(all.at("com.example.shop.v1.WidgetList")),
              HasSubstr("#/components/schemas/com.example.shop.v1.Widget"));
}

TEST(Components, OfAKindWithoutASchemaItIsSaid) {
  for (const auto* unknown : {"", "[]", "not JSON"}) {
    Components components;
    components.add(type_of({"example.com", "v1", "widgets"}, "Widget"), unknown);
    EXPECT_THAT(std::string(components.by_name().at("com.example.v1.Widget")),
                HasSubstr("No schema of this kind is known"));
  }
}

TEST(Components, ACustomKindTakesNoNameOfKubernetesOwn) {
  Components components;
  components.add(type_of({"core.api.k8s.io", "v1", "pods"}, "Pod"), R"({"description":"false"})");
  components.add(type_of({"", "v1", "pods"}, "Pod"), "");
  EXPECT_THAT(std::string(components.by_name().at(kPod)), Not(HasSubstr("false")));
}

std::string of_v2(std::string_view v3) {
  return json_text(schema_of_v2(parse_json(v3).value().get_object()));
}

TEST(OpenApiV2, SaysOfASchemaWhatItCan) {
  EXPECT_EQ(of_v2(R"({"description":"d","allOf":[{"$ref":"#/components/schemas/a"}],"default":{}})"),
            R"({"description":"d","$ref":"#/definitions/a"})");
  EXPECT_EQ(of_v2(R"({"oneOf":[{"type":"string"},{"type":"number"}]})"), R"({"type":"string"})");
  EXPECT_EQ(
      of_v2(R"({"type":"object","oneOf":[{"required":["x"]}],"properties":{"x":{"type":"string","default":""}}})"),
      R"({"type":"object","properties":{"x":{"type":"string"}}})");
  EXPECT_EQ(of_v2(R"({"type":"string","nullable":true,"description":"d"})"), R"({"description":"d"})");
  EXPECT_EQ(of_v2(R"({"type":"object","properties":{"x":{}},"x-kubernetes-preserve-unknown-fields":true})"),
            R"({"x-kubernetes-preserve-unknown-fields":true})");
  EXPECT_EQ(of_v2(R"({"anyOf":[{"type":"integer"},{"type":"string"}],"x-kubernetes-int-or-string":true})"),
            R"({"x-kubernetes-int-or-string":true})");
  EXPECT_EQ(of_v2(R"({"type":"array","items":{"allOf":[{"$ref":"#/components/schemas/a"}],"default":1}})"),
            R"({"type":"array","items":{"$ref":"#/definitions/a"}})");
  EXPECT_EQ(of_v2(R"({"type":"object","properties":{"default":{"type":"string"}},"additionalProperties":true})"),
            R"({"type":"object","properties":{"default":{"type":"string"}},"additionalProperties":true})");
  EXPECT_EQ(of_v2(R"({"allOf":7,"$ref":7,"properties":[],"items":"x"})"), R"({"$ref":"","properties":{},"items":"x"})");
}

TEST(OpenApiV2, IsWrittenAsTheMessagesOfItsProtobuf) {
  using namespace std::string_literals;
  const auto bytes = [](std::string_view schema) {
    return definition_of_v2("a", parse_json(schema).value().get_object());
  };
  // Document.definitions = 9, Definitions.additional_properties = 1, NamedSchema{name = 1, value = 2}, Schema.type
  // = 22.
  EXPECT_EQ(bytes(R"({"type":"string"})"),
            "\x4a\x12\x0a\x10\x0a\x01"
            "a\x12\x0b\xb2\x01\x08\x0a\x06"
            "string"s);
  // Schema.max_length = 11, minimum = 9, unique_items = 16; 300 takes two bytes.
  EXPECT_EQ(bytes(R"({"maxLength":300,"minimum":1,"uniqueItems":true})"),
            "\x4a\x16\x0a\x14\x0a\x01"
            "a\x12\x0f\x58\xac\x02\x49\0\0\0\0\0\0\xf0\x3f\x80\x01\x01"s);
}

struct OpenApiTest : ::testing::Test {
  VirtualTime time;
  VersionedMemoryStore store{time};
  ApiHandler handler{time.runtime(), store};

  void SetUp() override { ASSERT_TRUE(time.await(handler.start())); }

  ApiResponse get(std::string target, std::string_view accept = "", std::string if_none_match = "") {
    ApiRequest request;
    request.method = "GET";
    request.target = std::move(target);
    request.accept = accept;
    request.if_none_match = std::move(if_none_match);
    return time.await(handler.handle(request));
  }
  void define(const std::string& spec_properties) {
    ApiRequest request;
    request.method = "DELETE";
    request.target = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    time.await(handler.handle(request));
    request.method = "POST";
    request.target = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    request.body =
        R"({"metadata":{"name":"widgets.example.com"},"spec":{"group":"example.com","scope":"Namespaced",)"
        R"("names":{"plural":"widgets","kind":"Widget"},"versions":[{"name":"v1","served":true,"storage":true,)"
        R"("schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":)" +
        spec_properties + "}}}}}]}}";
    ASSERT_EQ(time.await(handler.handle(request)).status, 201);
  }
  static boost::json::value tree(const ApiResponse& response) {
    auto parsed = parse_json(response.body);
    EXPECT_TRUE(parsed) << response.body.substr(0, 200);
    return parsed ? *parsed : boost::json::value();
  }
  static std::string header(const ApiResponse& response, std::string_view wanted) {
    for (const auto& [name, value] : response.headers) {
      if (name == wanted) return value;
    }
    return "none";
  }
  // Where the index says that a document stands.
  std::string address(std::string_view group_version) {
    return std::string(json_string_at(tree(get("/openapi/v3")), {"paths", group_version, "serverRelativeURL"}));
  }
};

TEST_F(OpenApiTest, TheIndexNamesDocumentsThatMayBeKeptForEver) {
  const auto at = address("apis/apps/v1");
  ASSERT_THAT(at, HasSubstr("/openapi/v3/apis/apps/v1?hash="));
  const auto document = get(at);
  EXPECT_EQ(document.status, 200);
  EXPECT_EQ(header(document, "Cache-Control"), "public, immutable");
  EXPECT_NE(header(document, "Expires"), "none");
  EXPECT_EQ(header(document, "ETag"), "\"" + at.substr(at.find('=') + 1) + "\"");
  const auto schemas = tree(document);
  EXPECT_NE(json_at(schemas, {"components", "schemas", "io.k8s.api.apps.v1.DeploymentSpec"}), nullptr);
  EXPECT_NE(json_at(schemas, {"paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "get"}), nullptr);

  const auto old = get("/openapi/v3/apis/apps/v1?hash=1");
  EXPECT_EQ(old.status, 301);
  EXPECT_EQ(header(old, "Location"), at);
  const auto known = get("/openapi/v3/apis/apps/v1", "", header(document, "ETag"));
  EXPECT_EQ(known.status, 304);
  EXPECT_EQ(known.body, "");
  EXPECT_EQ(get("/openapi/v3/apis/apps/v1", "", "\"other\", W/" + header(document, "ETag")).status, 304);
  EXPECT_EQ(get("/openapi/v3/apis/apps/v1", "", "\"other\"").status, 200);
  EXPECT_EQ(get("/openapi/v3/apis/apps/v1").status, 200);
  EXPECT_EQ(get("/openapi/v3/apis/nothing/v1").status, 404);
  EXPECT_EQ(get("/openapi/v3/apis/apps").status, 404);
  EXPECT_EQ(get(at, "text/plain").status, 406);
}

TEST_F(OpenApiTest, DiscoveryInOnePieceHasATagToo) {
  const auto discovered = get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_EQ(header(discovered, "Cache-Control"), "public");
  const auto again = [&](const std::string& tag) {
    return get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", tag).status;
  };
  EXPECT_EQ(again(header(discovered, "ETag")), 304);
  EXPECT_EQ(again("\"another\""), 200);
  define("{}");
  EXPECT_EQ(again(header(discovered, "ETag")), 200);
}

TEST_F(OpenApiTest, OperationsAreThoseThatDiscoveryOffers) {
  const auto document = tree(get("/openapi/v3/api/v1"));
  const auto* pods = json_at(document, {"paths", "/api/v1/namespaces/{namespace}/pods"});
  ASSERT_NE(pods, nullptr);
  EXPECT_EQ(json_string_at(*pods, {"get", "x-kubernetes-action"}), "list");
  EXPECT_EQ(json_string_at(*pods, {"post", "x-kubernetes-group-version-kind", "kind"}), "Pod");
  EXPECT_EQ(json_at(document, {"paths", "/api/v1/pods", "post"}), nullptr);
  const auto* patch = json_at(document, {"paths", "/api/v1/nodes/{name}", "patch"});
  ASSERT_NE(patch, nullptr);
  EXPECT_THAT(json_text(*patch), HasSubstr("\"dryRun\""));
  EXPECT_THAT(json_text(*patch), Not(HasSubstr("fieldValidation"))) << "it is not done: clients look themselves";
}

TEST_F(OpenApiTest, VersionTwoIsOneDocumentAsJsonOrProtobuf) {
  const auto json = get("/openapi/v2");
  const auto document = tree(json);
  EXPECT_EQ(json_string_at(document, {"swagger"}), "2.0");
  EXPECT_EQ(json_string_at(document, {"definitions", kPod, "properties", "spec", "$ref"}),
            "#/definitions/io.k8s.api.core.v1.PodSpec");
  EXPECT_THAT(json.body, Not(HasSubstr("#/components")));
  EXPECT_EQ(
      json_string_at(document, {"paths", "/api/v1/nodes/{name}", "patch", "x-kubernetes-group-version-kind", "kind"}),
      "Node");
  const auto protobuf = get("/openapi/v2", kProtobuf);
  EXPECT_EQ(protobuf.content_type, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  EXPECT_TRUE(
      protobuf.body.starts_with("\x0a\x03"
                                "2.0"));
  EXPECT_THAT(protobuf.body, HasSubstr("#/definitions/io.k8s.api.core.v1.PodSpec"));
  EXPECT_EQ(get("/openapi/v2", kProtobuf, header(protobuf, "ETag")).status, 304);
  EXPECT_EQ(get("/openapi/v2", "text/plain").status, 406);
}

TEST_F(OpenApiTest, ADefinitionIsToldAndAnotherOneHasAnotherAddress) {
  define(R"({"size":{"type":"integer","description":"How large."}})");
  const auto first = address("apis/example.com/v1");
  EXPECT_THAT(get(first).body, HasSubstr("How large."));
  EXPECT_THAT(get("/openapi/v2").body, HasSubstr("How large."));
  define(R"({"size":{"type":"integer","description":"How small."}})");
  EXPECT_NE(address("apis/example.com/v1"), first);
  EXPECT_EQ(get(first).status, 301);
}

}  // namespace
}  // namespace tinf::api
