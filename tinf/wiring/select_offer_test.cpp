// What a provider offers: everything but what is secret or noisy, unless it is told otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/wiring/cluster_source.h"

namespace tinf::wiring {
namespace {

using ::testing::ElementsAre;

ResourceInfo info(std::string group, std::string name, std::vector<std::string> verbs = {"list", "watch"}) {
  return ResourceInfo{{std::move(group), "v1", name}, name, name, {}, {}, std::move(verbs), true, true};
}

std::vector<std::string> offered(const OfferOptions& options) {
  const std::vector<ResourceInfo> all{info("", "configmaps"),
                                      info("", "secrets"),
                                      info("", "events"),
                                      info("apps", "deployments"),
                                      info("coordination.k8s.io", "leases"),
                                      info("", "componentstatuses", {"list"})};
  std::vector<std::string> names;
  for (const ResourceInfo& one : select_offer(all, options).offered) names.push_back(one.resource.group_resource());
  return names;
}

TEST(SelectOffer, LeavesOutSecretsEventsAndLeases) {
  EXPECT_THAT(offered(OfferOptions()), ElementsAre("configmaps", "deployments.apps"));
}

TEST(SelectOffer, AddsWhatIsAllowed) {
  OfferOptions options;
  options.allow = {"secrets"};
  EXPECT_THAT(offered(options), ElementsAre("configmaps", "secrets", "deployments.apps"));
}

TEST(SelectOffer, OffersOnlyWhatIsNamed) {
  OfferOptions options;
  options.offer = {"deployments.apps", "leases"};
  EXPECT_THAT(offered(options), ElementsAre("deployments.apps", "leases.coordination.k8s.io"));
}

TEST(SelectOffer, TakesAwayWhatIsDenied) {
  OfferOptions options;
  options.deny = {"configmaps"};
  EXPECT_THAT(offered(options), ElementsAre("deployments.apps"));
}

TEST(SelectOffer, SaysWhichNamesItDoesNotKnow) {
  OfferOptions options;
  options.allow = {"widgets.example.com"};
  EXPECT_THAT(select_offer({info("", "configmaps")}, options).unknown, ElementsAre("widgets.example.com"));
}

}  // namespace
}  // namespace tinf::wiring
