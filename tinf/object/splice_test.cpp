// What splices make of a text is the other text, whatever the two are; of the usual update they are few and short.
#include "tinf/object/splice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace tinf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::size_t kLimit = 1 << 20;

Result<std::string> spliced(std::string_view base, const std::vector<Splice>& splices, std::size_t maximum_bytes) {
  std::string text = "of before";
  if (auto done = splice(base, splices, maximum_bytes, text); !done) return done.error();
  return text;
}

std::string made(const std::string& base, const std::vector<Splice>& splices) {
  auto text = spliced(base, splices, kLimit);
  EXPECT_TRUE(text) << (text ? "" : text.error().message);
  return text ? *text : "";
}

std::size_t bytes(const std::vector<Splice>& splices) {
  std::size_t sum = 0;
  for (const Splice& splice : splices) sum += splice.insert.size();
  return sum;
}

TEST(Splice, OfEqualTextsThereIsNone) {
  EXPECT_THAT(splices_between("equal", "equal"), IsEmpty());
  EXPECT_THAT(splices_between("", ""), IsEmpty());
}

TEST(Splice, PlacesFarApartAreChangedEachByItself) {
  const std::string base =
      R"({"metadata":{"resourceVersion":"1001","name":"a-long-enough-name","annotations":{"at":"5"}}})";
  const std::string next =
      R"({"metadata":{"resourceVersion":"1002","name":"a-long-enough-name","annotations":{"at":"6"}}})";
  const auto splices = splices_between(base, next);
  EXPECT_THAT(splices, ElementsAre(Splice{35, 1, "2"}, Splice{51, 1, "6"}));
  EXPECT_EQ(made(base, splices), next);
}

TEST(Splice, WhatGrowsOrShrinksIsFoundAgainBehindIt) {
  const std::string base = R"({"resourceVersion":"999","name":"a-long-enough-name","labels":{"tier":"one"},"end":1})";
  const std::string next = R"({"resourceVersion":"1000","name":"a-long-enough-name","labels":{},"end":2})";
  const auto splices = splices_between(base, next);
  EXPECT_EQ(made(base, splices), next);
  EXPECT_THAT(splices, SizeIs(2));
  EXPECT_LT(bytes(splices), 30u);
  EXPECT_EQ(made(next, splices_between(next, base)), base);
}

TEST(Splice, CharactersAreNeverCutInTwo) {
  // ä and å differ in their second byte, ä and ǥ share only that, and so on.
  const std::vector<std::string> letters{"ä", "å", "ǥ", "ę", "€", "₭", "😀", "😁", "𝄀", "x", ""};
  const std::string middle = "0123456789abcdefghij";
  for (const std::string& a : letters) {
    for (const std::string& b : letters) {
      for (const std::string& around : {std::string(), std::string("€"), middle}) {
        const std::string base = around + a + around + middle + b + around + a;
        const std::string next = around + b + around + middle + a + around + a;
        const auto splices = splices_between(base, next);
        EXPECT_EQ(made(base, splices), next);
        std::size_t at = 0;
        for (const Splice& splice : splices) {
          const auto whole = [](std::string_view text, std::size_t place) {
            return place >= text.size() || (static_cast<unsigned char>(text[place]) & 0xc0) != 0x80;
          };
          EXPECT_TRUE(whole(splice.insert, 0)) << base << " " << next;
          EXPECT_TRUE(whole(base, at += splice.keep)) << base << " " << next;
          EXPECT_TRUE(whole(base, at += splice.drop)) << base << " " << next;
        }
      }
    }
  }
}

TEST(Splice, AnyTextBecomesAnyOther) {
  std::mt19937_64 random(1);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 20'000; ++round) {
    // From texts of one letter to texts of 128: the first are full of false places to meet.
    const std::size_t letters = std::size_t{1} << below(8);
    std::string base;
    for (std::size_t n = below(3000); n > 0; --n) base.push_back(static_cast<char>(below(letters)));
    std::string next = base;
    for (std::size_t n = below(100) == 0 ? 200 : below(6); n > 0; --n) {
      const std::size_t at = below(next.size() + 1);
      std::string in;
      for (std::size_t m = below(30); m > 0; --m) in.push_back(static_cast<char>(below(letters)));
      next.replace(at, std::min(below(30), next.size() - at), in);
    }
    const auto splices = splices_between(base, next);
    ASSERT_EQ(made(base, splices), next) << round;
    ASSERT_LE(splices.size(), kMaximumSplices);
  }
}

TEST(Splice, WhatDoesNotFitItsBaseIsRefused) {
  EXPECT_FALSE(spliced("abc", {Splice{4, 0, ""}}, kLimit));
  EXPECT_FALSE(spliced("abc", {Splice{1, 3, ""}}, kLimit));
  EXPECT_FALSE(spliced("abc", {Splice{2, 1, "x"}, Splice{1, 0, ""}}, kLimit));
  EXPECT_FALSE(spliced("abc", {Splice{~std::uint64_t{0}, 2, ""}}, kLimit));
  EXPECT_FALSE(spliced("abc", {Splice{2, ~std::uint64_t{0}, ""}}, kLimit));
  EXPECT_FALSE(spliced("abc", std::vector<Splice>(kMaximumSplices + 1), kLimit));
  EXPECT_TRUE(spliced("abc", {Splice{3, 0, "d"}}, 4));
  EXPECT_FALSE(spliced("abc", {Splice{3, 0, "de"}}, 4));
}

}  // namespace
}  // namespace tinf
