// What `kubectl get` shows: cells, held against what kube-apiserver's printers say of the same objects.
#include "tinf/api/columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/api/printer_path.h"
#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 3 / 1) + 12h;

ResourceType built_in(std::string_view collection) {
  ResourceType type;
  type.collection = collection;
  return type;
}

// The cells by the names of their columns.
std::map<std::string, std::string> row(const ResourceType& type, std::string_view object) {
  const auto definitions = *parse_json(column_definitions(type));
  const auto values = cells(type, *parse_json(object), kNow);
  std::map<std::string, std::string> named;
  EXPECT_EQ(definitions.as_array().size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto& value = values[i];
    named[std::string(json_string_at(definitions.as_array()[i], {"name"}))] =
        value.is_string() ? std::string(value.as_string()) : json_text(value);
  }
  return named;
}

// A pod with two containers, and this status.
std::string pod_status(std::string_view status, std::string_view init_containers = "[]",
                       std::string_view metadata = "{}") {
  const auto object = R"({"metadata":)" + std::string(metadata) +
                      R"(,"spec":{"containers":[{"name":"a"},{"name":"b"}],)" + R"("initContainers":)" +
                      std::string(init_containers) + R"(},"status":)" + std::string(status) + "}";
  auto cells = row(built_in("pods"), object);
  return cells["Ready"] + " " + cells["Status"] + " " + cells["Restarts"];
}

TEST(Columns, AnAgeIsSaidAsPreciselyAsItMatters) {
  const std::pair<std::chrono::seconds, const char*> ages[] = {
      {-5s, "<invalid>"},     {-1s, "0s"},         {0s, "0s"},
      {119s, "119s"},         {120s, "2m"},        {599s, "9m59s"},
      {600s, "10m"},          {179min, "179m"},    {3h, "3h"},
      {8h - 1min, "7h59m"},   {47h, "47h"},        {48h, "2d"},
      {7 * 24h + 1h, "7d1h"}, {8 * 24h, "8d"},     {729 * 24h, "729d"},
      {730 * 24h, "2y"},      {731 * 24h, "2y1d"}, {8 * 365 * 24h + 24h, "8y"}};
  for (const auto& [age, words] : ages) EXPECT_EQ(human_duration(age), words);
}

TEST(Columns, APodsStatusIsWhatItsContainersComeTo) {
  EXPECT_EQ(pod_status(R"({"phase":"Pending"})"), "0/2 Pending 0");
  EXPECT_EQ(pod_status(R"({"phase":"Failed","reason":"Evicted"})"), "0/2 Evicted 0");
  EXPECT_EQ(pod_status(R"({"phase":"Running","containerStatuses":[{"ready":true,"state":{"running":{}}},)"
                       R"({"restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},)"
                       R"("lastState":{"terminated":{"finishedAt":"2026-03-01T11:55:00Z"}}}]})"),
            "1/2 CrashLoopBackOff 3 (5m ago)");
  EXPECT_EQ(pod_status(R"({"phase":"Failed","containerStatuses":[{"state":{"terminated":{"signal":9}}}]})"),
            "0/2 Signal:9 0");
  EXPECT_EQ(pod_status(R"({"phase":"Failed","containerStatuses":[{"state":{"terminated":{"exitCode":3}}}]})"),
            "0/2 ExitCode:3 0");
  const std::string half = R"("phase":"Running","containerStatuses":[{"state":{"terminated":{"reason":"Completed"}}},)"
                           R"({"ready":true,"state":{"running":{}}}])";
  EXPECT_EQ(pod_status("{" + half + "}"), "1/2 NotReady 0");
  EXPECT_EQ(pod_status(R"({"conditions":[{"type":"Ready","status":"True"}],)" + half + "}"), "1/2 Running 0");
}

TEST(Columns, APodThatInitializesSaysHowFarItIs) {
  const std::string two = R"([{"name":"i"},{"name":"j"}])";
  EXPECT_EQ(
      pod_status(R"({"initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":0}}},{"name":"j"}]})", two),
      "0/2 Init:1/2 0");
  EXPECT_EQ(
      pod_status(R"({"initContainerStatuses":[{"name":"i","restartCount":2,"state":{"terminated":{"exitCode":1}}}]})",
                 two),
      "0/2 Init:ExitCode:1 2");
  EXPECT_EQ(
      pod_status(R"({"initContainerStatuses":[{"name":"i","state":{"waiting":{"reason":"ErrImagePull"}}}]})", two),
      "0/2 Init:ErrImagePull 0");
  // One that runs on counts among the containers.
  EXPECT_EQ(
      pod_status(
          R"({"phase":"Running","initContainerStatuses":[{"name":"i","ready":true,"started":true,"restartCount":1}]})",
          R"([{"name":"i","restartPolicy":"Always"}])"),
      "1/3 Running 1");
}

TEST(Columns, APodThatIsDeletedSaysSoUnlessItHasEndedOrItsNodeIsLost) {
  const std::string deleted = R"({"deletionTimestamp":"2026-03-01T11:55:00Z"})";
  EXPECT_EQ(pod_status(R"({"phase":"Running"})", "[]", deleted), "0/2 Terminating 0");
  EXPECT_EQ(pod_status(R"({"phase":"Succeeded"})", "[]", deleted), "0/2 Succeeded 0");
  EXPECT_EQ(pod_status(R"({"phase":"Running","reason":"NodeLost"})", "[]", deleted), "0/2 Unknown 0");
}

TEST(Columns, ARowSaysThatItsPodHasEnded) {
  const auto conditions = [](std::string_view collection, std::string_view phase) {
    return json_text(
        row_conditions(built_in(collection), *parse_json(R"({"status":{"phase":")" + std::string(phase) + "\"}}")));
  };
  EXPECT_EQ(conditions("pods", "Running"), "[]");
  EXPECT_THAT(conditions("pods", "Failed"),
              ::testing::HasSubstr(R"("type":"Completed","status":"True","reason":"Failed")"));
  EXPECT_EQ(conditions("namespaces", "Failed"), "[]");
}

TEST(Columns, SelectorsReadAsTheyAreWritten) {
  const auto selector = [](std::string_view text) {
    return row(built_in("replicasets.apps"), R"({"spec":{"selector":)" + std::string(text) + "}}")["Selector"];
  };
  EXPECT_EQ(selector("{}"), "<none>");
  EXPECT_EQ(selector(R"({"matchLabels":{"b":"2","a":""}})"), "a=,b=2");
  EXPECT_EQ(selector(R"({"matchLabels":{"m":"1"},"matchExpressions":[{"key":"z","operator":"In","values":["y","x"]},)"
                     R"({"key":"a","operator":"DoesNotExist"},{"key":"n","operator":"NotIn","values":["v"]},)"
                     R"({"key":"e","operator":"Exists"}]})"),
            "!a,e,m=1,n notin (v),z in (x,y)");
}

TEST(Columns, ListsAreShownByTheirFirstFew) {
  const auto hosts = [](std::string_view rules) {
    return row(built_in("ingresses.networking.k8s.io"), R"({"spec":{"rules":)" + std::string(rules) + "}}")["Hosts"];
  };
  EXPECT_EQ(hosts("[{}]"), "*");
  EXPECT_EQ(hosts(R"([{"host":"a"},{"host":"b"},{"host":"c"}])"), "a,b,c");
  EXPECT_EQ(hosts(R"([{"host":"a"},{"host":"b"},{"host":"c"},{"host":"d"},{"host":"e"}])"), "a,b,c + 2 more...");
  const auto endpoints = row(built_in("endpoints"), R"({"subsets":[{"addresses":[{"ip":"::1"},{"ip":"10.0.0.1"}],)"
                                                    R"("ports":[{"port":80},{"port":81}]}]})");
  EXPECT_EQ(endpoints.at("Endpoints"), "[::1]:80,10.0.0.1:80,[::1]:81 + 1 more...");
}

TEST(Columns, ANumberOfReplicasThatGoesWithoutSayingIsOne) {
  EXPECT_EQ(row(built_in("deployments.apps"), "{}")["Ready"], "0/1");
  EXPECT_EQ(row(built_in("deployments.apps"), R"({"spec":{"replicas":0}})")["Ready"], "0/0");
}

TEST(Columns, AnEventOfEitherGroupIsShownAlike) {
  auto core = row(built_in("events"),
                  R"({"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p"},"count":2,)"
                  R"("message":" m\n","source":{"component":"c","host":"h"},"lastTimestamp":"2026-03-01T11:55:00Z"})");
  auto other = row(built_in("events.events.k8s.io"),
                   R"({"metadata":{"name":"e"},"regarding":{"kind":"Pod","name":"p"},)"
                   R"("deprecatedCount":2,"note":" m\n","reportingController":"c",)"
                   R"("reportingInstance":"h","deprecatedLastTimestamp":"2026-03-01T11:55:00Z"})");
  EXPECT_EQ(core, other);
  EXPECT_EQ(core["Source"], "c, h");
  EXPECT_EQ(core["Message"], "m");
  EXPECT_EQ(core["Last Seen"], "5m");
  EXPECT_EQ(core["First Seen"], "<unknown>");
  EXPECT_EQ(row(built_in("events"), R"({"eventTime":"2026-03-01T11:59:58.123456Z"})")["Last Seen"], "2s");
}

TEST(Columns, EveryKindHasACellForEachColumnWhateverAnObjectHolds) {
  for (const auto* collection : {"pods",
                                 "podtemplates",
                                 "replicationcontrollers",
                                 "deployments.apps",
                                 "replicasets.apps",
                                 "statefulsets.apps",
                                 "daemonsets.apps",
                                 "controllerrevisions.apps",
                                 "jobs.batch",
                                 "cronjobs.batch",
                                 "poddisruptionbudgets.policy",
                                 "horizontalpodautoscalers.autoscaling",
                                 "services",
                                 "endpoints",
                                 "endpointslices.discovery.k8s.io",
                                 "ingresses.networking.k8s.io",
                                 "networkpolicies.networking.k8s.io",
                                 "persistentvolumes",
                                 "persistentvolumeclaims",
                                 "storageclasses.storage.k8s.io",
                                 "csidrivers.storage.k8s.io",
                                 "nodes",
                                 "events",
                                 "resourcequotas",
                                 "rolebindings.rbac.authorization.k8s.io",
                                 "apiservices.apiregistration.k8s.io",
                                 "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
                                 "resourceclaims.resource.k8s.io"}) {
    ASSERT_TRUE(has_built_in_columns(built_in(collection))) << collection;
    for (const auto* object :
         {"null", "[]", "{}", R"({"metadata":[],"spec":7,"status":"x"})",
          R"({"spec":{"containers":{},"rules":[1,null],"metrics":[{}]},"status":{"hard":{"a":[]}}})"}) {
      row(built_in(collection), object);
    }
  }
}

TEST(Columns, ACustomCellIsOfItsColumnsType) {
  const auto shown = [](std::string_view type, std::string_view value) {
    ResourceType widgets;
    PrinterColumn column;
    column.name = "Value";
    column.type = type;
    column.json_path = ".v";
    widgets.columns = {column};
    return row(widgets, R"({"v":)" + std::string(value) + "}")["Value"];
  };
  EXPECT_EQ(shown("integer", "1.9"), "1");
  EXPECT_EQ(shown("integer", "1e300"), "null");
  EXPECT_EQ(shown("integer", R"("1")"), "null");
  EXPECT_EQ(shown("number", "0.5"), "0.5");
  EXPECT_EQ(shown("boolean", "true"), "true");
  EXPECT_EQ(shown("boolean", R"("true")"), "null");
  EXPECT_EQ(shown("string", R"(["a",1])"), R"(["a",1])");
  EXPECT_EQ(shown("date", R"("2026-03-01T11:55:00Z")"), "5m");
  EXPECT_EQ(shown("date", R"("yesterday")"), "<invalid>");
  EXPECT_EQ(shown("date", "5"), "null");
}

TEST(PrinterPath, LeadsToTheFirstValueThatIsThere) {
  const auto object = *parse_json(
      R"({"a":{"b.c":"dotted","d'e":"quoted","list":[{"type":"x"},{"type":"y","n":1,"v":"second"},{"type":"z","n":1}]}})");
  const auto at = [&](std::string_view path) {
    const auto* found = first_at(object, path);
    return found == nullptr ? "nothing" : json_text(*found);
  };
  EXPECT_EQ(at(R"(.a.b\.c)"), R"("dotted")");
  EXPECT_EQ(at(R"(.a['b\.c'])"), R"("dotted")");
  EXPECT_EQ(at(R"(.a['b.c'])"), R"("dotted")");
  EXPECT_EQ(at(R"(.a["d'e"])"), R"("quoted")");
  EXPECT_EQ(at(".a.list[0].type"), R"("x")");
  EXPECT_EQ(at(".a.list[-1].type"), R"("z")");
  EXPECT_EQ(at(".a.list[3].type"), "nothing");
  EXPECT_EQ(at(".a.list[*].v"), R"("second")");
  EXPECT_EQ(at(R"(.a.list[?(@.type=="y")].v)"), R"("second")");
  EXPECT_EQ(at(R"(.a.list[?(@.type != 'x')].type)"), R"("y")");
  EXPECT_EQ(at(".a.list[?(@.n==1)].type"), R"("y")");
  EXPECT_EQ(at(".a.list[?(@.v)].type"), R"("y")");
  EXPECT_EQ(at(R"(.a.list[?(@.type=="]")].v)"), "nothing");
}

TEST(PrinterPath, WhatCannotBeReadLeadsNowhere) {
  const auto object = *parse_json(R"({"a":[1]})");
  for (const auto* path : {"a", ".a[", ".a[?(", ".a[x]", ".a[?(1)]", ".a[?(@)]", ".a[99999999999999999999]", ".a['",
                           ".a[?(@.b==)", "..a", ".a\\"}) {
    EXPECT_EQ(first_at(object, path), nullptr) << path;
  }
  EXPECT_EQ(first_at(object, ""), &object);
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  EXPECT_EQ(first_at(object, deep), nullptr);
}

}  // namespace
}  // namespace tinf::api
