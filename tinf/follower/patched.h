// What patches are applied to, and how: the former state is sought, proven to be the one meant, changed and read anew.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tinf/object/fingerprint.h"
#include "tinf/wire/messages.h"

namespace tinf {

// What the consumer's store holds of a key; null if it holds nothing.
using FindStored = std::function<ObjectPtr(const ObjectKey&)>;

// The last state of each key that was delivered and that the store may not have yet. Deliveries are numbered 1, 2, 3,
// …. Not thread-safe.
class Unstored {
 public:
  // A set that takes the place of all that was there, or changes of single objects.
  void replace(std::uint64_t delivery, const std::vector<ObjectPtr>& all);
  void put(std::uint64_t delivery, const ObjectPtr& object);

  // All deliveries up to this one are in the store.
  void stored(std::uint64_t delivery);
  void clear();

  // Null: not among them. (What was found may be older than a delete: whoever asks knows the hash it must have.)
  ObjectPtr find(const ObjectKey& key) const;

 private:
  using Name = std::pair<std::string_view, std::string_view>;  // Namespace and name.
  static Name name_of(const ObjectPtr& object) { return {object->namespace_name(), object->name()}; }
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const Name& name) const;
    std::size_t operator()(const ObjectPtr& object) const { return (*this)(name_of(object)); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Name& a, const ObjectPtr& b) const { return a == name_of(b); }
    bool operator()(const ObjectPtr& a, const Name& b) const { return name_of(a) == b; }
    bool operator()(const ObjectPtr& a, const ObjectPtr& b) const { return name_of(a) == name_of(b); }
  };
  // Forgotten as a whole, so that nothing is sought to be forgotten: one generation fills while the other one waits.
  struct Generation {
    std::unordered_set<ObjectPtr, Hash, Equal> objects;
    std::uint64_t last = 0;  // Delivery in it.
  };

  static void forget(Generation& generation);

  Generation filling_;
  Generation waiting_;
  std::vector<ObjectPtr> set_;  // In key order, as providers send it; what is not found there is asked for.
  std::uint64_t set_delivery_ = 0;
};

// The object that `patch` makes of `base`.
// Invalid: `base` is not the one meant, or what came out is no object of the same name, or larger than
// `maximum_bytes`.
Result<ObjectPtr> patched(const ObjectPtr& base, const wire::Patch& patch, std::size_t maximum_bytes);

}  // namespace tinf
