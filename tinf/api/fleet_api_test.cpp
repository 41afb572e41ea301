// A fleet's API, but for its last test without sockets: the copies of two clusters as kubectl and client libraries see
// them.
#include "tinf/api/fleet_api.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "tinf/api/api_server.h"
#include "tinf/api/scripted_fleet.h"

namespace tinf::api {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
constexpr std::string_view kMetadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
constexpr std::string_view kAggregated =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

TEST_F(FleetApiTest, EqualNamesInTwoClustersAreTwoObjects) {
  put("c1", "Pod", "default/web", 7);
  put("c2", "Pod", "default/web", 7);
  put("c2", "Pod", "kube-system/dns", 8);
  EXPECT_THAT(listed("/api/v1/pods"), ElementsAre("c1.default/web", "c2.default/web", "c2.kube-system/dns"));
  EXPECT_THAT(listed("/api/v1/namespaces/c2.default/pods"), ElementsAre("c2.default/web"));
  EXPECT_THAT(listed("/clusters/c2/api/v1/pods"), ElementsAre("default/web", "kube-system/dns"));
  EXPECT_THAT(listed("/clusters/c2/api/v1/namespaces/default/pods"), ElementsAre("default/web"));

  const auto of_fleet = get("/api/v1/namespaces/c2.default/pods/web");
  EXPECT_EQ(at(of_fleet, {"metadata", "namespace"}), "c2.default");
  EXPECT_EQ(at(of_fleet, {"metadata", "uid"}), "c2default/web");
  EXPECT_EQ(at(of_fleet, {"metadata", "labels", kClusterLabel}), "c2");
  EXPECT_EQ(at(of_fleet, {"metadata", "annotations", kClusterVersionAnnotation}), "7");
  EXPECT_EQ(at(of_fleet, {"metadata", "resourceVersion"}), "1002");
  const auto of_cluster = get("/clusters/c2/api/v1/namespaces/default/pods/web");
  EXPECT_EQ(at(of_cluster, {"metadata", "namespace"}), "default");
  EXPECT_EQ(at(of_cluster, {"metadata", "labels", kClusterLabel}), "c2");
  EXPECT_EQ(at(of_cluster, {"metadata", "resourceVersion"}), "1002");
  EXPECT_EQ(get("/api/v1/namespaces/c3.default/pods/web").status, 404);
  EXPECT_EQ(get("/clusters/c1/api/v1/namespaces/kube-system/pods/dns").status, 404);
}

TEST_F(FleetApiTest, ObjectsWithoutNamespaceHaveTheClusterInTheirName) {
  put("c1", "Node", "/n1.example.com");
  put("c2", "Node", "/n1.example.com");
  put("c1", "Namespace", "/default");
  EXPECT_THAT(listed("/api/v1/nodes"), ElementsAre("c1.n1.example.com", "c2.n1.example.com"));
  EXPECT_EQ(at(get("/api/v1/nodes/c2.n1.example.com"), {"metadata", "uid"}), "c2/n1.example.com");
  EXPECT_EQ(get("/api/v1/nodes/n1.example.com").status, 404);
  EXPECT_EQ(at(get("/clusters/c2/api/v1/nodes/n1.example.com"), {"metadata", "name"}), "n1.example.com");
  EXPECT_THAT(listed("/api/v1/namespaces"), ElementsAre("c1.default"));
  EXPECT_EQ(get("/api/v1/namespaces/c1.default").status, 200);
}

TEST_F(FleetApiTest, RefusesWhatWritesAndSaysWhere) {
  put("c1", "Pod", "default/web");
  for (const auto* method : {"POST", "PUT", "PATCH", "DELETE"}) {
    const auto refused = send(method, "/api/v1/namespaces/c1.default/pods/web");
    EXPECT_EQ(refused.status, 405);
    EXPECT_THAT(at(refused, {"message"}), HasSubstr("write to the cluster c1 itself, where the namespace is default"));
    EXPECT_THAT(at(send(method, "/api/v1/namespaces/c9.default/pods"), {"message"}),
                HasSubstr("before the first dot of the namespace"));
    EXPECT_THAT(at(send(method, "/clusters/c1/api/v1/namespaces/default/pods"), {"message"}),
                HasSubstr("write to the cluster c1 itself"));
  }
  EXPECT_EQ(listed("/api/v1/pods").size(), 1u);
}

TEST_F(FleetApiTest, WhoAsksForLogsIsToldWhereTheyAre) {
  put("c1", "Pod", "default/web");
  const auto missing = get("/api/v1/namespaces/c1.default/pods/web/log");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(at(missing, {"message"}),
            "there is no pods/log here, objects alone are mirrored from clusters: ask the cluster c1 itself, where the "
            "namespace is default");
  EXPECT_THAT(
      at(send("POST", "/clusters/c1/api/v1/namespaces/default/pods/web/exec"), {"message"}),
      HasSubstr("there is no pods/exec here, objects alone are mirrored from clusters: ask the cluster c1 itself"));
}

TEST_F(FleetApiTest, AnUnknownClusterIsNotFoundByName) {
  put("c1", "Pod", "default/web");
  for (const auto* path : {"/clusters/c9/api/v1/pods", "/clusters/c9/api", "/clusters/c9"}) {
    const auto missing = get(path);
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(at(missing, {"message"}), "clusters \"c9\" not found: known are c1");
    EXPECT_EQ(at(missing, {"details", "name"}), "c9");
  }
  EXPECT_EQ(get("/clusters/c1/api").status, 200);
  EXPECT_EQ(get("/clusters/").status, 404);
  EXPECT_EQ(at(get("/clusters/%ff/api"), {"message"}), "clusters \"\uFFFD\" not found: known are c1");
  EXPECT_EQ(at(get("/clusters/%ff/api"), {"details", "name"}), "\uFFFD");
  EXPECT_THAT(get("/api/v1/pods?clusters=%ff").warnings, ElementsAre("clusters \"\uFFFD\" not found: known are c1"));
}

TEST_F(FleetApiTest, SelectsByLabelsClustersAndAnyField) {
  put("c1", "Pod", "default/a", 1, R"({"app":"web"})", R"(,"spec":{"nodeName":"n1","replicas":3})");
  put("c2", "Pod", "default/a", 1, R"({"app":"web"})", R"(,"spec":{"nodeName":"n2"})");
  put("c3", "Pod", "default/b", 1, R"({"app":"db"})", R"(,"spec":{"nodeName":"n1"})");
  EXPECT_THAT(listed("/api/v1/pods?labelSelector=app=web"), ElementsAre("c1.default/a", "c2.default/a"));
  const std::string by_cluster = "/api/v1/pods?labelSelector=fleet.transport-informer.io/cluster";
  EXPECT_THAT(listed(by_cluster + "%3Dc2"), ElementsAre("c2.default/a"));
  EXPECT_THAT(listed(by_cluster + "!%3Dc2"), ElementsAre("c1.default/a", "c3.default/b"));
  EXPECT_THAT(listed(by_cluster + "+in+(c3,c2),app%3Dweb"), ElementsAre("c2.default/a"));
  EXPECT_THAT(listed(by_cluster + "%3Dc9"), IsEmpty());
  EXPECT_THAT(listed("/api/v1/pods?clusters=c3,c1"), ElementsAre("c1.default/a", "c3.default/b"));
  EXPECT_THAT(listed("/api/v1/pods?clusters=c3,c1&labelSelector=app%3Dweb"), ElementsAre("c1.default/a"));
  EXPECT_EQ(get("/api/v1/pods?clusters=c(3").status, 400);

  EXPECT_THAT(listed("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1"), ElementsAre("c1.default/a", "c3.default/b"));
  EXPECT_THAT(listed("/api/v1/pods?fieldSelector=spec.replicas%3D3"), ElementsAre("c1.default/a"));
  EXPECT_THAT(listed("/api/v1/pods?fieldSelector=metadata.name%3Da,spec.nodeName%3Dn2"), ElementsAre("c2.default/a"));
  EXPECT_THAT(listed("/api/v1/pods?fieldSelector=metadata.namespace%3Dc3.default"), ElementsAre("c3.default/b"));
  EXPECT_THAT(listed("/clusters/c3/api/v1/pods?fieldSelector=metadata.namespace%3Ddefault"), ElementsAre("default/b"));
  EXPECT_THAT(listed("/api/v1/pods?fieldSelector=metadata.resourceVersion%3D1"), IsEmpty()) << "the fleet's own counts";
}

TEST_F(FleetApiTest, PagesOverClustersAreStableWhileObjectsChange) {
  for (const auto* cluster : {"c1", "c10", "c1-a", "c2"}) {
    for (const auto* name : {"a", "b", "c"}) put(cluster, "Pod", std::string("default/") + name);
  }
  const auto all = listed("/api/v1/pods");
  ASSERT_EQ(all.size(), 12u);
  for (const auto* more : {"", "&fieldSelector=metadata.name!%3Dz", "&labelSelector=!x"}) {
    std::vector<std::string> paged;
    std::string token;
    std::string version;
    int rounds = 0;
    do {
      const auto page = get("/api/v1/pods?limit=5" + std::string(more) + (token.empty() ? "" : "&continue=" + token));
      ASSERT_EQ(page.status, 200) << page.body;
      for (const auto& name : names(page)) paged.push_back(name);
      token = at(page, {"metadata", "continue"});
      if (version.empty()) version = at(page, {"metadata", "resourceVersion"});
      EXPECT_EQ(at(page, {"metadata", "resourceVersion"}), version);
      put("c0", "Pod", "default/new" + std::to_string(rounds++));
      remove("c2", "Pod", "default/b");
    } while (token != "nothing" && rounds < 9);
    EXPECT_EQ(paged, all);
    for (int i = 0; i < rounds; ++i) remove("c0", "Pod", "default/new" + std::to_string(i));
    put("c2", "Pod", "default/b");
  }
  const auto first = get("/api/v1/pods?limit=5");
  for (int i = 0; i < 60; ++i) put("c0", "Pod", "default/x", i);
  EXPECT_EQ(get("/api/v1/pods?limit=5&continue=" + at(first, {"metadata", "continue"})).status, 410);
  EXPECT_EQ(get("/api/v1/pods?limit=5&continue=1010/default/a").status, 400);
  const auto forged = get("/api/v1/pods?continue=99999/c1.default/a");
  EXPECT_EQ(forged.status, 504);
  EXPECT_THAT(at(forged, {"message"}), HasSubstr("Too large resource version"));
}

TEST_F(FleetApiTest, ALimitThatIsNoNumberIsRefused) {
  put("c1", "Pod", "default/a");
  const auto odd = get("/api/v1/pods?limit=abc");
  EXPECT_EQ(odd.status, 400);
  EXPECT_EQ(at(odd, {"reason"}), "BadRequest");
  EXPECT_EQ(at(odd, {"message"}), "strconv.ParseInt: parsing \"abc\": invalid syntax");
  EXPECT_EQ(get("/api/v1/pods?watch=1&timeoutSeconds=x").status, 400);
  EXPECT_EQ(get("/api/v1/pods?limit=-1").status, 200) << "as if it were not there";
  EXPECT_EQ(get("/api/v1/pods?limit=").status, 200);
  EXPECT_EQ(get("/api/v1/pods?limit=0").status, 200);
}

TEST_F(FleetApiTest, WatchesAllClustersFromAVersionAndOneByItself) {
  put("c1", "Pod", "default/web", 1, R"({"app":"web"})");
  put("c2", "Node", "/n");
  (void)copy("c2", "Pod");
  auto all = get("/api/v1/pods?watch=1&resourceVersion=1000");
  EXPECT_THAT(next(all), ElementsAre("ADDED c1.default/web 1001"));
  auto one = get("/clusters/c2/api/v1/pods?watch=1&resourceVersion=1001&allowWatchBookmarks=true");
  auto chosen = get("/api/v1/namespaces/c1.default/pods?watch=1&resourceVersion=1001&labelSelector=app%3Dweb");
  put("c2", "Pod", "default/web", 5);
  put("c1", "Pod", "default/web", 2, R"({"app":"db"})");
  remove("c2", "Pod", "default/web");
  EXPECT_THAT(next(all),
              ElementsAre("ADDED c2.default/web 1003", "MODIFIED c1.default/web 1004", "DELETED c2.default/web 1005"));
  EXPECT_THAT(next(one), ElementsAre("ADDED default/web 1003", "DELETED default/web 1005"));
  EXPECT_THAT(next(chosen), ElementsAre("DELETED c1.default/web 1004")) << "it has left the selection";
  put("c1", "Pod", "default/web", 3);
  EXPECT_THAT(next(one), ElementsAre("nothing")) << "another cluster's";
  put("c1", "Node", "/n");
  EXPECT_THAT(next(one, 2min), ElementsAre("BOOKMARK / 1007"));
  EXPECT_EQ(handler.open_watches(), 3u);
  handler.cut_watches();
  next(all);
  EXPECT_THAT(next(all), ElementsAre("end"));
  auto expired = get("/api/v1/pods?watch=1&resourceVersion=999");
  EXPECT_THAT(expired.body, HasSubstr(R"("code":410)"));
}

TEST_F(FleetApiTest, StreamsAListAsAWatch) {
  put("c1", "Pod", "default/a");
  put("c2", "Pod", "default/a");
  auto watch =
      get("/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1");
  EXPECT_THAT(next(watch), ElementsAre("ADDED c1.default/a 1001", "ADDED c2.default/a 1002", "BOOKMARK / 1002"));
}

TEST_F(FleetApiTest, SendsAListThatNobodyBoundedPartByPart) {
  fill("c1", 1200);
  put("c2", "Pod", "default/last");
  EXPECT_EQ(get("/api/v1/pods?limit=1300").stream, nullptr) << "bounded by the client";
  for (const auto accept : {std::string_view(), kTable, kMetadata}) {
    auto list = get("/api/v1/pods", accept);
    ASSERT_NE(list.stream, nullptr);
    int parts = 0;
    while (auto part = time.await(list.stream->next())) {
      EXPECT_LT(part->size(), 500u * 1024);
      list.body += *part;
      if (++parts == 1) put("c2", "Pod", "default/later");
    }
    EXPECT_EQ(parts, 3);
    EXPECT_FALSE(list.stream->failed());
    const auto document = tree(list);
    const auto* items = json_at(document, {accept == kTable ? "rows" : "items"});
    ASSERT_NE(items, nullptr);
    EXPECT_EQ(items->get_array().size(), 1201u);
    remove("c2", "Pod", "default/later");
  }
}

TEST_F(FleetApiTest, PartsOfLargeObjectsHaveFewerOfThem) {
  fill("c0", 300);
  for (int i = 100; i < 140; ++i) {
    put("c1", "Pod", "default/p" + std::to_string(i), 1, "{}", R"(,"x":")" + std::string(1'000'000, 'x') + "\"");
  }
  const std::string as_watch =
      "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1";
  for (const auto* more : {"", "?fieldSelector=metadata.namespace!%3Dx", "?labelSelector=!x"}) {
    auto list = get(std::string("/api/v1/pods") + more);
    ASSERT_NE(list.stream, nullptr);
    std::vector<std::size_t> parts;
    while (auto part = time.await(list.stream->next())) {
      parts.push_back(part->size());
      list.body += *part;
    }
    EXPECT_GE(parts.size(), 5u);
    EXPECT_LT(*std::ranges::max_element(parts), 10u * 1024 * 1024);
    const auto all = names(list);
    EXPECT_EQ(all.size(), 340u);
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), 340u);
  }
  // A page ends early, and the next one begins there; in an order, too.
  for (const std::string order : {"", "&orderBy=metadata.name+desc"}) {
    std::set<std::string> paged;
    std::size_t told = 0;
    std::string token;
    for (int pages = 0; pages < 5 && token != "nothing"; ++pages) {
      const auto page = get("/api/v1/pods?limit=340" + order + (pages == 0 ? "" : "&continue=" + token));
      EXPECT_EQ(page.stream, nullptr) << "bounded by the client";
      EXPECT_LT(page.body.size(), 18u * 1024 * 1024);
      const auto all = names(page);
      told += all.size();
      paged.insert(all.begin(), all.end());
      token = at(page, {"metadata", "continue"});
    }
    EXPECT_EQ(token, "nothing");
    EXPECT_EQ(told, 340u);
    EXPECT_EQ(paged.size(), 340u);
  }
  EXPECT_EQ(get("/api/v1/pods?orderBy=metadata.name").status, 400) << "more than is put in order at once";
  auto watch = get("/api/v1/pods" + as_watch);
  std::set<std::string> told;
  for (auto events = next(watch); events.size() > 0 && told.size() < 341; events = next(watch)) {
    told.insert(events.begin(), events.end());
    if (events.back().starts_with("BOOKMARK")) break;
  }
  EXPECT_EQ(told.size(), 341u);
}

TEST_F(FleetApiTest, APageHoldsTenThousandObjectsAtMost) {
  fill("c1", 10'001);
  const auto page = get("/api/v1/pods?limit=1000000");
  EXPECT_EQ(page.stream, nullptr);
  EXPECT_EQ(names(page).size(), 10'000u);
  EXPECT_THAT(listed("/api/v1/pods?limit=1000000&continue=" + at(page, {"metadata", "continue"})),
              ElementsAre("c1.default/pod-9999"));
}

TEST_F(FleetApiTest, BreaksAListOffRatherThanEndItWithoutWhatIsMissing) {
  fill("c1", 1200);
  auto list = get("/api/v1/pods");
  ASSERT_TRUE(time.await(list.stream->next()));
  for (int i = 0; i < 60; ++i) put("c2", "Pod", "default/x", i);
  EXPECT_FALSE(time.await(list.stream->next()));
  EXPECT_TRUE(list.stream->failed()) << "its version is no longer retained";
}

TEST_F(FleetApiTest, TellsAWatchersFirstObjectsPartByPart) {
  fill("c1", 1200);
  auto watch =
      get("/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1");
  const auto last = std::to_string(store.version());
  std::vector<std::string> told;
  while (told.empty() || !told.back().starts_with("BOOKMARK")) {
    const auto events = next(watch);
    told.insert(told.end(), events.begin(), events.end());
    if (told.size() == events.size()) put("c2", "Pod", "default/later");
  }
  ASSERT_EQ(told.size(), 1201u);
  EXPECT_EQ(told.back(), "BOOKMARK / " + last);
  EXPECT_EQ(std::set<std::string>(told.begin(), told.end()).size(), 1201u);
  EXPECT_THAT(next(watch), ElementsAre(HasSubstr("ADDED c2.default/later")));
}

TEST_F(FleetApiTest, DiscoveryOffersWhatThereAreCopiesOf) {
  put("c1", "Pod", "default/a");
  put("c2", "OldWidget", "default/w");
  put("c3", "Widget", "default/w");
  clusters["c1"].offer.push_back(info("Node"));  // Offered and not followed.
  put_cluster("c1");
  const auto core = get("/api/v1");
  EXPECT_THAT(
      core.body,
      HasSubstr(
          R"("name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"],"shortNames":["po"],"categories":["all"])"));
  EXPECT_THAT(core.body, Not(HasSubstr("nodes")));
  EXPECT_THAT(get("/apis").body, HasSubstr(R"("preferredVersion":{"groupVersion":"example.com/v1","version":"v1"})"));
  EXPECT_THAT(get("/apis").body, HasSubstr("example.com/v1beta1"));
  EXPECT_THAT(get("/clusters/c2/apis").body, Not(HasSubstr("example.com/v1\"")));
  EXPECT_EQ(get("/clusters/c1/apis/example.com/v1").status, 404);
  EXPECT_EQ(get("/clusters/c1/apis/example.com/v1/widgets").status, 404);
  const auto aggregated = get("/clusters/c3/apis", kAggregated);
  EXPECT_EQ(aggregated.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_THAT(aggregated.body, HasSubstr(R"("resource":"widgets")"));
  EXPECT_THAT(get("/clusters/c3/openapi/v3").body, HasSubstr(R"("/clusters/c3/openapi/v3/apis/example.com/v1?hash=)"));
  EXPECT_EQ(get("/version").status, 200);
  EXPECT_EQ(get("/clusters/c3/version").status, 200);
}

TEST_F(FleetApiTest, AResourceThatNobodyFollowsAnyMoreIsNoLongerServed) {
  put("c1", "Pod", "default/a");
  put("c1", "Node", "/n");
  auto watch = get("/api/v1/nodes?watch=1&resourceVersion=1002");
  copies.erase({"c1", info("Node").resource});
  ASSERT_TRUE(time.await(store.forget("c1", info("Node").resource, false)));
  EXPECT_EQ(get("/api/v1/nodes").status, 404);
  EXPECT_EQ(listed("/api/v1/pods").size(), 1u);
  EXPECT_THAT(next(watch), ElementsAre("end"));
}

TEST_F(FleetApiTest, LeavesOutWhatIsHeldInAnotherVersionAndSaysSo) {
  put("c1", "OldWidget", "default/w");
  put("c2", "Widget", "default/w");
  const auto current = get("/apis/example.com/v1/widgets");
  EXPECT_THAT(names(current), ElementsAre("c2.default/w"));
  EXPECT_THAT(
      current.warnings,
      ElementsAre("1 of widgets.example.com are left out: they are held in another version than example.com/v1"));
  EXPECT_THAT(listed("/apis/example.com/v1beta1/widgets"), ElementsAre("c1.default/w"));
  put("c3", "Widget", "default/w");
  EXPECT_THAT(get("/apis/example.com/v1/widgets?limit=1").warnings, ElementsAre(HasSubstr("at least 1 of widgets")));
  remove("c3", "Widget", "default/w");
  const auto other = get("/apis/example.com/v1/namespaces/c1.default/widgets/w");
  EXPECT_EQ(other.status, 404);
  EXPECT_THAT(at(other, {"message"}), HasSubstr("held in example.com/v1beta1"));
  auto watch = get("/apis/example.com/v1/widgets?watch=1&resourceVersion=1004");
  put("c1", "OldWidget", "default/w", 2);
  put("c2", "Widget", "default/w", 2);
  EXPECT_THAT(next(watch), ElementsAre("MODIFIED c2.default/w 1006"));
}

TEST_F(FleetApiTest, WarnsOfClustersThatAreAwayAndOfNamespacesThatNameNone) {
  put("c1", "Pod", "default/a");
  put("c2", "Pod", "default/a");
  put("c3", "Node", "/n");
  EXPECT_THAT(get("/api/v1/pods").warnings, IsEmpty());
  put_cluster("c2", false);
  put_cluster("c3", false);
  EXPECT_THAT(get("/api/v1/pods").warnings, ElementsAre("what is shown of pods may be old: the cluster c2 is away"));
  EXPECT_THAT(get("/api/v1/namespaces/c2.default/pods/a").warnings.size(), 1u);
  EXPECT_THAT(get("/clusters/c2/api/v1/pods").warnings.size(), 1u);
  EXPECT_THAT(get("/api/v1/namespaces/c1.default/pods").warnings, IsEmpty());
  EXPECT_THAT(get("/clusters/c1/api/v1/pods").warnings, IsEmpty());
  EXPECT_THAT(get("/api/v1/pods?clusters=c1").warnings, IsEmpty());
  EXPECT_THAT(get("/api/v1/pods?clusters=c9,c1").warnings,
              ElementsAre("clusters \"c9\" not found: known are c1, c2, c3"));
  const auto nowhere = get("/api/v1/namespaces/default/pods");
  EXPECT_EQ(nowhere.status, 200);
  EXPECT_THAT(names(nowhere), IsEmpty());
  EXPECT_THAT(nowhere.warnings, ElementsAre("the namespace \"default\" names no cluster: write <cluster>.default, or "
                                            "ask for all namespaces"));
  EXPECT_THAT(get("/api/v1/namespaces/c9.default/pods").warnings.size(), 1u);
  EXPECT_THAT(get("/api/v1/nodes/n").warnings.size(), 1u);
}

TEST_F(FleetApiTest, FindsTheEventsOfAnObjectByTheNamesItIsToldBy) {
  put("c1", "Event", "default/e1", 1, "{}", R"(,"involvedObject":{"kind":"Pod","name":"web","namespace":"default"})");
  put("c2", "Event", "default/e1", 1, "{}", R"(,"involvedObject":{"kind":"Pod","name":"web","namespace":"default"})");
  put("c2", "Event", "default/e2", 1, "{}", R"(,"involvedObject":{"kind":"Node","name":"n"})");
  const auto by = [](const std::string& name, const std::string& in) {
    return "?fieldSelector=involvedObject.name%3D" + name + ",involvedObject.namespace%3D" + in;
  };
  EXPECT_THAT(listed("/api/v1/namespaces/c1.default/events" + by("web", "c1.default")), ElementsAre("c1.default/e1"));
  EXPECT_THAT(listed("/api/v1/events" + by("web", "c2.default")), ElementsAre("c2.default/e1"));
  EXPECT_THAT(listed("/api/v1/events" + by("c2.n", "")), ElementsAre("c2.default/e2"));
  EXPECT_THAT(listed("/clusters/c2/api/v1/events" + by("web", "default")), ElementsAre("default/e1"));
}

TEST_F(FleetApiTest, EventsThatAreNotFollowedAreAnEmptyListThatSaysSo) {
  put("c1", "Pod", "default/web");
  for (const auto* root : {"", "/clusters/c1"}) {
    for (const std::string of : {"/api/v1", "/apis/events.k8s.io/v1"}) {
      const auto none = get(root + of + "/namespaces/default/events?fieldSelector=involvedObject.name%3Dx");
      EXPECT_EQ(none.status, 200) << none.body;
      EXPECT_EQ(at(none, {"kind"}), "EventList");
      EXPECT_EQ(at(none, {"apiVersion"}), of == "/api/v1" ? "v1" : "events.k8s.io/v1");
      EXPECT_EQ(at(none, {"metadata", "resourceVersion"}), "1001");
      EXPECT_THAT(names(none), IsEmpty());
      EXPECT_THAT(none.warnings, ElementsAre("events are not followed: start the provider with --allow events"));
    }
  }
  EXPECT_EQ(at(get("/api/v1/events", kTable), {"kind"}), "Table");
  EXPECT_EQ(get("/api/v1/events", "application/yaml").status, 406);
  EXPECT_EQ(get("/api/v1/events?watch=1").status, 404);
  EXPECT_EQ(get("/api/v1/namespaces/c1.default/events/e").status, 404);
  EXPECT_THAT(get("/api/v1").body, Not(HasSubstr("events")));
  EXPECT_THAT(get("/apis").body, Not(HasSubstr("events")));
  put("c1", "Event", "default/e1");
  EXPECT_THAT(listed("/api/v1/events"), ElementsAre("c1.default/e1"));
  EXPECT_THAT(get("/api/v1/events").warnings, IsEmpty());
  EXPECT_THAT(get("/apis/events.k8s.io/v1/events").warnings, ElementsAre("events are followed as v1 alone"));
}

TEST_F(FleetApiTest, TablesHaveTheColumnsOfTheKindOrOfItsDefinition) {
  put("c1", "Pod", "default/web", 1, "{}", R"(,"status":{"phase":"Running"})");
  const auto pods = get("/api/v1/pods", kTable);
  EXPECT_THAT(pods.body, HasSubstr(R"("name":"Restarts")"));
  EXPECT_THAT(pods.body, HasSubstr(R"("cells":["web","0/0","Running")"));
  EXPECT_THAT(pods.body, HasSubstr(R"("namespace":"c1.default")"));

  put("c2", "Widget", "default/w", 1, "{}", R"(,"spec":{"size":5,"color":"red"})");
  EXPECT_THAT(get("/apis/example.com/v1/widgets", kTable).body, HasSubstr(R"("cells":["w","<unknown>"])"));
  const auto definition = [](const std::string& column) {
    return R"(,"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"widgets","kind":"Widget"},)"
           R"("versions":[{"name":"v1","served":true,"storage":true,"additionalPrinterColumns":[{"name":"X","type":"string","jsonPath":".spec.)" +
           column + R"("}]}]})";
  };
  put("c2", "CustomResourceDefinition", "/widgets.example.com", 1, "{}", definition("size"));
  EXPECT_THAT(get("/apis/example.com/v1/widgets", kTable).body, HasSubstr(R"("cells":["w","5"])"));
  put("c2", "CustomResourceDefinition", "/widgets.example.com", 2, "{}", definition("color"));
  EXPECT_THAT(get("/clusters/c2/apis/example.com/v1/widgets", kTable).body, HasSubstr(R"("cells":["w","red"])"));
  put_cluster("c7");  // The directory is read anew, and what was learnt is still known.
  EXPECT_THAT(get("/apis/example.com/v1/widgets", kTable).body, HasSubstr(R"("cells":["w","red"])"));
}

TEST_F(FleetApiTest, SchemasAreThoseOfWhatIsServedAndOfTheDefinitionsThatAreFollowed) {
  put("c1", "Pod", "default/web");
  put("c2", "Widget", "default/w");
  const auto documents = [&](const std::string& root) {
    const auto document = tree(get(root + "/openapi/v3"));
    std::map<std::string, std::string> found;
    for (const auto& [name, place] : json_at(document, {"paths"})->get_object()) {
      found[std::string(name)] = json_string_at(place, {"serverRelativeURL"});
    }
    return found;
  };
  auto known = documents("");
  EXPECT_EQ(known.size(), 2u);
  EXPECT_EQ(documents("/clusters/c1").size(), 1u);
  const auto core = get(known.at("api/v1"));
  EXPECT_THAT(core.body, HasSubstr("io.k8s.api.core.v1.PodSpec"));
  EXPECT_THAT(core.body, Not(HasSubstr("io.k8s.api.core.v1.Node\"")));
  EXPECT_THAT(core.body, Not(HasSubstr("\"patch\":")));
  EXPECT_THAT(get(known.at("apis/example.com/v1")).body, HasSubstr("No schema of this kind is known here"));

  const auto definition = [](const std::string& description) {
    return R"(,"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"widgets","kind":"Widget"},)"
           R"("versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","description":")" +
           description + R"("}}}]})";
  };
  put("c2", "CustomResourceDefinition", "/widgets.example.com", 1, "{}", definition("A toy."));
  const auto before = known.at("apis/example.com/v1");
  known = documents("");
  EXPECT_NE(known.at("apis/example.com/v1"), before);
  EXPECT_THAT(get(known.at("apis/example.com/v1")).body, HasSubstr("A toy."));
  EXPECT_THAT(get("/openapi/v2").body, HasSubstr("A toy."));
  EXPECT_THAT(get("/clusters/c1/openapi/v2").body, Not(HasSubstr("com.example.v1.Widget")));
  put("c2", "CustomResourceDefinition", "/widgets.example.com", 2, "{}", definition("A tool."));
  EXPECT_EQ(get(known.at("apis/example.com/v1")).status, 301);
  const auto of_cluster = documents("/clusters/c2").at("apis/example.com/v1");
  EXPECT_THAT(of_cluster, HasSubstr("/clusters/c2/openapi/v3/apis/example.com/v1?hash="));
  EXPECT_THAT(get(of_cluster).body, HasSubstr("A tool."));
}

TEST_F(FleetApiTest, TellsObjectsOfWhichThereIsOnlyMetadataAsOfThePathsKind) {
  const auto add = [&](const std::string& head, const std::string& name) {
    EventBatch batch;
    batch.events.push_back(WatchEvent::added(
        Object::parse("{" + head + R"(,"metadata":{"name":")" + name + R"(","namespace":"d"}})").value()));
    ASSERT_TRUE(time.await(copy("c1", "Widget").apply(std::move(batch))));
  };
  add(R"("kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1")", "a");
  add(R"("apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata")", "b");
  add(R"("kind":"PartialObjectMetadat\u0061","apiVersion":"meta.k8s.io/v1")", "odd");
  const std::string path = "/apis/example.com/v1/namespaces/c1.d/widgets";
  const auto list = get(path);
  EXPECT_THAT(names(list), ElementsAre("c1.d/a", "c1.d/b", "c1.d/odd"));
  EXPECT_THAT(list.body, HasSubstr(R"({"kind":"Widget","apiVersion":"example.com/v1","metadata":{)"));
  EXPECT_THAT(list.body, HasSubstr(R"({"apiVersion":"example.com/v1","kind":"Widget","metadata":{)"));
  EXPECT_THAT(list.warnings, IsEmpty());
  EXPECT_EQ(at(get(path + "/b"), {"kind"}), "Widget");
  EXPECT_EQ(at(get(path + "/odd"), {"kind"}), "PartialObjectMetadata") << "left as it is";
  EXPECT_EQ(at(get(path + "/a", kMetadata), {"kind"}), "PartialObjectMetadata");
  EXPECT_THAT(get(path + "?includeObject=Object", kTable).body, HasSubstr(R"("object":{"kind":"Widget")"));
  EXPECT_THAT(get(path + "?includeObject=None", kTable).body, HasSubstr(R"("object":null})"));
  EXPECT_EQ(get(path + "?includeObject=All", kTable).status, 400);
  EXPECT_EQ(get(path + "?includeObject=All").status, 200) << "it is about Tables alone";
  auto watch = get(path + "?watch=1");
  EXPECT_THAT(time.await(watch.stream->next()).value_or(""),
              HasSubstr(R"({"type":"ADDED","object":{"kind":"Widget","apiVersion":"example.com/v1")"));
}

TEST_F(FleetApiTest, WaitsForAVersionAsAKubeApiServerDoes) {
  put("c1", "Pod", "default/a");
  EXPECT_EQ(get("/api/v1/pods?resourceVersion=1001").status, 200);
  EXPECT_EQ(get("/api/v1/pods?resourceVersion=2000").status, 504);
  EXPECT_EQ(get("/api/v1/pods?resourceVersion=1000&resourceVersionMatch=Exact").status, 200);
  EXPECT_EQ(get("/api/v1/pods?resourceVersion=999&resourceVersionMatch=Exact").status, 410);
}

// A list of 12 MB, as one answer and as a stream, of which a client takes up to 128 KiB a second.
TEST_F(FleetApiTest, ASteadyClientMayTakeItsTime) {
  for (int i = 0; i < 12; ++i) {
    put("c1", "Pod", "default/p" + std::to_string(i), 1, "{}", R"(,"x":")" + std::string(1'000'000, 'x') + "\"");
  }
  fill("c2", 600);
  ApiOptions options;
  options.write_timeout = 20s;
  for (const bool streams : {false, true}) {
    ApiServer server(time.runtime(), store, options);
    ASSERT_TRUE(time.await(server.listen()));
    TaskGroup group(time.runtime().executor);
    group.spawn(server.run());
    std::size_t received = 0;
    const auto take = [&]() -> Task<boost::system::error_code> {
      asio::ip::tcp::socket socket(time.runtime().executor);
      socket.open(asio::ip::tcp::v4());
      socket.set_option(asio::socket_base::receive_buffer_size(64 * 1024));
      const asio::ip::tcp::endpoint to(asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(server.port()));
      co_await socket.async_connect(to, asio::use_awaitable);
      const std::string request = std::string("GET /api/v1/pods") + (streams ? "" : "?limit=1000") +
                                  " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
      co_await asio::async_write(socket, asio::buffer(request), asio::use_awaitable);
      socket.non_blocking(true);
      std::vector<char> some(128 * 1024);
      boost::system::error_code failure;
      while (!failure) {
        received += socket.read_some(asio::buffer(some), failure);
        if (failure == asio::error::would_block) failure.clear();
        std::this_thread::sleep_for(1ms);  // The kernel knows nothing of virtual time.
        co_await time.sleep_for(1s);
      }
      co_return failure;
    };
    const TimePoint began = time.now();
    EXPECT_EQ(time.await(take()), asio::error::eof);
    EXPECT_GT(received, 12'000'000u);
    EXPECT_GT(time.now() - began, 2 * options.write_timeout) << "this client is too fast to show anything";
    group.cancel();
    time.run_for(1s);
  }
}

TEST_F(FleetApiTest, BeforeAnythingIsThereNothingIsSaidToBeMissing) {
  for (const auto* path :
       {"/api/v1/pods", "/api/v1/pods?watch=1", "/api/v1/namespaces/c1.default/pods/a", "/clusters/c1/api/v1/pods"}) {
    const auto early = get(path);
    EXPECT_EQ(early.status, 503) << path;
    EXPECT_EQ(early.retry_after_seconds, 1) << path;
  }
  EXPECT_EQ(get("/apis").status, 200);
  put_cluster("c1");
  EXPECT_EQ(get("/clusters/c1/api/v1/pods").status, 503) << "known, but none of its copies is begun";
  put("c1", "Pod", "default/a");
  EXPECT_EQ(get("/api/v1/pods").status, 200);
  EXPECT_EQ(get("/api/v1/nodes").status, 404);
  EXPECT_EQ(get("/clusters/c2/api/v1/pods").status, 404);
}

TEST_F(FleetApiTest, WhoComesWithoutAPathIsTold) {
  put("c1", "Pod", "default/a");
  for (const auto* path : {"/", "/clusters/c1", "/clusters/c1/"}) {
    EXPECT_THAT(get(path).body, ::testing::StartsWith(R"({"paths":["/api","/api/v1","/apis",)")) << path;
  }
}

TEST_F(FleetApiTest, WhatIsNotFalseIsTrue) {
  put("c1", "Pod", "default/a");
  for (const auto* yes : {"1", "true", "x", ""}) {
    EXPECT_NE(get("/api/v1/pods?watch=" + std::string(yes)).stream, nullptr) << yes;
  }
  for (const auto* no : {"0", "false", "False"}) {
    EXPECT_EQ(get("/api/v1/pods?watch=" + std::string(no)).stream, nullptr) << no;
  }
}

TEST_F(FleetApiTest, HealthIsToldBelowAClustersPathToo) {
  for (const auto* path : {"/clusters/c1/livez", "/clusters/c1/readyz?verbose", "/clusters/unheard/healthz"}) {
    EXPECT_EQ(get(path).status, 200) << path;
    EXPECT_EQ(get(path).body, "ok") << path;
  }
  EXPECT_EQ(send("POST", "/clusters/c1/livez").status, 405);
  EXPECT_EQ(get("/clusters/livez").status, 404);
}

}  // namespace
}  // namespace tinf::api
