// Pages are read in slices: whatever is asked for, a slice looks at few objects, and all of them make up the page.
#include "tinf/store/sqlite/fleet_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"
#include "tinf/testing/real_time.h"

namespace tinf::sqlite {
namespace {

ObjectPtr state(int number, int version) {
  const std::string app = number % 10 == 0 ? "web" : "db";
  return Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n)" + std::to_string(number) +
                       R"(","namespace":"default","resourceVersion":")" + std::to_string(version) +
                       R"(","labels":{"app":")" + app + R"("}}})")
      .value();
}

struct SqliteSlices : ::testing::Test {
  void SetUp() override {
    store = open_sqlite_fleet_store(loop.runtime(), folder.file()).value();
    Scope scope;
    scope.resource = Resource{"", "v1", "configmaps"};
    for (const std::string cluster : {"c1", "c2", "c3"}) {
      copies.push_back(store->open(cluster, scope).value());
      write(*copies.back(), 0, 40);
    }
  }
  void TearDown() override {
    copies.clear();
    store = nullptr;
  }
  void write(Store& copy, int from, int to) {
    EventBatch batch;
    for (int i = from; i < to; ++i) batch.events.push_back(WatchEvent::modified(state(i, ++version)));
    ASSERT_TRUE(loop.await(copy.apply(std::move(batch))));
  }

  static FleetQuery query() {
    FleetQuery all;
    all.collection = "configmaps";
    return all;
  }
  // "cluster/name@version" of every object, and how many slices it took.
  std::pair<std::vector<std::string>, int> read(
      FleetQuery asked, std::size_t rows, const std::function<void()>& between = [] {}) {
    Connection connection(folder.file(), Connection::Mode::ReadOnly);
    PageSoFar so_far(asked);
    std::optional<FleetPlace> last;
    for (int slices = 1;; ++slices) {
      so_far = read_slice(connection, asked, std::move(so_far), rows);
      if (so_far.done) {
        std::vector<std::string> lines;
        for (const auto& one : so_far.page.objects)
          lines.push_back(one.cluster + "/" + std::string(one.object->name()) + "@" +
                          std::string(one.object->resource_version()));
        return {lines, slices};
      }
      EXPECT_TRUE(!last || *last < *so_far.after);
      last = so_far.after;
      asked.version = so_far.page.version;
      between();
    }
  }

  testing::RealTime loop;
  Folder folder;
  std::unique_ptr<FleetStore> store;
  std::vector<std::unique_ptr<Store>> copies;
  int version = 0;
};

TEST_F(SqliteSlices, MakeUpThePage) {
  FleetQuery unlike = query();
  unlike.labels = LabelSelector::parse("app!=db").value();
  FleetQuery found = query();
  found.search = "WEB";
  FleetQuery first = query();
  first.limit = 70;
  FleetQuery behind = query();
  behind.after = FleetPlace{"c2", ObjectKey{"default", "n15"}};
  for (const auto& [asked, objects] : {std::pair(query(), 120u), std::pair(unlike, 12u), std::pair(found, 12u),
                                       std::pair(first, 70u), std::pair(behind, 72u)}) {
    const auto [whole, one] = read(asked, 1000);
    EXPECT_EQ(whole.size(), objects);
    EXPECT_EQ(one, 1);
    for (const std::size_t rows : {1u, 7u, 40u}) EXPECT_EQ(read(asked, rows).first, whole) << rows;
  }
}

TEST_F(SqliteSlices, LookAtFewObjectsWhereNoneIsSelected) {
  FleetQuery none = query();
  none.search = "nowhere";
  const auto [objects, slices] = read(none, 10);
  EXPECT_TRUE(objects.empty());
  EXPECT_GE(slices, 12);
}

TEST_F(SqliteSlices, AreAllAsOfTheFirstOne) {
  const auto whole = read(query(), 1000).first;
  int next = 0;
  const auto change = [&] {
    write(*copies[0], next, next + 5);
    write(*copies[2], 35, 40);
    next = (next + 5) % 40;
    EventBatch batch;
    batch.events.push_back(WatchEvent::deleted(state(next, version)));
    ASSERT_TRUE(loop.await(copies[1]->apply(std::move(batch))));
  };
  EXPECT_EQ(read(query(), 10, change).first, whole);
}

TEST_F(SqliteSlices, SayThatThereIsMoreBehindAFullPage) {
  Connection connection(folder.file(), Connection::Mode::ReadOnly);
  FleetQuery asked = query();
  asked.limit = 10;
  PageSoFar so_far = read_slice(connection, asked, PageSoFar(asked), 10);
  EXPECT_FALSE(so_far.done) << "whether there is more is not known yet";
  asked.version = so_far.page.version;
  so_far = read_slice(connection, asked, std::move(so_far), 10);
  EXPECT_TRUE(so_far.done);
  EXPECT_TRUE(so_far.page.more);
  EXPECT_EQ(so_far.page.objects.size(), 10u);
}

}  // namespace
}  // namespace tinf::sqlite
