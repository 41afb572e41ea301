// Resources are found by every spelling that kubectl takes.
#include "tinf/object/resource.h"

#include <gtest/gtest.h>

#include "tinf/object/version.h"

namespace tinf {
namespace {

std::vector<ResourceInfo> offered() {
  return {
      {{"", "v1", "configmaps"}, "ConfigMap", "configmap", {"cm"}, {}, {"list", "watch"}, true, true},
      {{"", "v1", "events"}, "Event", "event", {"ev"}, {}, {"list", "watch"}, true, true},
      {{"events.k8s.io", "v1", "events"}, "Event", "event", {"ev"}, {}, {"list", "watch"}, true, true},
      {{"apps", "v1", "deployments"}, "Deployment", "deployment", {"deploy"}, {"all"}, {"list", "watch"}, true, true},
      {{"apps", "v1beta1", "deployments"},
       "Deployment",
       "deployment",
       {"deploy"},
       {"all"},
       {"list", "watch"},
       true,
       false},
      {{"things.example.com", "v1", "widgets"}, "Widget", "widget", {}, {}, {"list"}, true, true},
  };
}

std::string found(std::string_view spelling) {
  const auto info = find_resource(offered(), spelling);
  return info ? info->resource.api_version() + "/" + info->resource.name : "";
}

TEST(Resource, IsFoundByPluralSingularShortNameAndKind) {
  for (const auto* spelling : {"configmaps", "configmap", "cm", "ConfigMap", "configmaps.v1"})
    EXPECT_EQ(found(spelling), "v1/configmaps") << spelling;
  for (const auto* spelling : {"deployments.apps", "deploy", "deployments.v1.apps"})
    EXPECT_EQ(found(spelling), "apps/v1/deployments") << spelling;
  EXPECT_EQ(found("deployments.v1beta1.apps"), "apps/v1beta1/deployments");
  EXPECT_EQ(found("widgets.things.example.com"), "things.example.com/v1/widgets");
  EXPECT_EQ(found("events"), "v1/events");
  EXPECT_EQ(found("events.events.k8s.io"), "events.k8s.io/v1/events");
}

TEST(Resource, NamesNearOnesWhenNobodyOffersIt) {
  const auto missing = find_resource(offered(), "configs");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::NotFound);
  EXPECT_NE(missing.error().message.find("configmaps"), std::string::npos) << missing.error().message;
}

TEST(Resource, NamesThoseThatASlipOfTheHandIsAwayFrom) {
  for (const auto* spelling : {"cofigmaps", "cnofigmap"})
    EXPECT_TRUE(find_resource(offered(), spelling).error().message.ends_with("; did you mean configmaps")) << spelling;
  for (const auto* spelling : {"xyz", "evrythings"})
    EXPECT_TRUE(find_resource(offered(), spelling).error().message.ends_with("is offered")) << spelling;
}

TEST(Scope, HasOneIdForEqualScopesAndAnotherForOthers) {
  Scope scope{{"apps", "v1", "deployments"}, "", "", "", Projection::Full};
  Scope other = scope;
  EXPECT_EQ(scope.id(), other.id());
  other.projection = Projection::Metadata;
  EXPECT_NE(scope.id(), other.id());
  EXPECT_EQ(scope.id().size(), 16u);
}

TEST(ResourceVersion, ComparesOnlyDecimalOnes) {
  EXPECT_TRUE(ResourceVersion("9").is_before(ResourceVersion("10")));
  EXPECT_FALSE(ResourceVersion("10").is_before(ResourceVersion("10")));
  EXPECT_FALSE(ResourceVersion("a/9").is_before(ResourceVersion("a/10")));
}

// docs/protocol.md names this one: whoever computes ids from it must come to the same.
TEST(Scope, HasTheIdThatTheProtocolsPaperGivesAsAnExample) {
  Scope scope;
  scope.resource = Resource{"", "v1", "configmaps"};
  EXPECT_EQ(scope.canonical(), "/v1/configmaps\nn=\nl=\nf=\np=full");
  EXPECT_EQ(scope.id(), "84f098daca8cd930");
}

}  // namespace
}  // namespace tinf
