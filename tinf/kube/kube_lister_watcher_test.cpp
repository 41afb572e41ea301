// Lists and watches as conversations: what is asked, what is answered, what comes of it.
#include "tinf/kube/kube_lister_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/kube/scripted_server.h"

namespace tinf::kube {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LiveLoop;
using ::testing::Not;
using testing::ScriptedServer;

std::string item(const std::string& name, int version) {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"default","resourceVersion":")" +
         std::to_string(version) + "\"}}";
}

std::string typed(const std::string& name, int version) {
  return R"({"kind":"Pod","apiVersion":"v1",)" + item(name, version).substr(1);
}

std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string pod_list(const std::string& items, const std::string& metadata) {
  return R"({"kind":"PodList","apiVersion":"v1","metadata":{)" + metadata + R"(},"items":[)" + items + "]}\n";
}

struct KubeListerWatcherTest : ::testing::Test {
  KubeListerWatcherTest() { pods.resource = Resource{"", "v1", "pods"}; }

  Result<Snapshot> list(const std::string& version = "", int page_size = 0) {
    ListOptions options;
    options.version = ResourceVersion(version);
    options.page_size = page_size;
    return loop.await(source.list(pods, options));
  }
  Result<std::unique_ptr<WatchStream>> try_watch(const std::string& from, bool initial_events = false) {
    WatchOptions options;
    options.from = ResourceVersion(from);
    options.initial_events = initial_events;
    options.timeout = 300s;
    return loop.await(source.watch(pods, options));
  }
  std::unique_ptr<WatchStream> watch(const std::string& from) {
    auto stream = try_watch(from);
    EXPECT_TRUE(stream) << stream.error().message;
    return std::move(*stream);
  }
  Result<EventBatch> next(WatchStream& stream) { return loop.await(stream.next()); }
  void TearDown() override { EXPECT_THAT(server.surprises(), IsEmpty()); }

  LiveLoop loop;
  ScriptedServer server{loop};
  RestClient client{loop.runtime(), server.target()};
  KubeListerWatcher source{client};
  Scope pods;
};

TEST_F(KubeListerWatcherTest, ListsAllWithKindAndVersionAsAWatchGivesThem) {
  server.connection()
      .expects("GET /api/v1/pods HTTP/1.1")
      .replies_json(pod_list(item("a", 3) + "," + item("b", 4), R"("resourceVersion":"7")"));
  const auto snapshot = list();
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->version.text(), "7");
  ASSERT_EQ(snapshot->objects.size(), 2u);
  EXPECT_EQ(snapshot->objects[0]->raw(), typed("a", 3));
}

TEST_F(KubeListerWatcherTest, FillsInTheKindThatComesAfterTheItems) {
  server.connection().expects("GET").replies_json(R"({"apiVersion":"v1","items":[)" + item("a", 3) +
                                                  R"(],"kind":"PodList","metadata":{"resourceVersion":"7"}})");
  const auto snapshot = list();
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->objects[0]->raw(), typed("a", 3));
}

TEST_F(KubeListerWatcherTest, PutsTheWholeScopeIntoTheRequest) {
  pods.resource = Resource{"apps", "v1", "deployments"};
  pods.namespace_name = "n";
  pods.label_selector = "a in (b,c)";
  pods.field_selector = "metadata.name=x";
  server.connection()
      .expects(
          "GET "
          "/apis/apps/v1/namespaces/n/"
          "deployments?labelSelector=a%20in%20%28b%2Cc%29&fieldSelector=metadata.name%3Dx&resourceVersion=9 ")
      .replies_json(
          R"({"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"9"},"items":null})");
  EXPECT_TRUE(list("9"));
}

TEST_F(KubeListerWatcherTest, PagesOnlyWithoutAVersionOfItsOwn) {
  server.connection()
      .expects("GET /api/v1/pods?limit=2&resourceVersion=0 ")
      .replies_json(pod_list(item("a", 1) + "," + item("b", 2),
                             R"("resourceVersion":"7","continue":"c1","remainingItemCount":1)"))
      .expects("GET /api/v1/pods?limit=2&continue=c1 ")
      .replies_json(pod_list(item("c", 3), R"("resourceVersion":"7")"))
      .expects("GET /api/v1/pods?resourceVersion=5 ")
      .replies_json(pod_list("", R"("resourceVersion":"7")"));
  std::vector<std::string> progress;
  ListOptions options;
  options.version = ResourceVersion("0");
  options.page_size = 2;
  options.progress = [&](std::size_t n, std::optional<std::size_t> all) {
    progress.push_back(std::to_string(n) + "/" + (all ? std::to_string(*all) : "?"));
  };
  const auto snapshot = loop.await(source.list(pods, options));
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->objects.size(), 3u);
  EXPECT_THAT(progress, ElementsAre("2/?", "2/3", "3/3", "3/3"));
  EXPECT_TRUE(list("5", 2));
}

TEST_F(KubeListerWatcherTest, AsksForOneObjectWhereOnlyTheVersionIsWanted) {
  server.connection()
      .expects("GET /api/v1/pods?limit=1 ")
      .replies_json(pod_list(item("a", 1), R"("resourceVersion":"7","continue":"c1")"));
  ListOptions options;
  options.version_only = true;
  EXPECT_EQ(loop.await(source.list(pods, options))->version.text(), "7");
}

TEST_F(KubeListerWatcherTest, AGoneListOrPageIsExpired) {
  const std::string gone =
      R"({"kind":"Status","code":410,"reason":"Expired","message":"The provided continue parameter is too old"})";
  server.connection()
      .expects("GET")
      .replies_json(pod_list(item("a", 1), R"("resourceVersion":"7","continue":"c1")"))
      .expects("GET")
      .replies("410 Gone", gone);
  EXPECT_EQ(list("", 1).error().code, Code::Expired);
  server.connection().expects("GET").replies(
      "504 Gateway Timeout",
      R"({"kind":"Status","code":504,"reason":"Timeout","message":"Too large resource version: 9, current: 7"})");
  EXPECT_EQ(list("9").error().code, Code::Expired);
}

TEST_F(KubeListerWatcherTest, PagesOfTwoVersionsAreExpired) {
  server.connection()
      .expects("GET")
      .replies_json(pod_list(item("a", 1), R"("resourceVersion":"7","continue":"c1")"))
      .expects("GET")
      .replies_json(pod_list(item("b", 1), R"("resourceVersion":"8")"));
  EXPECT_EQ(list("", 1).error().code, Code::Expired);
}

TEST_F(KubeListerWatcherTest, RefusesWhatIsNoListOfThisResource) {
  for (
      const std::string& body :
      {std::string(
           R"({"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"rows":[{"cells":["a"]}]})"),
       std::string(R"({"kind":"PodList","apiVersion":"v2","metadata":{"resourceVersion":"7"},"items":[)") +
           item("a", 1) + "]}",
       std::string(
           R"({"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"items":[]})"),
       std::string(R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"7"}})"),
       pod_list(R"({"metadata":{"resourceVersion":"1"}})", R"("resourceVersion":"7")"),
       pod_list(R"({"metadata":{"name":"a"}})", R"("resourceVersion":"7")"),
       pod_list(R"({"kind":"Node","metadata":{"name":"a","resourceVersion":"1"}})", R"("resourceVersion":"7")"),
       pod_list("", ""), std::string("garbage")}) {
    server.connection().expects("GET").replies_json(body);
    RestClient fresh(loop.runtime(), server.target());  // Each case on a connection of its own.
    KubeListerWatcher lister(fresh);
    ListOptions options;
    const auto snapshot = loop.await(lister.list(pods, options));
    ASSERT_FALSE(snapshot) << body;
    EXPECT_EQ(snapshot.error().code, Code::Internal) << body;
  }
}

TEST_F(KubeListerWatcherTest, RefusesAnotherContentTypeWithItsFirstBytes) {
  server.connection().expects("GET").starts_stream("text/html").sends("<h1>login</h1>").ends_stream();
  const auto snapshot = list();
  EXPECT_EQ(snapshot.error().code, Code::Internal);
  EXPECT_THAT(snapshot.error().message, HasSubstr("<h1>login</h1>"));
}

TEST_F(KubeListerWatcherTest, AListThatIsCutIsUnavailableAndTheNextTakesAFreshConnection) {
  server.connection()
      .expects("GET")
      .starts_stream()
      .sends(R"({"kind":"PodList","apiVersion":"v1","metadata":{},"items":[)")
      .resets();
  server.connection().expects("GET").replies_json(pod_list("", R"("resourceVersion":"7")"));
  EXPECT_EQ(list().error().code, Code::Unavailable);
  EXPECT_TRUE(list());
}

TEST_F(KubeListerWatcherTest, AsksForMetadataOnly) {
  pods.projection = Projection::Metadata;
  const std::string partial =
      R"({"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",)" + item("a", 8).substr(1);
  server.connection()
      .expects("GET /api/v1/pods ")
      .replies_json(
          R"({"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"items":[)" +
          item("a", 8) + "]}")
      .expects("GET /api/v1/pods?watch=true")
      .starts_stream()
      .sends(event("ADDED", partial));
  EXPECT_EQ(list()->objects[0]->raw(), partial);
  auto stream = watch("7");
  EXPECT_EQ(next(*stream)->events[0].object->raw(), partial);
  EXPECT_THAT(server.requests()[0],
              HasSubstr("Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1\r\n"));
  EXPECT_THAT(server.requests()[1],
              HasSubstr("Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1\r\n"));
}

TEST_F(KubeListerWatcherTest, WatchesFromAVersionAndEndsInGoodOrder) {
  server.connection()
      .expects("GET /api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300 ")
      .starts_stream()
      .sends(event("ADDED", typed("a", 8)) + event("MODIFIED", typed("a", 9)))
      .pauses()
      .sends(event("DELETED", typed("a", 10)))
      .ends_stream();
  auto stream = watch("7");
  const auto first = next(*stream);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->events.size(), 2u);
  EXPECT_EQ(first->version.text(), "9");
  server.resume();
  EXPECT_EQ(next(*stream)->events[0].type, EventType::Deleted);
  EXPECT_EQ(next(*stream).error().code, Code::Timeout);
  EXPECT_EQ(next(*stream).error().code, Code::Timeout);
  EXPECT_FALSE(stream->fell_silent());
}

TEST_F(KubeListerWatcherTest, AsksForTheInitialEvents) {
  server.connection()
      .expects(
          "GET "
          "/api/v1/"
          "pods?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
          "timeoutSeconds=300 ")
      .replies("422 Unprocessable Entity",
               R"({"kind":"Status","code":422,"reason":"Invalid","message":"sendInitialEvents is forbidden"})");
  EXPECT_EQ(try_watch("", true).error().code, Code::Invalid);
  EXPECT_EQ(try_watch("").error().code, Code::Invalid);  // Neither a version nor the initial events: never sent.
}

TEST_F(KubeListerWatcherTest, AStreamThatBreaksIsUnavailableAlsoInsideALine) {
  const std::string half = event("ADDED", typed("b", 9)).substr(0, 40);
  server.connection().expects("GET").starts_stream().sends(event("ADDED", typed("a", 8)) + half).resets();
  server.connection().expects("GET").starts_stream().sends(event("ADDED", typed("a", 8)) + half).ends_stream();
  server.connection().expects("GET").starts_stream().sends(event("ADDED", typed("a", 8)));
  for (int i = 0; i < 3; ++i) {
    auto stream = watch("7");
    const auto first = next(*stream);
    if (first) {  // A reset may overtake the bytes before it.
      EXPECT_EQ(first->version.text(), "8");
      EXPECT_EQ(next(*stream).error().code, Code::Unavailable) << i;
    } else {
      EXPECT_EQ(first.error().code, Code::Unavailable) << i;
    }
  }
}

TEST_F(KubeListerWatcherTest, ASilentWatchIsATimeoutAndTheNextTakesAFreshConnection) {
  server.connection().expects("GET").starts_stream().sends(event("ADDED", typed("a", 8))).stays_silent();
  server.connection().expects("GET").starts_stream().stays_silent();
  auto stream = watch("7");
  EXPECT_TRUE(next(*stream));
  EXPECT_EQ(loop.await_after(stream->next(), 150s, [] { return true; }).error().code, Code::Timeout);
  EXPECT_TRUE(stream->fell_silent());
  loop.run_until([&] { return server.hang_ups() == 1; });
  auto again = watch("8");
  again.reset();  // Destroying a watch closes it.
  loop.run_until([&] { return server.hang_ups() == 2; });
}

TEST_F(KubeListerWatcherTest, ABadEventIsCountedAndEndsTheWatch) {
  server.connection()
      .expects("GET")
      .starts_stream()
      .sends(event("ADDED", typed("a", 8)) + "rubbish\n" + event("ADDED", typed("b", 9)))
      .stays_silent();
  auto stream = watch("7");
  EXPECT_EQ(next(*stream)->events.size(), 1u);
  const auto bad = next(*stream);
  EXPECT_EQ(bad.error().code, Code::Internal);
  EXPECT_THAT(bad.error().message, HasSubstr("rubbish"));
  EXPECT_EQ(loop.runtime().metrics.counter("tinf_kube_undecodable_events_total", "")->value(), 1u);
  loop.run_until([&] { return server.hang_ups() == 1; });
}

TEST_F(KubeListerWatcherTest, AnErrorEventEndsTheWatchWithItsCode) {
  server.connection()
      .expects("GET")
      .starts_stream()
      .sends(event("ERROR", R"({"kind":"Status","code":410,"reason":"Expired","message":"too old"})"))
      .ends_stream();
  auto stream = watch("7");
  EXPECT_EQ(next(*stream).error().code, Code::Expired);
}

TEST_F(KubeListerWatcherTest, AWatchKnowsTheKindFromTheList) {
  server.connection()
      .expects("GET")
      .replies_json(pod_list("", R"("resourceVersion":"7")"))
      .expects("GET")
      .starts_stream()
      .sends(event("ADDED", R"({"kind":"Other","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"8"}})"));
  ASSERT_TRUE(list());
  auto stream = watch("7");
  EXPECT_EQ(next(*stream).error().code, Code::Internal);
}

TEST_F(KubeListerWatcherTest, DropsManagedFieldsUnlessAskedToKeepThem) {
  const std::string with = R"({"metadata":{"name":"a","resourceVersion":"1","managedFields":[{"manager":"x"}]}})";
  server.connection()
      .expects("GET")
      .replies_json(pod_list(with, R"("resourceVersion":"7")"))
      .expects("GET")
      .replies_json(pod_list(with, R"("resourceVersion":"7")"));
  EXPECT_THAT(std::string(list()->objects[0]->raw()), Not(HasSubstr("managedFields")));
  KubeListerWatcherOptions options;
  options.keep_managed_fields = true;
  KubeListerWatcher keeping(client, options);
  ListOptions all;
  EXPECT_THAT(std::string(loop.await(keeping.list(pods, all))->objects[0]->raw()), HasSubstr("managedFields"));
}

}  // namespace
}  // namespace tinf::kube
