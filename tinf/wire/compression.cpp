// Why a dictionary: a patch of 300 bytes has half of its bytes in common with every other one. Why not for all: from a
// few KiB on a body brings its own pattern, and setting up a dictionary costs more time than it saves bytes. Why a wide
// window: what the objects of a large page have in common may lie far apart.
#include "tinf/wire/compression.h"

#include <zstd.h>

#include <memory>

#include "tinf/wire/dictionary.h"

namespace tinf::wire {
namespace {

constexpr std::size_t kCompressAbove = 64;      // Bytes; below, zstd's frame costs what it saves.
constexpr std::size_t kDictionaryBelow = 2048;  // Bytes.
constexpr std::size_t kWideAbove = 512 << 10;   // Bytes; up to there level 1 sees all of a body anyway.
constexpr int kWideWindow = 22;                 // 4 MiB: twice a page. Costs no memory: it lies in the body itself.
constexpr int kWideHash = 15;                   // 128 KiB of places to look at; in level 1's 64 a fifteenth is missed.
constexpr int kLevel = 1;                       // 300 MB/s a core; level 3 saves a tenth more for twice the time.
constexpr int kSmallLevel = 5;                  // 5 µs for 300 bytes, of which level 1 makes a twentieth more.

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  void operator()(ZSTD_CDict* dictionary) const { ZSTD_freeCDict(dictionary); }
  void operator()(ZSTD_DDict* dictionary) const { ZSTD_freeDDict(dictionary); }
};

// Both are only read once they are made, so threads share them.
const ZSTD_CDict* dictionary_to_compress() {
  static const std::unique_ptr<ZSTD_CDict, Free> made(
      ZSTD_createCDict(kDictionary.data(), kDictionary.size(), kSmallLevel));
  return made.get();
}

const ZSTD_DDict* dictionary_to_decompress() {
  static const std::unique_ptr<ZSTD_DDict, Free> made(ZSTD_createDDict(kDictionary.data(), kDictionary.size()));
  return made.get();
}

std::size_t compress_into(std::string& room, std::string_view body, ZSTD_CCtx* context) {
  if (body.size() < kDictionaryBelow)
    return ZSTD_compress_usingCDict(context, room.data(), room.size(), body.data(), body.size(),
                                    dictionary_to_compress());
  const bool wide = body.size() > kWideAbove;
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, wide ? kWideWindow : 0);  // 0: the level's own.
  ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, wide ? kWideHash : 0);
  return ZSTD_compress2(context, room.data(), room.size(), body.data(), body.size());
}

}  // namespace

std::optional<std::string> compress(std::string_view body) {
  if (body.size() < kCompressAbove) return std::nullopt;
  thread_local std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  thread_local std::string room;
  if (room.size() < ZSTD_compressBound(body.size())) room.resize(ZSTD_compressBound(body.size()));
  const std::size_t size = compress_into(room, body, context.get());
  if (ZSTD_isError(size) || size >= body.size()) return std::nullopt;
  return room.substr(0, size);
}

Result<std::string> decompress(std::string_view bytes, std::size_t limit) {
  const auto invalid = [](std::string what) { return Error(Code::Invalid, std::move(what)); };
  const auto size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
    return invalid("a compressed body that does not say its size");
  if (size > limit)
    return invalid("a body that decompresses to " + std::to_string(size) + " bytes, above the limit of " +
                   std::to_string(limit));
  // In one call, out of what is written already: whatever window a frame announces, it takes no memory of its own.
  thread_local std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  std::string out(size, '\0');
  const std::size_t written = ZSTD_decompress_usingDDict(context.get(), out.data(), out.size(), bytes.data(),
                                                         bytes.size(), dictionary_to_decompress());
  if (ZSTD_isError(written))
    return invalid(std::string("a body that does not decompress: ") + ZSTD_getErrorName(written));
  if (written != size) return invalid("a compressed body shorter than it says");
  return out;
}

}  // namespace tinf::wire
