// A fleet's API over copies in memory, without sockets: what its tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tinf/api/api_handler.h"
#include "tinf/patch/json.h"
#include "tinf/store/memory/fleet_memory_store.h"
#include "tinf/testing/virtual_time.h"

namespace tinf::api {

struct FleetApiTest : ::testing::Test {
  testing::VirtualTime time;
  FleetMemoryStore store{time, options()};
  std::map<std::pair<std::string, Resource>, std::unique_ptr<Store>> copies;
  std::map<std::string, FleetCluster> clusters;
  ApiHandler handler{time.runtime(), store};

  static FleetMemoryOptions options() {
    FleetMemoryOptions options;
    options.first_version = 1000;
    options.retained_changes = 50;
    return options;
  }

  static ResourceInfo info(const std::string& kind) {
    static const std::map<std::string, ResourceInfo> known{
        {"Pod", {{"", "v1", "pods"}, "Pod", "pod", {"po"}, {"all"}, {"create", "get", "list", "watch"}, true, true}},
        {"Node", {{"", "v1", "nodes"}, "Node", "node", {"no"}, {}, {"get", "list", "watch"}, false, true}},
        {"Namespace", {{"", "v1", "namespaces"}, "Namespace", "namespace", {"ns"}, {}, {"get"}, false, true}},
        {"Event", {{"", "v1", "events"}, "Event", "event", {"ev"}, {}, {"get", "list", "watch"}, true, true}},
        {"Widget", {{"example.com", "v1", "widgets"}, "Widget", "widget", {"wd"}, {"toys"}, {"get"}, true, true}},
        {"OldWidget", {{"example.com", "v1beta1", "widgets"}, "Widget", "widget", {}, {}, {"get"}, true, false}},
        {"CustomResourceDefinition",
         {{"apiextensions.k8s.io", "v1", "customresourcedefinitions"},
          "CustomResourceDefinition",
          "customresourcedefinition",
          {"crd"},
          {},
          {"get"},
          false,
          true}},
    };
    return known.at(kind);
  }

  void put_cluster(const std::string& cluster, bool present = true) {
    FleetCluster& known = clusters[cluster];
    known.name = cluster;
    known.present = present;
    ASSERT_TRUE(time.await(store.put_cluster(known)));
  }
  Store& copy(const std::string& cluster, const std::string& kind) {
    auto& open = copies[{cluster, info(kind).resource}];
    if (!open) {
      FleetCluster& known = clusters[cluster];
      known.name = cluster;
      known.present = true;
      known.offer.push_back(info(kind));
      EXPECT_TRUE(time.await(store.put_cluster(known)));
      Scope scope;
      scope.resource = info(kind).resource;
      open = store.open(cluster, scope).value();
    }
    return *open;
  }
  // An object of this kind at "namespace/name", or "/name"; `version` is the cluster's own.
  void put(const std::string& cluster, const std::string& kind, const std::string& at, int version = 1,
           const std::string& labels = "{}", const std::string& more = "") {
    const auto slash = at.find('/');
    const auto of = info(kind);
    const auto text = R"({"kind":")" + of.kind + R"(","apiVersion":")" + of.resource.api_version() +
                      R"(","metadata":{"name":")" + at.substr(slash + 1) + "\"" +
                      (slash == 0 ? "" : R"(,"namespace":")" + at.substr(0, slash) + "\"") + R"(,"uid":")" + cluster +
                      at + R"(","resourceVersion":")" + std::to_string(version) + R"(","labels":)" + labels + "}" +
                      more + "}";
    EventBatch batch;
    batch.events.push_back(WatchEvent::modified(Object::parse(text).value()));
    batch.version = ResourceVersion(std::to_string(version));
    ASSERT_TRUE(time.await(copy(cluster, kind).apply(std::move(batch))));
  }
  // With this many pods.
  void fill(const std::string& cluster, int count) {
    Snapshot all;
    for (int i = 0; i < count; ++i) {
      all.objects.push_back(Object::parse(R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"pod-)" +
                                          std::to_string(i) + R"(","namespace":"default"}})")
                                .value());
    }
    ASSERT_TRUE(time.await(copy(cluster, "Pod").replace(std::move(all))));
  }
  void remove(const std::string& cluster, const std::string& kind, const std::string& at) {
    EventBatch batch;
    const auto slash = at.find('/');
    batch.events.push_back(WatchEvent::deleted(ObjectKey{at.substr(0, slash), at.substr(slash + 1)}, "", "9"));
    ASSERT_TRUE(time.await(copy(cluster, kind).apply(std::move(batch))));
  }

  ApiResponse send(std::string_view method, std::string target, std::string_view accept = "") {
    ApiRequest request;
    request.method = method;
    request.target = std::move(target);
    request.accept = accept;
    return time.await(handler.handle(request));
  }
  ApiResponse get(std::string target, std::string_view accept = "") { return send("GET", std::move(target), accept); }

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
  static std::vector<std::string> names(const ApiResponse& response) {
    std::vector<std::string> all;
    const auto document = tree(response);
    const auto* items = json_at(document, {"items"});
    if (items == nullptr) return {"no list: " + response.body};
    for (const auto& item : items->get_array()) {
      const std::string in(json_string_at(item, {"metadata", "namespace"}));
      all.push_back((in.empty() ? "" : in + "/") + std::string(json_string_at(item, {"metadata", "name"})));
    }
    return all;
  }
  std::vector<std::string> listed(std::string target) { return names(get(std::move(target))); }

  // What comes next of a watch: "TYPE namespace/name version"; "end" at its end, "nothing" if nothing comes.
  std::vector<std::string> next(ApiResponse& response, Duration patience = std::chrono::seconds(1)) {
    if (response.stream == nullptr) return {"no watch: " + response.body};
    std::optional<std::optional<std::string>> piece;
    const auto read = [&]() -> Task<void> { piece.emplace(co_await response.stream->next()); };
    TaskGroup group(time.runtime().executor);
    group.spawn(read());
    if (!time.run_until([&] { return piece.has_value(); }, patience)) {
      group.cancel();
      time.run_for(Duration::zero());
      return {"nothing"};
    }
    if (!*piece) return {"end"};
    std::vector<std::string> events;
    std::string_view lines = **piece;
    while (!lines.empty()) {
      const auto end = lines.find('\n');
      const auto event = parse_json(lines.substr(0, end)).value();
      lines.remove_prefix(end + 1);
      const auto text = [&](std::string_view member) {
        return std::string(json_string_at(event, {"object", "metadata", member}));
      };
      events.push_back(std::string(json_string_at(event, {"type"})) + " " + text("namespace") + "/" + text("name") +
                       " " + text("resourceVersion"));
    }
    return events;
  }
};

}  // namespace tinf::api
