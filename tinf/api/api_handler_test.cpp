// The API without sockets: what a client sends and what it gets, on the memory store and virtual time.
#include "tinf/api/api_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/api/read_api.h"
#include "tinf/patch/json.h"
#include "tinf/store/versioned_memory/versioned_memory_store.h"
#include "tinf/testing/virtual_time.h"

namespace tinf::api {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using tinf::testing::VirtualTime;

constexpr std::string_view kMaps = "/api/v1/namespaces/default/configmaps";
constexpr std::string_view kDefinition =
    R"({"metadata":{"name":"widgets.example.com"},"spec":{"group":"example.com","scope":"Namespaced",)"
    R"("names":{"plural":"widgets","kind":"Widget","shortNames":["wd"]},"versions":[{"name":"v1","served":true,"storage":true,)"
    R"("subresources":{"status":{}},"additionalPrinterColumns":[{"name":"Size","type":"integer","jsonPath":".spec.size"}]}]}})";
constexpr std::string_view kTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

struct ApiHandlerTest : ::testing::Test {
  VirtualTime time;
  VersionedMemoryStore store{time};
  HandlerOptions options;
  std::optional<ApiHandler> made;

  ApiHandler& handler() {
    if (!made) {
      made.emplace(time.runtime(), store, options);
      EXPECT_TRUE(time.await(made->start()));
    }
    return *made;
  }

  ApiResponse send(std::string_view method, std::string target, std::string_view body = "",
                   std::string_view content_type = "application/json", std::string_view accept = "") {
    ApiRequest request;
    request.method = method;
    request.target = std::move(target);
    request.body = body;
    request.content_type = content_type;
    request.accept = accept;
    request.from_loopback = true;
    return time.await(handler().handle(request));
  }
  ApiResponse get(std::string target, std::string_view accept = "") {
    return send("GET", std::move(target), "", "", accept);
  }
  ApiResponse post(std::string_view target, std::string_view body) { return send("POST", std::string(target), body); }

  ApiResponse make_map(const std::string& name, const std::string& labels = "{}") {
    return post(kMaps, R"({"metadata":{"name":")" + name + R"(","labels":)" + labels + R"(},"data":{"k":"v"}})");
  }

  static boost::json::value tree(const ApiResponse& response) {
    auto parsed = parse_json(response.body);
    EXPECT_TRUE(parsed) << response.body;
    return parsed ? *parsed : boost::json::value();
  }
  static std::string at(const ApiResponse& response, std::initializer_list<std::string_view> path) {
    const auto document = tree(response);
    const auto* value = json_at(document, path);
    return value == nullptr ? "nothing" : value->is_string() ? std::string(value->get_string()) : json_text(*value);
  }
  static std::string names(const ApiResponse& response) {
    std::string all;
    const auto document = tree(response);
    for (const auto& item : json_at(document, {"items"})->get_array())
      all += std::string(json_string_at(item, {"metadata", "name"})) + " ";
    return all;
  }
  std::string version() {
    (void)handler();  // Which makes the first namespaces.
    return std::to_string(store.version());
  }

  // The next lines of a watch; "end" at its end, "nothing" if none come within `patience`.
  std::string next(ApiResponse& response, Duration patience = 1s) {
    std::optional<std::optional<std::string>> piece;
    const auto read = [&]() -> Task<void> { piece.emplace(co_await response.stream->next()); };
    TaskGroup group(time.runtime().executor);
    group.spawn(read());
    if (!time.run_until([&] { return piece.has_value(); }, patience)) {
      group.cancel();
      time.run_for(0s);
      return "nothing";
    }
    return piece->value_or("end");
  }
};

TEST_F(ApiHandlerTest, CreateFillsInWhatTheServerOwns) {
  const auto made = make_map("a");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(at(made, {"kind"}), "ConfigMap");
  EXPECT_EQ(at(made, {"apiVersion"}), "v1");
  EXPECT_EQ(at(made, {"metadata", "namespace"}), "default");
  EXPECT_EQ(at(made, {"metadata", "uid"}).size(), 36u);
  EXPECT_EQ(at(made, {"metadata", "resourceVersion"}), version());
  EXPECT_THAT(at(made, {"metadata", "creationTimestamp"}), HasSubstr("T"));
  EXPECT_EQ(get(std::string(kMaps) + "/a").body, made.body) << "stored bytes are served as they are";
}

TEST_F(ApiHandlerTest, CreateRefusesInKubernetesWords) {
  make_map("a");
  const auto twice = make_map("a");
  EXPECT_EQ(twice.status, 409);
  EXPECT_EQ(at(twice, {"reason"}), "AlreadyExists");
  EXPECT_EQ(at(twice, {"message"}), "configmaps \"a\" already exists");
  EXPECT_EQ(at(twice, {"details", "kind"}), "configmaps");
  const auto nowhere = post("/api/v1/namespaces/no/configmaps", R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(nowhere.status, 404);
  EXPECT_EQ(at(nowhere, {"message"}), "namespaces \"no\" not found");
  const auto nameless = post(kMaps, "{}");
  EXPECT_EQ(nameless.status, 422);
  EXPECT_THAT(nameless.body, HasSubstr(R"("field":"metadata.name")"));
  EXPECT_EQ(post(kMaps, R"({"metadata":{"name":"Upper"}})").status, 422);
  EXPECT_EQ(post(kMaps, R"({"kind":"Secret","metadata":{"name":"a"}})").status, 400);
  EXPECT_EQ(post(kMaps, R"({"metadata":{"name":"b","namespace":"other"}})").status, 400);
  EXPECT_EQ(post(kMaps, R"({"metadata":{"name":"b","labels":{"a":1}}})").status, 400);
  EXPECT_EQ(post(kMaps, "not json").status, 400);
  EXPECT_EQ(send("POST", std::string(kMaps), "x", "text/html").status, 415);
  EXPECT_EQ(post("/api/v1/configmaps", R"({"metadata":{"name":"b"}})").status, 405);
  EXPECT_EQ(get("/apis/none/v1/things").status, 404);
  EXPECT_EQ(at(get(std::string(kMaps) + "/zz"), {"message"}), "configmaps \"zz\" not found");
}

TEST_F(ApiHandlerTest, GenerateNameMakesNames) {
  const auto made = post(kMaps, R"({"metadata":{"generateName":"job-"}})");
  EXPECT_EQ(at(made, {"metadata", "name"}).size(), 9u);
  EXPECT_THAT(at(made, {"metadata", "name"}), HasSubstr("job-"));
}

TEST_F(ApiHandlerTest, DryRunLeavesNoTrace) {
  const auto before = version();
  const auto made = post(std::string(kMaps) + "?dryRun=All", R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(made.status, 201);
  make_map("b");
  EXPECT_EQ(send("DELETE", std::string(kMaps) + "/b?dryRun=All").status, 200);
  EXPECT_EQ(send("PATCH", std::string(kMaps) + "/b?dryRun=All", R"({"data":{"x":"y"}})", "application/merge-patch+json")
                .status,
            200);
  EXPECT_EQ(store.version(), std::stoull(before) + 1);
}

TEST_F(ApiHandlerTest, UpdateNeedsTheLatestVersionAndSkipsWhatChangesNothing) {
  const auto made = make_map("a");
  auto changed = tree(made);
  changed.get_object()["data"] = boost::json::object{{"k", "w"}};
  const auto target = std::string(kMaps) + "/a";
  const auto updated = send("PUT", target, json_text(changed));
  EXPECT_EQ(updated.status, 200);
  EXPECT_EQ(at(updated, {"metadata", "uid"}), at(made, {"metadata", "uid"}));
  const auto stale = send("PUT", target, json_text(changed));
  EXPECT_EQ(stale.status, 409);
  EXPECT_EQ(at(stale, {"reason"}), "Conflict");
  const auto before = version();
  EXPECT_EQ(send("PUT", target, updated.body).status, 200);
  EXPECT_EQ(version(), before);
}

TEST_F(ApiHandlerTest, PatchesInItsThreeFormsAndRefusesApply) {
  make_map("a");
  const auto target = std::string(kMaps) + "/a";
  EXPECT_EQ(at(send("PATCH", target, R"({"data":{"x":"1"}})", "application/merge-patch+json"), {"data"}),
            R"({"k":"v","x":"1"})");
  EXPECT_EQ(at(send("PATCH", target, R"([{"op":"remove","path":"/data/k"}])", "application/json-patch+json"), {"data"}),
            R"({"x":"1"})");
  EXPECT_EQ(at(send("PATCH", target, R"({"data":{"x":null}})", "application/strategic-merge-patch+json"), {"data"}),
            "{}");
  const auto apply = send("PATCH", target, "{}", "application/apply-patch+yaml");
  EXPECT_EQ(apply.status, 415);
  EXPECT_THAT(apply.body, HasSubstr("client-side apply"));
  EXPECT_EQ(send("PATCH", std::string(kMaps) + "/new", "{}", "application/apply-patch+yaml").status, 415);
  EXPECT_EQ(send("PATCH", target, R"([{"op":"remove","path":"/no"}])", "application/json-patch+json").status, 422);
  EXPECT_EQ(send("PATCH", target, R"({"metadata":{"resourceVersion":"1"}})", "application/merge-patch+json").status,
            409);
}

TEST_F(ApiHandlerTest, GenerationCountsChangesOfTheSpecAndStatusHasItsOwnDoor) {
  const std::string all = "/apis/apps/v1/namespaces/default/deployments";
  auto made = post(all, R"({"metadata":{"name":"d"},"spec":{"template":{}},"status":{"replicas":7}})");
  EXPECT_EQ(at(made, {"metadata", "generation"}), "1");
  EXPECT_EQ(at(made, {"status"}), "{}");
  const auto merge = [&](const std::string& target, std::string_view body) {
    return send("PATCH", target, body, "application/merge-patch+json");
  };
  EXPECT_EQ(
      at(merge(all + "/d", R"({"metadata":{"labels":{"a":"b"}},"status":{"replicas":1}})"), {"metadata", "generation"}),
      "1");
  EXPECT_EQ(at(merge(all + "/d", R"({"spec":{"replicas":3}})"), {"metadata", "generation"}), "2");
  const auto status = merge(all + "/d/status", R"({"spec":{"replicas":9},"status":{"replicas":3}})");
  EXPECT_EQ(at(status, {"spec", "replicas"}), "3");
  EXPECT_EQ(at(status, {"status", "replicas"}), "3");
  EXPECT_EQ(at(status, {"metadata", "generation"}), "2");
}

TEST_F(ApiHandlerTest, ListsInPagesThatStayAtTheirVersion) {
  for (auto name : {"a", "b", "c"}) make_map(name);
  const auto first = get(std::string(kMaps) + "?limit=2");
  EXPECT_THAT(first.body,
              ::testing::StartsWith(R"({"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":")"));
  EXPECT_EQ(names(first), "a b ");
  EXPECT_EQ(at(first, {"metadata", "remainingItemCount"}), "1");
  make_map("bb");
  const auto token = at(first, {"metadata", "continue"});
  const auto second = get(std::string(kMaps) + "?limit=2&continue=" + token);
  EXPECT_EQ(names(second), "c ");
  EXPECT_EQ(at(second, {"metadata", "resourceVersion"}), at(first, {"metadata", "resourceVersion"}));
  EXPECT_EQ(at(second, {"metadata", "continue"}), "nothing");
  handler().compact();
  EXPECT_EQ(get(std::string(kMaps) + "?limit=2&continue=" + token).status, 410);
  EXPECT_EQ(get(std::string(kMaps) + "?continue=garbage").status, 400);
}

TEST_F(ApiHandlerTest, TheSchemeOfATokenIsOfAnyCaseAndTheTokenIsNot) {
  options.authentication.tokens = true;
  handler().use(std::make_shared<const BearerTokens>(BearerTokens::parse("Secret\n").value()));
  const auto with = [&](std::string authorization) {
    ApiRequest request;
    request.method = "GET";
    request.target = kMaps;
    request.authorization = std::move(authorization);
    return time.await(handler().handle(request)).status;
  };
  EXPECT_EQ(with("Bearer Secret"), 200);
  EXPECT_EQ(with("bearer Secret"), 200);
  EXPECT_EQ(with("BEARER Secret"), 200);
  for (const auto* wrong : {"", "Bearer", "Bearer ", "bearer secret", "Basic Secret", "Secret"}) {
    EXPECT_EQ(with(wrong), 401) << wrong;
  }
}

TEST_F(ApiHandlerTest, ListsByLabelsAndFields) {
  make_map("a", R"({"app":"x"})");
  make_map("b", R"({"app":"y"})");
  make_map("c", R"({"app":"x"})");
  EXPECT_EQ(names(get(std::string(kMaps) + "?labelSelector=app%3Dx")), "a c ");
  EXPECT_EQ(names(get(std::string(kMaps) + "?labelSelector=app%3Dx&limit=1")), "a ");
  EXPECT_EQ(names(get("/api/v1/configmaps?fieldSelector=metadata.name%3Db,metadata.namespace%3Ddefault")), "b ");
  EXPECT_EQ(get(std::string(kMaps) + "?fieldSelector=data.k%3Dv").status, 400);
  EXPECT_EQ(get(std::string(kMaps) + "?labelSelector=%3D%3D").status, 400);
}

TEST_F(ApiHandlerTest, ListObeysTheRulesOfResourceVersion) {
  make_map("a");
  const auto then = version();
  make_map("b");
  const auto list = [&](const std::string& query) { return get(std::string(kMaps) + "?" + query); };
  EXPECT_EQ(names(list("resourceVersion=" + then + "&resourceVersionMatch=Exact")), "a ");
  EXPECT_EQ(names(list("resourceVersion=" + then + "&resourceVersionMatch=NotOlderThan")), "a b ");
  EXPECT_EQ(names(list("resourceVersion=0")), "a b ");
  EXPECT_EQ(list("resourceVersionMatch=Exact").status, 422);
  EXPECT_EQ(list("resourceVersion=0&resourceVersionMatch=Exact").status, 422);
  EXPECT_EQ(list("resourceVersion=1&resourceVersionMatch=What").status, 422);
  const auto start = time.now();
  const auto future = list("resourceVersion=999999");
  EXPECT_EQ(future.status, 504);
  EXPECT_EQ(time.now() - start, 3s);
  EXPECT_THAT(future.body, HasSubstr(R"("reason":"ResourceVersionTooLarge")"));
  EXPECT_EQ(future.retry_after_seconds, 1);
}

TEST_F(ApiHandlerTest, WatchTellsWhatEntersChangesAndLeavesASelection) {
  make_map("a", R"({"app":"x"})");
  auto watch = get(std::string(kMaps) + "?watch=true&labelSelector=app%3Dx&resourceVersion=" + version());
  ASSERT_NE(watch.stream, nullptr);
  EXPECT_EQ(next(watch), "nothing");
  const auto relabel = [&](const std::string& name, const std::string& value) {
    send("PATCH", std::string(kMaps) + "/" + name, R"({"metadata":{"labels":{"app":")" + value + R"("}}})",
         "application/merge-patch+json");
  };
  make_map("b", R"({"app":"y"})");
  EXPECT_EQ(next(watch), "nothing");
  relabel("b", "x");
  EXPECT_THAT(next(watch), HasSubstr(R"({"type":"ADDED")"));
  relabel("a", "y");
  const auto left = next(watch);
  EXPECT_THAT(left, HasSubstr(R"({"type":"DELETED")"));
  EXPECT_THAT(left, HasSubstr(R"("app":"x")")) << "the last state that was selected";
  EXPECT_THAT(left, HasSubstr("\"resourceVersion\":\"" + version() + "\""));
  send("DELETE", std::string(kMaps) + "/b");
  EXPECT_THAT(next(watch), HasSubstr(R"({"type":"DELETED")"));
}

TEST_F(ApiHandlerTest, WatchWithoutVersionStartsWithWhatThereIsAndEndsAtItsTime) {
  make_map("a");
  auto watch = get(std::string(kMaps) + "?watch=1&timeoutSeconds=10&allowWatchBookmarks=true");
  EXPECT_THAT(next(watch), HasSubstr(R"({"type":"ADDED")"));
  EXPECT_THAT(next(watch, 9s), HasSubstr(R"({"type":"BOOKMARK","object":{"kind":"ConfigMap")")) << "near the end";
  EXPECT_EQ(next(watch, 3s), "end");
}

TEST_F(ApiHandlerTest, StreamingListEndsItsInitialEventsWithABookmark) {
  make_map("a");
  const std::string query = "?watch=1&allowWatchBookmarks=true&sendInitialEvents=true";
  auto watch = get(std::string(kMaps) + query + "&resourceVersionMatch=NotOlderThan");
  const auto lines = next(watch);
  EXPECT_THAT(lines, HasSubstr(R"({"type":"ADDED")"));
  EXPECT_THAT(lines, HasSubstr(R"("annotations":{"k8s.io/initial-events-end":"true"})"));
  EXPECT_EQ(get(std::string(kMaps) + query).status, 422);
  const auto odd = get(std::string(kMaps) + query + "&resourceVersionMatch=Exact");
  EXPECT_THAT(at(odd, {"message"}), ::testing::MatchesRegex(".* is invalid: \\[.*NotOlderThan, .*\"NotOlderThan\"\\]"));
  auto bare = get(std::string(kMaps) + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
  EXPECT_THAT(next(bare), ::testing::Not(HasSubstr("BOOKMARK"))) << "who wants none gets none";
}

TEST_F(ApiHandlerTest, WatchBelowTheHistoryIsAnExpiredEvent) {
  const auto then = version();
  make_map("a");
  EXPECT_EQ(send("POST", "/debug/compact").status, 404) << "unless it is enabled";
  handler().compact();
  const auto watch = get(std::string(kMaps) + "?watch=1&resourceVersion=" + then);
  EXPECT_EQ(watch.status, 200);
  EXPECT_THAT(watch.body, HasSubstr(R"({"type":"ERROR","object":{"kind":"Status")"));
  EXPECT_THAT(watch.body, HasSubstr(R"("code":410)"));
}

TEST_F(ApiHandlerTest, CutWatchesEndInGoodOrder) {
  options.debug_paths = true;
  auto watch = get(std::string(kMaps) + "?watch=1&resourceVersion=" + version());
  EXPECT_EQ(handler().open_watches(), 1u);
  EXPECT_EQ(send("POST", "/debug/cut-watches").status, 200);
  EXPECT_EQ(next(watch), "end");
  watch.stream.reset();
  EXPECT_EQ(handler().open_watches(), 0u);
}

TEST_F(ApiHandlerTest, FinalizersHoldAnObjectUntilTheyAreGone) {
  post(kMaps, R"({"metadata":{"name":"a","finalizers":["example.com/hold"]}})");
  const auto target = std::string(kMaps) + "/a";
  const auto marked = send("DELETE", target);
  EXPECT_NE(at(marked, {"metadata", "deletionTimestamp"}), "nothing");
  EXPECT_EQ(get(target).status, 200);
  send("PATCH", target, R"({"metadata":{"finalizers":null}})", "application/merge-patch+json");
  EXPECT_EQ(get(target).status, 404);
}

TEST_F(ApiHandlerTest, DeleteHonoursPreconditionsAndSaysWhatWent) {
  const auto made = make_map("a");
  const auto target = std::string(kMaps) + "/a";
  EXPECT_EQ(send("DELETE", target, R"({"preconditions":{"uid":"other"}})").status, 409);
  const auto gone = send("DELETE", target, R"({"propagationPolicy":"Background"})");
  EXPECT_EQ(at(gone, {"status"}), "Success");
  EXPECT_EQ(at(gone, {"details", "uid"}), at(made, {"metadata", "uid"}));
  EXPECT_EQ(send("DELETE", target).status, 404);
}

TEST_F(ApiHandlerTest, DeleteCollectionTakesWhatIsSelected) {
  make_map("a", R"({"app":"x"})");
  make_map("b");
  EXPECT_EQ(send("DELETE", std::string(kMaps) + "?labelSelector=app%3Dx").status, 200);
  EXPECT_EQ(names(get(std::string(kMaps))), "b ");
}

TEST_F(ApiHandlerTest, ANamespaceTakesItsContentsAlongAndWaitsForFinalizers) {
  post("/api/v1/namespaces", R"({"metadata":{"name":"n"}})");
  const std::string maps = "/api/v1/namespaces/n/configmaps";
  post(maps, R"({"metadata":{"name":"a"}})");
  post(maps, R"({"metadata":{"name":"held","finalizers":["example.com/hold"]}})");
  const auto marked = send("DELETE", "/api/v1/namespaces/n");
  EXPECT_EQ(at(marked, {"status", "phase"}), "Terminating");
  EXPECT_EQ(names(get(maps)), "held ");
  EXPECT_EQ(post(maps, R"({"metadata":{"name":"late"}})").status, 403);
  send("PATCH", maps + "/held", R"({"metadata":{"finalizers":null}})", "application/merge-patch+json");
  EXPECT_EQ(get("/api/v1/namespaces/n").status, 404);
  EXPECT_EQ(send("DELETE", "/api/v1/namespaces/default").status, 403);
}

TEST_F(ApiHandlerTest, ADefinitionServesItsResourceAtOnceAndTakesItAway) {
  const auto made = post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", kDefinition);
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_THAT(made.body, HasSubstr(R"("type":"Established","status":"True")"));
  EXPECT_THAT(get("/apis/example.com/v1").body, HasSubstr(R"("shortNames":["wd"])"));
  const std::string all = "/apis/example.com/v1/namespaces/default/widgets";
  EXPECT_EQ(post(all, R"({"metadata":{"name":"w"},"spec":{"size":3}})").status, 201);
  const auto table = get(all, kTable);
  EXPECT_THAT(table.body, HasSubstr(R"("name":"Size")"));
  EXPECT_THAT(table.body, HasSubstr(R"("cells":["w",3])"));
  EXPECT_EQ(send("PATCH", all + "/w", "{}", "application/strategic-merge-patch+json").status, 415);
  auto watch = get(all + "?watch=1&resourceVersion=" + version());
  EXPECT_EQ(send("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com").status, 200);
  EXPECT_EQ(get(all).status, 404);
  EXPECT_EQ(next(watch), "end");
  EXPECT_EQ(
      post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", R"({"metadata":{"name":"x"},"spec":{}})").status,
      422);
}

TEST_F(ApiHandlerTest, TablesCarryColumnsOnceAndMetadataInTheirRows) {
  make_map("a");
  const auto table = get(std::string(kMaps), kTable);
  EXPECT_EQ(at(table, {"kind"}), "Table");
  EXPECT_THAT(table.body, HasSubstr(R"("cells":["a",1,"0s"],"object":{"kind":"PartialObjectMetadata")"));
  auto watch = get(std::string(kMaps) + "?watch=1", kTable);
  EXPECT_THAT(next(watch), HasSubstr(R"("columnDefinitions":[{"name":"Name")"));
  make_map("b");
  EXPECT_THAT(next(watch), HasSubstr(R"("columnDefinitions":null)"));
  const auto metadata = get(std::string(kMaps), "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
  EXPECT_EQ(at(metadata, {"kind"}), "PartialObjectMetadataList");
  EXPECT_THAT(metadata.body, ::testing::Not(HasSubstr("\"data\"")));
  EXPECT_EQ(get(std::string(kMaps), "application/vnd.kubernetes.protobuf").status, 406);
}

TEST_F(ApiHandlerTest, DiscoverySpeaksBothForms) {
  EXPECT_EQ(at(get("/api"), {"kind"}), "APIVersions");
  EXPECT_THAT(get("/apis").body, HasSubstr(R"("preferredVersion":{"groupVersion":"apps/v1","version":"v1"})"));
  EXPECT_THAT(get("/api/v1").body, HasSubstr(R"({"name":"configmaps","singularName":"configmap","namespaced":true)"));
  const auto aggregated =
      get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json");
  EXPECT_EQ(aggregated.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_EQ(at(aggregated, {"kind"}), "APIGroupDiscoveryList");
  EXPECT_EQ(get("/readyz?verbose").body, "ok");
}

TEST_F(ApiHandlerTest, SaysWhatIsMissingUntilItIsReady) {
  std::string lacking = "pods of c1 has not arrived";
  options.not_ready = [&lacking] { return lacking; };
  EXPECT_EQ(get("/readyz").status, 503);
  EXPECT_EQ(get("/readyz").body, lacking);
  EXPECT_EQ(get("/livez").status, 200);
  EXPECT_EQ(post("/healthz/clusters", "{}").status, 405);
  lacking.clear();
  EXPECT_EQ(get("/readyz").status, 503) << "looked at once a second, whoever asks";
  time.run_for(std::chrono::seconds(1));
  EXPECT_EQ(get("/readyz").status, 200);
}

TEST_F(ApiHandlerTest, ADefinitionIsRefusedWhereItsNamesCouldNotStandInJson) {
  const auto definition = [](std::string kind, std::string version) {
    return R"({"metadata":{"name":"widgets.example.com"},"spec":{"group":"example.com","scope":"Namespaced",)"
           R"("names":{"plural":"widgets","kind":")" +
           kind + R"("},"versions":[{)" + version + R"("served":true,"storage":true}]}})";
  };
  constexpr std::string_view kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  EXPECT_THAT(post(kDefinitions, definition(R"(Wid\"get)", R"("name":"v1",)")).body, HasSubstr("spec.names.kind"));
  EXPECT_THAT(post(kDefinitions, definition("Widget", R"("name":"v/1",)")).body, HasSubstr("spec.versions.name"));
  EXPECT_EQ(post(kDefinitions, definition("Widget", "")).status, 422) << "a version without a name";
  EXPECT_EQ(post(kDefinitions, definition("Widget", R"("name":"v1",)")).status, 201);
}

TEST_F(ApiHandlerTest, WhatIsQuotedInAnAnswerIsUtf8WhateverWasSent) {
  const auto missing = get(std::string(kMaps) + "/%ff%C3%A9");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(at(missing, {"details", "name"}), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(at(get(std::string(kMaps) + "/%C3%A9"), {"details", "name"}), "\u00e9");
  EXPECT_THAT(at(get(std::string(kMaps) + "?labelSelector=%ff"), {"message"}), HasSubstr("label selector"));
}

TEST_F(ApiHandlerTest, ATableTakesTimesAndCountsAsTheyCome) {
  const std::string events = "/api/v1/namespaces/default/events";
  EXPECT_EQ(post(events, R"({"metadata":{"name":"e"},"lastTimestamp":"9999-12-31T23:59:59Z"})").status, 201);
  EXPECT_THAT(get(events, kTable).body, HasSubstr("<invalid>"));
  const std::string pods = "/api/v1/namespaces/default/pods";
  post(pods, R"({"metadata":{"name":"p"}})");
  send("PATCH", pods + "/p/status",
       R"({"status":{"containerStatuses":[{"restartCount":9223372036854775807},{"restartCount":1}]}})",
       "application/merge-patch+json");
  EXPECT_EQ(get(pods, kTable).status, 200);
}

TEST_F(ApiHandlerTest, ReadingAloneRefusesWhatWritesInItsOwnWords) {
  make_map("a");
  ReadApiOptions read_options;
  read_options.home = [](const ResourcePath& path) { return "where " + path.namespace_name + "/" + path.name + " is"; };
  ReadApi reading(time.runtime(), store, std::move(read_options));
  ApiRequest request;
  const auto ask = [&](std::string_view method, const std::string& path) {
    request.method = method;
    return time.await(reading.handle(request, Target::parse(path)));
  };
  EXPECT_EQ(names(ask("GET", std::string(kMaps))), "a ");
  EXPECT_EQ(ask("GET", std::string(kMaps) + "/a").status, 200);
  for (const auto* method : {"POST", "PUT", "PATCH", "DELETE"}) {
    const auto refused = ask(method, std::string(kMaps) + "/a");
    EXPECT_EQ(refused.status, 405) << method;
    EXPECT_EQ(at(refused, {"message"}),
              "objects mirrored from clusters are read-only here: write to where default/a is");
    EXPECT_EQ(at(refused, {"reason"}), "MethodNotAllowed");
  }
  for (const auto* method : {"HEAD", "OPTIONS", "TRACE"}) {
    const auto refused = ask(method, std::string(kMaps) + "/a");
    EXPECT_EQ(refused.status, 405) << method;
    EXPECT_EQ(at(refused, {"message"}), "the server does not allow this method on the requested resource");
    EXPECT_EQ(ask(method, "/apis").status, std::string_view(method) == "HEAD" ? 200 : 405);
  }
  const auto missing = ask("GET", std::string(kMaps) + "/a/scale");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(at(missing, {"message"}),
            "there is no configmaps/scale here, objects alone are mirrored from clusters: ask where default/a is");
  EXPECT_EQ(names(ask("GET", std::string(kMaps))), "a ");
}

}  // namespace
}  // namespace tinf::api
