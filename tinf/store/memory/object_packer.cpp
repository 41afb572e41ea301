// Why level 3 for a large set: with a dictionary it packs a twelfth better than level 1, and so much fewer pieces are
// put together faster; its tables of 400 KB cost more than they save in a small one.
#include "tinf/store/memory/object_packer.h"

#include <zdict.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

namespace tinf {
namespace {

constexpr std::size_t kSampleBytes = 1 << 20;
constexpr std::size_t kSmallDictionary = 32 << 10;
constexpr std::size_t kLargeDictionary = 110 << 10;  // As zstd recommends at most.
constexpr std::size_t kSamplesToDictionary = 5;      // Bytes of samples for one of the dictionary, at least.
constexpr int kSmallLevel = 1;
constexpr int kLargeLevel = 3;
constexpr std::size_t kWindow = 1 << 20;  // Bytes over which a ratio is taken.
constexpr double kWorse = 1.5;            // Than at first: objects have changed, and the dictionary is made anew.

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  void operator()(ZSTD_CDict* dictionary) const { ZSTD_freeCDict(dictionary); }
  void operator()(ZSTD_DDict* dictionary) const { ZSTD_freeDDict(dictionary); }
};

// Used by whichever object is packed or unpacked on the thread, whatever its store.
ZSTD_CCtx* compression_context() {
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context = [] {
    std::unique_ptr<ZSTD_CCtx, Free> made(ZSTD_createCCtx());
    // Of all that is packed, so that any altered byte shows.
    ZSTD_CCtx_setParameter(made.get(), ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(made.get(), ZSTD_c_dictIDFlag, 0);
    return made;
  }();
  return context.get();
}

ZSTD_DCtx* decompression_context() {
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  return context.get();
}

}  // namespace

class PackDictionary {
 public:
  explicit PackDictionary(const std::string& content) : dictionary_(ZSTD_createDDict(content.data(), content.size())) {}
  const ZSTD_DDict* get() const { return dictionary_.get(); }
  std::size_t memory_bytes() const { return ZSTD_sizeof_DDict(dictionary_.get()); }

 private:
  const std::unique_ptr<ZSTD_DDict, Free> dictionary_;
};

struct ObjectPacker::Compressor {
  Compressor(const std::string& content, int level)
      : dictionary(ZSTD_createCDict(content.data(), content.size(), level)) {}
  std::unique_ptr<ZSTD_CDict, Free> dictionary;
};

PackedObject::PackedObject(const Object& object, std::string_view frame, PackDictionaryPtr dictionary)
    : namespace_size_(static_cast<std::uint16_t>(object.namespace_name().size())),
      name_size_(static_cast<std::uint16_t>(object.name().size())),
      frame_size_(static_cast<std::uint32_t>(frame.size())),
      image_size_(static_cast<std::uint32_t>(object.image().size())),
      hash_(object.hash()),
      dictionary_(std::move(dictionary)) {
  char* to = reinterpret_cast<char*>(this + 1);
  for (const std::string_view piece : {object.namespace_name(), object.name(), frame}) {
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
}

ObjectPtr PackedObject::unpacked() const {
  ObjectPtr object = Object::from_image(image_size_, hash_, [this](char* to) {
    const std::size_t written = ZSTD_decompress_usingDDict(decompression_context(), to, image_size_, frame().data(),
                                                           frame_size_, dictionary_->get());
    return written == image_size_;
  });
  if (object && KeyView{object->namespace_name(), object->name()} != key()) return nullptr;
  return object;
}

ObjectPacker::ObjectPacker(ObjectPackerOptions options) : options_(options) {
  begin_to_collect(options_.first_training, 1);
}

ObjectPacker::~ObjectPacker() = default;

void ObjectPacker::begin_to_collect(std::size_t until, std::size_t every) {
  collecting_ = true;
  train_at_ = until;
  every_ = std::max<std::size_t>(every, 1);
  seen_bytes_ = sample_bytes_ = 0;
  samples_.clear();
}

void ObjectPacker::learn(const ObjectPtr& object) {
  if (!collecting_) return;
  const std::size_t size = object->image().size();
  seen_bytes_ += size;
  if (!is_sample(*object)) return;
  samples_.push_back(object);
  sample_bytes_ += size;
  if (sample_bytes_ <= kSampleBytes) return;
  every_ *= 2;
  std::erase_if(samples_, [this](const ObjectPtr& sample) { return !is_sample(*sample); });
  sample_bytes_ = 0;
  for (const ObjectPtr& sample : samples_) sample_bytes_ += sample->image().size();
}

// By its hash, which is as good as chance: every nth as they come could be n times the same.
bool ObjectPacker::is_sample(const Object& object) const {
  return object.hash().low % every_ == 0 && object.image().size() <= kSampleBytes / 8;
}

void ObjectPacker::learnt() {
  if (!collecting_ || seen_bytes_ < train_at_) return;
  const auto unused = [](const PackDictionaryPtr& one) { return one.use_count() == 1; };
  std::erase_if(dictionaries_, unused);
  if (dictionaries_.size() < kDictionaries) {
    train();
  } else {
    begin_to_collect(2 * train_at_, 2 * train_at_ / kSampleBytes);
  }
}

void ObjectPacker::train() {
  const bool large = seen_bytes_ >= options_.next_training;
  std::string bytes;
  std::vector<std::size_t> sizes;
  bytes.reserve(sample_bytes_);
  for (const ObjectPtr& sample : samples_) {
    bytes += sample->image();
    sizes.push_back(sample->image().size());
  }
  std::string content(std::min(large ? kLargeDictionary : kSmallDictionary, bytes.size() / kSamplesToDictionary), '\0');
  const std::size_t trained = ZDICT_trainFromBuffer(content.data(), content.size(), bytes.data(), sizes.data(),
                                                    static_cast<unsigned>(sizes.size()));
  if (ZDICT_isError(trained)) {  // Too few or too equal to learn from: one of them is what they have in common.
    content = samples_.empty() ? bytes : std::string(samples_.back()->image().substr(0, kSmallDictionary));
  } else {
    content.resize(trained);
  }
  compressor_ = std::make_unique<Compressor>(content, large ? kLargeLevel : kSmallLevel);
  dictionaries_.push_back(std::make_shared<PackDictionary>(content));
  ++generation_;
  first_ratio_ = 0;
  window_in_ = window_out_ = 0;
  begin_to_collect(options_.next_training, options_.next_training / kSampleBytes);
  collecting_ = !large;
}

PackedObjectPtr ObjectPacker::pack(const Object& object) {
  constexpr std::size_t kMost = std::numeric_limits<std::uint16_t>::max();
  if (!compressor_ || object.namespace_name().size() > kMost || object.name().size() > kMost) return nullptr;
  thread_local std::string room;
  const std::string_view image = object.image();
  if (room.size() < ZSTD_compressBound(image.size())) room.resize(ZSTD_compressBound(image.size()));
  ZSTD_CCtx* const context = compression_context();
  ZSTD_CCtx_refCDict(context, compressor_->dictionary.get());
  const std::size_t size = ZSTD_compress2(context, room.data(), room.size(), image.data(), image.size());
  if (ZSTD_isError(size)) return nullptr;
  watch_ratio(image.size(), size);
  const std::size_t text = object.namespace_name().size() + object.name().size() + size;
  if (PackedObject::bytes_of(text) > object.memory_bytes() / 4 * 3) return nullptr;
  void* const where = ::operator new(sizeof(PackedObject) + text);
  return PackedObjectPtr(new (where)
                             PackedObject(object, std::string_view(room).substr(0, size), dictionaries_.back()));
}

void ObjectPacker::watch_ratio(std::size_t in, std::size_t out) {
  window_in_ += in;
  window_out_ += out;
  if (window_in_ < kWindow) return;
  const double ratio = static_cast<double>(window_out_) / static_cast<double>(window_in_);
  window_in_ = window_out_ = 0;
  if (first_ratio_ == 0) first_ratio_ = ratio;
  if (!collecting_ && ratio > kWorse * first_ratio_) {
    begin_to_collect(options_.next_training, options_.next_training / kSampleBytes);
  }
}

std::size_t ObjectPacker::memory_bytes() const {
  std::size_t bytes = sample_bytes_ + (compressor_ ? ZSTD_sizeof_CDict(compressor_->dictionary.get()) : 0);
  for (const PackDictionaryPtr& dictionary : dictionaries_) bytes += dictionary->memory_bytes();
  return bytes;
}

}  // namespace tinf
