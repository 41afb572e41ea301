#include "tinf/store/database/bodies.h"

#include <gtest/gtest.h>

namespace tinf::database {
namespace {

std::string body(int number) {
  std::string text = R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-)" + std::to_string(number) +
                     R"(","namespace":"default"},"spec":{"containers":[)";
  for (int i = 0; i < 1 + number % 3; ++i)
    text += R"({"name":"c)" + std::to_string(number * 7919 + i) + R"(","image":"registry.example/shop:)" +
            std::to_string(number % 17) + R"(","imagePullPolicy":"IfNotPresent"},)";
  text.back() = ']';
  return text + "}}";
}

BodyOptions zstd() {
  BodyOptions options;
  options.format = BodyFormat::Zstd;
  options.learn_from_bytes = 16 << 10;
  return options;
}

// Shows bodies until it has learnt; how many there were.
int teach(Bodies& bodies, const std::string& collection) {
  int number = 0;
  while (!bodies.pack(collection, body(number)) && number < 1000) ++number;
  return number;
}

TEST(Bodies, AsTheyAreUnlessToldOtherwise) {
  Bodies bodies;
  for (int number = 0; number < 10'000; ++number) ASSERT_FALSE(bodies.pack("pods", body(number)));
  EXPECT_TRUE(bodies.unstored().empty());
}

TEST(Bodies, LearnFromTheFirstAndComeBackByteForByte) {
  Bodies bodies(zstd());
  ASSERT_LT(teach(bodies, "pods"), 1000);
  ASSERT_EQ(bodies.unstored().size(), 1u);
  std::string room;
  for (int number = 0; number < 200; ++number) {
    const auto frame = bodies.pack("pods", body(number));
    ASSERT_TRUE(frame);
    EXPECT_LT(frame->size(), body(number).size() / 2);
    ASSERT_TRUE(bodies.unpack(*frame, room));
    EXPECT_EQ(room, body(number));
  }
}

TEST(Bodies, EachCollectionLearnsForItself) {
  Bodies bodies(zstd());
  teach(bodies, "pods");
  EXPECT_FALSE(bodies.pack("services", body(1)));
}

TEST(Bodies, AnotherLifeReadsWithWhatWasStored) {
  Bodies bodies(zstd());
  teach(bodies, "pods");
  const std::string frame(*bodies.pack("pods", body(3)));
  std::string room;
  Bodies later(zstd());
  EXPECT_FALSE(later.unpack(frame, room)) << "without its dictionary";
  later.add(bodies.unstored().front());
  EXPECT_TRUE(later.unpack(frame, room));
  EXPECT_EQ(room, body(3));
  EXPECT_TRUE(later.pack("pods", body(4))) << "it goes on with it";
  Bodies json;
  json.add(bodies.unstored().front());
  EXPECT_TRUE(json.unpack(frame, room)) << "also where nothing is compressed any more";
  EXPECT_FALSE(json.pack("pods", body(4)));
}

TEST(Bodies, WhatIsNoFrameIsNotRead) {
  Bodies bodies(zstd());
  teach(bodies, "pods");
  const std::string frame(*bodies.pack("pods", body(3)));
  std::string room;
  EXPECT_FALSE(bodies.unpack("", room));
  EXPECT_FALSE(bodies.unpack(body(3), room));
  EXPECT_FALSE(bodies.unpack(std::string_view(frame).substr(0, frame.size() - 3), room));
}

}  // namespace
}  // namespace tinf::database
