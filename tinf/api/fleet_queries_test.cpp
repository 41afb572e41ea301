// What a fleet's API answers beyond a kube-apiserver: search, owners, orders, older versions.
#include <boost/asio/post.hpp>

#include "tinf/api/scripted_fleet.h"

namespace tinf::api {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
constexpr std::string_view kMetadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

struct FleetQueriesTest : FleetApiTest {
  // Of pages of two, while the objects go and others come.
  std::vector<std::string> paged(const std::string& target) {
    std::vector<std::string> all;
    std::string token;
    for (int pages = 0; pages < 20; ++pages) {
      const auto page = get(target + "&limit=2" + (token.empty() ? "" : "&continue=" + token));
      EXPECT_EQ(page.status, 200) << page.body;
      for (const auto& name : names(page)) all.push_back(name);
      token = at(page, {"metadata", "continue"});
      if (token == "nothing") return all;
      put("c1", "Pod", "default/new" + std::to_string(pages), 1, R"({"app":"web"})", R"(,"spec":{"n":0})");
      remove("c1", "Pod", "default/a");
    }
    ADD_FAILURE() << "the pages have no end";
    return all;
  }
  std::string refusal(const std::string& target) {
    const auto response = get(target);
    EXPECT_EQ(response.status, 400) << target;
    return at(response, {"message"});
  }
};

TEST_F(FleetQueriesTest, FindsByTextOnAllPathsInAllFormsAndWithSelectors) {
  put("c1", "Pod", "shop/web-1", 1, R"({"tier":"front"})");
  put("c1", "Pod", "default/db", 1, R"({"app":"Shop"})", R"(,"spec":{"nodeName":"n1"})");
  put("c2", "Pod", "shop/db", 1, "{}", R"(,"spec":{"nodeName":"n1"})");
  put("c2", "Pod", "default/x");
  EXPECT_THAT(listed("/api/v1/pods?search=SHOP"), ElementsAre("c1.default/db", "c1.shop/web-1", "c2.shop/db"));
  EXPECT_THAT(listed("/api/v1/pods?search=shop&fieldSelector=spec.nodeName%3Dn1"),
              ElementsAre("c1.default/db", "c2.shop/db"));
  EXPECT_THAT(listed("/api/v1/pods?search=shop&labelSelector=app"), ElementsAre("c1.default/db"));
  EXPECT_THAT(listed("/api/v1/pods?search=shop&clusters=c2"), ElementsAre("c2.shop/db"));
  EXPECT_THAT(listed("/api/v1/namespaces/c1.shop/pods?search=shop"), ElementsAre("c1.shop/web-1"));
  EXPECT_THAT(listed("/clusters/c2/api/v1/pods?search=shop"), ElementsAre("shop/db"));
  EXPECT_THAT(listed("/api/v1/pods?search=c2"), IsEmpty()) << "objects are searched as their clusters have them";
  EXPECT_EQ(listed("/api/v1/pods?search=").size(), 4u);
  EXPECT_THAT(get("/api/v1/pods?search=web-1", kTable).body, HasSubstr(R"("rows":[{"cells":["web-1")"));
  EXPECT_THAT(names(get("/api/v1/pods?search=front", kMetadata)), ElementsAre("c1.shop/web-1"));
  EXPECT_THAT(refusal("/api/v1/pods?search=" + std::string(400, 'a')), HasSubstr("search: 400 bytes"));
}

TEST_F(FleetQueriesTest, ASelectorAsksSoMuchAndNoMore) {
  put("c1", "Pod", "default/a");
  const auto many = [](const std::string& name, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + name + std::to_string(i) + "!%3Dx";
    return text;
  };
  EXPECT_EQ(listed("/api/v1/pods?fieldSelector=" + many("spec.f", 32)).size(), 1u);
  EXPECT_THAT(refusal("/api/v1/pods?fieldSelector=" + many("spec.f", 33)),
              HasSubstr("fieldSelector: 33 requirements are too many: at most 32"));
  EXPECT_THAT(refusal("/api/v1/pods?watch=1&fieldSelector=" + many("spec.f", 33)), HasSubstr("at most 32"));
  EXPECT_EQ(listed("/api/v1/pods?labelSelector=" + many("l", 63) + ",app+notin+(a,b,c)").size(), 1u);
  EXPECT_THAT(refusal("/api/v1/pods?labelSelector=" + many("l", 65)),
              HasSubstr("labelSelector: 65 requirements are too many: at most 64"));
  std::string clusters = "c1,c1,c1";
  for (int i = 0; i < 999; ++i) clusters += ",x" + std::to_string(i);
  const auto some = get("/api/v1/pods?clusters=" + clusters);
  EXPECT_EQ(names(some).size(), 1u);
  EXPECT_EQ(some.warnings.size(), 6u);
  EXPECT_THAT(refusal("/api/v1/pods?clusters=c2," + clusters), HasSubstr("clusters: 1001 names are too many"));
}

TEST_F(FleetQueriesTest, FindsWhatAnObjectOwns) {
  const auto own = [&](const std::string& cluster, const std::string& name, const std::string& uid) {
    EventBatch batch;
    batch.events.push_back(WatchEvent::modified(
        Object::parse(R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":")" + name +
                      R"(","namespace":"default","ownerReferences":[{"kind":"ReplicaSet","uid":")" + uid + R"("}]}})")
            .value()));
    ASSERT_TRUE(time.await(copy(cluster, "Pod").apply(std::move(batch))));
  };
  own("c1", "a", "u1");
  own("c2", "b", "u1");
  own("c2", "c", "u2");
  EXPECT_THAT(listed("/api/v1/pods?owner=u1"), ElementsAre("c1.default/a", "c2.default/b"));
  EXPECT_THAT(listed("/clusters/c2/api/v1/pods?owner=u1"), ElementsAre("default/b"));
  EXPECT_THAT(listed("/api/v1/pods?owner=u3"), IsEmpty());
  EXPECT_THAT(refusal("/api/v1/pods?owner=ReplicaSet/web"), HasSubstr("owner: \"ReplicaSet/web\" is no uid"));
}

TEST_F(FleetQueriesTest, WatchesWhatIsFoundAndOneClusterByItself) {
  put("c1", "Pod", "default/a", 1, R"({"app":"web"})");
  put("c2", "Pod", "default/a", 1, R"({"app":"web"})");
  const std::string from = "?watch=1&resourceVersion=1002";
  auto found = get("/api/v1/pods" + from + "&search=WEB");
  auto of_one = get("/api/v1/pods" + from + "&clusters=c2&search=web");
  auto initial = get("/api/v1/pods?watch=1&search=web&owner=nobody");
  put("c1", "Pod", "default/a", 2, R"({"app":"web","x":"y"})");
  put("c1", "Pod", "default/a", 3, R"({"app":"db"})");
  put("c1", "Pod", "default/a", 4, R"({"app":"db","x":"y"})");
  put("c2", "Pod", "default/b", 5);
  put("c2", "Pod", "default/b", 6, R"({"web":""})");
  remove("c2", "Pod", "default/b");
  EXPECT_THAT(next(found), ElementsAre("MODIFIED c1.default/a 1003", "DELETED c1.default/a 1004",
                                       "ADDED c2.default/b 1007", "DELETED c2.default/b 1008"));
  EXPECT_THAT(next(of_one), ElementsAre("ADDED c2.default/b 1007", "DELETED c2.default/b 1008"));
  EXPECT_THAT(next(initial), ElementsAre("nothing"));
  EXPECT_THAT(next(found), ElementsAre("nothing"));
  EXPECT_THAT(refusal("/api/v1/pods?watch=1&search=" + std::string(400, 'a')), HasSubstr("search: "));
  EXPECT_THAT(refusal("/api/v1/pods?watch=1&orderBy=metadata.name"), HasSubstr("orderBy: a watch"));
}

TEST_F(FleetQueriesTest, AFormerStateThatCannotBeReadEndsAWatchRatherThanBePassedOver) {
  const auto write = [&](WatchEvent event) {
    EventBatch batch;
    batch.events.push_back(std::move(event));
    ASSERT_TRUE(time.await(copy("c1", "Pod").apply(std::move(batch))));
  };
  // Without a uid, as what stands for an object that was damaged has none.
  const auto readable = [](const std::string& labels) {
    return Object::parse(R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"default","labels":)" +
                         labels + "}}")
        .value();
  };
  (void)copy("c2", "Pod");
  write(WatchEvent::added(readable("{}")));
  const std::string watch = "api/v1/pods?watch=1&resourceVersion=" + std::to_string(store.version());
  auto all = get("/" + watch);
  auto found = get("/" + watch + "&search=a");
  auto of_another = get("/clusters/c2/" + watch);
  write(WatchEvent::modified(Object::of_key("default", "a")));
  EXPECT_THAT(next(all), ElementsAre("nothing")) << "what it is repaired to is a change of its own";
  write(WatchEvent::modified(readable(R"({"b":"c"})")));
  auto late = get("/" + watch);
  for (auto* each : {&all, &found, &late}) {
    EXPECT_THAT(next(*each), ElementsAre("ERROR / "));
    EXPECT_THAT(next(*each), ElementsAre("end"));
  }
  EXPECT_THAT(next(of_another), ElementsAre("nothing"));
  EXPECT_THAT(listed("/api/v1/pods"), ElementsAre("c1.default/a"));

  auto deleted = get("/api/v1/pods?watch=1&resourceVersion=" + std::to_string(store.version()));
  write(WatchEvent::modified(Object::of_key("default", "a")));
  remove("c1", "Pod", "default/a");
  EXPECT_THAT(next(deleted), ElementsAre("ERROR / "));
}

TEST_F(FleetQueriesTest, FindsThePodsOfANodeByTheNameThatTheNodeHasHere) {
  put("c1", "Pod", "default/a", 1, "{}", R"(,"spec":{"nodeName":"n"},"status":{"phase":"Running"})");
  put("c1", "Pod", "default/done", 1, "{}", R"(,"spec":{"nodeName":"n"},"status":{"phase":"Failed"})");
  put("c2", "Pod", "default/a", 1, "{}", R"(,"spec":{"nodeName":"n"})");
  put("c2", "Pod", "default/b", 1, "{}", R"(,"spec":{"nodeName":"n.example.com"})");
  const std::string of_node = "/api/v1/pods?fieldSelector=spec.nodeName%3D";
  EXPECT_THAT(listed(of_node + "c1.n,status.phase!%3DFailed"), ElementsAre("c1.default/a"));
  EXPECT_THAT(listed(of_node + "c2.n.example.com"), ElementsAre("c2.default/b"));
  EXPECT_THAT(listed(of_node + "n.example.com"), ElementsAre("c2.default/b")) << "as the cluster names it";
  EXPECT_EQ(listed(of_node + "n").size(), 3u);
  EXPECT_THAT(listed(of_node + "c3.n"), IsEmpty());
  EXPECT_THAT(listed(of_node + "c1.n&clusters=c2"), IsEmpty());
  EXPECT_THAT(listed("/clusters/c1/api/v1/pods?fieldSelector=spec.nodeName%3Dc1.n"), IsEmpty());
  auto watch = get("/api/v1/pods?watch=1&resourceVersion=1004&fieldSelector=spec.nodeName%3Dc2.n");
  put("c1", "Pod", "default/a", 2, "{}", R"(,"spec":{"nodeName":"n"})");
  put("c2", "Pod", "default/a", 2, "{}", R"(,"spec":{"nodeName":"n"})");
  EXPECT_THAT(next(watch), ElementsAre("MODIFIED c2.default/a 1006"));
}

TEST_F(FleetQueriesTest, ListsInTheOrderOfFields) {
  put("c1", "Pod", "default/a", 1, "{}", R"(,"spec":{"n":10,"t":"b","on":true})");
  put("c1", "Pod", "default/b", 1, "{}", R"(,"spec":{"n":9.5,"t":"b","on":false})");
  put("c2", "Pod", "default/a", 1, R"({"app":"x"})", R"(,"spec":{"n":-1,"t":"B"})");
  put("c2", "Pod", "default/c", 1, R"({"app":"x"})", R"(,"spec":{"n":"text","t":{"is":"no scalar"}})");
  put("c3", "Pod", "default/a", 1, R"({"a.b/c":"z"})", R"(,"spec":{"n":9007199254740993})");
  put("c3", "Pod", "default/b", 1, R"({"a.b/c":"y"})", R"(,"spec":{"n":9007199254740992})");
  EXPECT_THAT(listed("/api/v1/pods?orderBy=spec.n"), ElementsAre("c2.default/a", "c1.default/b", "c1.default/a",
                                                                 "c3.default/b", "c3.default/a", "c2.default/c"));
  EXPECT_THAT(listed("/api/v1/pods?orderBy=spec.n+desc"), ElementsAre("c2.default/c", "c3.default/a", "c3.default/b",
                                                                      "c1.default/a", "c1.default/b", "c2.default/a"));
  EXPECT_THAT(
      listed("/api/v1/pods?orderBy=spec.t+desc,spec.n"),
      ElementsAre("c1.default/b", "c1.default/a", "c2.default/a", "c3.default/b", "c3.default/a", "c2.default/c"))
      << "what is missing, or no scalar, is last";
  EXPECT_THAT(listed("/api/v1/pods?orderBy=spec.on,metadata.name+desc&clusters=c1,c2"),
              ElementsAre("c1.default/b", "c1.default/a", "c2.default/c", "c2.default/a"));
  EXPECT_THAT(listed("/api/v1/pods?orderBy=/metadata/labels/a.b~1c+asc&clusters=c3"),
              ElementsAre("c3.default/b", "c3.default/a"));
  EXPECT_THAT(listed("/api/v1/pods?orderBy=spec.nothing&labelSelector=app"),
              ElementsAre("c2.default/a", "c2.default/c"));
  EXPECT_THAT(listed("/clusters/c1/api/v1/pods?orderBy=spec.n"), ElementsAre("default/b", "default/a"));
  EXPECT_THAT(listed("/api/v1/namespaces/c1.default/pods?orderBy=spec.n&search=A"),
              ElementsAre("c1.default/b", "c1.default/a"));
  EXPECT_THAT(get("/api/v1/pods?orderBy=spec.n&limit=1", kTable).body, HasSubstr(R"("rows":[{"cells":["a")"));
  EXPECT_THAT(names(get("/api/v1/pods?orderBy=spec.n&limit=1", kMetadata)), ElementsAre("c2.default/a"));
}

TEST_F(FleetQueriesTest, OrdersTimesToTheLastDigit) {
  for (const auto& [name, time_text] :
       {std::pair("a", "2024-01-02T03:04:05.5Z"), std::pair("b", "2024-01-02T03:04:05Z"),
        std::pair("c", "2024-01-02T03:04:05.50001Z"), std::pair("d", "2023-12-31T23:59:59.999999Z"),
        std::pair("e", "2024-01-02T03:04:05.000000Z")})
    put("c1", "Pod", std::string("default/") + name, 1, "{}", R"(,"at":")" + std::string(time_text) + "\"");
  EXPECT_THAT(listed("/clusters/c1/api/v1/pods?orderBy=at"),
              ElementsAre("default/d", "default/b", "default/e", "default/a", "default/c"));
}

TEST_F(FleetQueriesTest, PagesInAnOrderAreStableWhileObjectsChange) {
  int n = 0;
  for (const auto* cluster : {"c1", "c1-a", "c2"}) {
    for (const auto* name : {"a", "b", "c"}) {
      const std::string spec =
          n % 4 == 3 ? "{}"
                     : R"({"n":)" + std::to_string(n * 7 % 3) + R"(,"t":"é/+\"?)" + std::to_string(n % 2) + "\"}";
      put(cluster, "Pod", std::string("default/") + name, 1, R"({"app":"web"})", R"(,"spec":)" + spec);
      ++n;
    }
  }
  for (const auto* target :
       {"/api/v1/pods?orderBy=spec.n", "/api/v1/pods?orderBy=spec.n+desc,spec.t", "/api/v1/pods?orderBy=spec.t+desc",
        "/api/v1/pods?orderBy=spec.nothing", "/api/v1/pods?orderBy=spec.n&search=web"}) {
    const auto whole = listed(target);
    EXPECT_GE(whole.size(), 9u);
    EXPECT_EQ(paged(target), whole) << target;
    put("c1", "Pod", "default/a", 1, R"({"app":"web"})", R"(,"spec":{"n":1})");
  }
}

TEST_F(FleetQueriesTest, SaysHowManyComeBehindAPageInAnOrder) {
  fill("c1", 5);
  const auto page = get("/api/v1/pods?orderBy=metadata.name+desc&limit=2");
  EXPECT_THAT(names(page), ElementsAre("c1.default/pod-4", "c1.default/pod-3"));
  EXPECT_EQ(at(page, {"metadata", "remainingItemCount"}), "3");
  EXPECT_EQ(at(get("/api/v1/pods?orderBy=metadata.name&limit=2&labelSelector=!x"), {"metadata", "remainingItemCount"}),
            "nothing")
      << "as a kube-apiserver where some are selected";
}

TEST_F(FleetQueriesTest, SaysHowManyComeBehindAPageWhereAKubeApiServerWould) {
  fill("c1", 700);
  fill("c2", 600);
  std::vector<std::string> said;
  std::string token;
  do {
    const auto page = get("/api/v1/pods?limit=550" + (token.empty() ? "" : "&continue=" + token));
    said.push_back(at(page, {"metadata", "remainingItemCount"}));
    token = at(page, {"metadata", "continue"});
    put("c2", "Pod", "default/new", 1);
  } while (token != "nothing");
  EXPECT_THAT(said, ElementsAre("750", "200", "nothing"));
  EXPECT_EQ(at(get("/clusters/c1/api/v1/pods?limit=1"), {"metadata", "remainingItemCount"}), "699");
  for (const std::string chosen : {"labelSelector=!x", "fieldSelector=metadata.name!%3Dx", "search=pod", "clusters=c1"})
    EXPECT_EQ(at(get("/api/v1/pods?limit=1&" + chosen), {"metadata", "remainingItemCount"}), "nothing") << chosen;
}

TEST_F(FleetQueriesTest, ALimitMeansNothingToAWatchAndIsANumberAllTheSame) {
  put("c1", "Pod", "default/a");
  put("c1", "Pod", "default/b");
  for (const std::string limit : {"1", "-1", "0", ""}) {
    auto watch = get("/api/v1/pods?watch=1&resourceVersion=1000&limit=" + limit);
    EXPECT_EQ(next(watch).size(), 2u) << limit;
  }
  EXPECT_EQ(refusal("/api/v1/pods?watch=1&limit=abc"), "strconv.ParseInt: parsing \"abc\": invalid syntax");
  EXPECT_EQ(refusal("/api/v1/pods?watch=1&timeoutSeconds=-"), "strconv.ParseInt: parsing \"-\": invalid syntax");
}

TEST_F(FleetQueriesTest, RefusesAnOrderOfMoreThanItHoldsAtOnce) {
  fill("c1", 10'001);
  EXPECT_THAT(refusal("/api/v1/pods?orderBy=metadata.name"),
              HasSubstr("orderBy: 10001 objects are selected, and at most 10000"));
  EXPECT_EQ(listed("/api/v1/pods?orderBy=metadata.name&limit=3").size(), 3u);
  EXPECT_EQ(listed("/api/v1/pods?orderBy=metadata.name&limit=20000").size(), 10'000u);
  EXPECT_EQ(listed("/api/v1/pods?orderBy=metadata.name&search=pod-99").size(), 111u);
}

TEST_F(FleetQueriesTest, OthersHaveTheirTurnWhileMuchIsReadAndWritten) {
  fill("c1", 3000);
  const auto turns_during = [&](const std::string& target, std::string_view accept) {
    std::size_t turns = 0;
    bool done = false;
    const auto take_turns = [&]() -> Task<void> {
      while (!done) {
        ++turns;
        co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
      }
    };
    TaskGroup others(time.runtime().executor);
    others.spawn(take_turns());
    EXPECT_EQ(get(target, accept).status, 200);
    done = true;
    time.run_for(Duration::zero());
    return turns;
  };
  EXPECT_GE(turns_during("/api/v1/pods?orderBy=metadata.name+desc&limit=1", ""), 6u) << "500 are read at once";
  EXPECT_GE(turns_during("/api/v1/pods?limit=3000", kTable), 30u) << "100 are written at once";
}

TEST_F(FleetQueriesTest, RefusesWhatIsNoOrder) {
  put("c1", "Pod", "default/a");
  put("c1", "Pod", "default/b");
  for (const std::string odd : {"a+up", "a+asc+b", ",a", "a,", ".a", "a..b", "a.", "+", "a,b,c,d,e,f,g,h,i"})
    EXPECT_THAT(refusal("/api/v1/pods?orderBy=" + odd), HasSubstr("orderBy=")) << odd;
  const auto token = at(get("/api/v1/pods?limit=1&orderBy=metadata.name"), {"metadata", "continue"});
  const auto by_place = at(get("/api/v1/pods?limit=1"), {"metadata", "continue"});
  EXPECT_EQ(get("/api/v1/pods?limit=1&orderBy=metadata.name&continue=" + token).status, 200);
  for (const auto& odd : {"continue=" + token, "orderBy=a,b&continue=" + token,
                          "orderBy=metadata.name&continue=" + by_place, "orderBy=metadata.name&continue=" + token + "A",
                          std::string("orderBy=metadata.name&continue=1001/c1.default/a//!"),
                          "orderBy=metadata.name&continue=" + token + "/more"})
    EXPECT_THAT(refusal("/api/v1/pods?limit=1&" + odd), HasSubstr("continue key is not valid")) << odd;
}

TEST_F(FleetQueriesTest, ListsWhatTheFleetLookedLike) {
  put("c1", "Pod", "default/a", 1, R"({"app":"web"})", R"(,"spec":{"n":2})");
  put("c2", "Pod", "default/a", 1, R"({"app":"web"})", R"(,"spec":{"n":1})");
  put("c2", "Pod", "default/b", 1);
  const std::string then =
      "resourceVersion=" + at(get("/api/v1/pods"), {"metadata", "resourceVersion"}) + "&resourceVersionMatch=Exact";
  remove("c2", "Pod", "default/a");
  put("c1", "Pod", "default/a", 2, R"({"app":"db"})");
  put("c3", "Pod", "default/a", 1, R"({"app":"web"})");
  EXPECT_THAT(listed("/api/v1/pods"), ElementsAre("c1.default/a", "c2.default/b", "c3.default/a"));
  EXPECT_THAT(listed("/api/v1/pods?" + then), ElementsAre("c1.default/a", "c2.default/a", "c2.default/b"));
  EXPECT_THAT(listed("/api/v1/pods?search=web&" + then), ElementsAre("c1.default/a", "c2.default/a"));
  EXPECT_THAT(listed("/api/v1/pods?orderBy=spec.n&labelSelector=app&" + then),
              ElementsAre("c2.default/a", "c1.default/a"));
  EXPECT_THAT(listed("/clusters/c2/api/v1/pods?" + then), ElementsAre("default/a", "default/b"));
  const auto page = get("/api/v1/pods?limit=2&" + then);
  EXPECT_THAT(names(page), ElementsAre("c1.default/a", "c2.default/a"));
  EXPECT_THAT(listed("/api/v1/pods?limit=2&continue=" + at(page, {"metadata", "continue"})),
              ElementsAre("c2.default/b"));
  for (int i = 0; i < 60; ++i) put("c3", "Pod", "default/x", i);
  const auto gone = get("/api/v1/pods?" + then);
  EXPECT_EQ(gone.status, 410);
  EXPECT_EQ(at(gone, {"reason"}), "Expired");
}

}  // namespace
}  // namespace tinf::api
