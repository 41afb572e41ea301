// Label and field selectors: which objects are meant, in the syntax and with the meaning that Kubernetes gives them.
// Canonical forms are equal where selectors are written differently but mean the same, so that scopes can be shared.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/object/object.h"

namespace tinf {

// Requirements that all must hold. Immutable after parse(); thread-safe.
class LabelSelector {
 public:
  LabelSelector() = default;  // Selects everything.

  // Reads "a=b,c!=d,e in (f,g),h notin (i),j,!k,l>5,m<6". Empty text selects everything.
  // Invalid: the grammar, or a key or value that no label can have; the message quotes what was found where.
  static Result<LabelSelector> parse(std::string_view text);

  // `!=` and `notin` also select objects that lack the label, as in Kubernetes.
  bool matches(const Object& object) const;
  bool matches(const std::vector<std::pair<std::string, std::string>>& labels) const;

  bool empty() const { return requirements_.empty(); }

  // Sorted by key, doubles removed, the shortest spelling: "in (a)" and "==a" become "=a". parse(canonical()) equals
  // it.
  std::string canonical() const;

  // What it asks of `key`, and the rest: together they are this selector.
  std::pair<LabelSelector, LabelSelector> split(std::string_view key) const;

  // The one value that `key` must have, if there is one: lets an index answer instead of a walk.
  std::optional<std::string_view> required_value(std::string_view key) const;
  // All the values that `key` may have, if it must have one of some. Sorted; perhaps none.
  std::optional<std::vector<std::string>> allowed_values(std::string_view key) const;
  // Every label that an object must have to be selected.
  std::vector<std::pair<std::string_view, std::string_view>> required() const;

  bool operator==(const LabelSelector&) const = default;

 private:
  enum class Operator { In, NotIn, Exists, DoesNotExist, GreaterThan, LessThan };
  struct Requirement {
    std::string key;
    Operator op = Operator::Exists;
    std::vector<std::string> values;  // Sorted, no doubles.
    auto operator<=>(const Requirement&) const = default;

    bool matches(const std::string* value) const;  // Null: the object has no such label.
    std::string text() const;
  };
  class Parser;

  std::vector<Requirement> requirements_;  // Sorted, no doubles.
};

// Requirements on fields by dotted path: "metadata.name=web,spec.nodeName!=n1". A backslash quotes ',', '=' and itself.
// Matched on the object's bytes: a missing field, null included, counts as empty, numbers and booleans as their JSON
// text. An API server knows few paths for most resources; whether it accepts one is its affair. Immutable after
// parse(); thread-safe.
class FieldSelector {
 public:
  FieldSelector() = default;  // Selects everything.

  // Invalid: a term without an operator, or a path that is empty or has an empty step.
  static Result<FieldSelector> parse(std::string_view text);

  bool matches(const Object& object) const;
  bool empty() const { return requirements_.empty(); }
  std::string canonical() const;  // Sorted by path, doubles removed, "==" as "=".
  std::optional<std::string_view> required_value(std::string_view path) const;
  // This selector with `value` in the place of every value that `path` is required to have.
  FieldSelector requiring(std::string_view path, std::string_view value) const;
  std::vector<std::string_view> paths() const;  // What it looks at, for a server that knows few.

  bool operator==(const FieldSelector&) const = default;

 private:
  struct Requirement {
    std::string path;
    bool equal = true;
    std::string value;
    auto operator<=>(const Requirement&) const = default;
  };

  std::vector<Requirement> requirements_;  // Sorted, no doubles.
};

// The JSON Pointer (RFC 6901) that a dotted path such as "spec.nodeName" stands for.
std::string pointer_of_path(std::string_view path);

// What Kubernetes accepts as a label's key ("app", "example.com/app") and value. Invalid: the message says which rule
// was broken.
Result<void> check_label_key(std::string_view key);
Result<void> check_label_value(std::string_view value);

}  // namespace tinf
