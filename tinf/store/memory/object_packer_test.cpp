// What a packer learns, when, and what it leaves alone.
#include "tinf/store/memory/object_packer.h"

#include <gtest/gtest.h>

namespace tinf {
namespace {

// `kind` objects have their words in common with one another, and with no others.
ObjectPtr object(char kind, int number) {
  std::string data;
  std::uint64_t word = static_cast<unsigned char>(kind);
  for (int i = 0; i < 50; ++i) {
    word = word * 6364136223846793005u + 1442695040888963407u;
    data += (i > 0 ? "," : "") + ("\"" + std::to_string(word) + "\":\"") + std::to_string(number * i % 977) + "\"";
  }
  return Object::parse(R"({"metadata":{"name":"n)" + std::to_string(number) + R"(","namespace":"default","uid":"u"},)" +
                       data + "}")
      .value();
}

struct ObjectPackerTest : ::testing::Test {
  // Shows them and packs them; what they take packed.
  std::size_t take(char kind, int from, int to) {
    std::size_t bytes = 0;
    for (int i = from; i < to; ++i) {
      const ObjectPtr each = object(kind, i);
      packer.learn(each);
      packer.learnt();
      const PackedObjectPtr packed = packer.pack(*each);
      bytes += packed ? packed->memory_bytes() : each->memory_bytes();
      if (packed) kept.push_back(packed);
    }
    return bytes;
  }
  static ObjectPackerOptions soon() {
    ObjectPackerOptions options;
    options.first_training = 64 << 10;
    options.next_training = 256 << 10;
    return options;
  }

  ObjectPacker packer{soon()};
  std::vector<PackedObjectPtr> kept;
};

TEST_F(ObjectPackerTest, LeavesAFewObjectsAsTheyAre) {
  take('a', 0, 20);
  EXPECT_EQ(packer.generation(), 0u);
  EXPECT_TRUE(kept.empty());
}

TEST_F(ObjectPackerTest, MakesADictionaryOfTheFirstAndALargerOneOfMore) {
  take('a', 0, 100);
  EXPECT_EQ(packer.generation(), 1u);
  take('a', 100, 1000);
  EXPECT_EQ(packer.generation(), 2u);
  take('a', 1000, 3000);
  EXPECT_EQ(packer.generation(), 2u);  // It fits: none is made any more.
  EXPECT_LT(packer.memory_bytes(), 1u << 20);
  for (const PackedObjectPtr& each : kept) ASSERT_NE(each->unpacked(), nullptr);
}

TEST_F(ObjectPackerTest, LearnsAnewWhereObjectsBecomeOthers) {
  take('a', 0, 2000);
  ASSERT_EQ(packer.generation(), 2u);
  take('b', 0, 2000);
  EXPECT_EQ(packer.generation(), 3u);
  const std::size_t afresh = take('b', 0, 100);
  EXPECT_LT(afresh, 100 * object('b', 1)->memory_bytes() / 3);
  for (const PackedObjectPtr& each : kept) ASSERT_NE(each->unpacked(), nullptr);
}

TEST_F(ObjectPackerTest, ForgetsDictionariesThatNothingIsPackedWithAndStopsAtTooMany) {
  for (char kind = 'a'; kind < 'n'; ++kind) {
    take(kind, 0, 2000);
    kept.clear();
  }
  EXPECT_GT(packer.generation(), ObjectPacker::kDictionaries);
  EXPECT_LT(packer.memory_bytes(), 3u << 20);
  const unsigned before = packer.generation();
  for (char kind = 'n'; kind <= 'z'; ++kind) take(kind, 0, 2000);
  EXPECT_GT(packer.generation(), before);
  EXPECT_LE(packer.generation(), before + ObjectPacker::kDictionaries);
}

TEST_F(ObjectPackerTest, TakesObjectsOfAnySize) {
  take('a', 0, 100);
  std::string data;
  for (int i = 0; data.size() < (2 << 20); ++i) data += "word " + std::to_string(i) + " ";
  const auto large = Object::parse(R"({"metadata":{"name":"large"},"x":")" + data + "\"}").value();
  packer.learn(large);
  packer.learnt();
  const PackedObjectPtr packed = packer.pack(*large);
  ASSERT_NE(packed, nullptr);
  EXPECT_TRUE(packed->unpacked()->equals(*large));
  const auto long_name = Object::parse(R"({"metadata":{"name":")" + std::string(70'000, 'n') + "\"}}").value();
  EXPECT_EQ(packer.pack(*long_name), nullptr);
}

}  // namespace
}  // namespace tinf
