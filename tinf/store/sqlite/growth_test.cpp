// A file that is changed all the time, while somebody always reads it, stays as large as what it holds.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tinf/store/sqlite/database.h"
#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/store/sqlite/sqlite_fleet_store.h"
#include "tinf/testing/real_time.h"

namespace tinf {
namespace {

ObjectPtr state(int object, int version) {
  return Object::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n)" + std::to_string(object) +
                       R"(","namespace":"default","uid":"u","resourceVersion":")" + std::to_string(version) +
                       R"("},"data":{"text":")" + std::string(3000, static_cast<char>('a' + version % 26)) + "\"}}")
      .value();
}

// Two readers whose transactions overlap, so that at no moment there is none.
class AlwaysReading {
 public:
  explicit AlwaysReading(std::string file) : thread_([this, file = std::move(file)] { read(file); }) {}
  ~AlwaysReading() {
    stop_ = true;
    thread_.join();
  }

 private:
  void read(const std::string& file) {
    sqlite::Connection one(file, sqlite::Connection::Mode::ReadOnly);
    sqlite::Connection other(file, sqlite::Connection::Mode::ReadOnly);
    std::unique_ptr<sqlite::Transaction> held;
    for (bool turn = false; !stop_; turn = !turn) {
      sqlite::Connection& next = turn ? one : other;
      auto begun = std::make_unique<sqlite::Transaction>(next, "BEGIN");
      (void)next.number("/*test*/ SELECT count(*) FROM object");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // As long as a page takes.
      held = std::move(begun);
    }
  }

  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(SqliteFile, StaysAsLargeAsWhatItHoldsWhileItIsWrittenAndAlwaysRead) {
  constexpr int kObjects = 200;
  constexpr int kRounds = 60;
  testing::RealTime loop;
  Folder folder;
  SqliteOptions options;
  options.retained_changes = 1000;
  auto store = open_sqlite_fleet_store(loop.runtime(), folder.file(), options).value();
  Scope scope;
  scope.resource = Resource{"", "v1", "configmaps"};
  auto copy = store->open("cluster1", scope).value();
  const AlwaysReading reading(folder.file());
  std::uintmax_t early = 0, ahead = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (int first = 0; first < kObjects; first += 10) {
      EventBatch batch;
      for (int i = 0; i < 10; ++i) batch.events.push_back(WatchEvent::modified(state(first + i, round * 1000 + i)));
      batch.version = ResourceVersion(std::to_string(round));
      ASSERT_TRUE(loop.await(copy->apply(std::move(batch))));
    }
    if (round == kRounds / 4) early = std::filesystem::file_size(folder.file());
    ahead = std::max(ahead, std::filesystem::file_size(folder.file() + "-wal"));
  }
  EXPECT_EQ(copy->size(), std::size_t(kObjects));
  // 3 KiB of each object and of each of the retained changes, and what lies between.
  const auto at_the_end = std::filesystem::file_size(folder.file());
  EXPECT_LT(at_the_end, early + early / 2);
  EXPECT_LT(at_the_end, std::uintmax_t(32) << 20);
  EXPECT_LT(ahead, std::uintmax_t(128) << 20);
}

}  // namespace
}  // namespace tinf
