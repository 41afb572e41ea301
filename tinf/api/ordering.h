// Ordering: objects in the order of fields that a request names, `orderBy=status.phase,metadata.creationTimestamp
// desc`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/api/object_pages.h"
#include "tinf/api/status.h"
#include "tinf/object/object.h"

namespace tinf::api {

// A field of an object, as it is ordered: false, true, numbers, texts. A time is a text that is compared to the last
// digit of its seconds, however many there are. Of a text the first kMostText bytes count. What is no scalar is as if
// it were missing, and that comes last in either direction.
class OrderedValue {
 public:
  static constexpr std::size_t kMostText = 256;

  OrderedValue() = default;  // Missing.
  static OrderedValue of(const Object& object, const std::string& pointer);

  bool is_missing() const { return kind_ == Kind::Missing; }
  std::strong_ordering operator<=>(const OrderedValue& other) const;
  bool operator==(const OrderedValue& other) const { return (*this <=> other) == 0; }

  // One line of text, and back. Nothing: it is none.
  std::string text() const;
  static std::optional<OrderedValue> parse(std::string_view text);

 private:
  enum class Kind : char { Boolean = '0', Number = '1', Text = '2', Missing = '3' };  // In their order.

  static std::optional<OrderedValue> number(std::string_view text);

  Kind kind_ = Kind::Missing;
  long double number_ = 0;  // Of a whole number every digit. False is 0.
  std::string text_;        // Of a number as it was written.
};

// Where an object is in an order. Those whose values are equal are in the order of their keys.
struct OrderedPlace {
  std::vector<OrderedValue> values;
  ObjectKey key;

  OrderedPlace() = default;
};

class Ordering {
 public:
  // Empty text: none. 400: says what can be written.
  static Answer<Ordering> parse(const std::string& text);

  bool empty() const { return terms_.empty(); }

  OrderedPlace place_of(const Object& object) const;
  bool before(const OrderedPlace& a, const OrderedPlace& b) const;

  // A place's values, for a token that stands in a URL, and back. Nothing: they are not of this order.
  static std::string text(const std::vector<OrderedValue>& values);
  std::optional<std::vector<OrderedValue>> parse_values(std::string_view text) const;

 private:
  struct Term {
    std::string pointer;
    bool descends = false;
  };

  std::vector<Term> terms_;
};

// A page in an order.
struct OrderedPage {
  std::vector<ObjectPtr> objects;
  OrderedPlace last;       // Of the last one.
  std::size_t behind = 0;  // How many come after it.

  OrderedPage() = default;
};

// The first `most` objects behind `after`, or from the first one on; fewer, but one at least, where they are of more
// than kPageBytes. Reads all of `pages`, and holds the page alone.
Task<Answer<OrderedPage>> read_in_order(ObjectPages& pages, const Ordering& ordering, std::optional<OrderedPlace> after,
                                        std::size_t most);

}  // namespace tinf::api
