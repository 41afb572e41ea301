// Indexes follow the objects they index, and a query sees one moment.
#include "tinf/informer/indexer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tinf/testing/objects.h"

namespace tinf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::object;

// Every label is a value "key=value".
std::vector<std::string> labels_of(const Object& object) {
  std::vector<std::string> values;
  for (const auto& [key, value] : object.labels()) values.push_back(key + "=" + value);
  return values;
}

ObjectPtr labelled(const std::string& name, int version, const std::string& labels) {
  return object(name, version, "", "\"labels\":{" + labels + "}");
}

std::vector<std::string> names(const Result<std::vector<ObjectPtr>>& found) {
  std::vector<std::string> names;
  EXPECT_TRUE(found);
  for (const auto& one : found.value()) names.emplace_back(one->name());
  return names;
}

TEST(Indexer, FindsObjectsByEachOfTheirValues) {
  Indexer indexer;
  ASSERT_TRUE(indexer.add("labels", labels_of, {labelled("a", 1, R"("x":"1","y":"2")")}));
  indexer.apply({{nullptr, labelled("b", 2, R"("x":"1")")}});
  EXPECT_THAT(names(indexer.find("labels", "x=1")), ElementsAre("a", "b"));
  EXPECT_THAT(names(indexer.find("labels", "y=2")), ElementsAre("a"));
  EXPECT_THAT(names(indexer.find("labels", "z=0")), IsEmpty());
}

TEST(Indexer, MovesAnObjectAndKeepsNoEmptySets) {
  Indexer indexer;
  const auto before = labelled("a", 1, R"("x":"1")");
  const auto after = labelled("a", 2, R"("x":"2")");
  ASSERT_TRUE(indexer.add("labels", labels_of, {before}));
  indexer.apply({{before, after}});
  EXPECT_THAT(indexer.values("labels").value(), ElementsAre("x=2"));
  EXPECT_EQ(indexer.find("labels", "x=2").value().front(), after);
  indexer.apply({{after, nullptr}});
  EXPECT_THAT(indexer.values("labels").value(), IsEmpty());
}

TEST(Indexer, KeepsTheNewStateWhereAValueStays) {
  Indexer indexer;
  const auto before = labelled("a", 1, R"("x":"1")");
  const auto after = labelled("a", 2, R"("x":"1")");
  ASSERT_TRUE(indexer.add("labels", labels_of, {before}));
  indexer.apply({{before, after}});
  EXPECT_THAT(indexer.find("labels", "x=1").value(), ElementsAre(after));
}

TEST(Indexer, NamesTheIndexesThereAreWhenAskedForAnother) {
  Indexer indexer;
  ASSERT_TRUE(indexer.add("labels", labels_of, {}));
  EXPECT_THAT(indexer.find("node", "n1").error().message, HasSubstr("labels"));
  EXPECT_EQ(indexer.add("labels", labels_of, {}).error().code, Code::AlreadyExists);
}

TEST(Indexer, AnswersSeveralTermsAsOfOneMomentUnderChurn) {
  Indexer indexer;
  ASSERT_TRUE(indexer.add("x", labels_of, {}));
  ASSERT_TRUE(indexer.add("y", labels_of, {}));
  // Every state has x and y alike: a torn query would find an object in one index under a value that it left in the
  // other.
  const auto even = labelled("a", 1, R"("x":"0","y":"0")");
  const auto odd = labelled("a", 2, R"("x":"1","y":"1")");
  indexer.apply({{nullptr, even}});
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::thread reader([&] {
    while (!stop) {
      if (!indexer.find({{"x", "x=0"}, {"y", "y=1"}}).value().empty()) ++torn;
      if (!indexer.find({{"x", "x=1"}, {"y", "y=0"}}).value().empty()) ++torn;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    indexer.apply({{even, odd}});
    indexer.apply({{odd, even}});
  }
  stop = true;
  reader.join();
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace tinf
