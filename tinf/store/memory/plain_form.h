// PlainForm: a store holds objects as they came.
#pragma once

#include <compare>
#include <string_view>
#include <vector>

#include "tinf/object/object.h"

namespace tinf {

// An ObjectKey that lives elsewhere, in its order.
struct KeyView {
  std::string_view namespace_name;
  std::string_view name;
  auto operator<=>(const KeyView&) const = default;
};

// What its functions are for stands at BasicMemoryStore.
struct PlainForm {
  using Held = ObjectPtr;
  static constexpr bool kPacks = false;

  static void learn(const ObjectPtr&) {}
  static void learnt() {}
  static Held hold(ObjectPtr object) { return object; }
  static ObjectPtr read(Held held) { return held; }
  static std::vector<ObjectPtr> read_all(std::vector<Held> held) { return held; }
  static KeyView key(const Held& held) { return {held->namespace_name(), held->name()}; }
  static const EntryHash& hash(const Held& held) { return held->hash(); }
  static bool equals(const Held& held, const Object& object) { return held->equals(object); }
  static EntryHash measure(const Held& held) { return EntryHash::of(held->raw()); }
  static bool has_uid(const Held& held, std::string_view uid) { return held->uid() == uid; }
  static std::size_t bytes(const Held& held) { return held->memory_bytes(); }
};

}  // namespace tinf
