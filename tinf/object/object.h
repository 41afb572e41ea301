// Object: one Kubernetes object, kept as the bytes the API server wrote, its metadata found once.
// Bytes pass through the whole house unparsed; only names, versions and labels are looked at.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tinf/base/result.h"

namespace tinf {

struct ObjectKey {
  std::string namespace_name;  // Empty for cluster-scoped objects.
  std::string name;

  auto operator<=>(const ObjectKey&) const = default;

  std::string to_string() const;  // "default/web", or "web" where there is no namespace.
  // What to_string() writes of a key that is_plain(), "" included. Nothing for any other text.
  static std::optional<ObjectKey> from_string(std::string_view text);
  // Neither part holds a slash or a NUL, and a namespace stands before a name: no other key is written alike.
  bool is_plain() const;
};

struct ObjectKeyHash {
  std::size_t operator()(const ObjectKey& key) const;
};

class Object;

// How objects are cut when they come in.
struct ParseOptions {
  bool keep_managed_fields = false;
  // Items of a typed list carry neither; given, they are put in front where the object lacks them, in the order
  // and form in which the API server writes them in a watch event, so that list and watch give equal bytes.
  std::string_view kind;
  std::string_view api_version;
};

// XXH3-128 of an object's bytes, in which its key, uid and version stand.
// Not cryptographic: it finds errors, not forgeries (who may write to a topic is the broker's rule).
struct EntryHash {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  static EntryHash of(const Object& object);        // As it was when the object was made.
  static EntryHash of(std::string_view raw_bytes);  // Anew.
  auto operator<=>(const EntryHash&) const = default;
};

using ObjectPtr = std::shared_ptr<const Object>;

// Immutable, so it crosses threads freely. Views it returns live as long as it does.
class Object {
 public:
  // Copies `json` (any bytes; they are validated: UTF-8, grammar, depth at most 256, unique metadata).
  // Invalid: not a JSON object, metadata.name is missing, or it or the namespace holds a slash or a NUL: two keys could
  // then be written alike.
  static Result<ObjectPtr> parse(std::string_view json, const ParseOptions& options);
  static Result<ObjectPtr> parse(std::string_view json) { return parse(json, ParseOptions()); }

  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  std::string_view raw() const { return {bytes(), size_}; }
  const EntryHash& hash() const { return hash_; }
  // Looks at the bytes only where the hashes are equal: then also one whose bytes were altered in memory is told apart.
  bool equals(const Object& other) const { return hash_ == other.hash_ && raw() == other.raw(); }

  // As text, also where the JSON has escapes: an API server writes the Role "a&b" as "a\u0026b".
  std::string_view kind() const { return at(kind_); }
  std::string_view api_version() const { return at(api_version_); }
  std::string_view namespace_name() const { return at(namespace_); }
  std::string_view name() const { return at(name_); }
  std::string_view uid() const { return at(uid_); }
  std::string_view resource_version() const { return at(resource_version_); }
  ObjectKey key() const;

  // metadata.labels and metadata.annotations, decoded on each call, in the object's order.
  std::vector<std::pair<std::string, std::string>> labels() const { return string_map(labels_); }
  std::vector<std::pair<std::string, std::string>> annotations() const { return string_map(annotations_); }
  // The uids of metadata.ownerReferences, decoded on each call, in the object's order.
  std::vector<std::string> owner_uids() const;

  // The JSON text at a JSON Pointer (RFC 6901), e.g. "/spec/replicas" or "/metadata/generation"; walks the raw bytes.
  std::optional<std::string_view> json_at(std::string_view pointer) const;
  // The same for a string value, unescaped; nothing if it is not a string.
  std::optional<std::string> string_at(std::string_view pointer) const;
  // The same for a whole number.
  std::optional<std::int64_t> integer_at(std::string_view pointer) const;

  // What this object costs in memory, all in: bytes.
  std::size_t memory_bytes() const { return sizeof(Object) + size_ + decoded_size_ + kAllocationOverhead; }

  // All of it but its hash as one run of bytes, for a store that keeps it in another form and makes it again. Only this
  // very program understands them.
  std::string_view image() const { return {image_start(), kImageHeader + size_ + decoded_size_}; }
  // The object of an image of `size` bytes, which `fill(char*)` writes to where they belong and says whether it could.
  // Null: it could not, or what it wrote is no image. The hash is taken on trust.
  template <class Fill>
  static ObjectPtr from_image(std::size_t size, const EntryHash& hash, Fill fill) {
    if (size < kImageHeader) return nullptr;
    const auto object = of_size(static_cast<std::uint32_t>(size - kImageHeader), 0);
    if (!fill(object->image_start()) || !object->is_image_of(size)) return nullptr;
    object->hash_ = hash;
    return object;
  }
  // What stands for an object of which nothing but the key is known: its bytes are an object without members.
  static ObjectPtr of_key(std::string_view namespace_name, std::string_view name);

 private:
  struct Span {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
  };
  struct Scanner;                                         // Finds the spans.
  static constexpr std::size_t kAllocationOverhead = 48;  // Control block and two malloc headers.

  Object(std::uint32_t size, std::uint32_t decoded_size) : size_(size), decoded_size_(decoded_size) {}
  static std::shared_ptr<Object> of_size(std::uint32_t size, std::uint32_t decoded_size);

  // The bytes follow the object in one allocation: a busy stream makes and forgets a hundred thousand a second. Behind
  // them stands, decoded, what has escapes of the texts below: rarely anything.
  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
  char* bytes() { return reinterpret_cast<char*>(this + 1); }
  std::string_view at(Span span) const { return {bytes() + span.offset, span.length}; }
  std::vector<std::pair<std::string, std::string>> string_map(Span span) const;

  const char* image_start() const { return reinterpret_cast<const char*>(this) + sizeof(EntryHash); }
  char* image_start() { return reinterpret_cast<char*>(this) + sizeof(EntryHash); }
  bool is_image_of(std::size_t size) const;

  EntryHash hash_;
  // The image begins here, and goes on to the last of the bytes.
  std::uint32_t size_;
  std::uint32_t decoded_size_;
  Span kind_, api_version_, namespace_, name_, uid_, resource_version_, labels_, annotations_, owners_;

  static constexpr std::size_t kImageHeader = 2 * sizeof(std::uint32_t) + 9 * sizeof(Span);
};

}  // namespace tinf
