// ObjectPacker: objects compressed one by one, with a dictionary of what they have in common.
// Alone, an object of 3 KiB compresses to two fifths; with words that others of its resource have as well, to a
// quarter.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tinf/object/object.h"
#include "tinf/store/memory/plain_form.h"

namespace tinf {

class PackDictionary;  // What unpacking needs; only read once it is made.
using PackDictionaryPtr = std::shared_ptr<const PackDictionary>;

// One object: its key and its hash as they are, the rest compressed. In one allocation; it keeps its dictionary.
// Immutable, so it crosses threads freely.
class PackedObject : public boost::intrusive_ref_counter<PackedObject> {
 public:
  KeyView key() const { return {{bytes(), namespace_size_}, {bytes() + namespace_size_, name_size_}}; }
  const EntryHash& hash() const { return hash_; }
  // Null: its bytes were altered since.
  ObjectPtr unpacked() const;
  std::size_t memory_bytes() const { return bytes_of(namespace_size_ + name_size_ + frame_size_); }

  static void operator delete(void* packed) { ::operator delete(packed); }

 private:
  friend class ObjectPacker;
  PackedObject(const Object& object, std::string_view frame, PackDictionaryPtr dictionary);

  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
  std::string_view frame() const { return {bytes() + namespace_size_ + name_size_, frame_size_}; }
  // With malloc's header.
  static std::size_t bytes_of(std::size_t text) { return sizeof(PackedObject) + text + sizeof(void*); }

  const std::uint16_t namespace_size_;
  const std::uint16_t name_size_;
  const std::uint32_t frame_size_;
  const std::uint32_t image_size_;
  const EntryHash hash_;
  const PackDictionaryPtr dictionary_;
};

using PackedObjectPtr = boost::intrusive_ptr<const PackedObject>;

struct ObjectPackerOptions {
  ObjectPackerOptions() = default;

  // Bytes of objects seen before there is a dictionary, and before it is made anew, larger, from more of them.
  std::size_t first_training = 1 << 20;
  std::size_t next_training = 16 << 20;
};

// Learns from the objects that it is shown, at most two dictionaries as their number grows, and further ones where
// objects change so much that the last one does not fit them any more. A dictionary lives as long as an object that was
// packed with it; there are never more than kDictionaries. Stores of one resource may share a packer: confined to the
// strand that writes them.
class ObjectPacker {
 public:
  explicit ObjectPacker(ObjectPackerOptions options = ObjectPackerOptions());
  ~ObjectPacker();

  // Shows it an object that is to be packed. learnt(): these are all for now; a dictionary is made if they suffice,
  // which takes up to some 100 ms.
  void learn(const ObjectPtr& object);
  void learnt();
  // How many dictionaries there have been.
  unsigned generation() const { return generation_; }

  // Null: better left as it is. There is no dictionary yet, or it is so small, or so without pattern, that a quarter of
  // its memory would not be saved.
  PackedObjectPtr pack(const Object& object);

  // Of dictionaries and samples: bytes.
  std::size_t memory_bytes() const;

  static constexpr std::size_t kDictionaries = 8;

 private:
  void begin_to_collect(std::size_t until, std::size_t every);
  void train();
  bool is_sample(const Object& object) const;
  void watch_ratio(std::size_t in, std::size_t out);

  struct Compressor;

  const ObjectPackerOptions options_;
  std::unique_ptr<Compressor> compressor_;  // With the last of the dictionaries; null while there is none.
  std::vector<PackDictionaryPtr> dictionaries_;
  unsigned generation_ = 0;

  // One in `every_` of the objects seen.
  bool collecting_ = false;
  std::size_t train_at_ = 0;
  std::size_t every_ = 1;
  std::size_t seen_bytes_ = 0;
  std::size_t sample_bytes_ = 0;
  std::vector<ObjectPtr> samples_;

  // How well the dictionary did at first, and of late.
  double first_ratio_ = 0;
  std::size_t window_in_ = 0;
  std::size_t window_out_ = 0;
};

}  // namespace tinf
