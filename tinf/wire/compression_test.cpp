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
  std::string noise;
  std::uint64_t state = 1;
  for (int i = 0; i < 1000; ++i) noise.push_back(static_cast<char>((state = state * 6364136223846793005u + 1) >> 56));
  EXPECT_FALSE(compress(noise));
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
