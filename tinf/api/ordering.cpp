// The best so far are a heap whose top is the last of them: one that comes before it takes its place.
#include "tinf/api/ordering.h"

#include <algorithm>
#include <charconv>

#include "tinf/base/base64.h"
#include "tinf/object/selector.h"
#include "tinf/object/text.h"

namespace tinf::api {
namespace {

constexpr std::size_t kMostTerms = 8;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// "2024-01-02T03:04:05.600Z" as "2024-01-02T03:04:05.6": then texts are in the order of their times.
std::string comparable(std::string text) {
  static constexpr std::string_view kForm = "0000-00-00T00:00:00";
  if (text.size() <= kForm.size() || text.back() != 'Z') return text;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == '0' ? !is_digit(text[i]) : text[i] != kForm[i]) return text;
  }
  std::string_view fraction = std::string_view(text).substr(kForm.size(), text.size() - kForm.size() - 1);
  if (!fraction.empty() && (fraction.front() != '.' || !std::ranges::all_of(fraction.substr(1), is_digit))) return text;
  while (!fraction.empty() && (fraction.back() == '0' || fraction.back() == '.')) fraction.remove_suffix(1);
  return text.substr(0, kForm.size() + fraction.size());
}

Status cannot_order(const std::string& text, const std::string& why) {
  return Status::bad_request("orderBy=" + text + ": " + why +
                             ": name fields as spec.nodeName, or as the JSON Pointer " +
                             "/metadata/labels/app, each with asc or desc behind it if wanted, at most " +
                             std::to_string(kMostTerms) + ", with commas between them");
}

}  // namespace

std::optional<OrderedValue> OrderedValue::number(std::string_view text) {
  OrderedValue value;
  value.kind_ = Kind::Number;
  const char* const end = text.data() + text.size();
  const auto [at, failure] = std::from_chars(text.data(), end, value.number_);
  if (text.empty() || failure != std::errc() || at != end || value.number_ != value.number_) return std::nullopt;
  value.text_ = text;
  return value;
}

OrderedValue OrderedValue::of(const Object& object, const std::string& pointer) {
  OrderedValue value;
  if (auto text = object.string_at(pointer)) {
    value.kind_ = Kind::Text;
    value.text_ = comparable(std::move(*text)).substr(0, kMostText);
    value.text_.resize(std::min(value.text_.size(), value.text_.find('\0')));  // What separates values in a token.
    return value;
  }
  const auto json = object.json_at(pointer);
  if (!json) return value;
  if (*json == "true" || *json == "false") {
    value.kind_ = Kind::Boolean;
    value.number_ = *json == "true" ? 1 : 0;
    return value;
  }
  return json->size() > kMostText ? value : number(*json).value_or(value);
}

std::strong_ordering OrderedValue::operator<=>(const OrderedValue& other) const {
  if (kind_ != other.kind_) return kind_ <=> other.kind_;
  if (kind_ == Kind::Text) return text_ <=> other.text_;
  if (number_ == other.number_) return std::strong_ordering::equal;
  return number_ < other.number_ ? std::strong_ordering::less : std::strong_ordering::greater;
}

std::string OrderedValue::text() const {
  std::string text(1, static_cast<char>(kind_));
  if (kind_ == Kind::Boolean) return text += number_ == 0 ? '0' : '1';
  return text += text_;
}

std::optional<OrderedValue> OrderedValue::parse(std::string_view text) {
  if (text.empty() || text.size() > 1 + kMostText) return std::nullopt;
  OrderedValue value;
  value.kind_ = static_cast<Kind>(text.front());
  text.remove_prefix(1);
  switch (value.kind_) {
    case Kind::Boolean:
      value.number_ = text == "1" ? 1 : 0;
      return text == "0" || text == "1" ? std::optional(value) : std::nullopt;
    case Kind::Number:
      return number(text);
    case Kind::Text:
      value.text_ = text;
      return value;
    case Kind::Missing:
      return text.empty() ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

Answer<Ordering> Ordering::parse(const std::string& text) {
  Ordering ordering;
  if (text.empty()) return ordering;
  const auto terms = split(text, ',');
  if (terms.size() > kMostTerms) return cannot_order(text, std::to_string(terms.size()) + " fields are too many");
  for (const auto term : terms) {
    std::vector<std::string_view> words = split(term, ' ');
    std::erase(words, std::string_view());
    if (words.empty()) return cannot_order(text, "a field is empty");
    const std::string path(words.front());
    if (words.size() > 2 || (words.size() == 2 && words[1] != "asc" && words[1] != "desc")) {
      return cannot_order(text, "what stands behind " + path + " is not asc or desc");
    }
    const bool is_pointer = path.front() == '/';
    if (!is_pointer && (path.front() == '.' || path.back() == '.' || path.find("..") != std::string::npos)) {
      return cannot_order(text, "\"" + path + "\" is no path");
    }
    ordering.terms_.push_back(
        Term{is_pointer ? path : pointer_of_path(path), words.back() == "desc" && words.size() == 2});
  }
  return ordering;
}

OrderedPlace Ordering::place_of(const Object& object) const {
  OrderedPlace place;
  for (const auto& term : terms_) place.values.push_back(OrderedValue::of(object, term.pointer));
  place.key = object.key();
  return place;
}

bool Ordering::before(const OrderedPlace& a, const OrderedPlace& b) const {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    const OrderedValue& left = a.values[i];
    const OrderedValue& right = b.values[i];
    if (left == right) continue;
    const bool as_it_ascends = left < right;
    return terms_[i].descends && !left.is_missing() && !right.is_missing() ? !as_it_ascends : as_it_ascends;
  }
  return a.key < b.key;
}

std::string Ordering::text(const std::vector<OrderedValue>& values) {
  std::string joined;
  for (const auto& value : values) {
    if (&value != &values.front()) joined += '\0';
    joined += value.text();
  }
  std::string text = base64_encode(joined);
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  std::erase(text, '=');
  return text;
}

std::optional<std::vector<OrderedValue>> Ordering::parse_values(std::string_view text) const {
  std::string encoded(text);
  std::ranges::replace(encoded, '-', '+');
  std::ranges::replace(encoded, '_', '/');
  encoded.resize((encoded.size() + 3) / 4 * 4, '=');
  const auto joined = base64_decode(encoded);
  if (!joined) return std::nullopt;
  std::vector<OrderedValue> values;
  for (const auto part : split(*joined, '\0')) {
    auto value = OrderedValue::parse(part);
    if (!value || values.size() == terms_.size()) return std::nullopt;
    values.push_back(std::move(*value));
  }
  if (values.size() != terms_.size()) return std::nullopt;
  return values;
}

Task<Answer<OrderedPage>> read_in_order(ObjectPages& pages, const Ordering& ordering, std::optional<OrderedPlace> after,
                                        std::size_t most) {
  struct Entry {
    OrderedPlace place;
    ObjectPtr object;
  };
  const auto before = [&](const Entry& a, const Entry& b) { return ordering.before(a.place, b.place); };
  std::vector<Entry> best;          // A heap.
  std::size_t bytes = 0;            // Of its objects.
  std::optional<OrderedPlace> end;  // Once one was too many: what comes before this is still looked for.
  OrderedPage page;
  while (pages.more()) {
    auto part = co_await pages.next_part();
    if (!part) co_return part.error();
    for (auto& object : *part) {
      Entry entry{ordering.place_of(*object), std::move(object)};
      if (after && !ordering.before(*after, entry.place)) continue;
      if (end && !ordering.before(entry.place, *end)) {
        ++page.behind;
        continue;
      }
      bytes += entry.object->raw().size();
      best.push_back(std::move(entry));
      std::ranges::push_heap(best, before);
      while (best.size() > most || (bytes > kPageBytes && best.size() > 1)) {
        std::ranges::pop_heap(best, before);
        bytes -= best.back().object->raw().size();
        end = std::move(best.back().place);
        best.pop_back();
        ++page.behind;
      }
    }
  }
  std::ranges::sort_heap(best, before);
  if (!best.empty()) page.last = best.back().place;
  for (auto& entry : best) page.objects.push_back(std::move(entry.object));
  co_return page;
}

}  // namespace tinf::api
