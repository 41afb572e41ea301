// Objects that stand compressed in the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tinf/store/sqlite/database.h"
#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"
#include "tinf/testing/real_time.h"

namespace tinf::sqlite {
namespace {

constexpr int kObjects = 400;

ObjectPtr state(int number, int version) {
  std::string text = R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-)" + std::to_string(number) +
                     R"(","namespace":"default","uid":"u)" + std::to_string(number) + R"(","resourceVersion":")" +
                     std::to_string(version) + R"(","labels":{"app":"shop"}},"spec":{"containers":[{"name":"c)" +
                     std::to_string(number * 7919 % 1009) + R"(","imagePullPolicy":"IfNotPresent"}]}})";
  return Object::parse(text).value();
}

class CompressedFile : public ::testing::Test {
 protected:
  void open(database::BodyFormat format) {
    copy_ = nullptr;
    store_ = nullptr;
    SqliteOptions options;
    options.bodies.format = format;
    options.bodies.learn_from_bytes = 16 << 10;
    store_ = open_sqlite_fleet_store(loop_.runtime(), folder_.file(), options).value();
    Scope scope;
    scope.resource = Resource{"", "v1", "pods"};
    copy_ = store_->open("c1", scope).value();
  }
  void fill(int version) {
    Snapshot all;
    for (int i = 0; i < kObjects; ++i) all.objects.push_back(state(i, version));
    all.version = ResourceVersion(std::to_string(version));
    ASSERT_TRUE(loop_.await(copy_->replace(std::move(all))));
  }
  void expect(int version) {
    for (int i = 0; i < kObjects; ++i) {
      const ObjectPtr expected = state(i, version);
      const ObjectPtr held = copy_->get(expected->key()).value();
      ASSERT_TRUE(held);
      EXPECT_EQ(held->raw(), expected->raw());
    }
    Fingerprint measured;
    const auto entries = copy_->measure(ObjectKey(), kObjects + 1).value();
    for (const InventoryEntry& entry : entries) measured.add(entry.hash);
    EXPECT_EQ(measured, copy_->fingerprint());
  }
  std::int64_t number(const char* sql) { return Connection(folder_.file(), Connection::Mode::ReadOnly).number(sql); }
  std::int64_t frames() { return number("/*test*/ SELECT count(*) FROM object WHERE typeof(body) = 'blob'"); }

  const Folder folder_;
  testing::RealTime loop_;
  std::unique_ptr<FleetStore> store_;
  std::unique_ptr<Store> copy_;
};

TEST_F(CompressedFile, HoldsMostObjectsAsFramesAndGivesTheirBytes) {
  open(database::BodyFormat::Zstd);
  fill(1);
  EXPECT_GT(frames(), kObjects / 2) << "the first are what it learns from";
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM dictionary"), 1);
  expect(1);
  fill(2);
  EXPECT_EQ(frames(), kObjects);
  EXPECT_EQ(number("/*test*/ SELECT count(*) FROM objects WHERE labels ->> '$.app' = 'shop'"), kObjects);
  expect(2);
}

TEST_F(CompressedFile, OpensAgainInEitherFormat) {
  open(database::BodyFormat::Zstd);
  fill(1);
  const auto before = frames();
  open(database::BodyFormat::Zstd);
  expect(1);
  open(database::BodyFormat::Json);
  expect(1);
  EXPECT_EQ(frames(), before) << "what is not written stays as it is";
  fill(2);
  EXPECT_EQ(frames(), 0);
  expect(2);
}

TEST_F(CompressedFile, ShowsAFrameThatSomebodyAlteredAsADifference) {
  open(database::BodyFormat::Zstd);
  fill(1);
  Connection(folder_.file(), Connection::Mode::ReadWrite)
      .run("/*test*/ UPDATE object SET body = substr(body, 1, length(body) - 2) WHERE name = 'web-399'");
  EXPECT_EQ(copy_->get(state(399, 1)->key()).value()->raw(), "{}");
  Fingerprint measured;
  const auto entries = copy_->measure(ObjectKey(), kObjects + 1).value();
  for (const InventoryEntry& entry : entries) measured.add(entry.hash);
  EXPECT_NE(measured, copy_->fingerprint());
  EventBatch repair;
  repair.events.push_back(WatchEvent::modified(state(399, 1)));
  repair.version = ResourceVersion("1");
  ASSERT_TRUE(loop_.await(copy_->apply(std::move(repair))));
  expect(1);
}

// Later frames use it, whatever became of the work that it was made for.
TEST(Dictionary, OfATransactionThatFailedIsStoredWithTheNextOne) {
  const Folder folder;
  testing::RealTime loop;
  database::BodyOptions options;
  options.format = database::BodyFormat::Zstd;
  options.learn_from_bytes = 16 << 10;
  database::Bodies bodies(options);
  auto file = Database::open(
                  folder.file(), bodies, [](Connection&, bool) {}, [] {})
                  .value();
  Work fails;
  fails.write = [](Connection& connection) {
    for (int i = 0; i < kObjects; ++i) {
      const ObjectPtr object = state(i, 1);
      Query query = connection.query("/*test*/ SELECT ?");
      query.bind_body("pods", object->raw());
    }
    throw Failure{Error(Code::Invalid, "on purpose"), false};
  };
  EXPECT_FALSE(loop.await(file->write(std::move(fails))));
  ASSERT_EQ(bodies.unstored().size(), 1u);
  Work nothing;
  nothing.write = [](Connection&) {};
  EXPECT_TRUE(loop.await(file->write(std::move(nothing))));
  EXPECT_TRUE(bodies.unstored().empty());
  EXPECT_EQ(Connection(folder.file(), Connection::Mode::ReadOnly).number("/*test*/ SELECT count(*) FROM dictionary"),
            1);
}

}  // namespace
}  // namespace tinf::sqlite
