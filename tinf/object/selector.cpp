// Parsing by recursive descent over the grammar of apimachinery's labels and fields packages.
// Their odd corners are kept: "in" may be a key, "a=" asks for the empty value, "a in (,b)" allows it.
#include "tinf/object/selector.h"

#include <algorithm>
#include <charconv>

namespace tinf {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?
bool is_name_like(std::string_view text) {
  return !text.empty() && is_alphanumeric(text.front()) && is_alphanumeric(text.back()) &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_dns_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  char before = '.';
  for (const char c : text) {
    const bool edge = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (c == '.' ? before == '.' || before == '-' : c == '-' ? before == '.' : !edge) return false;
    before = c;
  }
  return before != '.' && before != '-';
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

template <class T>
void sort_unique(std::vector<T>& values) {
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

}  // namespace

Result<void> check_label_key(std::string_view key) {
  const auto slash = key.find('/');
  const auto name = slash == std::string_view::npos ? key : key.substr(slash + 1);
  if (slash != std::string_view::npos && !is_dns_subdomain(key.substr(0, slash))) {
    return Error(Code::Invalid, "label key \"" + std::string(key) +
                                    "\": the part before '/' must be a DNS subdomain of at most 253 characters");
  }
  if (!is_name_like(name) || name.size() > 63) {
    return Error(Code::Invalid, "label key \"" + std::string(key) +
                                    "\": the name must be 1 to 63 of letters, digits, '-', '_' and '.', and start and "
                                    "end with a letter or digit");
  }
  return {};
}

Result<void> check_label_value(std::string_view value) {
  if (value.empty() || (is_name_like(value) && value.size() <= 63)) return {};
  return Error(Code::Invalid, "label value \"" + std::string(value) +
                                  "\": must be empty or at most 63 of letters, digits, '-', '_' and '.', and start and "
                                  "end with a letter or digit");
}

class LabelSelector::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<LabelSelector> selector() {
    LabelSelector selector;
    if (peek().empty()) return selector;
    while (true) {
      auto requirement = this->requirement();
      if (!requirement) return requirement.error();
      selector.requirements_.push_back(std::move(*requirement));
      const auto token = take();
      if (token.empty()) break;
      if (token != ",") return unexpected(token, "',' or the end");
    }
    sort_unique(selector.requirements_);
    return selector;
  }

 private:
  // The next token: one of ( ) , ! = == != > < or a run of other characters; empty at the end.
  std::string_view take() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    const std::size_t from = at_;
    if (at_ == text_.size()) return {};
    if (is_special(text_[at_])) {
      const char first = text_[at_++];
      if ((first == '=' || first == '!') && at_ < text_.size() && text_[at_] == '=') ++at_;
    } else {
      while (at_ < text_.size() && !is_special(text_[at_]) && !is_space(text_[at_])) ++at_;
    }
    return text_.substr(from, at_ - from);
  }

  std::string_view peek() {
    const std::size_t before = at_;
    const auto token = take();
    at_ = before;
    return token;
  }

  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
  static bool is_special(char c) { return std::string_view("(),!=<>").find(c) != std::string_view::npos; }
  static bool is_word(std::string_view token) { return !token.empty() && !is_special(token.front()); }

  Error unexpected(std::string_view token, std::string_view expected) const {
    const std::string found = token.empty() ? "the end" : "\"" + std::string(token) + "\"";
    return Error(Code::Invalid, "label selector \"" + std::string(text_) + "\": found " + found + " where " +
                                    std::string(expected) + " should stand");
  }

  Error broken(const Error& why) const {
    return Error(Code::Invalid, "label selector \"" + std::string(text_) + "\": " + why.message);
  }

  Result<Requirement> requirement() {
    Requirement read;
    auto token = take();
    const bool absent = token == "!";
    if (absent) token = take();
    if (!is_word(token)) return unexpected(token, "a label key");
    if (auto fits = check_label_key(token); !fits) return broken(fits.error());
    read.key = token;
    if (absent) {
      read.op = Operator::DoesNotExist;
      return read;
    }
    if (const auto next = peek(); next.empty() || next == ",") return read;

    token = take();
    Result<void> done;
    if (token == "in" || token == "notin") {
      read.op = token == "in" ? Operator::In : Operator::NotIn;
      done = value_set(read);
    } else if (token == "=" || token == "==" || token == "!=") {
      read.op = token == "!=" ? Operator::NotIn : Operator::In;
      done = one_value(read);
    } else if (token == ">" || token == "<") {
      read.op = token == ">" ? Operator::GreaterThan : Operator::LessThan;
      done = one_value(read);
      if (done && !number(read.values.front())) {
        return unexpected(read.values.front(), "a whole number to compare \"" + read.key + "\" with");
      }
    } else {
      return unexpected(token, "one of = == != in notin > <");
    }
    if (!done) return done.error();
    sort_unique(read.values);
    return read;
  }

  Result<void> one_value(Requirement& read) {
    std::string_view value;
    if (is_word(peek())) {
      value = take();
    } else if (const auto next = peek(); !next.empty() && next != ",") {
      return unexpected(next, "a label value");
    }
    if (auto fits = check_label_value(value); !fits) return broken(fits.error());
    read.values.emplace_back(value);
    return {};
  }

  Result<void> value_set(Requirement& read) {
    if (const auto token = take(); token != "(") return unexpected(token, "'('");
    if (peek() == ")") return unexpected(")", "at least one value");
    while (true) {
      std::string_view value;
      if (is_word(peek())) value = take();
      if (auto fits = check_label_value(value); !fits) return broken(fits.error());
      read.values.emplace_back(value);
      const auto token = take();
      if (token == ")") return {};
      if (token != ",") return unexpected(token, "',' or ')'");
    }
  }

  const std::string_view text_;
  std::size_t at_ = 0;
};

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  return Parser(text).selector();
}

bool LabelSelector::Requirement::matches(const std::string* value) const {
  const auto compared = [&](auto compare) {
    const auto mine = value == nullptr ? std::nullopt : number(*value);
    return mine && compare(*mine, *number(values.front()));
  };
  switch (op) {
    case Operator::In:
      return value != nullptr && std::ranges::binary_search(values, *value);
    case Operator::NotIn:
      return value == nullptr || !std::ranges::binary_search(values, *value);
    case Operator::Exists:
      return value != nullptr;
    case Operator::DoesNotExist:
      return value == nullptr;
    case Operator::GreaterThan:
      return compared(std::greater<>());
    case Operator::LessThan:
      return compared(std::less<>());
  }
  return false;
}

std::string LabelSelector::Requirement::text() const {
  const auto set = [&] {
    std::string joined;
    for (const auto& value : values) joined += (&value == &values.front() ? "" : ",") + value;
    return "(" + joined + ")";
  };
  switch (op) {
    case Operator::In:
      return values.size() == 1 ? key + "=" + values.front() : key + " in " + set();
    case Operator::NotIn:
      return values.size() == 1 ? key + "!=" + values.front() : key + " notin " + set();
    case Operator::Exists:
      return key;
    case Operator::DoesNotExist:
      return "!" + key;
    case Operator::GreaterThan:
      return key + ">" + values.front();
    case Operator::LessThan:
      return key + "<" + values.front();
  }
  return key;
}

bool LabelSelector::matches(const Object& object) const {
  return requirements_.empty() || matches(object.labels());
}

bool LabelSelector::matches(const std::vector<std::pair<std::string, std::string>>& labels) const {
  return std::ranges::all_of(requirements_, [&](const Requirement& requirement) {
    const auto found = std::ranges::find(labels, requirement.key, &std::pair<std::string, std::string>::first);
    return requirement.matches(found == labels.end() ? nullptr : &found->second);
  });
}

std::string LabelSelector::canonical() const {
  std::string text;
  for (const auto& requirement : requirements_) text += (text.empty() ? "" : ",") + requirement.text();
  return text;
}

std::pair<LabelSelector, LabelSelector> LabelSelector::split(std::string_view key) const {
  std::pair<LabelSelector, LabelSelector> parts;
  for (const auto& requirement : requirements_) {
    (requirement.key == key ? parts.first : parts.second).requirements_.push_back(requirement);
  }
  return parts;
}

std::optional<std::string_view> LabelSelector::required_value(std::string_view key) const {
  for (const auto& requirement : requirements_) {
    if (requirement.key == key && requirement.op == Operator::In && requirement.values.size() == 1) {
      return requirement.values.front();
    }
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> LabelSelector::allowed_values(std::string_view key) const {
  std::optional<std::vector<std::string>> allowed;
  for (const auto& requirement : requirements_) {
    if (requirement.key != key || requirement.op != Operator::In) continue;
    if (!allowed) {
      allowed = requirement.values;
    } else {
      std::erase_if(*allowed,
                    [&](const auto& value) { return !std::ranges::binary_search(requirement.values, value); });
    }
  }
  return allowed;
}

std::vector<std::pair<std::string_view, std::string_view>> LabelSelector::required() const {
  std::vector<std::pair<std::string_view, std::string_view>> labels;
  for (const auto& requirement : requirements_) {
    if (requirement.op == Operator::In && requirement.values.size() == 1)
      labels.emplace_back(requirement.key, requirement.values.front());
  }
  return labels;
}

std::string pointer_of_path(std::string_view path) {
  std::string pointer = "/";
  for (const char c : path) {
    if (c == '.') {
      pointer += '/';
    } else if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
  return pointer;
}

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector selector;
  const auto invalid = [&](const std::string& why) {
    return Error(Code::Invalid, "field selector \"" + std::string(text) + "\": " + why);
  };
  std::size_t at = 0;
  while (at < text.size()) {
    Requirement requirement;
    std::string* part = &requirement.path;
    bool has_operator = false;
    for (; at < text.size() && text[at] != ','; ++at) {
      const char c = text[at];
      const char next = at + 1 < text.size() ? text[at + 1] : '\0';
      if (c == '\\') {
        if (next != '\\' && next != ',' && next != '=')
          return invalid("a backslash must stand before ',', '=' or another backslash");
        part->push_back(next);
        ++at;
      } else if (!has_operator && (c == '=' || (c == '!' && next == '='))) {
        has_operator = true;
        requirement.equal = c == '=';
        if (next == '=') ++at;
        part = &requirement.value;
      } else if (c == '=') {
        return invalid("'=' within the value of \"" + requirement.path + "\" needs a backslash before it");
      } else {
        part->push_back(c);
      }
    }
    ++at;  // The comma.
    if (!has_operator && requirement.path.empty())
      continue;  // As Kubernetes does, nothing between two commas is nothing.
    if (!has_operator) return invalid("\"" + requirement.path + "\" lacks one of = == !=");
    const auto& path = requirement.path;
    if (path.empty() || path.front() == '.' || path.back() == '.' || path.find("..") != std::string::npos) {
      return invalid("\"" + path + "\" is not a path such as metadata.name");
    }
    selector.requirements_.push_back(std::move(requirement));
  }
  sort_unique(selector.requirements_);
  return selector;
}

bool FieldSelector::matches(const Object& object) const {
  const auto value_at = [&](const std::string& path) -> std::string {
    if (path == "metadata.name") return std::string(object.name());
    if (path == "metadata.namespace") return std::string(object.namespace_name());
    const std::string pointer = pointer_of_path(path);
    if (auto text = object.string_at(pointer)) return std::move(*text);
    const auto json = object.json_at(pointer);
    return json && *json != "null" ? std::string(*json) : std::string();
  };
  return std::ranges::all_of(requirements_, [&](const Requirement& requirement) {
    return (value_at(requirement.path) == requirement.value) == requirement.equal;
  });
}

std::string FieldSelector::canonical() const {
  std::string text;
  for (const auto& requirement : requirements_) {
    if (!text.empty()) text += ',';
    const auto append_quoted = [&text](std::string_view part) {
      for (const char c : part) {
        if (c == '\\' || c == ',' || c == '=') text += '\\';
        text += c;
      }
    };
    append_quoted(requirement.path);
    text += requirement.equal ? "=" : "!=";
    append_quoted(requirement.value);
  }
  return text;
}

std::optional<std::string_view> FieldSelector::required_value(std::string_view path) const {
  for (const auto& requirement : requirements_) {
    if (requirement.path == path && requirement.equal) return requirement.value;
  }
  return std::nullopt;
}

FieldSelector FieldSelector::requiring(std::string_view path, std::string_view value) const {
  FieldSelector made = *this;
  for (auto& requirement : made.requirements_) {
    if (requirement.path == path && requirement.equal) requirement.value = value;
  }
  sort_unique(made.requirements_);
  return made;
}

std::vector<std::string_view> FieldSelector::paths() const {
  std::vector<std::string_view> paths;
  for (const auto& requirement : requirements_) paths.push_back(requirement.path);
  return paths;
}

}  // namespace tinf
