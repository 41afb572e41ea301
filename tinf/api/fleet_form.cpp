// One pass over the bytes finds the places, and ends where metadata does unless something behind it is named; then one
// copy puts the pieces together. What is read was valid when it was stored, and is not trusted to be so still.
#include "tinf/api/fleet_form.h"

#include <algorithm>
#include <vector>

#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

// Between two places of a text.
struct Span {
  std::size_t from = 0;
  std::size_t to = 0;
};

bool is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Steps over JSON, value by value. Once it has met what is none it says no to everything.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  std::size_t at() const { return at_; }

  // The next character that is not blank; NUL at the end.
  char next() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  // A string that is next: what stands between its quotes, escapes and all.
  std::optional<Span> string() {
    if (next() != '"') return std::nullopt;
    const std::size_t from = ++at_;
    while ((at_ = text_.find_first_of("\"\\", at_)) != std::string_view::npos) {
      if (text_[at_] == '"') return Span{from, at_++};
      at_ += 2;
    }
    at_ = text_.size();
    return std::nullopt;
  }

  // Any value, without the blanks around it.
  std::optional<Span> value() {
    const char first = next();
    const std::size_t from = at_;
    if (first == '"') {
      if (!string()) return std::nullopt;
    } else if (first == '{' || first == '[') {
      std::size_t depth = 0;
      do {
        at_ = text_.find_first_of("{}[]\"", at_);
        if (at_ == std::string_view::npos) return at_ = text_.size(), std::nullopt;
        const char c = text_[at_];
        if (c == '"') {
          if (!string()) return std::nullopt;
          continue;
        }
        ++at_;
        depth += c == '{' || c == '[' ? 1 : -1;
      } while (depth > 0);
    } else {
      while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '}' && text_[at_] != ']' && !is_blank(text_[at_]))
        ++at_;
      if (at_ == from) return std::nullopt;
    }
    return Span{from, at_};
  }

  // Calls `use(name)` for each member of the object that is next, with its value next, which it is to step over. False
  // if it does not, or as soon as `use` says so.
  template <class Use>
  bool members(Use use) {
    if (next() != '{') return false;
    ++at_;
    if (next() == '}') return ++at_, true;
    while (true) {
      const auto name = string();
      if (!name || next() != ':') return false;
      ++at_;
      if (!use(unescaped(*name))) return false;
      const char behind = next();
      ++at_;
      if (behind == '}') return true;
      if (behind != ',') return false;
    }
  }

 private:
  std::string unescaped(Span span) const {
    const auto shown = text_.substr(span.from, span.to - span.from);
    if (shown.find('\\') == std::string_view::npos) return std::string(shown);
    const auto read = parse_json("\"" + std::string(shown) + "\"");
    return read && read->is_string() ? std::string(read->get_string()) : std::string(shown);
  }

  const std::string_view text_;
  std::size_t at_ = 0;
};

// Of a map of strings: where it is, whether it is one, and where the value of our own key is.
struct FoundMap {
  Span whole;
  bool is_object = false;
  bool is_empty = true;
  std::optional<Span> own;
};

std::optional<FoundMap> find_map(Cursor& cursor, std::string_view key) {
  FoundMap found;
  found.is_object = cursor.next() == '{';
  found.whole.from = cursor.at();
  if (found.is_object) {
    const bool read = cursor.members([&](const std::string& name) {
      found.is_empty = false;
      const auto value = cursor.value();
      if (value && name == key) found.own = value;
      return value.has_value();
    });
    if (!read) return std::nullopt;
  } else if (!cursor.value()) {
    return std::nullopt;
  }
  found.whole.to = cursor.at();
  return found;
}

// Which object something names; the places lie between the quotes.
struct FoundName {
  std::optional<Span> uid;  // Of what is referred to.
  std::optional<Span> namespace_name;
  std::optional<Span> name;

  bool take(Cursor& cursor, bool is_namespace) {
    if (cursor.next() != '"') return cursor.value().has_value();  // Null is as if it were not there.
    auto text = cursor.string();
    (is_namespace ? namespace_name : name) = text;
    return text.has_value();
  }
};

struct Found {
  std::size_t metadata = 0;  // Behind its brace; 0: there is none.
  FoundName own;
  FoundName referred;
  std::optional<Span> version;  // Between the quotes.
  std::optional<FoundMap> labels;
  std::optional<FoundMap> annotations;
};

bool find_metadata(Cursor& cursor, Found& found) {
  if (cursor.next() != '{') return false;
  found.metadata = cursor.at() + 1;
  return cursor.members([&](const std::string& name) {
    if (name == "name" || name == "namespace") return found.own.take(cursor, name == "namespace");
    if (name == "labels") return (found.labels = find_map(cursor, kClusterLabel)).has_value();
    if (name == "annotations") return (found.annotations = find_map(cursor, kClusterVersionAnnotation)).has_value();
    if (name == "resourceVersion" && cursor.next() == '"') return (found.version = cursor.string()).has_value();
    return cursor.value().has_value();
  });
}

std::optional<Found> find(std::string_view raw, std::string_view reference) {
  Found found;
  Cursor cursor(raw);
  bool done = false;
  const bool whole = cursor.members([&](const std::string& name) {
    if (name == "metadata") {
      if (!find_metadata(cursor, found)) return false;
      done = reference.empty();
      return !done;  // What lies behind is copied unseen.
    }
    if (!reference.empty() && name == reference && cursor.next() == '{') {
      return cursor.members([&](const std::string& member) {
        if (member == "name" || member == "namespace") return found.referred.take(cursor, member == "namespace");
        if (member == "uid" && cursor.next() == '"') return (found.referred.uid = cursor.string()).has_value();
        return cursor.value().has_value();
      });
    }
    return cursor.value().has_value();
  });
  if ((!whole && !done) || found.metadata == 0 || !found.own.name) return std::nullopt;
  return found;
}

class Edits {
 public:
  explicit Edits(std::string_view raw) : raw_(raw) {}

  void replace(Span span, std::string text) { edits_.push_back(Edit{span, std::move(text)}); }
  void insert(std::size_t at, std::string text) { replace(Span{at, at}, std::move(text)); }

  std::string text() {
    std::ranges::stable_sort(edits_, std::less(), [](const Edit& edit) { return edit.span.from; });
    std::size_t size = raw_.size();
    for (const auto& edit : edits_) size += edit.text.size();
    std::string made;
    made.reserve(size);
    std::size_t at = 0;
    for (const auto& edit : edits_) {
      made.append(raw_.substr(at, edit.span.from - at)).append(edit.text);
      at = edit.span.to;
    }
    return made.append(raw_.substr(at));
  }

 private:
  struct Edit {
    Span span;
    std::string text;
  };

  const std::string_view raw_;
  std::vector<Edit> edits_;
};

// `map` with our own key; what is to be put in front of the other members of metadata if it lacks the map.
std::string put(Edits& edits, const std::optional<FoundMap>& map, std::string_view name, std::string_view key,
                std::string_view value) {
  const std::string quoted = "\"" + std::string(value) + "\"";
  const std::string entry = "\"" + std::string(key) + "\":" + quoted;
  if (!map) return "\"" + std::string(name) + "\":{" + entry + "},";
  if (!map->is_object) {
    edits.replace(map->whole, "{" + entry + "}");
  } else if (map->own) {
    edits.replace(*map->own, quoted);
  } else {
    edits.insert(map->whole.from + 1, map->is_empty ? entry : entry + ",");
  }
  return "";
}

// A kubelet's events have the node's name for its uid, too, and kubectl looks for them by it.
void name_for_fleet(Edits& edits, std::string_view raw, const FoundName& name, const std::string& prefix) {
  const auto text = [&](const Span& span) { return raw.substr(span.from, span.to - span.from); };
  const bool in_namespace = name.namespace_name && name.namespace_name->from < name.namespace_name->to;
  if (in_namespace) {
    edits.insert(name.namespace_name->from, prefix);
  } else if (name.name) {
    edits.insert(name.name->from, prefix);
    if (name.uid && text(*name.uid) == text(*name.name)) edits.insert(name.uid->from, prefix);
  }
}

}  // namespace

ObjectKey fleet_key(const FleetPlace& place) {
  ObjectKey key = place.key;
  (key.namespace_name.empty() ? key.name : key.namespace_name).insert(0, place.cluster + ".");
  return key;
}

std::optional<std::pair<std::string, std::string>> fleet_namespace(std::string_view name) {
  const auto dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos || dot + 1 == name.size()) return std::nullopt;
  return std::pair(std::string(name.substr(0, dot)), std::string(name.substr(dot + 1)));
}

std::optional<FleetPlace> fleet_place(const ObjectKey& key) {
  FleetPlace place;
  place.key = key;
  std::string& told = key.namespace_name.empty() ? place.key.name : place.key.namespace_name;
  auto parts = fleet_namespace(told);
  if (!parts) return std::nullopt;
  place.cluster = std::move(parts->first);
  told = std::move(parts->second);
  return place;
}

std::string_view reference_of(std::string_view collection) {
  if (collection == "events") return "involvedObject";
  if (collection == "events.events.k8s.io") return "regarding";
  return "";
}

std::optional<std::string> fleet_text(std::string_view raw, std::string_view cluster, StoreVersion version,
                                      Naming naming, std::string_view reference) {
  const bool renames = naming == Naming::Fleet;
  const auto found = find(raw, renames ? reference : std::string_view());
  if (!found) return std::nullopt;
  Edits edits(raw);
  if (renames) {
    const std::string prefix = std::string(cluster) + ".";
    name_for_fleet(edits, raw, found->own, prefix);
    name_for_fleet(edits, raw, found->referred, prefix);
  }
  std::string front = put(edits, found->labels, "labels", kClusterLabel, cluster);
  if (found->version) {
    const auto own = raw.substr(found->version->from, found->version->to - found->version->from);
    front += put(edits, found->annotations, "annotations", kClusterVersionAnnotation, own);
    edits.replace(*found->version, std::to_string(version));
  } else {
    front += "\"resourceVersion\":\"" + std::to_string(version) + "\",";
  }
  if (!front.empty()) edits.insert(found->metadata, std::move(front));
  return edits.text();
}

ObjectPtr fleet_form(const Object& object, std::string_view cluster, StoreVersion version, Naming naming,
                     std::string_view reference) {
  const auto text = fleet_text(object.raw(), cluster, version, naming, reference);
  if (!text) return nullptr;
  ParseOptions options;
  options.keep_managed_fields = true;  // If the store has them, somebody wanted them.
  auto made = Object::parse(*text, options);
  return made ? *made : nullptr;
}

}  // namespace tinf::api
