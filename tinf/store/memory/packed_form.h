// PackedForm: a store holds objects compressed, where that saves memory.
#pragma once

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "tinf/store/memory/object_packer.h"
#include "tinf/store/memory/plain_form.h"

namespace tinf {

// What its functions are for stands at BasicMemoryStore.
class PackedForm {
 public:
  using Held = std::variant<ObjectPtr, PackedObjectPtr>;
  static constexpr bool kPacks = true;

  PackedForm() : PackedForm(std::make_shared<ObjectPacker>()) {}
  explicit PackedForm(std::shared_ptr<ObjectPacker> packer) : packer_(std::move(packer)) {}

  void learn(const ObjectPtr& object) { packer_->learn(object); }
  void learnt() { packer_->learnt(); }
  Held hold(ObjectPtr object) {
    if (auto packed = packer_->pack(*object)) return packed;
    return object;
  }
  static ObjectPtr read(const Held& held) {
    if (const ObjectPtr* plain = std::get_if<ObjectPtr>(&held)) return *plain;
    const PackedObject& packed = *std::get<PackedObjectPtr>(held);
    if (ObjectPtr object = packed.unpacked()) return object;
    return Object::of_key(packed.key().namespace_name, packed.key().name);
  }
  static std::vector<ObjectPtr> read_all(std::vector<Held> held) {
    std::vector<ObjectPtr> objects;
    objects.reserve(held.size());
    for (const Held& one : held) objects.push_back(read(one));
    return objects;
  }
  static KeyView key(const Held& held) {
    if (const ObjectPtr* plain = std::get_if<ObjectPtr>(&held)) return PlainForm::key(*plain);
    return std::get<PackedObjectPtr>(held)->key();
  }
  static const EntryHash& hash(const Held& held) {
    if (const ObjectPtr* plain = std::get_if<ObjectPtr>(&held)) return (*plain)->hash();
    return std::get<PackedObjectPtr>(held)->hash();
  }
  static bool equals(const Held& held, const Object& object) {
    return hash(held) == object.hash() && read(held)->raw() == object.raw();
  }
  static EntryHash measure(const Held& held) { return EntryHash::of(read(held)->raw()); }
  // One that cannot be read any more has any: it must not outlive its source's.
  static bool has_uid(const Held& held, std::string_view uid) {
    const ObjectPtr object = read(held);
    return object->uid().empty() || object->uid() == uid;
  }
  static std::size_t bytes(const Held& held) {
    if (const ObjectPtr* plain = std::get_if<ObjectPtr>(&held)) return (*plain)->memory_bytes();
    return std::get<PackedObjectPtr>(held)->memory_bytes();
  }

  // Whether what was kept plain may be packed now: true once for each dictionary.
  bool improves() { return std::exchange(generation_, packer_->generation()) != packer_->generation(); }
  std::optional<Held> better(const Held& held) {
    const ObjectPtr* plain = std::get_if<ObjectPtr>(&held);
    if (plain == nullptr) return std::nullopt;
    if (auto packed = packer_->pack(**plain)) return packed;
    return std::nullopt;
  }

 private:
  std::shared_ptr<ObjectPacker> packer_;
  unsigned generation_ = 0;
};

}  // namespace tinf
