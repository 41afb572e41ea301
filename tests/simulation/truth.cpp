#include "tests/simulation/truth.h"

#include <algorithm>
#include <set>

namespace tinf::simulation {

Fingerprint fingerprint_of(const Objects& objects) {
  Fingerprint fingerprint;
  for (const auto& [key, object] : objects) fingerprint.add(EntryHash::of(*object));
  return fingerprint;
}

ObjectPtr make_object(const ObjectKey& key, std::uint64_t uid, std::uint64_t version, std::size_t padding) {
  return *Object::parse(R"({"metadata":{"name":")" + key.name + R"(","namespace":")" + key.namespace_name +
                        R"(","uid":"u)" + std::to_string(uid) + R"(","resourceVersion":")" + std::to_string(version) +
                        R"("},"p":")" + std::string(padding, static_cast<char>('a' + uid % 26)) + R"(","q":)" +
                        std::to_string(version * 7919) + "}");
}

std::vector<WatchEvent> Truth::change(Random& random, std::uint64_t& version, TimePoint now) {
  const ObjectKey key{"n", "o" + std::to_string(random.below(50))};
  const auto held = objects_.find(key);
  const ObjectPtr before = held == objects_.end() ? nullptr : held->second;
  std::vector<WatchEvent> told;
  ++version;
  if (before && random.chance(0.3)) {
    hold(key, nullptr, now);
    told.push_back(WatchEvent::deleted(ObjectKey(key), std::string(before->uid()), std::to_string(version)));
    if (random.chance(0.5)) return told;
    const ObjectPtr again = make_object(key, ++last_uid_, ++version, random.below(300));
    hold(key, again, now);
    told.push_back(WatchEvent::added(again));
    return told;
  }
  const std::uint64_t uid = before ? std::stoull(std::string(before->uid().substr(1))) : ++last_uid_;
  std::size_t padding = random.chance(0.02) ? 9000 : random.below(300);
  // Most updates leave most of an object as it is.
  if (before && random.chance(0.7)) padding = before->string_at("/p")->size();
  const ObjectPtr made = make_object(key, uid, version, padding);
  hold(key, made, now);
  told.push_back(before ? WatchEvent::modified(made) : WatchEvent::added(made));
  return told;
}

void Truth::set_back(const Objects& then, TimePoint now) {
  std::set<ObjectKey> keys;
  for (const auto& [key, object] : objects_) keys.insert(key);
  for (const auto& [key, object] : then) keys.insert(key);
  for (const ObjectKey& key : keys) {
    const auto old = then.find(key);
    const auto held = objects_.find(key);
    const ObjectPtr object = old == then.end() ? nullptr : old->second;
    const ObjectPtr before = held == objects_.end() ? nullptr : held->second;
    if (before == object) continue;
    if (before && object && before->uid() != object->uid()) hold(key, nullptr, now);  // Two objects of one name.
    hold(key, object, now);
  }
}

void Truth::hold(const ObjectKey& key, ObjectPtr object, TimePoint now) {
  was_until_[fingerprint_] = now;
  auto& states = states_[key];
  if (states.empty()) states.emplace_back();
  const auto held = objects_.find(key);
  if (held != objects_.end()) fingerprint_.remove(held->second->hash());
  states.push_back(object ? object->hash() : EntryHash());
  if (object) {
    fingerprint_.add(object->hash());
    objects_[key] = std::move(object);
  } else {
    objects_.erase(key);
  }
}

bool Truth::leads_to(const ObjectKey& key, const Object* object, Shown& shown) const {
  const EntryHash state = object != nullptr ? EntryHash::of(object->raw()) : EntryHash();
  const auto known = states_.find(key);
  if (known == states_.end()) return object == nullptr;
  const std::vector<EntryHash>& states = known->second;
  std::size_t& at = shown[key];
  const auto found = std::find(states.begin() + static_cast<std::ptrdiff_t>(at), states.end(), state);
  if (found == states.end()) return false;
  at = static_cast<std::size_t>(found - states.begin());
  return true;
}

bool Truth::was(const Fingerprint& fingerprint, TimePoint since) const {
  if (fingerprint == fingerprint_) return true;
  const auto until = was_until_.find(fingerprint);
  return until != was_until_.end() && until->second >= since;
}

}  // namespace tinf::simulation
