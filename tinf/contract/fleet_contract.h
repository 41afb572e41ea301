// The suite that every FleetStore passes: one history over the copies of many clusters, asked of a real one.
// Include it in a store's test and name the stores: INSTANTIATE_TEST_SUITE_P(Name, FleetContract,
// ::testing::Values(factory)). Its copies pass StoreContract, too: store_of(factory).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tinf/contract/fleet_store.h"
#include "tinf/contract/store_contract.h"
#include "tinf/testing/real_time.h"

namespace tinf::contract {

// An empty store that runs on `runtime`, which outlives it, and retains at least this many of the latest changes. One
// that is asked for few may retain more: only ExpiresWhatLiesBelowItsHistory counts on it, and makes kManyChanges.
using FleetFactory = std::function<std::shared_ptr<FleetStore>(Runtime& runtime, std::size_t retained_changes)>;

class FleetContract : public ::testing::TestWithParam<FleetFactory> {
 protected:
  static constexpr std::size_t kManyChanges = 2000;
  static constexpr int kManyFor = 200;  // One that retains ten.

  static Task<bool> stopped(TaskGroup& tasks) {
    co_await tasks.stop();
    co_return true;
  }

  static Scope configmaps(const std::string& api_version = "v1") {
    Scope scope;
    scope.resource = Resource{"", api_version, "configmaps"};
    return scope;
  }
  static Scope nodes() {
    Scope scope;
    scope.resource = Resource{"", "v1", "nodes"};
    return scope;
  }

  // "name" in namespace default, or "namespace/name".
  static ObjectKey key(const std::string& text) {
    auto parsed = *ObjectKey::from_string(text);
    if (parsed.namespace_name.empty()) parsed.namespace_name = "default";
    return parsed;
  }
  static ObjectPtr object(const std::string& at, int version, const std::string& uid = "u",
                          const std::string& app = "none") {
    const ObjectKey of = key(at);
    auto parsed =
        Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + of.name + R"(","namespace":")" +
                      of.namespace_name + R"(","uid":")" + uid + "-" + of.name + R"(","resourceVersion":")" +
                      std::to_string(version) + R"(","labels":{"app":")" + app + R"("}}})");
    return std::move(parsed).value();
  }
  // With more in its metadata: "," and members.
  static ObjectPtr object_with(const std::string& at, int version, const std::string& metadata) {
    const ObjectKey of = key(at);
    return Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")" + of.name +
                         R"(","namespace":")" + of.namespace_name + R"(","uid":"u-)" + of.name +
                         R"(","resourceVersion":")" + std::to_string(version) + "\"" + metadata + "}}")
        .value();
  }
  static ObjectPtr labelled(const std::string& at, int version, const std::string& name, const std::string& value) {
    return object_with(at, version, R"(,"labels":{")" + name + R"(":")" + value + R"("})");
  }
  static ObjectPtr owned(const std::string& at, int version, const std::vector<std::string>& owners) {
    std::string list;
    for (const auto& uid : owners) list += (list.empty() ? R"({"uid":")" : R"(,{"uid":")") + uid + R"("})";
    return object_with(at, version, R"(,"ownerReferences":[)" + list + "]");
  }

  FleetStore& fleet(std::size_t retained_changes = 100'000) {
    if (!fleet_) fleet_ = GetParam()(loop_.runtime(), retained_changes);
    return *fleet_;
  }
  // The copy of configmaps, kept open.
  Store& copy(const std::string& cluster) {
    auto& open = copies_[cluster];
    if (!open) open = fleet().open(cluster, configmaps()).value();
    return *open;
  }
  void close(const std::string& cluster) { copies_.erase(cluster); }

  template <class T>
  T await(Task<T> task) {
    return loop_.await(std::move(task));
  }

  void replace(const std::string& cluster, std::vector<ObjectPtr> objects, int at = 1) {
    Snapshot all{std::move(objects), ResourceVersion(std::to_string(at))};
    const auto done = await(copy(cluster).replace(std::move(all)));
    ASSERT_TRUE(done) << done.error().message;
  }
  void apply(const std::string& cluster, std::vector<WatchEvent> events, int at = 1) {
    EventBatch batch{std::move(events), ResourceVersion(std::to_string(at)), false};
    const auto done = await(copy(cluster).apply(std::move(batch)));
    ASSERT_TRUE(done) << done.error().message;
  }
  void add(const std::string& cluster, const std::string& at, int version) {
    apply(cluster, {WatchEvent::added(object(at, version))}, version);
  }

  static FleetQuery query() {
    FleetQuery all;
    all.collection = "configmaps";
    return all;
  }
  FleetPage list(const FleetQuery& asked) {
    auto page = await(fleet().list(asked));
    EXPECT_TRUE(page) << page.error().message;
    return page ? std::move(*page) : FleetPage();
  }
  static std::string shown(const FleetObject& one) {
    return one.cluster + "/" + one.object->key().to_string() + "@" + std::string(one.object->resource_version());
  }
  // "cluster/namespace/name@version", the member's own.
  static std::vector<std::string> shown(const FleetPage& page) {
    std::vector<std::string> lines;
    for (const auto& one : page.objects) lines.push_back(shown(one));
    return lines;
  }
  std::vector<std::string> listed(const FleetQuery& asked) { return shown(list(asked)); }
  std::vector<std::string> listed() { return listed(query()); }

  static FleetQuery searched(const std::string& text) {
    FleetQuery asked = query();
    asked.search = text;
    return asked;
  }
  static FleetQuery of_owner(const std::string& uid) {
    FleetQuery asked = query();
    asked.owner = uid;
    return asked;
  }
  // Page by page, all as of the first page's version or that of `asked`. `between` runs after each page.
  std::vector<std::string> paged(FleetQuery asked, std::size_t limit, const std::function<void()>& between) {
    asked.limit = limit;
    std::vector<std::string> all;
    for (int pages = 0; pages < 100; ++pages) {
      const FleetPage page = list(asked);
      EXPECT_LE(page.objects.size(), limit);
      for (const auto& line : shown(page)) all.push_back(line);
      if (!page.more || page.objects.empty()) {
        EXPECT_FALSE(page.more) << "and no place to go on from";
        return all;
      }
      asked.version = page.version;
      asked.after = FleetPlace{page.objects.back().cluster, page.objects.back().object->key()};
      between();
    }
    ADD_FAILURE() << "the pages have no end";
    return all;
  }

  std::unique_ptr<FleetWatch> watch(StoreVersion from, std::vector<std::string> clusters = {}) {
    auto opened = fleet().watch("configmaps", from, std::move(clusters));
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }
  // What a watch has to tell of all that is stored by now.
  std::vector<FleetChange> changes(FleetWatch& open) {
    std::vector<FleetChange> all;
    const StoreVersion version = fleet().version();
    const auto end = loop_.runtime().clock.now() + std::chrono::seconds(20);
    while (loop_.runtime().clock.now() < end) {
      auto batch = await(open.next(loop_.runtime().clock.now() + std::chrono::milliseconds(20)));
      EXPECT_TRUE(batch) << batch.error().message;
      if (!batch) return all;
      all.insert(all.end(), batch->changes.begin(), batch->changes.end());
      if (batch->version >= version) return all;
    }
    ADD_FAILURE() << "the watch has not heard of version " << version;
    return all;
  }
  // "TYPE cluster/namespace/name previous>now", with the members' own versions and "-" for nothing.
  static std::string shown(const FleetChange& change) {
    return std::string(to_string(change.type)) + " " + change.cluster + "/" + change.object->key().to_string() + " " +
           (change.previous ? std::string(change.previous->resource_version()) : "-") + ">" +
           std::string(change.object->resource_version());
  }
  std::vector<std::string> told(FleetWatch& open) {
    std::vector<std::string> lines;
    for (const auto& change : changes(open)) lines.push_back(shown(change));
    return lines;
  }
  std::vector<std::string> told_after(StoreVersion from) { return told(*watch(from)); }

  testing::RealTime loop_;

 private:
  std::shared_ptr<FleetStore> fleet_;
  std::map<std::string, std::unique_ptr<Store>> copies_;  // Closed before the store goes.
};

// One copy of such a store, for StoreContract.
inline StoreFactory store_of(FleetFactory factory) {
  struct Kept {
    testing::RealTime loop;
    std::shared_ptr<FleetStore> fleet;
    std::unique_ptr<Store> copy;
  };
  return [factory = std::move(factory)] {
    auto kept = std::make_shared<Kept>();
    kept->fleet = factory(kept->loop.runtime(), 100'000);
    Scope scope;
    scope.resource = Resource{"", "v1", "configmaps"};
    kept->copy = kept->fleet->open("cluster1", scope).value();
    return StoreUnderTest{kept->copy.get(), kept->copy.get(), kept};
  };
}

TEST_P(FleetContract, IsEmptyAtFirst) {
  EXPECT_GT(fleet().version(), 0u);
  EXPECT_TRUE(fleet().clusters().empty());
  EXPECT_TRUE(fleet().scopes().empty());
  const auto page = list(query());
  EXPECT_TRUE(page.objects.empty());
  EXPECT_FALSE(page.more);
  EXPECT_EQ(page.version, fleet().version());
  EXPECT_FALSE(await(fleet().get("configmaps", FleetPlace{"c1", key("a")})).value());
}

TEST_P(FleetContract, GivesEveryChangeOfAnyCopyALaterVersion) {
  StoreVersion last = fleet().version();
  int step = 0;
  const auto has_risen = [&] { return std::exchange(last, fleet().version()) < fleet().version(); };
  for (const auto* cluster : {"c1", "c2", "c1"}) {
    ++step;
    add(cluster, "a" + std::to_string(step), step);
    EXPECT_TRUE(has_risen()) << step;
  }
  apply("c1", {WatchEvent::modified(object("a1", 9))});
  EXPECT_TRUE(has_risen());
  apply("c1", {WatchEvent::deleted(object("a1", 9))});
  EXPECT_TRUE(has_risen());

  std::set<StoreVersion> versions;
  for (const auto& one : list(query()).objects) versions.insert(one.version);
  EXPECT_EQ(versions.size(), 2u) << "each object has a version of its own";
}

TEST_P(FleetContract, GetsAnObjectWithTheVersionOfItsLastChange) {
  add("c1", "a", 1);
  add("c2", "a", 7);
  const StoreVersion at = fleet().version();
  add("c1", "b", 2);
  const auto found = await(fleet().get("configmaps", FleetPlace{"c2", key("a")})).value();
  ASSERT_TRUE(found);
  EXPECT_EQ(shown(*found), "c2/default/a@7");
  EXPECT_EQ(found->version, at);
  EXPECT_FALSE(await(fleet().get("configmaps", FleetPlace{"c2", key("b")})).value());
  EXPECT_FALSE(await(fleet().get("configmaps", FleetPlace{"c3", key("a")})).value());
  EXPECT_FALSE(await(fleet().get("secrets", FleetPlace{"c2", key("a")})).value());
}

TEST_P(FleetContract, OpensACopyOnceAtATimeAndAsItWasLeft) {
  replace("c1", {object("a", 1), object("b", 2)}, 5);
  const auto twice = fleet().open("c1", configmaps());
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, Code::AlreadyExists);
  EXPECT_TRUE(fleet().open("c1", nodes()));
  EXPECT_TRUE(fleet().open("c2", configmaps()));
  const auto fingerprint = copy("c1").fingerprint();

  close("c1");
  EXPECT_THAT(listed(), ::testing::ElementsAre("c1/default/a@1", "c1/default/b@2")) << "nobody has forgotten it";
  EXPECT_EQ(copy("c1").size(), 2u);
  EXPECT_EQ(copy("c1").version(), ResourceVersion("5"));
  EXPECT_EQ(copy("c1").fingerprint(), fingerprint);
}

TEST_P(FleetContract, HasNoPositionWhereACopyIsOpenedForAnotherScope) {
  replace("c1", {object("a", 1)}, 5);
  close("c1");
  Scope other = configmaps("v2");
  other.label_selector = "app=web";
  {
    const auto opened = fleet().open("c1", other).value();
    EXPECT_EQ(opened->size(), 1u);
    EXPECT_TRUE(opened->version().empty());
  }
  EXPECT_EQ(copy("c1").version(), ResourceVersion("5")) << "nothing was written";
  close("c1");
  {
    const auto opened = fleet().open("c1", other).value();
    Snapshot all{{object("a", 1)}, ResourceVersion("6")};
    ASSERT_TRUE(await(opened->replace(std::move(all))));
    EXPECT_EQ(opened->version(), ResourceVersion("6"));
  }
  EXPECT_TRUE(copy("c1").version().empty());
}

TEST_P(FleetContract, HasNoPositionOfAnotherScopeAlsoWhereThatHeldNothing) {
  replace("c1", {}, 5);
  EXPECT_EQ(copy("c1").version(), ResourceVersion("5"));
  close("c1");
  Scope other = configmaps();
  other.label_selector = "app=web";
  EXPECT_TRUE(fleet().open("c1", other).value()->version().empty());
  EXPECT_EQ(copy("c1").version(), ResourceVersion("5"));
}

TEST_P(FleetContract, ListsInOrderOfPlaceOverClusters) {
  replace("c2", {object("b", 1), object("a", 2), object("ns/a", 3)});
  replace("c10", {object("a", 4)});
  replace("c1", {object("z", 5), object("a/a", 6)});
  EXPECT_THAT(listed(), ::testing::ElementsAre("c1/a/a@6", "c1/default/z@5", "c10/default/a@4", "c2/default/a@2",
                                               "c2/default/b@1", "c2/ns/a@3"));
  EXPECT_TRUE(copy("c3").version().empty());
  FleetQuery other = query();
  other.collection = "nodes";
  EXPECT_TRUE(listed(other).empty());
}

TEST_P(FleetContract, ListsByClusterNamespaceAndLabels) {
  replace("c1", {object("a", 1), object("b", 2, "u", "web"), object("ns/a", 3, "u", "web")});
  replace("c2", {object("a", 4, "u", "web"), object("ns/b", 5)});
  replace("c3", {object("a", 6, "u", "web")});
  FleetQuery asked = query();
  asked.clusters = {"c2", "c1", "c9"};
  EXPECT_EQ(listed(asked).size(), 5u);
  asked.labels = LabelSelector::parse("app=web").value();
  EXPECT_THAT(listed(asked), ::testing::ElementsAre("c1/default/b@2", "c1/ns/a@3", "c2/default/a@4"));
  asked.namespace_name = "ns";
  EXPECT_THAT(listed(asked), ::testing::ElementsAre("c1/ns/a@3"));
  asked = query();
  asked.namespace_name = "ns";
  EXPECT_THAT(listed(asked), ::testing::ElementsAre("c1/ns/a@3", "c2/ns/b@5"));
  asked = query();
  asked.labels = LabelSelector::parse("app!=web").value();
  EXPECT_THAT(listed(asked), ::testing::ElementsAre("c1/default/a@1", "c2/ns/b@5"));
}

TEST_P(FleetContract, FindsByATextInNamesNamespacesAndLabels) {
  replace("c1", {object("Web-1", 1), object("web_2", 2), object("shop/a", 3), labelled("b", 4, "tier", "WebFront"),
                 labelled("c", 5, "Example.com/web", ""), object_with("d", 6, R"(,"annotations":{"web":"web"})"),
                 object_with("e", 7, "")});
  replace("web", {object_with("a", 8, R"(,"uid2":"web")"), object("webshop/b", 9)});
  EXPECT_THAT(listed(searched("web")), ::testing::ElementsAre("c1/default/Web-1@1", "c1/default/b@4", "c1/default/c@5",
                                                              "c1/default/web_2@2", "web/webshop/b@9"))
      << "not in the cluster's name";
  EXPECT_EQ(listed(searched("wEB")).size(), 5u);
  EXPECT_THAT(listed(searched("SHOP")), ::testing::ElementsAre("c1/shop/a@3", "web/webshop/b@9"));
  EXPECT_THAT(listed(searched("com/W")), ::testing::ElementsAre("c1/default/c@5"));
  EXPECT_TRUE(listed(searched("u-")).empty()) << "not in uids";
  EXPECT_EQ(listed(searched("")).size(), 9u);
}

TEST_P(FleetContract, TakesTheTextOfASearchAsItStands) {
  replace("c1", {object("a_b", 1), object("axb", 2), object("a%b", 3), object("a\\\\b", 4), object("a'b", 5),
                 object("größe", 6)});
  EXPECT_THAT(listed(searched("a_b")), ::testing::ElementsAre("c1/default/a_b@1"));
  EXPECT_THAT(listed(searched("A%B")), ::testing::ElementsAre("c1/default/a%b@3"));
  EXPECT_THAT(listed(searched("a\\b")), ::testing::ElementsAre("c1/default/a\\b@4"));
  EXPECT_THAT(listed(searched("'B")), ::testing::ElementsAre("c1/default/a'b@5"));
  EXPECT_THAT(listed(searched("GRöß")), ::testing::ElementsAre("c1/default/größe@6"));
  EXPECT_TRUE(listed(searched("a*b")).empty());
  EXPECT_TRUE(listed(searched("grÖ")).empty()) << "other letters than ASCII's have one case";
}

TEST_P(FleetContract, FindsWhatAnObjectOwns) {
  replace("c1", {owned("a", 1, {"u1"}), owned("b", 2, {"u2", "u1"}), owned("c", 3, {}), object("u1", 4)});
  replace("c2", {owned("a", 5, {"u1"}), owned("ns/b", 6, {"u10"})});
  EXPECT_THAT(listed(of_owner("u1")), ::testing::ElementsAre("c1/default/a@1", "c1/default/b@2", "c2/default/a@5"));
  EXPECT_THAT(listed(of_owner("u2")), ::testing::ElementsAre("c1/default/b@2"));
  EXPECT_TRUE(listed(of_owner("U1")).empty());
  EXPECT_TRUE(listed(of_owner("u")).empty());
  apply("c1", {WatchEvent::modified(owned("a", 7, {"u2"})), WatchEvent::deleted(owned("b", 2, {}))});
  EXPECT_THAT(listed(of_owner("u1")), ::testing::ElementsAre("c2/default/a@5"));
  EXPECT_THAT(listed(of_owner("u2")), ::testing::ElementsAre("c1/default/a@7"));
}

TEST_P(FleetContract, FindsTogetherWithEverythingElseThatIsAskedFor) {
  const auto all_of_it = [](const std::string& at, int version) {
    return object_with(at, version, R"(,"labels":{"app":"web"},"ownerReferences":[{"uid":"u1"}])");
  };
  for (const auto* cluster : {"c1", "c2", "c3"}) {
    replace(cluster, {all_of_it("ns/web-1", 1), all_of_it("ns/web-2", 2), all_of_it("web-3", 3), all_of_it("ns/x", 4),
                      owned("ns/web-5", 5, {"u1"}), labelled("ns/web-6", 6, "app", "web")});
  }
  FleetQuery asked = searched("Web-");
  asked.owner = "u1";
  EXPECT_EQ(listed(asked).size(), 12u);
  asked.labels = LabelSelector::parse("app=web").value();
  EXPECT_EQ(listed(asked).size(), 9u);
  asked.labels = LabelSelector::parse("app!=web").value();
  EXPECT_EQ(listed(asked).size(), 3u);
  asked.labels = LabelSelector::parse("app=web").value();
  asked.namespace_name = "ns";
  asked.clusters = {"c3", "c1"};
  EXPECT_THAT(listed(asked),
              ::testing::ElementsAre("c1/ns/web-1@1", "c1/ns/web-2@2", "c3/ns/web-1@1", "c3/ns/web-2@2"));
  asked.after = FleetPlace{"c1", ObjectKey{"ns", "web-1"}};
  EXPECT_THAT(listed(asked), ::testing::ElementsAre("c1/ns/web-2@2", "c3/ns/web-1@1", "c3/ns/web-2@2"));
  asked.of_cluster = [](const std::string& cluster) { return cluster != "c3"; };
  EXPECT_THAT(listed(asked), ::testing::ElementsAre("c1/ns/web-2@2"));
}

TEST_P(FleetContract, FindsPageByPageAndAsOfThenWhatIsFoundNoMore) {
  for (const auto* cluster : {"c1", "c2"}) {
    replace(cluster, {labelled("a", 1, "app", "web"), labelled("b", 1, "app", "db"), labelled("c", 1, "tier", "WEB"),
                      owned("d", 1, {"u1"}), owned("e", 1, {"u1", "u2"})});
  }
  const StoreVersion from = fleet().version();
  const auto found = listed(searched("web"));
  const auto owned_by = listed(of_owner("u1"));
  ASSERT_EQ(found.size(), 4u);
  ASSERT_EQ(owned_by.size(), 4u);
  int step = 1;
  const auto change = [&] {
    ++step;
    apply("c1", {WatchEvent::modified(labelled("b", step, "app", step % 2 == 0 ? "web" : "db")),
                 WatchEvent::deleted(labelled("c", 1, "tier", "WEB")), WatchEvent::modified(owned("e", step, {"u2"}))});
    apply("c2", {WatchEvent::modified(labelled("a", step, "app", "none")), WatchEvent::modified(owned("d", step, {})),
                 WatchEvent::added(owned("web", step, {"u1"}))});
  };
  EXPECT_EQ(paged(searched("web"), 1, change), found);
  change();
  FleetQuery then = searched("web");
  then.version = from;
  EXPECT_EQ(listed(then), found);
  EXPECT_EQ(paged(then, 3, change), found);
  then = of_owner("u1");
  then.version = from;
  EXPECT_EQ(listed(then), owned_by);
  EXPECT_EQ(paged(then, 1, change), owned_by);
  EXPECT_NE(listed(of_owner("u1")), owned_by);
}

TEST_P(FleetContract, PagesStayAtTheirVersionWhileObjectsComeGoAndChange) {
  replace("c1", {object("a", 1), object("b", 1), object("c", 1)});
  replace("c2", {object("a", 1), object("b", 1)});
  const auto whole = listed();
  FleetQuery asked = query();
  asked.limit = 2;
  FleetPage page = list(asked);
  auto all = shown(page);
  EXPECT_EQ(all.size(), 2u);
  asked.version = page.version;
  for (int step = 2; page.more; ++step) {
    ASSERT_LT(step, 10);
    ASSERT_FALSE(page.objects.empty());
    asked.after = FleetPlace{page.objects.back().cluster, page.objects.back().object->key()};
    apply("c1", {WatchEvent::modified(object("c", step)), WatchEvent::deleted(object("b", 1))});
    add("c1", "z" + std::to_string(step), step);
    add("c3", "a" + std::to_string(step), step);
    apply("c2", {WatchEvent::deleted(object("b", 1))});
    page = list(asked);
    EXPECT_EQ(page.version, *asked.version);
    if (page.remaining) {
      EXPECT_EQ(*page.remaining > 0, page.more);
    }
    for (const auto& line : shown(page)) all.push_back(line);
  }
  EXPECT_EQ(all, whole);
}

TEST_P(FleetContract, SaysHowManyRemainOfAWholeOrNothing) {
  replace("c1", {object("a", 1), object("b", 1)});
  replace("c2", {object("a", 1), object("b", 1), object("c", 1)});
  FleetQuery asked = query();
  asked.limit = 1;
  EXPECT_EQ(list(asked).remaining.value_or(4), 4u);
  asked.clusters = {"c2"};
  EXPECT_EQ(list(asked).remaining.value_or(2), 2u);
  asked.limit = 3;
  EXPECT_EQ(list(asked).remaining.value_or(0), 0u);
  asked.search = "b";
  asked.limit = 1;
  EXPECT_EQ(list(asked).remaining.value_or(0), 0u);
}

TEST_P(FleetContract, SaysThatThereIsNoMoreBehindAFullLastPage) {
  replace("c1", {object("a", 1), object("b", 1)});
  FleetQuery asked = query();
  asked.limit = 2;
  EXPECT_FALSE(list(asked).more);
  asked.limit = 1;
  EXPECT_TRUE(list(asked).more);
  asked.after = FleetPlace{"c1", key("a")};
  EXPECT_FALSE(list(asked).more);
  asked.after = FleetPlace{"c1", key("b")};
  EXPECT_TRUE(list(asked).objects.empty());
}

TEST_P(FleetContract, ExpiresWhatLiesBelowItsHistory) {
  (void)fleet(10);
  add("c1", "first", 1);
  const StoreVersion early = fleet().version();
  auto behind = watch(early);
  auto current = watch(early);
  std::vector<WatchEvent> many;
  for (std::size_t i = 0; i < kManyChanges; ++i) {
    add("c1", "n" + std::to_string(i), static_cast<int>(i));
    if (i % 8 == 0) {
      ASSERT_FALSE(changes(*current).empty());
    }
  }
  const auto old_watch = fleet().watch("configmaps", early);
  ASSERT_FALSE(old_watch);
  EXPECT_EQ(old_watch.error().code, Code::Expired);
  FleetQuery asked = query();
  asked.version = early;
  const auto old_list = await(fleet().list(asked));
  ASSERT_FALSE(old_list);
  EXPECT_EQ(old_list.error().code, Code::Expired);
  const auto fell_behind = await(behind->next(loop_.runtime().clock.now()));
  ASSERT_FALSE(fell_behind);
  EXPECT_EQ(fell_behind.error().code, Code::Expired);
  EXPECT_EQ(changes(*current).size(), 7u) << "one that reads on goes on";
}

TEST_P(FleetContract, DoesNotExpireAWatchOfAQuietCollectionThatHasHeardAll) {
  (void)fleet(10);
  auto quiet = fleet().watch("nodes", fleet().version()).value();
  for (int i = 0; i < 50; ++i) add("c1", "n" + std::to_string(i), i);
  const auto batch = await(quiet->next(loop_.runtime().clock.now()));
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_TRUE(batch->changes.empty());
  EXPECT_EQ(batch->version, fleet().version()) << "an idle watch learns how far the store is, for bookmarks";

  // Again, once it has been told of a change; and what comes then is told, too.
  const auto others = fleet().open("c1", nodes()).value();
  const auto add_node = [&](const std::string& name) {
    EventBatch added;
    added.events.push_back(WatchEvent::added(
        Object::parse(R"({"kind":"Node","apiVersion":"v1","metadata":{"name":")" + name + "\"}}").value()));
    ASSERT_TRUE(await(others->apply(std::move(added))));
  };
  const auto told = [&] {
    auto heard = await(quiet->next(loop_.runtime().clock.now() + std::chrono::seconds(10)));
    EXPECT_TRUE(heard) << heard.error().message;
    return heard && heard->changes.size() == 1 ? std::string(heard->changes.front().object->name()) : "";
  };
  for (const std::string name : {"n1", "n2"}) {
    add_node(name);
    EXPECT_EQ(told(), name);
    for (int i = 0; i < kManyFor; ++i) add("c1", "n" + std::to_string(i % 50), 1000 + i);
    ASSERT_TRUE(await(quiet->next(loop_.runtime().clock.now())));
  }
}

// Writes of several copies may be stored as one; whoever looks in between must not take one for heard.
TEST_P(FleetContract, TellsEveryCollectionItsChangesWhereManyAreWrittenAtOnce) {
  const auto other = fleet().open("c1", nodes()).value();
  (void)copy("c1");
  auto first = fleet().watch("configmaps", fleet().version()).value();
  auto second = fleet().watch("nodes", fleet().version()).value();
  int heard_first = 0, heard_second = 0;
  TaskGroup tasks(loop_.runtime().executor);
  constexpr int kRounds = 200;
  const auto follow = [](testing::RealTime& loop, FleetWatch& watch, int& heard) -> Task<void> {
    while (heard < kRounds) {
      // Looks as often as it can, as one whose deadline for a bookmark has come.
      auto batch = co_await watch.next(loop.runtime().clock.now());
      EXPECT_TRUE(batch) << batch.error().message;
      if (!batch) co_return;
      heard += static_cast<int>(batch->changes.size());
      co_await asio::post(loop.runtime().executor, asio::use_awaitable);
    }
  };
  tasks.spawn(follow(loop_, *first, heard_first));
  tasks.spawn(follow(loop_, *second, heard_second));
  const auto write = [](Store& store, int round, int& done) -> Task<void> {
    EventBatch batch;
    batch.events.push_back(WatchEvent::modified(object("a", round)));
    EXPECT_TRUE(co_await store.apply(std::move(batch)));
    ++done;
  };
  const auto rounds = [&]() -> Task<bool> {
    const auto end = loop_.runtime().clock.now() + std::chrono::seconds(20);
    for (int round = 1; round <= kRounds; ++round) {
      int done = 0;
      tasks.spawn(write(copy("c1"), round, done));
      tasks.spawn(write(*other, round, done));
      while (done < 2) co_await loop_.runtime().clock.sleep_for(std::chrono::microseconds(100));
    }
    while ((heard_first < kRounds || heard_second < kRounds) && loop_.runtime().clock.now() < end)
      co_await loop_.runtime().clock.sleep_for(std::chrono::milliseconds(1));
    co_return true;
  };
  (void)await(rounds());
  EXPECT_EQ(heard_first, kRounds);
  EXPECT_EQ(heard_second, kRounds);
  (void)await(stopped(tasks));
}

TEST_P(FleetContract, TellsEachChangeOnceInOrderWithTheStateBefore) {
  add("c1", "a", 1);
  const StoreVersion from = fleet().version();
  auto early = watch(from);
  apply("c1", {WatchEvent::modified(object("a", 2))});
  add("c2", "a", 3);
  EXPECT_THAT(told(*early), ::testing::ElementsAre("MODIFIED c1/default/a 1>2", "ADDED c2/default/a ->3"));
  apply("c1", {WatchEvent::deleted(object("a", 2))});
  EXPECT_THAT(told(*early), ::testing::ElementsAre("DELETED c1/default/a 2>2"));
  EXPECT_TRUE(told(*early).empty());
  EXPECT_THAT(told_after(from),
              ::testing::ElementsAre("MODIFIED c1/default/a 1>2", "ADDED c2/default/a ->3", "DELETED c1/default/a 2>2"))
      << "also what was made before the watch was opened";
  StoreVersion last = from;
  for (const auto& change : changes(*watch(from))) EXPECT_LT(std::exchange(last, change.version), change.version);
  EXPECT_EQ(last, fleet().version());
}

TEST_P(FleetContract, TellsAWriteOfManyObjectsToTheLast) {
  const StoreVersion from = fleet().version();
  std::vector<ObjectPtr> many;
  for (int i = 0; i < 3000; ++i) many.push_back(object("n" + std::to_string(i), i));
  replace("c1", std::move(many));
  std::set<std::string> names;
  StoreVersion last = from;
  const auto heard = changes(*watch(from));
  for (const auto& change : heard) {
    names.insert(change.object->key().to_string());
    EXPECT_LT(std::exchange(last, change.version), change.version);
  }
  EXPECT_EQ(heard.size(), 3000u);
  EXPECT_EQ(names.size(), 3000u);
  EXPECT_EQ(list(query()).objects.size(), 3000u);
}

TEST_P(FleetContract, TellsAnotherUidAsADeleteAndAnAdd) {
  add("c1", "a", 1);
  const StoreVersion from = fleet().version();
  apply("c1", {WatchEvent::modified(object("a", 2, "other"))});
  EXPECT_THAT(told_after(from), ::testing::ElementsAre("DELETED c1/default/a 1>1", "ADDED c1/default/a ->2"));
  const StoreVersion then = fleet().version();
  replace("c1", {object("a", 3, "third")});
  EXPECT_THAT(told_after(then), ::testing::ElementsAre("DELETED c1/default/a 2>2", "ADDED c1/default/a ->3"));
}

TEST_P(FleetContract, TellsOfAReplacedSetTheDifferencesAlone) {
  replace("c1", {object("a", 1), object("b", 1), object("c", 1)});
  replace("c2", {object("a", 1)});
  const StoreVersion from = fleet().version();
  replace("c1", {object("a", 1), object("b", 2), object("d", 2)});
  EXPECT_THAT(told_after(from), ::testing::UnorderedElementsAre("MODIFIED c1/default/b 1>2", "DELETED c1/default/c 1>1",
                                                                "ADDED c1/default/d ->2"));
}

TEST_P(FleetContract, TellsNothingOfWhatChangesNothing) {
  replace("c1", {object("a", 1)}, 1);
  const StoreVersion from = fleet().version();
  apply("c1", {WatchEvent::modified(object("a", 1)), WatchEvent::added(object("a", 1))}, 2);
  apply("c1", {WatchEvent::deleted(object("a", 1, "other")), WatchEvent::deleted(object("b", 1))}, 3);
  apply("c1", {}, 4);
  replace("c1", {object("a", 1)}, 5);
  EXPECT_EQ(fleet().version(), from);
  EXPECT_TRUE(told_after(from).empty());
  EXPECT_EQ(copy("c1").version(), ResourceVersion("5"));
}

TEST_P(FleetContract, TellsTheDeletesOfACopyThatIsForgotten) {
  replace("c1", {object("a", 1), object("b", 1)});
  replace("c2", {object("a", 1)});
  const StoreVersion from = fleet().version();
  const auto refused = await(fleet().forget("c1", configmaps().resource, false));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Conflict);
  close("c1");
  const auto not_empty = await(fleet().forget("c1", configmaps().resource, true));
  ASSERT_FALSE(not_empty);
  EXPECT_EQ(not_empty.error().code, Code::Conflict);
  ASSERT_TRUE(await(fleet().forget("c1", configmaps().resource, false)));
  EXPECT_THAT(told_after(from),
              ::testing::UnorderedElementsAre("DELETED c1/default/a 1>1", "DELETED c1/default/b 1>1"));
  EXPECT_THAT(listed(), ::testing::ElementsAre("c2/default/a@1"));
  FleetQuery before = query();
  before.version = from;
  EXPECT_EQ(listed(before).size(), 3u);
  ASSERT_EQ(fleet().scopes().size(), 1u);
  EXPECT_TRUE(await(fleet().forget("c9", configmaps().resource, false))) << "there is none";
  EXPECT_EQ(copy("c1").size(), 0u);
  EXPECT_TRUE(copy("c1").version().empty());
}

TEST_P(FleetContract, WakesAWatchThatWaits) {
  auto open = watch(fleet().version());
  (void)copy("c1");
  struct Played {
    static Task<Result<FleetBatch>> play(FleetWatch& open, Store& copy, Clock& clock, ObjectPtr object) {
      TaskGroup group(co_await asio::this_coro::executor);
      group.spawn(write(copy, clock, std::move(object)));
      auto batch = co_await open.next(clock.now() + std::chrono::seconds(20));
      co_await group.join();
      co_return batch;
    }
    static Task<void> write(Store& copy, Clock& clock, ObjectPtr object) {
      co_await clock.sleep_for(std::chrono::milliseconds(5));
      EventBatch batch;
      batch.events.push_back(WatchEvent::added(std::move(object)));
      EXPECT_TRUE(co_await copy.apply(std::move(batch)));
    }
  };
  auto batch = await(Played::play(*open, copy("c1"), loop_.runtime().clock, object("a", 1)));
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->changes.size(), 1u);
  open->cut();
  EXPECT_EQ(await(open->next(TimePoint::max())).error().code, Code::Cancelled);
}

TEST_P(FleetContract, TellsAWatchOfSomeClustersOfTheseAlone) {
  const StoreVersion from = fleet().version();
  auto one = watch(from, {"c1"});
  auto two = watch(from, {"c3", "c1"});
  auto none = watch(from, {"c9"});
  add("c1", "a", 1);
  add("c2", "a", 2);
  replace("c3", {object("a", 3), object("b", 3)});
  apply("c2", {WatchEvent::deleted(object("a", 2))});
  EXPECT_THAT(told(*one), ::testing::ElementsAre("ADDED c1/default/a ->1"));
  EXPECT_EQ(told(*two).size(), 3u);
  EXPECT_TRUE(told(*none).empty());
  add("c2", "b", 4);
  EXPECT_TRUE(told(*one).empty());
  apply("c1", {WatchEvent::modified(object("a", 5))});
  apply("c2", {WatchEvent::modified(object("b", 5))});
  EXPECT_THAT(told(*one), ::testing::ElementsAre("MODIFIED c1/default/a 1>5"));
  EXPECT_THAT(told(*watch(from, {"c2"})), ::testing::ElementsAre("ADDED c2/default/a ->2", "DELETED c2/default/a 2>2",
                                                                 "ADDED c2/default/b ->4", "MODIFIED c2/default/b 4>5"))
      << "also what was made before the watch was opened";
}

TEST_P(FleetContract, PassesAWatchOverWhatOtherClustersChange) {
  auto quiet = watch(fleet().version(), {"c1"});
  add("c1", "a", 1);
  EXPECT_EQ(told(*quiet).size(), 1u);
  struct Played {
    static Task<Result<FleetBatch>> play(FleetWatch& open, Store& copy, Clock& clock, ObjectPtr object) {
      TaskGroup group(co_await asio::this_coro::executor);
      group.spawn(write(copy, std::move(object)));
      auto batch = co_await open.next(clock.now() + std::chrono::milliseconds(100));
      co_await group.join();
      co_return batch;
    }
    static Task<void> write(Store& copy, ObjectPtr object) {
      EventBatch batch;
      batch.events.push_back(WatchEvent::added(std::move(object)));
      EXPECT_TRUE(co_await copy.apply(std::move(batch)));
    }
  };
  auto& clock = loop_.runtime().clock;
  const TimePoint began = clock.now();
  const auto batch = await(Played::play(*quiet, copy("c2"), clock, object("b", 2)));
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_TRUE(batch->changes.empty());
  EXPECT_GE(clock.now(), began + std::chrono::milliseconds(100)) << "it was not woken";
  const auto later = await(quiet->next(clock.now()));
  ASSERT_TRUE(later);
  EXPECT_EQ(later->version, fleet().version()) << "and knows how far the store is, for bookmarks";
}

TEST_P(FleetContract, DoesNotExpireAWatchOfAQuietCluster) {
  (void)fleet(10);
  auto quiet = watch(fleet().version(), {"c1"});
  int version = 0;
  for (const std::string name : {"a", "b"}) {
    add("c1", name, ++version);
    EXPECT_EQ(told(*quiet).size(), 1u) << name;
    for (int i = 0; i < kManyFor; ++i) add("c2", "n" + std::to_string(i), ++version);
  }
  const auto batch = await(quiet->next(loop_.runtime().clock.now()));
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_TRUE(batch->changes.empty());
  EXPECT_EQ(batch->version, fleet().version());
  add("c2", "last", ++version);
  EXPECT_TRUE(told(*quiet).empty());
}

TEST_P(FleetContract, ReachesAVersionThatComesAndGivesUpAtTheDeadline) {
  const StoreVersion now = fleet().version();
  auto& clock = loop_.runtime().clock;
  EXPECT_TRUE(await(fleet().reach(now, clock.now())));
  const auto late = await(fleet().reach(now + 1, clock.now() + std::chrono::milliseconds(5)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::Timeout);
  add("c1", "a", 1);
  EXPECT_TRUE(await(fleet().reach(fleet().version(), clock.now())));
}

TEST_P(FleetContract, KnowsClustersAndScopesAndSaysWhenTheyChange) {
  int told = 0;
  fleet().on_clusters([&told] { ++told; });
  FleetCluster cluster;
  cluster.name = "c2";
  cluster.uid = "123";
  cluster.kubernetes = "v1.30.0";
  cluster.present = true;
  cluster.offer.emplace_back();
  cluster.offer.back().resource = configmaps().resource;
  cluster.offer.back().kind = "ConfigMap";
  ASSERT_TRUE(await(fleet().put_cluster(cluster)));
  EXPECT_EQ(told, 1);
  ASSERT_TRUE(await(fleet().put_cluster(cluster)));
  EXPECT_EQ(told, 1) << "nothing has changed";
  FleetCluster other = cluster;
  other.name = "c1";
  ASSERT_TRUE(await(fleet().put_cluster(other)));
  cluster.present = false;
  ASSERT_TRUE(await(fleet().put_cluster(cluster)));
  EXPECT_EQ(told, 3);
  EXPECT_THAT(fleet().clusters(), ::testing::ElementsAre(other, cluster));

  replace("c2", {object("a", 1), object("b", 1)});
  const auto opened = fleet().open("c2", nodes());
  EXPECT_EQ(told, 5);
  (void)copy("c1");
  const auto scopes = fleet().scopes();
  ASSERT_EQ(scopes.size(), 3u);
  EXPECT_EQ(scopes[0].cluster, "c1");
  EXPECT_EQ(scopes[1].resource, configmaps().resource);
  EXPECT_EQ(scopes[1].objects, 2u);
  EXPECT_EQ(scopes[2].resource, nodes().resource);
}

TEST_P(FleetContract, KnowsAScopeThatHoldsNothingUntilItIsForgotten) {
  replace("c1", {}, 5);
  close("c1");
  ASSERT_EQ(fleet().scopes().size(), 1u);
  EXPECT_EQ(fleet().scopes().front().cluster, "c1");
  EXPECT_EQ(fleet().scopes().front().objects, 0u);
  ASSERT_TRUE(await(fleet().forget("c1", configmaps().resource, true)));
  EXPECT_TRUE(fleet().scopes().empty());
}

// The history replayed is the list, at every version that it went through.
TEST_P(FleetContract, ListsAtEveryVersionWhatItsChangesAddUpTo) {
  const StoreVersion from = fleet().version();
  unsigned seed = 7;
  const auto random = [&seed](unsigned bound) { return (seed = seed * 1103515245u + 12345u) / 65536u % bound; };
  for (int step = 1; step <= 120; ++step) {
    const std::string cluster = "c" + std::to_string(random(3));
    const auto state = object((random(2) == 0 ? "x/n" : "y/n") + std::to_string(random(6)), step,
                              random(5) == 0 ? "other" : "u", random(2) == 0 ? "web" : "none");
    if (random(15) == 0) {
      replace(cluster, {state, object("x/n1", step)});
    } else {
      apply(cluster, {random(3) == 0 ? WatchEvent::deleted(state) : WatchEvent::modified(state)});
    }
    if (random(40) == 0) {
      close(cluster);
      ASSERT_TRUE(await(fleet().forget(cluster, configmaps().resource, false)));
    }
  }

  FleetQuery web = query();
  web.labels = LabelSelector::parse("app=web").value();
  web.namespace_name = "x";
  FleetQuery found = searched("eB");
  std::map<FleetPlace, FleetObject> model;
  for (const auto& change : changes(*watch(from))) {
    const FleetPlace place{change.cluster, change.object->key()};
    const auto before = model.find(place);
    ASSERT_EQ(change.previous == nullptr, before == model.end()) << shown(change);
    if (change.previous) {
      EXPECT_TRUE(change.previous->equals(*before->second.object)) << shown(change);
      EXPECT_EQ(change.previous->uid(), change.object->uid());
    }
    if (change.type == EventType::Deleted) {
      model.erase(place);
    } else {
      FleetObject& now = model[place];
      now.cluster = change.cluster;
      now.version = change.version;
      now.object = change.object;
    }
    std::vector<std::string> all, chosen, with_text;
    for (const auto& [at, one] : model) {
      all.push_back(shown(one) + "#" + std::to_string(one.version));
      if (at.key.namespace_name == "x" && web.labels.matches(*one.object)) chosen.push_back(shown(one));
      if (web.labels.matches(*one.object)) with_text.push_back(shown(one));
    }
    FleetQuery then = query();
    then.version = change.version;
    std::vector<std::string> with_versions;
    for (const auto& one : list(then).objects) with_versions.push_back(shown(one) + "#" + std::to_string(one.version));
    EXPECT_EQ(with_versions, all) << "at " << change.version;
    web.version = change.version;
    EXPECT_EQ(listed(web), chosen) << "at " << change.version;
    found.version = change.version;
    EXPECT_EQ(listed(found), with_text) << "at " << change.version;
  }
  EXPECT_EQ(listed().size(), model.size());

  std::vector<std::string> of_one, all_of_it;
  for (const auto& change : changes(*watch(from))) {
    if (change.cluster == "c1") all_of_it.push_back(shown(change));
  }
  for (const auto& change : changes(*watch(from, {"c1"}))) of_one.push_back(shown(change));
  EXPECT_EQ(of_one, all_of_it);
}

}  // namespace tinf::contract
