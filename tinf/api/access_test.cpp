// Who may read what of a fleet: rules, who calls, and that a refusal or a list tells nothing of what is hidden.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/api/api_handler.h"
#include "tinf/api/fleet_question.h"
#include "tinf/patch/json.h"
#include "tinf/store/memory/fleet_memory_store.h"
#include "tinf/testing/virtual_time.h"

namespace tinf::api {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using tinf::testing::VirtualTime;

AuthorizationRule rule(std::string name, std::vector<std::string> users, std::vector<std::string> clusters,
                       std::vector<std::string> namespaces, std::vector<std::string> resources) {
  AuthorizationRule made;
  made.name = std::move(name);
  made.users = std::move(users);
  made.clusters = std::move(clusters);
  made.namespaces = std::move(namespaces);
  made.resources = std::move(resources);
  made.api_groups = {"*"};
  made.verbs = {"*"};
  return made;
}

Access access_of(const std::string& user, std::vector<AuthorizationRule> rules, std::vector<std::string> groups = {}) {
  const Identity who = user.empty() ? Identity() : Identity(user, "", std::move(groups));
  return Access(who, std::make_shared<const AuthorizationPolicy>(std::move(rules)));
}

AccessQuestion asks(std::string_view method, const std::string& target) {
  return question_of(method, Target::parse(target));
}

TEST(Question, IsOfTheClusterThatThePathNames) {
  const auto pods = asks("GET", "/api/v1/namespaces/c1.shop/pods?watch=true");
  EXPECT_EQ(pods.verb, "watch");
  EXPECT_EQ(pods.cluster, "c1");
  EXPECT_EQ(pods.namespace_name, "shop");
  EXPECT_EQ(pods.told_namespace, "c1.shop");
  const auto node = asks("GET", "/api/v1/nodes/c1.n.example");
  EXPECT_EQ(node.verb, "get");
  EXPECT_EQ(node.cluster, "c1");
  EXPECT_EQ(node.name, "n.example");
  EXPECT_EQ(node.namespace_name, "");
  const auto of_one = asks("GET", "/clusters/c2/apis/apps/v1/namespaces/a.b/deployments/web/scale");
  EXPECT_EQ(of_one.cluster, "c2");
  EXPECT_EQ(of_one.namespace_name, "a.b");
  EXPECT_EQ(of_one.resource, "deployments/scale");
  EXPECT_EQ(of_one.group, "apps");
  const auto space = asks("GET", "/api/v1/namespaces/c1.shop");
  EXPECT_EQ(space.resource, "namespaces");
  EXPECT_EQ(space.namespace_name, "shop");
  for (const auto* everywhere : {"/api/v1/pods", "/api/v1/namespaces/shop/pods", "/api/v1/nodes/n"}) {
    EXPECT_FALSE(asks("GET", everywhere).cluster) << everywhere;
    EXPECT_EQ(asks("GET", everywhere).namespace_name, "") << everywhere;
  }
  EXPECT_EQ(asks("DELETE", "/api/v1/pods").verb, "deletecollection");
  EXPECT_EQ(asks("GET", "/clusters/c1/apis").path, "/clusters/c1/apis");
  EXPECT_EQ(asks("GET", "/clusters/c1/apis").cluster, "c1");
}

TEST(Rules, AreAboutUsersGroupsAndWhoBeginsLikeThem) {
  const auto pods = asks("GET", "/api/v1/namespaces/c1.shop/pods");
  const auto may = [&](const std::string& user, const std::string& named, std::vector<std::string> groups = {}) {
    auto one = rule("r", {named}, {"*"}, {"*"}, {"pods"});
    auto of_group = one;
    of_group.users.clear();
    of_group.groups = {named};
    return access_of(user, {one}, groups).decide(pods).allowed ||
           access_of(user, {of_group}, groups).decide(pods).allowed;
  };
  EXPECT_TRUE(may("jane", "jane"));
  EXPECT_FALSE(may("jane", "jan"));
  EXPECT_TRUE(may("jane", "jan*"));
  EXPECT_TRUE(may("jane", "dev", {"ops", "dev"}));
  EXPECT_TRUE(may("jane", "system:authenticated"));
  EXPECT_TRUE(may("jane", "*"));
  // Wildcards are for those who said who they are.
  EXPECT_FALSE(may("", "*"));
  EXPECT_FALSE(may("", "system:*"));
  EXPECT_FALSE(may("", "system:authenticated"));
  EXPECT_TRUE(may("", "system:anonymous"));
  EXPECT_TRUE(may("", "system:unauthenticated"));
  // A certificate that says so makes nobody one of those who said nothing.
  EXPECT_FALSE(may("jane", "system:unauthenticated", {"system:unauthenticated"}));
}

TEST(Rules, AreAboutPlacesResourcesAndVerbs) {
  auto of_shop = rule("r", {"jane"}, {"eu-*"}, {"shop"}, {"pods", "configmaps"});
  of_shop.api_groups = {""};
  of_shop.verbs = {"get", "list"};
  const auto jane = access_of("jane", {of_shop});
  const auto may = [&](std::string_view method, const std::string& target) {
    return jane.decide(asks(method, target)).allowed;
  };
  EXPECT_TRUE(may("GET", "/api/v1/namespaces/eu-1.shop/pods"));
  EXPECT_TRUE(may("GET", "/clusters/eu-9/api/v1/namespaces/shop/pods/web"));
  EXPECT_FALSE(may("GET", "/api/v1/namespaces/eu-1.shop/pods?watch=1"));
  EXPECT_FALSE(may("GET", "/api/v1/namespaces/eu-1.shop/pods/web/log"));
  EXPECT_FALSE(may("GET", "/api/v1/namespaces/eu-1.shop/secrets"));
  EXPECT_FALSE(may("GET", "/apis/apps/v1/namespaces/eu-1.shop/pods"));
  EXPECT_FALSE(may("GET", "/api/v1/namespaces/us-1.shop/pods"));
  EXPECT_FALSE(may("GET", "/api/v1/namespaces/eu-1.shop-2/pods"));
  EXPECT_FALSE(may("GET", "/clusters/eu-1/api/v1/pods"));
  EXPECT_FALSE(may("GET", "/api/v1/pods"));
  EXPECT_FALSE(may("GET", "/api/v1/namespaces/shop/pods"));
  EXPECT_FALSE(may("DELETE", "/api/v1/namespaces/eu-1.shop/pods/web"));
}

TEST(Rules, AllResourcesAreNotSecrets) {
  const auto jane = access_of("jane", {rule("r", {"jane"}, {"*"}, {"*"}, {"*"})});
  EXPECT_TRUE(jane.decide(asks("GET", "/api/v1/pods")).allowed);
  EXPECT_FALSE(jane.decide(asks("GET", "/api/v1/secrets")).allowed);
  EXPECT_FALSE(jane.knows("", "secrets", "c1"));
  EXPECT_FALSE(jane.decide(asks("POST", "/api/v1/namespaces/c1.a/pods")).allowed) << "nothing writes";
  EXPECT_TRUE(access_of("jane", {rule("r", {"jane"}, {"*"}, {"*"}, {"*", "secrets"})})
                  .decide(asks("GET", "/api/v1/secrets"))
                  .allowed);
  // Of another group they are something else.
  EXPECT_TRUE(jane.decide(asks("GET", "/apis/example.com/v1/secrets")).allowed);
}

// Three clusters with a pod, a node and a secret each; c3 alone has widgets.
struct AccessTest : ::testing::Test {
  AccessTest() {
    for (const auto* cluster : {"c1", "c2", "c3"}) {
      FleetCluster known;
      known.name = cluster;
      known.present = known.name != "c3";
      known.offer = {info("", "pods", "Pod", true), info("", "nodes", "Node", false),
                     info("", "secrets", "Secret", true)};
      if (known.name == "c3") known.offer.push_back(info("example.com", "widgets", "Widget", true));
      EXPECT_TRUE(time.await(store.put_cluster(known)));
      for (const auto& offered : known.offer) {
        Scope scope;
        scope.resource = offered.resource;
        auto& copy = copies[cluster + std::string("/") + offered.resource.name];
        copy = store.open(cluster, scope).value();
        put(*copy, offered, "one");
      }
    }
  }

  static ResourceInfo info(std::string group, std::string name, std::string kind, bool in_namespace) {
    ResourceInfo made;
    made.resource = Resource{std::move(group), "v1", std::move(name)};
    made.kind = std::move(kind);
    made.namespaced = in_namespace;
    return made;
  }
  void put(Store& copy, const ResourceInfo& of, const std::string& name) {
    EventBatch batch;
    batch.events.push_back(WatchEvent::modified(
        Object::parse(R"({"kind":")" + of.kind + R"(","apiVersion":")" + of.resource.api_version() +
                      R"(","metadata":{"name":")" + name + "\"" + (of.namespaced ? R"(,"namespace":"shop")" : "") +
                      R"(,"resourceVersion":"1"}})")
            .value()));
    batch.version = ResourceVersion("1");
    ASSERT_TRUE(time.await(copy.apply(std::move(batch))));
  }
  void put_pod(const std::string& cluster, const std::string& name) {
    put(*copies.at(cluster + "/pods"), info("", "pods", "Pod", true), name);
  }

  ApiHandler& handler() {
    if (!made) {
      options.authentication.tokens = true;
      options.audit = [this](const std::string& line) { audit.push_back(line); };
      made.emplace(time.runtime(), store, options);
      made->use(std::make_shared<const BearerTokens>(BearerTokens::parse(tokens).value()));
      made->use(std::make_shared<const AuthorizationPolicy>(rules));
    }
    return *made;
  }
  ApiResponse send(const std::string& user, std::string method, std::string target, std::string body = "",
                   std::string accept = "") {
    ApiRequest request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.accept = std::move(accept);
    request.body = std::move(body);
    if (!user.empty()) request.authorization = "Bearer " + user + "-token";
    return time.await(handler().handle(request));
  }
  ApiResponse get(const std::string& user, std::string target) { return send(user, "GET", std::move(target)); }
  static std::string message(const ApiResponse& response) {
    const auto tree = parse_json(response.body);
    return tree ? std::string(json_string_at(*tree, {"message"})) : response.body;
  }
  static std::vector<std::string> keys(const ApiResponse& response) {
    std::vector<std::string> all;
    const auto tree = parse_json(response.body);
    const auto* items = tree ? json_at(*tree, {"items"}) : nullptr;
    if (items == nullptr) return {"no list: " + response.body};
    for (const auto& item : items->get_array()) {
      const std::string in(json_string_at(item, {"metadata", "namespace"}));
      all.push_back((in.empty() ? "" : in + "/") + std::string(json_string_at(item, {"metadata", "name"})));
    }
    return all;
  }
  // What a user may do, as kubectl auth can-i asks.
  bool can(const std::string& user, const std::string& verb, const std::string& resource, const std::string& in) {
    const auto answer = send(user, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                             R"({"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":)"
                             R"({"resourceAttributes":{"namespace":")" +
                                 in + R"(","verb":")" + verb + R"(","resource":")" + resource + R"("}}})");
    EXPECT_EQ(answer.status, 201);
    const auto tree = parse_json(answer.body);
    const auto* allowed = json_at(*tree, {"status", "allowed"});
    return allowed != nullptr && allowed->is_bool() && allowed->get_bool();
  }

  VirtualTime time;
  FleetMemoryStore store{time};
  std::map<std::string, std::unique_ptr<Store>> copies;
  std::string tokens = "all-token,all,1\nsome-token,some,2,dev\nshop-token,shop,3\nnone-token,none,4\n";
  std::vector<AuthorizationRule> rules{rule("all", {"all"}, {"*"}, {"*"}, {"*", "secrets"}),
                                       rule("some", {"some"}, {"c1", "c2", "c9*"}, {"*"}, {"*"}),
                                       rule("shop", {"shop"}, {"c1"}, {"shop"}, {"pods"})};
  HandlerOptions options;
  std::vector<std::string> audit;
  std::optional<ApiHandler> made;
};

TEST_F(AccessTest, WhoIsNotKnownAndWhoMayNotAreToldSo) {
  EXPECT_EQ(get("", "/api/v1/pods").status, 401);
  EXPECT_EQ(get("wrong", "/api/v1/pods").status, 401);
  EXPECT_EQ(get("", "/version").status, 200);
  EXPECT_EQ(get("", "/livez").status, 200);
  const auto refused = get("none", "/api/v1/namespaces/c1.shop/pods");
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(message(refused),
            R"(pods is forbidden: User "none" cannot list resource "pods" in API group "" in the namespace "c1.shop")");
  EXPECT_EQ(
      message(get("none", "/api/v1/namespaces/c1.shop/pods/one")),
      R"(pods "one" is forbidden: User "none" cannot get resource "pods" in API group "" in the namespace "c1.shop")");
  EXPECT_EQ(
      message(get("none", "/apis/apps/v1/deployments")),
      R"(deployments.apps is forbidden: User "none" cannot list resource "deployments" in API group "apps" at the cluster scope)");
}

TEST_F(AccessTest, AListOverAllClustersShowsThoseThatOneMayReadWhole) {
  EXPECT_THAT(keys(get("all", "/api/v1/pods")), ElementsAre("c1.shop/one", "c2.shop/one", "c3.shop/one"));
  EXPECT_THAT(keys(get("some", "/api/v1/pods")), ElementsAre("c1.shop/one", "c2.shop/one"));
  EXPECT_THAT(keys(get("some", "/api/v1/nodes")), ElementsAre("c1.one", "c2.one"));
  EXPECT_EQ(get("shop", "/api/v1/pods").status, 403) << "a namespace of a cluster is not the cluster";
  EXPECT_THAT(keys(get("shop", "/api/v1/namespaces/c1.shop/pods")), ElementsAre("c1.shop/one"));
  EXPECT_EQ(get("shop", "/clusters/c1/api/v1/namespaces/shop/pods/one").status, 200);
  EXPECT_EQ(get("some", "/api/v1/secrets").status, 403);
  EXPECT_EQ(get("some", "/api/v1/namespaces/c3.shop/pods").status, 403);
  EXPECT_EQ(get("some", "/clusters/c3/api/v1/pods").status, 403);
  // Selectors and page tokens, also made up, lead nowhere else.
  EXPECT_THAT(keys(get("some", "/api/v1/pods?clusters=c3")), IsEmpty());
  EXPECT_THAT(keys(get("some", "/api/v1/pods?labelSelector=fleet.transport-informer.io/cluster%3Dc3")), IsEmpty());
  EXPECT_THAT(keys(get("some", "/api/v1/pods?limit=1")), ElementsAre("c1.shop/one"));
  const auto version = std::to_string(store.version());
  EXPECT_THAT(keys(get("some", "/api/v1/pods?continue=" + version + "/c2.shop/one")), IsEmpty());
  EXPECT_THAT(keys(get("some", "/api/v1/pods?continue=" + version + "/c2.z/one")), IsEmpty());
  EXPECT_THAT(get("some", "/api/v1/pods?limit=1").body, Not(HasSubstr("remainingItemCount")));
  EXPECT_THAT(get("some", "/api/v1/pods?limit=1&orderBy=metadata.name").body, HasSubstr(R"("remainingItemCount":1)"));
  const auto last = get("some", "/api/v1/pods?limit=1&continue=" + version + "/c1.shop/one");
  EXPECT_THAT(last.body, Not(HasSubstr("continue"))) << "that there is more would tell";
}

TEST_F(AccessTest, AWatchOverAllClustersTellsOfThoseAlone) {
  const auto from = std::to_string(store.version());
  auto watch = get("some", "/api/v1/pods?watch=1&resourceVersion=" + from);
  ASSERT_TRUE(watch.stream);
  put_pod("c3", "hidden");
  put_pod("c2", "seen");
  const auto told = time.await(watch.stream->next());
  ASSERT_TRUE(told);
  EXPECT_THAT(*told, HasSubstr("seen"));
  EXPECT_THAT(*told, Not(HasSubstr("hidden")));
  auto first = get("some", "/api/v1/pods?watch=1");
  const auto initial = time.await(first.stream->next());
  EXPECT_THAT(*initial, Not(HasSubstr("c3")));
}

TEST_F(AccessTest, NothingTellsOfWhatIsHidden) {
  // Of clusters: one that is hidden is like one that is not there.
  for (const auto* path : {"/api", "/apis", "/api/v1/pods", "/api/v1/namespaces/shop/pods/one", "/openapi/v3"}) {
    const auto hidden = get("some", std::string("/clusters/c3") + path);
    const auto missing = get("some", std::string("/clusters/c8") + path);
    EXPECT_EQ(hidden.status, 403) << path;
    std::string told = missing.body;
    for (auto at = told.find("c8"); at != std::string::npos; at = told.find("c8")) told.replace(at, 2, "c3");
    EXPECT_EQ(hidden.body, told);
  }
  EXPECT_EQ(message(get("some", "/clusters/c9/api")), "clusters \"c9\" not found: known are c1, c2");
  // Of warnings.
  EXPECT_THAT(get("all", "/api/v1/pods").warnings, ElementsAre(HasSubstr("the cluster c3 is away")));
  EXPECT_THAT(get("some", "/api/v1/pods").warnings, IsEmpty());
  EXPECT_THAT(get("some", "/api/v1/pods?clusters=c3").warnings,
              ElementsAre("clusters \"c3\" not found: known are c1, c2"));
  // Of resources: those that a hidden cluster alone has are not there, nor are those that one may not read.
  EXPECT_THAT(get("all", "/api/v1").body, HasSubstr("secrets"));
  EXPECT_THAT(get("some", "/api/v1").body, Not(HasSubstr("secrets")));
  EXPECT_THAT(get("all", "/apis").body, HasSubstr("example.com"));
  EXPECT_THAT(get("some", "/apis").body, Not(HasSubstr("example.com")));
  EXPECT_THAT(get("some", "/openapi/v3").body, Not(HasSubstr("example.com")));
  EXPECT_EQ(get("some", "/apis/example.com/v1/widgets").status, 404);
  EXPECT_EQ(get("some", "/apis/example.com/v1/widgets").body, get("some", "/apis/example.com/v1/gadgets").body);
  EXPECT_EQ(get("some", "/apis/example.com/v1/namespaces/c1.shop/widgets").status, 404);
  EXPECT_EQ(get("all", "/apis/example.com/v1/widgets").status, 200);
  EXPECT_THAT(get("none", "/api/v1").body, Not(HasSubstr("pods")));
}

TEST_F(AccessTest, WhoMayReadWhatTheyWouldWriteIsToldWhereThatIsDone) {
  EXPECT_EQ(send("some", "POST", "/api/v1/namespaces/c1.shop/pods", "{}").status, 405);
  EXPECT_EQ(send("some", "DELETE", "/api/v1/namespaces/c3.shop/pods/one").status, 403);
  EXPECT_EQ(send("none", "POST", "/api/v1/namespaces/c1.shop/pods", "{}").status, 403);
}

TEST_F(AccessTest, NobodyIsTakenForSomebodyElse) {
  ApiRequest request;
  request.method = "GET";
  request.target = "/api/v1/pods";
  request.authorization = "Bearer all-token";
  request.impersonated = "shop";
  const auto refused = time.await(handler().handle(request));
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(message(refused), HasSubstr(R"(users "shop" is forbidden: User "all" cannot impersonate)"));
}

TEST_F(AccessTest, NewRulesEndWatchesThatTheyMightNotAllow) {
  auto watch = get("some", "/api/v1/pods?watch=1&resourceVersion=" + std::to_string(store.version()));
  ASSERT_TRUE(watch.stream);
  handler().use(std::make_shared<const AuthorizationPolicy>(std::vector<AuthorizationRule>()));
  EXPECT_FALSE(time.await(watch.stream->next()));
  EXPECT_EQ(get("some", "/api/v1/pods").status, 403);
  handler().use(std::make_shared<const BearerTokens>(BearerTokens::parse("other").value()));
  EXPECT_EQ(get("some", "/api/v1/pods").status, 401);
}

TEST_F(AccessTest, WhatAResourceIsIsTheWordOfAClusterThatOneMayReadOf) {
  FleetCluster hidden;
  hidden.name = "c0";  // The first one, whose word is taken where all is seen.
  hidden.present = true;
  hidden.offer = {info("", "pods", "Trap", false)};
  ASSERT_TRUE(time.await(store.put_cluster(hidden)));
  Scope scope;
  scope.resource = hidden.offer[0].resource;
  copies["c0/pods"] = store.open("c0", scope).value();
  EXPECT_THAT(keys(get("some", "/api/v1/namespaces/c1.shop/pods")), ElementsAre("c1.shop/one"));
  EXPECT_THAT(get("some", "/api/v1/pods").body, HasSubstr(R"("kind":"PodList")"));
  EXPECT_THAT(get("all", "/api/v1/pods").body, HasSubstr(R"("kind":"TrapList")"));
}

TEST_F(AccessTest, WhatOneMayKnowOfIsNotForTheCachesOfOthers) {
  const auto found =
      send("some", "GET", "/apis", "", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_EQ(found.status, 200);
  EXPECT_THAT(found.headers, ::testing::Contains(::testing::Pair("Cache-Control", "private")));
}

TEST_F(AccessTest, NewRulesEndAWatchThatIsBeingOpened) {
  std::optional<ApiResponse> watch;
  const auto open = [&]() -> Task<void> {
    ApiRequest request;
    request.method = "GET";
    request.target = "/api/v1/pods?watch=1&resourceVersion=" + std::to_string(store.version() + 1);
    request.authorization = "Bearer some-token";
    watch.emplace(co_await handler().handle(request));
  };
  time.spawn(open());
  time.run_for(1s);
  ASSERT_FALSE(watch) << "it waits for its version";
  handler().use(std::make_shared<const AuthorizationPolicy>(std::vector<AuthorizationRule>()));
  put_pod("c1", "later");
  ASSERT_TRUE(time.run_until([&] { return watch.has_value(); }));
  ASSERT_TRUE(watch->stream);
  EXPECT_FALSE(time.await(watch->stream->next()));
}

TEST_F(AccessTest, AWatchThatIsBeingOpenedTakesTheRoomOfARequest) {
  options.limits.requests = 1;
  std::optional<ApiResponse> watch;
  const auto open = [&]() -> Task<void> {
    ApiRequest request;
    request.method = "GET";
    request.target = "/api/v1/pods?watch=1&resourceVersion=" + std::to_string(store.version() + 1);
    request.authorization = "Bearer some-token";
    watch.emplace(co_await handler().handle(request));
  };
  time.spawn(open());
  time.run_for(1s);
  EXPECT_EQ(get("all", "/api/v1/pods").status, 429);
  put_pod("c1", "later");
  ASSERT_TRUE(time.run_until([&] { return watch.has_value(); }));
  EXPECT_EQ(get("all", "/api/v1/pods").status, 200);
}

TEST_F(AccessTest, WhatOneMayIsToldToOneselfAlone) {
  EXPECT_TRUE(can("some", "list", "pods", ""));
  EXPECT_TRUE(can("some", "watch", "pods", "c1.shop"));
  EXPECT_FALSE(can("some", "list", "pods", "c3.shop"));
  EXPECT_FALSE(can("some", "create", "pods", "c1.shop"));
  EXPECT_FALSE(can("some", "get", "secrets", "c1.shop"));
  EXPECT_TRUE(can("some", "get", "nodes", "default")) << "kubectl names its namespace whatever it asks for";
  EXPECT_FALSE(can("shop", "list", "pods", ""));
  EXPECT_TRUE(can("shop", "list", "pods", "c1.shop"));
  const auto who = send("some", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                        R"({"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"})");
  EXPECT_THAT(who.body,
              HasSubstr(R"("userInfo":{"username":"some","uid":"2","groups":["dev","system:authenticated"]})"));
  const auto rules_of = send("shop", "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                             R"({"kind":"SelfSubjectRulesReview","spec":{"namespace":"c1.shop"}})");
  EXPECT_THAT(rules_of.body, HasSubstr(R"({"verbs":["get","list","watch"],"apiGroups":["*"],"resources":["pods"]})"));
  const auto elsewhere = send("shop", "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                              R"({"kind":"SelfSubjectRulesReview","spec":{"namespace":"c2.shop"}})");
  EXPECT_THAT(elsewhere.body, Not(HasSubstr("pods")));
  for (const auto* broken : {"", "[]", "7", "{}", R"({"spec":[]})"}) {
    EXPECT_EQ(send("some", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", broken).status, 400);
  }
  // Below a hidden cluster's path the question is answered like below any other.
  EXPECT_EQ(send("some", "POST", "/clusters/c3/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}").status, 201);
}

TEST_F(AccessTest, WhyItIsNotReadyIsForThoseWhoMayKnow) {
  AuthorizationRule probes;
  probes.name = "probes";
  probes.users = {"shop"};
  probes.paths = {"/readyz"};
  probes.verbs = {"get"};
  rules.push_back(probes);
  options.not_ready = [] { return "c3: pods"; };
  EXPECT_EQ(get("", "/readyz").body, "not ready");
  EXPECT_EQ(get("", "/readyz").status, 503);
  EXPECT_EQ(get("some", "/readyz").body, "not ready");
  EXPECT_EQ(get("shop", "/readyz").body, "c3: pods");
}

TEST_F(AccessTest, EachRequestIsALineOfTheAuditLog) {
  get("some", "/api/v1/namespaces/c1.shop/pods/one?token=hidden");
  get("none", "/api/v1/namespaces/c1.shop/pods");
  get("", "/api/v1/pods");
  ASSERT_EQ(audit.size(), 3u);
  EXPECT_THAT(audit[0], HasSubstr(R"("user":"some","groups":["dev","system:authenticated"])"));
  EXPECT_THAT(audit[0], HasSubstr(R"("verb":"get","resource":"pods","cluster":"c1","namespace":"shop","name":"one")"));
  EXPECT_THAT(audit[0], HasSubstr(R"("decision":"allow","rule":"some","code":200)"));
  EXPECT_THAT(audit[1], HasSubstr(R"("decision":"forbid","code":403)"));
  EXPECT_THAT(audit[2], HasSubstr(R"("user":"system:anonymous")"));
  EXPECT_THAT(audit[2], HasSubstr(R"("decision":"unauthenticated","code":401)"));
  {
    auto watch = get("some", "/api/v1/pods?watch=1");
    ASSERT_EQ(audit.size(), 4u);
    EXPECT_THAT(audit[3], HasSubstr(R"("stage":"watch-started")"));
  }
  ASSERT_EQ(audit.size(), 5u);
  EXPECT_THAT(audit[4], HasSubstr(R"("stage":"watch-ended")"));
  for (const auto& line : audit) {
    EXPECT_TRUE(parse_json(line)) << line;
    EXPECT_THAT(line, Not(HasSubstr("token")));
    EXPECT_THAT(line, Not(HasSubstr("hidden")));
  }
  get("some", "/\xff\xfe\n" + std::string(5000, 'x'));
  EXPECT_TRUE(parse_json(audit.back())) << audit.back();
  EXPECT_LT(audit.back().size(), 1500u);
}

TEST_F(AccessTest, OneUserMayHaveSoManyRequestsAtOnceAndOthersGoOn) {
  options.limits.requests_of_one_user = 3;
  options.limits.requests = 5;
  options.limits.watches_of_one_user = 1;
  std::vector<ApiResponse> held;
  auto watch = get("some", "/api/v1/pods?watch=1");
  EXPECT_EQ(watch.status, 200);
  EXPECT_EQ(get("some", "/api/v1/pods?watch=1").status, 429) << "watches are counted by themselves";
  for (int i = 0; i < 3; ++i) held.push_back(get("some", "/api/v1/pods"));
  for (const auto& response : held) EXPECT_EQ(response.status, 200);
  const auto refused = get("some", "/api/v1/pods");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.retry_after_seconds, 1);
  held.push_back(get("all", "/api/v1/pods"));
  EXPECT_EQ(held.back().status, 200);
  held.push_back(get("all", "/api/v1/pods"));
  EXPECT_EQ(get("all", "/api/v1/pods").status, 429) << "all together are too many";
  held.clear();
  EXPECT_EQ(get("some", "/api/v1/pods").status, 200);
}

TEST_F(AccessTest, MetricsHaveNoMoreSeriesThanThereAreResources) {
  for (int i = 0; i < 50; ++i) {
    get("all", "/apis/g" + std::to_string(i) + "/v1/r" + std::to_string(i));
    send("all", "VERB" + std::to_string(i), "/api/v1/pods");
  }
  std::size_t series = 0;
  for (const auto& family : time.runtime().metrics.collect()) {
    if (family.name.starts_with("tinf_api_")) series += family.samples.size();
  }
  EXPECT_LT(series, 20u);
}

TEST(Tokens, AreReadLineByLine) {
  const auto tokens =
      BearerTokens::parse("# who calls\nplain\n\ncsv,jane,7,\"dev, ops\"\r\nshort,joe,8\n\"a,\"\"b\",eve,9\n");
  ASSERT_TRUE(tokens) << tokens.error().message;
  EXPECT_EQ(tokens->find("plain")->user, "system:token-file");
  EXPECT_EQ(tokens->find("csv")->user, "jane");
  EXPECT_THAT(tokens->find("csv")->groups, ElementsAre("dev", "ops", "system:authenticated"));
  EXPECT_THAT(tokens->find("short")->groups, ElementsAre("system:authenticated"));
  EXPECT_EQ(tokens->find("a,\"b")->user, "eve");
  for (const auto* wrong : {"", "plai", "plain,", "csv,jane", "# who calls"}) EXPECT_EQ(tokens->find(wrong), nullptr);
  const auto said = [](const std::string& text) {
    const auto parsed = BearerTokens::parse(text);
    return parsed ? "taken" : parsed.error().message;
  };
  EXPECT_THAT(said(""), HasSubstr("has no token in it"));
  EXPECT_THAT(said("a\nb,jane\n"), HasSubstr("line 2 of the token file is neither one token nor"));
  EXPECT_THAT(said("secret,a,1,b,c\n"), Not(HasSubstr("secret")));
  EXPECT_THAT(said("x,jane,1,\"dev\n"), HasSubstr("a quote that is not closed"));
  EXPECT_THAT(said(",jane,1\n"), HasSubstr("has no token"));
  EXPECT_THAT(said("x,,1\n"), HasSubstr("names no user"));
  EXPECT_THAT(said("x\ny\nx,jane,1\n"), HasSubstr("line 3 of the token file has a token that stands there already"));
}

struct ReviewTest : ::testing::Test {
  Task<Result<std::optional<Identity>>> answer(std::string token) {
    ++asked;
    co_await time.sleep_for(1s);
    if (down) co_return Error(Code::Unavailable, "not reached");
    if (token != known) co_return std::optional<Identity>();
    co_return std::optional(Identity("jane", "", {}));
  }
  // "jane", "nobody", or the status' code.
  std::string ask(const std::string& token) {
    auto found = time.await(tokens.find(token, "10.0.0.1"));
    if (!found) return std::to_string(found.error().code);
    return *found ? (*found)->user : "nobody";
  }

  VirtualTime time;
  int asked = 0;
  bool down = false;
  std::string known = "good";
  ReviewedTokens tokens{time.runtime(), [this](std::string token) { return answer(std::move(token)); }};
};

TEST_F(ReviewTest, AYesIsRememberedForTenSecondsANoForThreeAndNoAnswerNotAtAll) {
  EXPECT_EQ(ask("good"), "jane");
  EXPECT_EQ(ask("good"), "jane");
  EXPECT_EQ(asked, 1);
  known = "other";  // It was taken back.
  time.run_for(9s);
  EXPECT_EQ(ask("good"), "jane");
  time.run_for(2s);
  EXPECT_EQ(ask("good"), "nobody");
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(ask("good"), "nobody");
  EXPECT_EQ(asked, 2);
  time.run_for(4s);
  down = true;
  EXPECT_EQ(ask("good"), "503");
  EXPECT_EQ(ask("good"), "503");
  EXPECT_EQ(asked, 4);
  EXPECT_THAT(time.log_lines().back(), Not(HasSubstr("good")));
  EXPECT_EQ(ask(std::string(17 * 1024, 'x')), "nobody") << "no such token is asked about";
  EXPECT_EQ(asked, 4);
}

TEST_F(ReviewTest, ManyWithOneTokenAreOneQuestionAndTooManyTokensWait) {
  std::vector<std::string> said;
  const auto ask_beside = [&](std::string token, std::string remote) -> Task<void> {
    auto found = co_await tokens.find(token, remote);
    said.push_back(!found ? std::to_string(found.error().code) : *found ? (*found)->user : "nobody");
  };
  for (int i = 0; i < 5; ++i) time.spawn(ask_beside("good", "10.0.0.1"));
  ASSERT_TRUE(time.run_until([&] { return said.size() == 5; }));
  EXPECT_THAT(said, ElementsAre("jane", "jane", "jane", "jane", "jane"));
  EXPECT_EQ(asked, 1);
  said.clear();
  for (int i = 0; i < 33; ++i) time.spawn(ask_beside("t" + std::to_string(i), "10.0.0." + std::to_string(i / 4)));
  ASSERT_TRUE(time.run_until([&] { return said.size() == 33; }));
  EXPECT_EQ(std::ranges::count(said, "429"), 1);
  said.clear();
  for (int i = 0; i < 6; ++i) time.spawn(ask_beside("u" + std::to_string(i), "10.0.0.1"));
  time.spawn(ask_beside("good", "10.0.0.2"));
  ASSERT_TRUE(time.run_until([&] { return said.size() == 7; }));
  EXPECT_EQ(std::ranges::count(said, "429"), 2) << "one address has room for four";
  EXPECT_EQ(std::ranges::count(said, "jane"), 1) << "and others have theirs";
  // What is remembered is bounded; who comes back is asked about anew.
  for (int i = 0; i < 5000; ++i) time.spawn(ask_beside("many" + std::to_string(i % 20) + "/" + std::to_string(i), ""));
  time.run_for(10s);
}

}  // namespace
}  // namespace tinf::api
