// Finding an object's metadata in its bytes, and cutting managedFields out of them without touching the rest.
// simdjson's DOM pass validates everything (on-demand skips what it does not read); the on-demand pass then gives
// spans.
#include "tinf/object/object.h"

#include <simdjson.h>
#include <xxhash.h>

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
    std::memcpy(buffer_.data(), json.data(), json.size());
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

}  // namespace

std::string ObjectKey::to_string() const {
  return namespace_name.empty() ? name : namespace_name + "/" + name;
}

ObjectKey ObjectKey::from_string(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return ObjectKey{"", std::string(text)};
  return ObjectKey{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::size_t ObjectKeyHash::operator()(const ObjectKey& key) const {
  const auto seed = XXH3_64bits(key.namespace_name.data(), key.namespace_name.size());
  return XXH3_64bits_withSeed(key.name.data(), key.name.size(), seed);
}

// One pass over an object. Spans refer to the input until build() moves them to the bytes that stay.
struct Object::Scanner {
  explicit Scanner(const char* start) : begin(start) {}

  const char* begin;
  Span kind, api_version, namespace_name, name, uid, resource_version, labels, annotations, managed_fields;
  bool has_metadata = false;
  bool has_managed_fields = false;

  Span span_of(const char* from, const char* to) const {
    return Span{static_cast<std::uint32_t>(from - begin), static_cast<std::uint32_t>(to - from)};
  }

  // The text between the quotes of a string value. The input is valid JSON, so the closing quote exists.
  simdjson::error_code string_span(simdjson::ondemand::value value, Span& out) {
    simdjson::ondemand::raw_json_string raw;
    if (auto error = value.get_raw_json_string().get(raw)) return error;
    const char* from = raw.raw();
    const char* to = from;
    while (*to != '"') to += *to == '\\' ? 2 : 1;
    out = span_of(from, to);
    return simdjson::SUCCESS;
  }

  simdjson::error_code raw_span(simdjson::ondemand::value value, Span& out) {
    simdjson::ondemand::json_type type;
    if (auto error = value.type().get(type)) return error;
    std::string_view raw;
    if (type == simdjson::ondemand::json_type::object) {
      simdjson::ondemand::object object;
      if (auto error = value.get_object().get(object)) return error;
      if (auto error = object.raw_json().get(raw)) return error;
    } else if (type == simdjson::ondemand::json_type::array) {
      simdjson::ondemand::array array;
      if (auto error = value.get_array().get(array)) return error;
      if (auto error = array.raw_json().get(raw)) return error;
    } else {
      out = Span();  // null, as some writers put it: as if it were not there.
      return simdjson::SUCCESS;
    }
    out = span_of(raw.data(), raw.data() + raw.size());
    return simdjson::SUCCESS;
  }

  // Names are compared unescaped: whoever reads the object after us must find in it what we found.
  simdjson::error_code scan_metadata(simdjson::ondemand::object metadata, bool cut_managed_fields) {
    for (auto entry : metadata) {
      simdjson::ondemand::field field;
      std::string_view key;
      if (auto error = std::move(entry).get(field)) return error;
      const char* const from = field.key().raw() - 1;
      simdjson::error_code error = field.unescaped_key().get(key);
      if (error) return error;
      if (key == "name") {
        error = string_span(field.value(), name);
      } else if (key == "namespace") {
        error = string_span(field.value(), namespace_name);
      } else if (key == "uid") {
        error = string_span(field.value(), uid);
      } else if (key == "resourceVersion") {
        error = string_span(field.value(), resource_version);
      } else if (key == "labels") {
        error = raw_span(field.value(), labels);
      } else if (key == "annotations") {
        error = raw_span(field.value(), annotations);
      } else if (cut_managed_fields && key == "managedFields") {
        if (has_managed_fields) return simdjson::TAPE_ERROR;  // Two of them: one would stay.
        has_managed_fields = true;
        error = raw_span(field.value(), managed_fields);
        if (managed_fields.length > 0) {
          managed_fields = with_separator(from, begin + managed_fields.offset + managed_fields.length);
        }
      }
      if (error) return error;
    }
    return simdjson::SUCCESS;
  }

  simdjson::error_code scan(simdjson::ondemand::object object, bool cut_managed_fields) {
    for (auto entry : object) {
      simdjson::ondemand::field field;
      std::string_view key;
      if (auto error = std::move(entry).get(field)) return error;
      simdjson::error_code error = field.unescaped_key().get(key);
      if (error) return error;
      if (key == "metadata") {
        if (has_metadata) return simdjson::TAPE_ERROR;  // Two of them: which one counts depends on the reader.
        has_metadata = true;
        simdjson::ondemand::object metadata;
        error = field.value().get_object().get(metadata);
        if (!error) error = scan_metadata(metadata, cut_managed_fields);
      } else if (key == "kind") {
        error = string_span(field.value(), kind);
      } else if (key == "apiVersion") {
        error = string_span(field.value(), api_version);
      }
      if (error) return error;
    }
    return simdjson::SUCCESS;
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

  simdjson::ondemand::document document;
  simdjson::ondemand::object root;
  Scanner found(padded.data());
  auto error = ondemand_parser.iterate(padded).get(document);
  if (!error) error = document.get_object().get(root);
  if (!error) error = found.scan(root, !options.keep_managed_fields);
  if (error)
    return Error(Code::Invalid, std::string("an object's metadata cannot be read: ") + simdjson::error_message(error));

  const auto text = [&](Span span) { return std::string_view(padded.data() + span.offset, span.length); };
  const auto name = text(found.name);
  if (name.empty() || name.find('/') != std::string_view::npos || !is_plain(name) ||
      !is_plain(text(found.namespace_name)) || !is_plain(text(found.uid)) || !is_plain(text(found.resource_version))) {
    return Error(Code::Invalid,
                 "an object's metadata.name, namespace, uid or resourceVersion is missing or not a plain string");
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

  const auto object = of_size(static_cast<std::uint32_t>(json.size() + front.size() - cut.length));
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

  const auto moved = [&](Span span) {
    if (span.length == 0) return Span();
    const bool behind_cut = cut.length > 0 && span.offset > cut.offset;
    return Span{static_cast<std::uint32_t>(span.offset + front.size() - (behind_cut ? cut.length : 0)), span.length};
  };
  object->kind_ = moved(found.kind);
  object->api_version_ = moved(found.api_version);
  if (lacks_kind && !options.kind.empty()) {
    object->kind_ = Span{static_cast<std::uint32_t>(brace + 8), static_cast<std::uint32_t>(options.kind.size())};
  }
  if (lacks_api_version && !options.api_version.empty()) {
    const auto from = brace + front.size() - options.api_version.size() - 2;
    object->api_version_ =
        Span{static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(options.api_version.size())};
  }
  object->namespace_ = moved(found.namespace_name);
  object->name_ = moved(found.name);
  object->uid_ = moved(found.uid);
  object->resource_version_ = moved(found.resource_version);
  object->labels_ = moved(found.labels);
  object->annotations_ = moved(found.annotations);
  object->hash_ = EntryHash::of(object->raw());
  return ObjectPtr(object);
}

std::shared_ptr<Object> Object::of_size(std::uint32_t size) {
  struct Free {
    void operator()(Object* object) const {
      object->~Object();
      ::operator delete(static_cast<void*>(object));
    }
  };
  return std::shared_ptr<Object>(new (::operator new(sizeof(Object) + size)) Object(size), Free());
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
