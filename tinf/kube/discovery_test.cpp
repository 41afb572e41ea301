// Discovery in both of its forms.
#include "tinf/kube/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/kube/scripted_server.h"

namespace tinf::kube {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LiveLoop;
using testing::ScriptedServer;

struct DiscoveryTest : ::testing::Test {
  LiveLoop loop;
  ScriptedServer server{loop};
  RestClient client{loop.runtime(), server.target()};

  static std::vector<std::string> told(const std::vector<ResourceInfo>& resources) {
    std::vector<std::string> lines;
    for (const ResourceInfo& r : resources) {
      lines.push_back(r.resource.api_version() + " " + r.resource.name + " " + r.kind +
                      (r.namespaced ? " namespaced" : "") + (r.preferred_version ? " preferred" : "") +
                      (r.has_verb("list") ? " list" : ""));
    }
    return lines;
  }
  void TearDown() override { EXPECT_THAT(server.surprises(), IsEmpty()); }
};

TEST_F(DiscoveryTest, ReadsTheAggregatedForm) {
  auto& conversation = server.connection();
  conversation.expects("GET /api HTTP/1.1")
      .replies(
          "200 OK",
          R"({"kind":"APIGroupDiscoveryList","items":[{"metadata":{},"versions":[{"version":"v1","freshness":"Current","resources":[
    {"resource":"pods","responseKind":{"group":"","version":"","kind":"Pod"},"scope":"Namespaced","singularResource":"pod","verbs":["get","list","watch"],"shortNames":["po"],"categories":["all"],"subresources":[{"subresource":"log"}]},
    {"resource":"bindings","responseKind":{"kind":"Binding"},"scope":"Namespaced","singularResource":"binding","verbs":["create"]},
    {"resource":"nodes","responseKind":{"kind":"Node"},"scope":"Cluster","singularResource":"node","verbs":["list"]}]}]}]})");
  conversation.expects("GET /apis HTTP/1.1")
      .replies_json(R"({"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"a.b"},"versions":[
    {"version":"v2","resources":[{"resource":"xs","responseKind":{"kind":"X"},"scope":"Namespaced","verbs":["list"]}]},
    {"version":"v1","freshness":"Stale","resources":[{"resource":"xs","responseKind":{"kind":"X"},"scope":"Namespaced","verbs":["list"]}]}]}]})");
  const auto found = loop.await(discover(client));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(told(found->resources),
              ElementsAre("v1 pods Pod namespaced preferred list", "v1 bindings Binding namespaced preferred",
                          "v1 nodes Node preferred list", "a.b/v2 xs X namespaced preferred list",
                          "a.b/v1 xs X namespaced list"));
  EXPECT_THAT(found->resources[0].short_names, ElementsAre("po"));
  EXPECT_THAT(found->resources[0].categories, ElementsAre("all"));
  EXPECT_EQ(found->resources[0].singular, "pod");
  EXPECT_THAT(server.requests()[0],
              HasSubstr("Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"));
  EXPECT_THAT(found->gaps, ElementsAre(HasSubstr("may be old")));
}

TEST_F(DiscoveryTest, ReadsTheLegacyFormAndABrokenGroupHidesNoOther) {
  auto& conversation = server.connection();
  conversation.expects("GET /api ").replies_json(R"({"kind":"APIVersions","versions":["v1"]})");
  conversation.expects("GET /api/v1 ").replies_json(R"({"kind":"APIResourceList","groupVersion":"v1","resources":[
    {"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["list"]},
    {"name":"pods/log","singularName":"","namespaced":true,"kind":"Pod","verbs":["get"]}]})");
  conversation.expects("GET /apis ").replies_json(R"({"kind":"APIGroupList","groups":[
    {"name":"broken","versions":[{"groupVersion":"broken/v1","version":"v1"}],"preferredVersion":{"version":"v1"}},
    {"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"},{"groupVersion":"apps/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}]})");
  conversation.expects("GET /apis/broken/v1 ").replies("503 Service Unavailable", "the server is currently unable");
  conversation.expects("GET /apis/apps/v1 ")
      .replies_json(
          R"({"kind":"APIResourceList","resources":[{"name":"deployments","namespaced":true,"kind":"Deployment","verbs":["list"]}]})");
  conversation.expects("GET /apis/apps/v1beta1 ")
      .replies_json(
          R"({"kind":"APIResourceList","resources":[{"name":"deployments","namespaced":true,"kind":"Deployment","verbs":["list"]}]})");
  const auto found = loop.await(discover(client));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(told(found->resources), ElementsAre("v1 pods Pod namespaced preferred list",
                                                  "apps/v1 deployments Deployment namespaced preferred list",
                                                  "apps/v1beta1 deployments Deployment namespaced list"));
  EXPECT_THAT(found->gaps, ElementsAre(HasSubstr("left out")));
}

TEST_F(DiscoveryTest, PrefersForEachResourceTheFirstVersionThatHasIt) {
  auto& conversation = server.connection();
  conversation.expects("GET /api HTTP/1.1").replies_json(R"({"kind":"APIGroupDiscoveryList","items":[]})");
  conversation.expects("GET /apis HTTP/1.1")
      .replies_json(R"({"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"a.b"},"versions":[
    {"version":"v1","resources":[{"resource":"xs","responseKind":{"kind":"X"},"scope":"Namespaced","verbs":["list"]}]},
    {"version":"v1beta1","resources":[{"resource":"xs","responseKind":{"kind":"X"},"scope":"Namespaced","verbs":["list"]},
      {"resource":"ys","responseKind":{"kind":"Y"},"scope":"Namespaced","verbs":["list"]}]},
    {"version":"v1alpha1","resources":[{"resource":"ys","responseKind":{"kind":"Y"},"scope":"Namespaced","verbs":["list"]}]}]}]})");
  const auto found = loop.await(discover(client));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(told(found->resources),
              ElementsAre("a.b/v1 xs X namespaced preferred list", "a.b/v1beta1 xs X namespaced list",
                          "a.b/v1beta1 ys Y namespaced preferred list", "a.b/v1alpha1 ys Y namespaced list"));
}

TEST_F(DiscoveryTest, PrefersInTheLegacyFormTheGroupsVersionWhereItHasTheResource) {
  auto& conversation = server.connection();
  conversation.expects("GET /api ").replies_json(R"({"kind":"APIVersions","versions":["v1"]})");
  conversation.expects("GET /api/v1 ").replies_json(R"({"kind":"APIResourceList","resources":[]})");
  conversation.expects("GET /apis ").replies_json(R"({"kind":"APIGroupList","groups":[
    {"name":"a.b","versions":[{"version":"v2"},{"version":"v1"}],"preferredVersion":{"version":"v1"}}]})");
  conversation.expects("GET /apis/a.b/v2 ").replies_json(R"({"kind":"APIResourceList","resources":[
    {"name":"xs","namespaced":true,"kind":"X","verbs":["list"]},
    {"name":"ys","namespaced":true,"kind":"Y","verbs":["list"]}]})");
  conversation.expects("GET /apis/a.b/v1 ").replies_json(R"({"kind":"APIResourceList","resources":[
    {"name":"xs","namespaced":true,"kind":"X","verbs":["list"]}]})");
  const auto found = loop.await(discover(client));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(told(found->resources),
              ElementsAre("a.b/v2 xs X namespaced list", "a.b/v2 ys Y namespaced preferred list",
                          "a.b/v1 xs X namespaced preferred list"));
}

TEST_F(DiscoveryTest, SaysAGapOnceForAsLongAsItLasts) {
  GapLog gaps;
  for (const std::vector<std::string>& found : std::vector<std::vector<std::string>>{{"a"}, {"a", "b"}, {"b"}, {"a"}})
    gaps.say(client, found);
  EXPECT_THAT(loop.log_lines(), ElementsAre(HasSubstr(": a"), HasSubstr(": b"), HasSubstr(": a")));
}

TEST_F(DiscoveryTest, SaysWhenTheServerIsSomethingElse) {
  server.connection().expects("GET /api ").replies("200 OK", "<html>hello</html>");
  EXPECT_EQ(loop.await(discover(client)).error().code, Code::Internal);
  server.connection().expects("GET /api ").replies_json(R"({"kind":"Pod"})");
  EXPECT_THAT(loop.await(discover(client)).error().message, HasSubstr("not a Kubernetes API server?"));
}

TEST_F(DiscoveryTest, TellsVersionAndCluster) {
  server.connection()
      .expects("GET /version ")
      .replies_json(R"({"major":"1","minor":"34+","gitVersion":"v1.34.4"})")
      .expects("GET /api/v1/namespaces/kube-system ")
      .replies_json(R"({"metadata":{"uid":"u-1"}})");
  const auto version = loop.await(server_version(client));
  ASSERT_TRUE(version) << version.error().message;
  EXPECT_EQ(version->minor, "34+");
  EXPECT_EQ(version->git_version, "v1.34.4");
  EXPECT_EQ(*loop.await(cluster_uid(client)), "u-1");
}

}  // namespace
}  // namespace tinf::kube
