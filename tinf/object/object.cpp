// Finding an object's metadata in its bytes, and cutting managedFields out of them without touching the rest.
// simdjson's DOM pass validates everything (on-demand skips what it does not read); of what it builds only the places
// of the tokens are used, since they lead through the bytes at hand.
#include "tinf/object/object.h"

#include <simdjson.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace tinf {
namespace {

constexpr std::size_t kMaximumDepth = 256;  // Kubernetes objects nest below 64; a bomb of brackets stops here.

// Bytes behind which simdjson may read; kept per thread so that parsing allocates only while it grows.
class PaddedCopy {
 public:
  simdjson::padded_string_view of(std::string_view json) {
    if (buffer_.size() < json.size() + simdjson::SIMDJSON_PADDING)
      buffer_.resize(json.size() + simdjson::SIMDJSON_PADDING);
    std::ranges::copy(json, buffer_.begin());  // Of nothing, also where that stands nowhere.
    return simdjson::padded_string_view(buffer_.data(), json.size(), buffer_.size());
  }

 private:
  std::vector<char> buffer_;
};

thread_local PaddedCopy padded_copy;
thread_local simdjson::ondemand::parser ondemand_parser;

simdjson::dom::parser& validating_parser() {
  thread_local simdjson::dom::parser parser;
  if (parser.max_depth() == kMaximumDepth) return parser;
  if (parser.allocate(4096, kMaximumDepth)) std::abort();  // Out of memory for a few KiB at a thread's start.
  return parser;
}

bool is_plain(std::string_view text) {
  return text.find('\\') == std::string_view::npos;  // The validating pass has refused control characters.
}

// What a text stands for that has a backslash in it. The input is valid JSON.
std::string unescaped(std::string_view text) {
  const simdjson::padded_string quoted("\"" + std::string(text) + "\"");
  simdjson::ondemand::document document;
  std::string_view plain;
  if (ondemand_parser.iterate(quoted).get(document) || document.get_string().get(plain)) return std::string(text);
  return std::string(plain);
}

bool fits_into_a_key(std::string_view text) {
  return text.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

}  // namespace

std::string ObjectKey::to_string() const {
  return namespace_name.empty() ? name : namespace_name + "/" + name;
}

std::optional<ObjectKey> ObjectKey::from_string(std::string_view text) {
  ObjectKey key;
  const std::size_t slash = text.find('/');
  if (slash == 0) return std::nullopt;
  if (slash != std::string_view::npos) key.namespace_name = text.substr(0, slash);
  key.name = slash == std::string_view::npos ? text : text.substr(slash + 1);
  if (!key.is_plain()) return std::nullopt;
  return key;
}

bool ObjectKey::is_plain() const {
  return fits_into_a_key(namespace_name) && fits_into_a_key(name) && (namespace_name.empty() || !name.empty());
}

std::size_t ObjectKeyHash::operator()(const ObjectKey& key) const {
  const auto seed = XXH3_64bits(key.namespace_name.data(), key.namespace_name.size());
  return XXH3_64bits_withSeed(key.name.data(), key.name.size(), seed);
}

// One pass over an object that is valid JSON. It steps from one structural character or scalar to the next, as the
// validating pass has left their places. Spans refer to the input until parse() moves them to the bytes that stay.
struct Object::Scanner {
  Scanner(const char* start, const std::uint32_t* tokens) : begin(start), token(tokens) {}

  const char* const begin;
  const std::uint32_t* token;  // The place of the token that is next.
  Span kind, api_version, namespace_name, name, uid, resource_version, labels, annotations, owners, managed_fields;
  bool has_metadata = false;
  bool has_managed_fields = false;

  char next() const { return begin[*token]; }
  Span span_of(const char* from, const char* to) const {
    return Span{static_cast<std::uint32_t>(from - begin), static_cast<std::uint32_t>(to - from)};
  }

  // The text between the quotes of the string that is next. Behind it there is at most white space before another
  // token.
  Span string() {
    const char* const from = begin + *token + 1;
    const char* to = begin + *++token - 1;
    while (*to != '"') --to;
    return span_of(from, to);
  }

  // Any value; its bytes with the white space behind, if it is an object or an array.
  Span skip() {
    const std::uint32_t from = *token;
    std::size_t depth = 0;
    do {
      const char c = next();
      ++token;
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
    } while (depth > 0);
    const char last = begin[token[-1]];
    return last == '}' || last == ']' ? Span{from, *token - from} : Span();
  }

  // Calls `use(name, from)` with each member's value next, which it is to step over; false as soon as that says so. The
  // name is unescaped: whoever reads the object after us must find in it what we found. The member begins at `from`.
  template <class Use>
  bool members(Use use) {
    ++token;  // The brace.
    while (next() == '"') {
      const std::string_view name_text = text(string());
      ++token;  // The colon.
      const char* const from = name_text.data() - 1;
      if (!(is_plain(name_text) ? use(name_text, from) : use(std::string_view(unescaped(name_text)), from)))
        return false;
      if (next() == ',') ++token;
    }
    ++token;
    return true;
  }

  std::string_view text(Span span) const { return {begin + span.offset, span.length}; }

  bool take_string(Span& out) {
    if (next() != '"') return false;
    out = string();
    return true;
  }

  bool scan_metadata(bool cut_managed_fields) {
    if (next() != '{') return false;
    return members([&](std::string_view key, const char* from) {
      if (key == "name") return take_string(name);
      if (key == "namespace") return take_string(namespace_name);
      if (key == "uid") return take_string(uid);
      if (key == "resourceVersion") return take_string(resource_version);
      const Span value = skip();  // Null, as some writers put it, is as if it were not there.
      if (key == "labels") labels = value;
      if (key == "annotations") annotations = value;
      if (key == "ownerReferences") owners = value;
      if (key != "managedFields" || !cut_managed_fields) return true;
      if (has_managed_fields) return false;  // Two of them: one would stay.
      has_managed_fields = true;
      if (value.length > 0) managed_fields = with_separator(from, begin + value.offset + value.length);
      return true;
    });
  }

  bool scan(bool cut_managed_fields) {
    if (next() != '{') return false;
    return members([&](std::string_view key, const char*) {
      if (key == "kind") return take_string(kind);
      if (key == "apiVersion") return take_string(api_version);
      if (key != "metadata") return skip(), true;
      if (has_metadata) return false;  // Two of them: which one counts depends on the reader.
      has_metadata = true;
      return scan_metadata(cut_managed_fields);
    });
  }

  // A member together with the comma that its going makes one too many.
  Span with_separator(const char* from, const char* to) const {
    const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
    const char* after = to;
    while (is_space(*after)) ++after;
    if (*after == ',') {
      ++after;
      while (is_space(*after)) ++after;
      return span_of(from, after);
    }
    const char* before = from;
    while (is_space(before[-1])) --before;
    return before[-1] == ',' ? span_of(before - 1, to) : span_of(from, to);
  }
};

Result<ObjectPtr> Object::parse(std::string_view json, const ParseOptions& options) {
  if (json.size() > std::numeric_limits<std::uint32_t>::max() / 2) {
    return Error(Code::Invalid,
                 "an object of " + std::to_string(json.size()) + " bytes: more than any API server stores");
  }
  const auto padded = padded_copy.of(json);
  if (auto error = validating_parser().parse(padded.data(), padded.size(), false).error()) {
    return Error(Code::Invalid, std::string("an object is not valid JSON: ") + simdjson::error_message(error));
  }

  Scanner found(padded.data(), validating_parser().implementation->structural_indexes.get());
  if (!found.scan(!options.keep_managed_fields)) {
    return Error(Code::Invalid,
                 "an object's metadata cannot be read: it is no JSON object, has metadata or managedFields twice, or "
                 "its kind, apiVersion, "
                 "name, namespace, uid or resourceVersion is not a string");
  }
  struct Text {
    Span in_json;
    std::optional<Span> in_decoded;  // If it has escapes.
  };
  std::string decoded;
  const auto text_of = [&](Span span) {
    Text text{span, std::nullopt};
    const std::string_view shown = found.text(span);
    if (is_plain(shown)) return text;
    const std::string plain = unescaped(shown);
    text.in_decoded = Span{static_cast<std::uint32_t>(decoded.size()), static_cast<std::uint32_t>(plain.size())};
    decoded += plain;
    return text;
  };
  const Text kind = text_of(found.kind), api_version = text_of(found.api_version), name = text_of(found.name),
             namespace_name = text_of(found.namespace_name), uid = text_of(found.uid),
             resource_version = text_of(found.resource_version);
  const auto value = [&](const Text& text) {
    if (!text.in_decoded) return found.text(text.in_json);
    return std::string_view(decoded).substr(text.in_decoded->offset, text.in_decoded->length);
  };
  if (value(name).empty()) return Error(Code::Invalid, "an object has no metadata.name");
  if (!fits_into_a_key(value(name)) || !fits_into_a_key(value(namespace_name))) {
    return Error(Code::Invalid,
                 "an object's metadata.name or namespace holds a slash or a NUL: no API server allows it");
  }

  // From here on nothing can fail: put the bytes that stay together.
  const bool lacks_kind = found.kind.offset == 0;  // A value never stands there; an empty one has a place.
  const bool lacks_api_version = found.api_version.offset == 0;
  std::string front;
  if (lacks_kind && !options.kind.empty()) front.append("\"kind\":\"").append(options.kind).append("\",");
  if (lacks_api_version && !options.api_version.empty()) {
    front.append("\"apiVersion\":\"").append(options.api_version).append("\",");
  }
  const std::size_t brace = json.find('{') + 1;
  const Span cut = found.managed_fields;

  const auto object = of_size(static_cast<std::uint32_t>(json.size() + front.size() - cut.length),
                              static_cast<std::uint32_t>(decoded.size()));
  char* to = object->bytes();
  const auto append = [&to](std::string_view piece) {
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  };
  append(json.substr(0, brace));
  append(front);
  if (cut.length > 0) {
    append(json.substr(brace, cut.offset - brace));
    append(json.substr(cut.offset + cut.length));
  } else {
    append(json.substr(brace));
  }
  append(decoded);

  const auto moved = [&](Span span) {
    if (span.length == 0) return Span();
    const bool behind_cut = cut.length > 0 && span.offset > cut.offset;
    return Span{static_cast<std::uint32_t>(span.offset + front.size() - (behind_cut ? cut.length : 0)), span.length};
  };
  const auto placed = [&](const Text& text) {
    if (!text.in_decoded) return moved(text.in_json);
    return Span{object->size_ + text.in_decoded->offset, text.in_decoded->length};
  };
  object->kind_ = placed(kind);
  object->api_version_ = placed(api_version);
  if (lacks_kind && !options.kind.empty()) {
    object->kind_ = Span{static_cast<std::uint32_t>(brace + 8), static_cast<std::uint32_t>(options.kind.size())};
  }
  if (lacks_api_version && !options.api_version.empty()) {
    const auto from = brace + front.size() - options.api_version.size() - 2;
    object->api_version_ =
        Span{static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(options.api_version.size())};
  }
  object->namespace_ = placed(namespace_name);
  object->name_ = placed(name);
  object->uid_ = placed(uid);
  object->resource_version_ = placed(resource_version);
  object->labels_ = moved(found.labels);
  object->annotations_ = moved(found.annotations);
  object->owners_ = moved(found.owners);
  object->hash_ = EntryHash::of(object->raw());
  return ObjectPtr(object);
}

std::shared_ptr<Object> Object::of_size(std::uint32_t size, std::uint32_t decoded_size) {
  struct Free {
    void operator()(Object* object) const {
      object->~Object();
      ::operator delete(static_cast<void*>(object));
    }
  };
  return std::shared_ptr<Object>(new (::operator new(sizeof(Object) + size + decoded_size)) Object(size, decoded_size),
                                 Free());
}

bool Object::is_image_of(std::size_t size) const {
  static_assert(sizeof(Object) == sizeof(EntryHash) + kImageHeader, "the bytes follow the header of their image");
  const std::uint64_t bytes = std::uint64_t{size_} + decoded_size_;
  if (kImageHeader + bytes != size) return false;
  const auto fits = [bytes](Span span) { return std::uint64_t{span.offset} + span.length <= bytes; };
  return fits(kind_) && fits(api_version_) && fits(namespace_) && fits(name_) && fits(uid_) &&
         fits(resource_version_) && fits(labels_) && fits(annotations_) && fits(owners_);
}

ObjectPtr Object::of_key(std::string_view namespace_name, std::string_view name) {
  constexpr std::string_view kNothing = "{}";
  const auto object = of_size(kNothing.size(), static_cast<std::uint32_t>(namespace_name.size() + name.size()));
  char* to = object->bytes();
  for (const std::string_view piece : {kNothing, namespace_name, name}) {
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
  object->namespace_ = Span{object->size_, static_cast<std::uint32_t>(namespace_name.size())};
  object->name_ = Span{object->size_ + object->namespace_.length, static_cast<std::uint32_t>(name.size())};
  object->hash_ = EntryHash::of(object->raw());
  return object;
}

EntryHash EntryHash::of(const Object& object) {
  return object.hash();
}

EntryHash EntryHash::of(std::string_view raw_bytes) {
  const XXH128_hash_t hash = XXH3_128bits(raw_bytes.data(), raw_bytes.size());
  return EntryHash{hash.high64, hash.low64};
}

ObjectKey Object::key() const {
  return ObjectKey{std::string(namespace_name()), std::string(name())};
}

std::vector<std::pair<std::string, std::string>> Object::string_map(Span span) const {
  std::vector<std::pair<std::string, std::string>> entries;
  if (span.length == 0) return entries;
  simdjson::ondemand::document document;
  simdjson::ondemand::object map;
  if (ondemand_parser.iterate(padded_copy.of(at(span))).get(document) || document.get_object().get(map)) return entries;
  for (auto entry : map) {
    simdjson::ondemand::field field;
    std::string_view key;
    std::string_view value;
    if (std::move(entry).get(field) || field.unescaped_key().get(key)) break;
    std::string name(key);  // The view is overwritten by the next unescape.
    if (field.value().get_string().get(value)) continue;
    entries.emplace_back(std::move(name), std::string(value));
  }
  return entries;
}

std::vector<std::string> Object::owner_uids() const {
  std::vector<std::string> uids;
  if (owners_.length == 0) return uids;
  simdjson::ondemand::document document;
  simdjson::ondemand::array references;
  if (ondemand_parser.iterate(padded_copy.of(at(owners_))).get(document) || document.get_array().get(references))
    return uids;
  for (auto reference : references) {
    simdjson::ondemand::object fields;
    std::string_view uid;
    if (reference.get_object().get(fields)) break;
    if (!fields.find_field_unordered("uid").get_string().get(uid)) uids.emplace_back(uid);
  }
  return uids;
}

namespace {

// Calls `use(value, bytes)` with the value at `pointer`; false if there is none.
template <class Use>
bool with_value_at(std::string_view raw, std::string_view pointer, Use use) {
  if (pointer.empty()) return false;  // The object as a whole, of which simdjson makes a document and no value.
  const auto padded = padded_copy.of(raw);
  simdjson::ondemand::document document;
  simdjson::ondemand::value value;
  if (ondemand_parser.iterate(padded).get(document)) return false;
  if (document.at_pointer(pointer).get(value)) return false;
  return use(value, padded.data());
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n' || text.back() == '\r' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

}  // namespace

std::optional<std::string_view> Object::json_at(std::string_view pointer) const {
  if (pointer.empty()) return raw();
  std::optional<std::string_view> found;
  with_value_at(raw(), pointer, [&](simdjson::ondemand::value value, const char* begin) {
    simdjson::ondemand::json_type type;
    std::string_view text;
    if (value.type().get(type)) return false;
    if (type == simdjson::ondemand::json_type::object) {
      simdjson::ondemand::object object;
      if (value.get_object().get(object) || object.raw_json().get(text)) return false;
    } else if (type == simdjson::ondemand::json_type::array) {
      simdjson::ondemand::array array;
      if (value.get_array().get(array) || array.raw_json().get(text)) return false;
    } else {
      text = value.raw_json_token();
    }
    text = trimmed(text);
    found = raw().substr(static_cast<std::size_t>(text.data() - begin), text.size());
    return true;
  });
  return found;
}

std::optional<std::string> Object::string_at(std::string_view pointer) const {
  std::optional<std::string> found;
  with_value_at(raw(), pointer, [&](simdjson::ondemand::value value, const char*) {
    std::string_view text;
    if (value.get_string().get(text)) return false;
    found = std::string(text);
    return true;
  });
  return found;
}

std::optional<std::int64_t> Object::integer_at(std::string_view pointer) const {
  std::optional<std::int64_t> found;
  with_value_at(raw(), pointer, [&](simdjson::ondemand::value value, const char*) {
    std::int64_t number = 0;
    if (value.get_int64().get(number)) return false;
    found = number;
    return true;
  });
  return found;
}

}  // namespace tinf
