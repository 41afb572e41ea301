// Step by step: each step leads from the values so far to those that it finds in them, in their order.
#include "tinf/api/printer_path.h"

#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "tinf/patch/json.h"

namespace tinf::api {
namespace {

using Tree = boost::json::value;
using Values = std::vector<const Tree*>;

// `\x` stands for x.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain += text[i];
  }
  return plain;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool is_quoted(std::string_view text) {
  return text.size() >= 2 && (text.front() == '\'' || text.front() == '"') && text.back() == text.front();
}

std::string unquoted(std::string_view text) {
  return unescaped(text.substr(1, text.size() - 2));
}

// Up to one of these characters, escaped ones apart.
std::size_t end_of(std::string_view text, std::string_view of) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (of.find(text[i]) != std::string_view::npos) {
      return i;
    }
  }
  return text.size();
}

// Where the bracket that begins the text closes, strings apart; npos: nowhere.
std::size_t closing(std::string_view text) {
  char quote = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (quote != 0) {
      if (text[i] == quote) quote = 0;
    } else if (text[i] == '\'' || text[i] == '"') {
      quote = text[i];
    } else if (text[i] == ']') {
      return i;
    }
  }
  return std::string_view::npos;
}

void add_member(const Tree& value, std::string_view name, Values& found) {
  if (const Tree* member = json_at(value, {name})) found.push_back(member);
}

void add_all(const Tree& value, Values& found) {
  if (const auto* items = value.if_array()) {
    for (const auto& item : *items) found.push_back(&item);
  } else if (const auto* members = value.if_object()) {
    for (const auto& member : *members) found.push_back(&member.value());
  }
}

void add_item(const Tree& value, std::int64_t index, Values& found) {
  const auto* items = value.if_array();
  if (items == nullptr) return;
  const auto size = static_cast<std::int64_t>(items->size());
  if (index < 0) index += size;
  if (index >= 0 && index < size) found.push_back(&(*items)[static_cast<std::size_t>(index)]);
}

// `@.a.b`, `@.a == "x"`: plain members on the left, a scalar on the right.
class Filter {
 public:
  static std::optional<Filter> parse(std::string_view text) {
    Filter filter;
    auto left = text;
    if (const auto at = text.find("=="); at != std::string_view::npos) {
      left = text.substr(0, at);
      filter.wanted_ = trimmed(text.substr(at + 2));
    } else if (const auto differs = text.find("!="); differs != std::string_view::npos) {
      left = text.substr(0, differs);
      filter.wanted_ = trimmed(text.substr(differs + 2));
      filter.is_negated_ = true;
    }
    left = trimmed(left);
    if (!left.starts_with("@.")) return std::nullopt;
    left.remove_prefix(1);
    while (!left.empty()) {
      if (left.front() != '.') return std::nullopt;
      left.remove_prefix(1);
      const auto end = end_of(left, ".");
      filter.members_.push_back(unescaped(left.substr(0, end)));
      left.remove_prefix(end);
    }
    return filter;
  }

  bool matches(const Tree& item) const {
    const Tree* at = &item;
    for (const auto& member : members_) {
      at = json_at(*at, {member});
      if (at == nullptr) return false;
    }
    if (wanted_.empty()) return true;
    const bool is_same =
        is_quoted(wanted_) ? at->is_string() && at->get_string() == unquoted(wanted_) : json_text(*at) == wanted_;
    return is_same != is_negated_;
  }

 private:
  std::vector<std::string> members_;
  std::string_view wanted_;  // Empty: that it is there is enough.
  bool is_negated_ = false;
};

// What stands between brackets. False: it cannot be read.
bool take_bracket(std::string_view inside, const Values& values, Values& found) {
  inside = trimmed(inside);
  if (is_quoted(inside)) {
    const std::string name = unquoted(inside);
    for (const Tree* value : values) add_member(*value, name, found);
    return true;
  }
  if (inside == "*") {
    for (const Tree* value : values) add_all(*value, found);
    return true;
  }
  if (inside.starts_with("?(") && inside.ends_with(")")) {
    const auto filter = Filter::parse(inside.substr(2, inside.size() - 3));
    if (!filter) return false;
    Values items;
    for (const Tree* value : values) add_all(*value, items);
    for (const Tree* item : items) {
      if (filter->matches(*item)) found.push_back(item);
    }
    return true;
  }
  std::int64_t index = 0;
  const char* end = inside.data() + inside.size();
  const auto [at, failure] = std::from_chars(inside.data(), end, index);
  if (failure != std::errc() || at != end) return false;
  for (const Tree* value : values) add_item(*value, index, found);
  return true;
}

}  // namespace

const Tree* first_at(const Tree& object, std::string_view path) {
  Values values{&object};
  while (!path.empty() && !values.empty()) {
    Values found;
    if (path.front() == '[') {
      const auto close = closing(path);
      if (close == std::string_view::npos || !take_bracket(path.substr(1, close - 1), values, found)) return nullptr;
      path.remove_prefix(close + 1);
    } else if (path.front() == '.') {
      path.remove_prefix(1);
      const auto end = end_of(path, ".[");
      if (end == 0 && !path.empty() && path.front() == '[') continue;  // As `.['a']`.
      const std::string name = unescaped(path.substr(0, end));
      path.remove_prefix(end);
      for (const Tree* value : values) name == "*" ? add_all(*value, found) : add_member(*value, name, found);
    } else {
      return nullptr;
    }
    values = std::move(found);
  }
  return values.empty() ? nullptr : values.front();
}

}  // namespace tinf::api
