#include "tinf/store/database/bodies.h"

#include <zdict.h>
#include <zstd.h>

#include <algorithm>
#include <mutex>

namespace tinf::database {
namespace {

constexpr std::size_t kDictionary = 32 << 10;
constexpr std::size_t kSamplesToDictionary = 5;  // Bytes of samples for one of the dictionary, at least.
constexpr int kLevel = 1;                        // 6 µs for 3 KiB.
constexpr std::size_t kLargest = 64 << 20;       // Bytes of a body; many times what an API server takes.
constexpr std::size_t kSmallest = 64;            // Bytes; below, a frame costs what it saves.

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  void operator()(ZSTD_CDict* dictionary) const { ZSTD_freeCDict(dictionary); }
  void operator()(ZSTD_DDict* dictionary) const { ZSTD_freeDDict(dictionary); }
};

ZSTD_DCtx* reading_context() {
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  return context.get();
}

ZSTD_CCtx* writing_context() {
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  return context.get();
}

}  // namespace

struct Bodies::Reading {
  std::unique_ptr<ZSTD_DDict, Free> dictionary;
};

struct Bodies::Collection {
  std::unique_ptr<ZSTD_CDict, Free> writing;  // Null: still learning.
  std::size_t learn_from_bytes = 0;
  std::string samples;
  std::vector<std::size_t> sizes;
};

Bodies::Bodies(BodyOptions options) : options_(options) {}

Bodies::~Bodies() = default;

// For reading, and where anything is compressed, for what comes. False: another one has its id.
bool Bodies::use(const Dictionary& dictionary) {
  const std::string& content = dictionary.content;
  auto reading = std::make_unique<Reading>();
  reading->dictionary.reset(ZSTD_createDDict(content.data(), content.size()));
  {
    const std::unique_lock guard(mutex_);
    if (!reading->dictionary || !dictionaries_.try_emplace(dictionary.id, std::move(reading)).second) return false;
  }
  if (options_.format == BodyFormat::Zstd)
    collections_[dictionary.collection].writing.reset(ZSTD_createCDict(content.data(), content.size(), kLevel));
  return true;
}

void Bodies::add(const Dictionary& stored) {
  (void)use(stored);
}

std::optional<std::string_view> Bodies::pack(const std::string& name, std::string_view body) {
  if (options_.format != BodyFormat::Zstd || body.size() < kSmallest || body.size() > kLargest) return std::nullopt;
  Collection& collection = collections_[name];
  if (!collection.writing) {
    learn(name, collection, body);
    return std::nullopt;
  }
  if (room_.size() < ZSTD_compressBound(body.size())) room_.resize(ZSTD_compressBound(body.size()));
  const std::size_t size = ZSTD_compress_usingCDict(writing_context(), room_.data(), room_.size(), body.data(),
                                                    body.size(), collection.writing.get());
  if (ZSTD_isError(size) || size >= body.size()) return std::nullopt;
  return std::string_view(room_).substr(0, size);
}

void Bodies::learn(const std::string& name, Collection& collection, std::string_view body) {
  if (collection.learn_from_bytes == 0) collection.learn_from_bytes = options_.learn_from_bytes;
  if (body.size() > collection.learn_from_bytes / 8) return;  // One of many, not most of it.
  collection.samples += body;
  collection.sizes.push_back(body.size());
  if (collection.samples.size() < collection.learn_from_bytes) return;
  Dictionary made;
  made.collection = name;
  made.content.resize(std::min(kDictionary, collection.samples.size() / kSamplesToDictionary));
  const std::size_t size =
      ZDICT_trainFromBuffer(made.content.data(), made.content.size(), collection.samples.data(),
                            collection.sizes.data(), static_cast<unsigned>(collection.sizes.size()));
  collection.samples = std::string();
  collection.sizes = std::vector<std::size_t>();
  collection.learn_from_bytes *= 2;  // Too few or too equal to learn from, or by a rare chance the id of another one.
  if (ZDICT_isError(size)) return;
  made.content.resize(size);
  made.id = ZDICT_getDictID(made.content.data(), made.content.size());
  if (made.id != 0 && use(made)) unstored_.push_back(std::move(made));
}

bool Bodies::unpack(std::string_view frame, std::string& room) const {
  const auto size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kLargest) return false;
  const ZSTD_DDict* dictionary = nullptr;
  {
    const std::shared_lock guard(mutex_);
    const auto known = dictionaries_.find(ZSTD_getDictID_fromFrame(frame.data(), frame.size()));
    if (known == dictionaries_.end()) return false;
    dictionary = known->second->dictionary.get();
  }
  room.resize(size);
  return ZSTD_decompress_usingDDict(reading_context(), room.data(), size, frame.data(), frame.size(), dictionary) ==
         size;
}

}  // namespace tinf::database
