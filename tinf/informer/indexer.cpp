// Why members are pointers and not keys: a query's answer is then of one moment, whatever the store does meanwhile.
#include "tinf/informer/indexer.h"

#include <algorithm>
#include <mutex>
#include <optional>

namespace tinf {
namespace {

// Nothing: the function threw.
std::optional<std::vector<std::string>> values_of(const IndexFunction& function, const Object& object) {
  try {
    return function(object);
  } catch (...) {
    return std::nullopt;
  }
}

}  // namespace

Result<void> Indexer::add(std::string name, IndexFunction function, const std::vector<ObjectPtr>& present) {
  Index index{std::move(function), {}};
  for (const auto& object : present) put(index, object);
  const std::unique_lock lock(mutex_);
  const bool fresh = indexes_.try_emplace(name, std::move(index)).second;
  if (!fresh) return Error(Code::AlreadyExists, "an index \"" + name + "\" exists already: choose another name");
  return {};
}

bool Indexer::has(std::string_view name) const {
  const std::shared_lock lock(mutex_);
  return indexes_.find(name) != indexes_.end();
}

void Indexer::apply(const std::vector<Change>& changes) {
  const std::unique_lock lock(mutex_);
  for (auto& [name, index] : indexes_) {
    for (const Change& change : changes) {
      if (change.old) drop(index, change.old);
      if (change.now) put(index, change.now);
    }
  }
}

void Indexer::put(Index& index, const ObjectPtr& object) {
  auto values = values_of(index.function, *object);
  if (!values) {
    ++failures_;
    return;
  }
  for (auto& value : *values) index.sets[std::move(value)].insert(object);
}

void Indexer::drop(Index& index, const ObjectPtr& object) {
  const auto values = values_of(index.function, *object);
  if (!values) return;
  for (const auto& value : *values) {
    const auto set = index.sets.find(value);
    if (set == index.sets.end()) continue;
    set->second.erase(object);
    if (set->second.empty()) index.sets.erase(set);
  }
}

Result<std::vector<ObjectPtr>> Indexer::find(std::string index, std::string value) const {
  std::vector<Term> terms;
  terms.push_back(Term{std::move(index), std::move(value)});
  return find(terms);
}

Result<std::vector<ObjectPtr>> Indexer::find(const std::vector<Term>& terms) const {
  if (terms.empty()) return Error(Code::Invalid, "an index query needs at least one term");
  const std::shared_lock lock(mutex_);
  std::vector<const Members*> sets;
  static const Members kNone;
  for (const Term& term : terms) {
    const auto index = indexes_.find(term.index);
    if (index == indexes_.end()) return unknown(term.index);
    const auto set = index->second.sets.find(term.value);
    sets.push_back(set == index->second.sets.end() ? &kNone : &set->second);
  }
  std::ranges::sort(sets, {}, &Members::size);  // The smallest is walked, the others are asked.
  std::vector<ObjectPtr> found;
  for (const auto& object : *sets.front()) {
    if (std::all_of(sets.begin() + 1, sets.end(), [&](const Members* set) { return set->contains(object); }))
      found.push_back(object);
  }
  return found;
}

Result<std::vector<std::string>> Indexer::values(std::string_view name) const {
  const std::shared_lock lock(mutex_);
  const auto index = indexes_.find(name);
  if (index == indexes_.end()) return unknown(name);
  std::vector<std::string> values;
  for (const auto& [value, set] : index->second.sets) values.push_back(value);
  return values;
}

Error Indexer::unknown(std::string_view name) const {
  std::string known;
  for (const auto& [other, index] : indexes_) known += (known.empty() ? "" : ", ") + other;
  return Error(Code::NotFound,
               "there is no index \"" + std::string(name) + "\"; there are: " + (known.empty() ? "none" : known));
}

}  // namespace tinf
