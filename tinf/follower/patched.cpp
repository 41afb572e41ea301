#include "tinf/follower/patched.h"

#include <xxhash.h>

#include <algorithm>

namespace tinf {

std::size_t Unstored::Hash::operator()(const Name& name) const {
  return XXH3_64bits_withSeed(name.second.data(), name.second.size(),
                              XXH3_64bits(name.first.data(), name.first.size()));
}

void Unstored::replace(std::uint64_t delivery, const std::vector<ObjectPtr>& all) {
  clear();
  set_ = all;
  set_delivery_ = delivery;
}

void Unstored::put(std::uint64_t delivery, const ObjectPtr& object) {
  filling_.last = delivery;
  if (const auto [at, inserted] = filling_.objects.insert(object); !inserted) {
    // Of equal name: its place can stay.
    auto node = filling_.objects.extract(at);
    node.value() = object;
    filling_.objects.insert(std::move(node));
  }
}

void Unstored::stored(std::uint64_t delivery) {
  if (!set_.empty() && set_delivery_ <= delivery) set_ = std::vector<ObjectPtr>();
  if (waiting_.last > delivery) return;
  forget(waiting_);
  std::swap(filling_, waiting_);
  if (waiting_.last <= delivery) forget(waiting_);
}

void Unstored::forget(Generation& generation) {
  if (generation.objects.empty()) return;
  // What a backlog made large would be swept for every few objects.
  if (generation.objects.bucket_count() > 16 * generation.objects.size() + 4096) generation = Generation();
  generation.objects.clear();
}

void Unstored::clear() {
  *this = Unstored();
}

ObjectPtr Unstored::find(const ObjectKey& key) const {
  const Name name(key.namespace_name, key.name);
  for (const Generation* generation : {&filling_, &waiting_}) {
    if (const auto found = generation->objects.find(name); found != generation->objects.end()) return *found;
  }
  const auto found = std::lower_bound(set_.begin(), set_.end(), name,
                                      [](const ObjectPtr& each, const Name& wanted) { return name_of(each) < wanted; });
  return found != set_.end() && name_of(*found) == name ? *found : nullptr;
}

Result<ObjectPtr> patched(const ObjectPtr& base, const wire::Patch& patch, std::size_t maximum_bytes) {
  thread_local std::string bytes;  // Its room is used again and again.
  if (auto made = splice(base->raw(), patch.splices, maximum_bytes, bytes); !made) return made.error();
  ParseOptions as_it_is;
  as_it_is.keep_managed_fields = true;  // As in a whole object: the provider has decided.
  auto object = Object::parse(bytes, as_it_is);
  if (object && ((*object)->namespace_name() != base->namespace_name() || (*object)->name() != base->name()))
    return Error(Code::Invalid, "a patch that gives an object another name");
  return object;
}

}  // namespace tinf
