// What is compressed comes back; small bodies shrink to what is their own; the dictionary is the one that is written
// down.
#include "tinf/wire/compression.h"

#include <gtest/gtest.h>
#include <xxhash.h>
#include <zstd.h>

#include "tinf/wire/dictionary.h"

namespace tinf::wire {
namespace {

constexpr std::size_t kLimit = 1 << 20;

std::string noise(std::size_t bytes) {
  std::string out;
  std::uint64_t state = 1;
  while (out.size() < bytes) out.push_back(static_cast<char>((state = state * 6364136223846793005u + 1) >> 56));
  return out;
}

TEST(Compression, BodiesOfEverySizeComeBack) {
  std::string body =
      R"({"scope":"84f098daca8cd930","epoch":"0256265311f6c98d","after":0,"through":1,"count":1,"events":[)";
  for (int i = 0; i < 400; ++i) {
    body += R"({"at":)" + std::to_string(i * 7919) + R"(,"delete":{"name":"web"}})";
    const auto smaller = compress(body);
    ASSERT_TRUE(smaller) << body.size();
    EXPECT_LT(smaller->size(), body.size());
    const auto back = decompress(*smaller, kLimit);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, body);
  }
}

TEST(Compression, WhatIsTinyOrHasNoPatternStaysAsItIs) {
  EXPECT_FALSE(compress(R"({"client":"hub"})"));
  EXPECT_FALSE(compress(noise(1000)));
}

TEST(Compression, OfAPatchTravelsLittleMoreThanWhatIsItsOwn) {
  const std::string patch =
      R"({"scope":"84f098daca8cd930","epoch":"0256265311f6c98d","after":4411,"through":4412,"count":1,)"
      R"("events":[{"at":4412,"patch":{"namespace":"team-0004","name":"settings-0004411","base":"9d1c77a0b24e03f5",)"
      R"("splices":[[155,4,"106412"],[184,19,"1732477777123456789"],[140,12,"000000004412"]]}}]})";
  EXPECT_LT(compress(patch)->size(), 160u);
}

TEST(Compression, ABodyCompressedWithoutTheDictionaryIsReadAllTheSame) {
  const std::string body(300, 'x');
  std::string bytes(ZSTD_compressBound(body.size()), '\0');
  bytes.resize(ZSTD_compress(bytes.data(), bytes.size(), body.data(), body.size(), 3));
  EXPECT_EQ(*decompress(bytes, kLimit), body);
}

TEST(Compression, OfAPageTravelsOnceWhatComesAgainFarFromItsFirstPlace) {
  const std::string half = noise(1 << 20);
  const auto smaller = compress(half + half);
  ASSERT_TRUE(smaller);
  EXPECT_LT(smaller->size(), half.size() * 11 / 10);
  EXPECT_EQ(*decompress(*smaller, 2 << 20), half + half);
  // Also where the body is larger than the window, and where a small one comes next.
  const std::string many = half + half + half + half + half + half;
  EXPECT_EQ(*decompress(*compress(many), 6 << 20), many);
  EXPECT_EQ(*decompress(*compress(std::string(5000, 'x')), kLimit), std::string(5000, 'x'));
}

TEST(Compression, AWindowOfAnySizeIsReadWithinTheLimit) {
  const std::string body = noise(3000) + std::string(200000, 'x');
  std::string bytes(ZSTD_compressBound(body.size()), '\0');
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  bytes.resize(ZSTD_compress2(context, bytes.data(), bytes.size(), body.data(), body.size()));
  ZSTD_freeCCtx(context);
  // Rewrites the frame's header: not one segment, a window of 1 GiB, the size in four bytes.
  ASSERT_EQ(static_cast<unsigned char>(bytes[4]), 0xa0u);
  std::string wide = bytes.substr(0, 4) + '\x80' + static_cast<char>((30 - 10) << 3) + bytes.substr(5);
  EXPECT_EQ(*decompress(wide, kLimit), body);
  EXPECT_FALSE(decompress(wide, body.size() - 1));
}

TEST(Compression, WhatIsLargerThanAllowedOrBrokenIsRefused) {
  const std::string bytes = *compress(std::string(5000, 'x'));
  EXPECT_TRUE(decompress(bytes, 5000));
  EXPECT_FALSE(decompress(bytes, 4999));
  EXPECT_FALSE(decompress("no zstd", kLimit));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decompress(bytes.substr(0, size), kLimit)) << size;
}

// Another dictionary is another protocol: these numbers stand in docs/protocol.md.
TEST(Compression, TheDictionaryIsTheOneOfVersion1) {
  EXPECT_EQ(kDictionary.size(), 4149u);
  EXPECT_EQ(XXH3_64bits(kDictionary.data(), kDictionary.size()), 0xa5b1b9c7b1974068u);
}

}  // namespace
}  // namespace tinf::wire
