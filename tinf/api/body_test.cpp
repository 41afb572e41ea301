// Bodies as typed clients send them: Kubernetes' protobuf, made here byte by byte.
#include "tinf/api/body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

using ::testing::HasSubstr;

// One length-delimited field; lengths in these tests stay below 128.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

std::string number_field(int number, int value) {
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}

std::string envelope(const std::string& api_version, const std::string& kind, const std::string& object) {
  return std::string("k8s\0", 4) + field(1, field(1, api_version) + field(2, kind)) + field(2, object);
}

std::string config_map() {
  const std::string metadata = field(1, "web") + field(3, "default") + field(11, field(1, "app") + field(2, "web"));
  return envelope(
      "v1", "ConfigMap",
      field(1, metadata) + field(2, field(1, "a") + field(2, "b")) + field(3, field(1, "raw") + field(2, "\x01\x02")));
}

ApiRequest request_with(std::string body, std::string type = "application/vnd.kubernetes.protobuf") {
  ApiRequest request;
  request.content_type = std::move(type);
  request.body = std::move(body);
  return request;
}

TEST(Body, AConfigMapInProtobufIsTheSameAsInJson) {
  const auto tree = body_tree(request_with(config_map()));
  ASSERT_TRUE(tree);
  EXPECT_EQ(*tree, *parse_json(R"({"kind":"ConfigMap","apiVersion":"v1",
      "metadata":{"name":"web","namespace":"default","labels":{"app":"web"}},"data":{"a":"b"},"binaryData":{"raw":"AQI="}})"));
}

TEST(Body, APointerToZeroIsSaidAndAPlainZeroIsNot) {
  const std::string spec = number_field(1, 0) + number_field(5, 0);  // replicas: a pointer; minReadySeconds: not.
  const auto tree = body_tree(request_with(envelope("apps/v1", "Deployment", field(2, spec))));
  ASSERT_TRUE(tree);
  EXPECT_EQ(*json_at(*tree, {"spec"}), *parse_json(R"({"replicas":0})"));
}

TEST(Body, ATimeThatCannotBeWrittenIsRefused) {
  const auto lease = [](const std::string& seconds) {
    return request_with(envelope("coordination.k8s.io/v1", "Lease", field(2, field(3, "\x08" + seconds))));
  };
  const auto late = body_tree(lease("\xff\xdb\xcd\xa7\x96\x3a"));  // The year 65311.
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, 400);
  const auto good = body_tree(lease("\xff\xdb\xcd\xa7\x23"));
  ASSERT_TRUE(good);
  EXPECT_THAT(json_string_at(*good, {"spec", "acquireTime"}), HasSubstr("2270-"));
}

TEST(Body, AFieldThatWouldBeLostIsRefusedByName) {
  const auto tree = body_tree(request_with(envelope("apps/v1", "Deployment", field(2, field(15, "x")))));
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, 415);
  EXPECT_THAT(tree.error().message, HasSubstr("field 15 of DeploymentSpec"));
}

TEST(Body, AKindThatIsNotInTheTableIsRefusedByName) {
  const auto tree = body_tree(request_with(envelope("batch/v1", "CronJob", "")));
  ASSERT_FALSE(tree);
  EXPECT_THAT(tree.error().message, HasSubstr("CronJob"));
}

TEST(Body, EveryTruncationIsAnErrorOrAShorterObjectAndNeverACrash) {
  const std::string whole = config_map();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto tree = body_tree(request_with(whole.substr(0, length)));
    EXPECT_TRUE(!tree || tree->is_object()) << length;
  }
  EXPECT_FALSE(body_tree(request_with(whole.substr(0, whole.size() - 1))));
}

TEST(Body, AnUnknownMediaTypeIsNamed) {
  const auto tree = body_tree(request_with("a: b", "application/toml"));
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, 415);
  EXPECT_THAT(tree.error().message, HasSubstr("application/toml"));
}

}  // namespace
}  // namespace tinf::api
