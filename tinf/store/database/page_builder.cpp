#include "tinf/store/database/page_builder.h"

#include <algorithm>

#include "tinf/contract/history.h"
#include "tinf/store/database/failure.h"
#include "tinf/store/database/rows.h"

namespace tinf::database {
namespace {

using KeyView = std::pair<std::string_view, std::string_view>;

KeyView view(const ObjectKey& key) {
  return {key.namespace_name, key.name};
}

}  // namespace

// Rows that were altered from outside may be counted wrong: then nothing is said.
void PageSoFar::end_slice() {
  done = !after;
  if (!done || !page.remaining) return;
  *page.remaining -= std::min(*page.remaining, page.objects.size());
  if ((*page.remaining > 0) != page.more) page.remaining.reset();
}

ObjectKey first_key(const FleetQuery& wanted, const std::optional<FleetPlace>& from, const std::string& cluster) {
  ObjectKey after;
  if (from && cluster == from->cluster) after = from->key;
  // Nothing is named "": the first place of a namespace lies behind it.
  if (const ObjectKey first{wanted.namespace_name, ""}; after < first) after = first;
  return after;
}

void check_retained(StoreVersion version, StoreVersion floor) {
  if (version < floor) throw Failure{too_old(version, floor), false};
}

void Undone::add(const std::string& cluster, ObjectKey key, StoreVersion previous_version,
                 std::optional<std::string_view> previous) {
  const auto [at, first] = places_.try_emplace(std::move(key));
  if (!first) return;
  at->second.cluster = cluster;
  at->second.version = previous_version;
  if (previous) at->second.object = object_of(at->first.namespace_name, at->first.name, *previous);
}

void PageBuilder::begin(std::string cluster, Undone undone) {
  cluster_ = std::move(cluster);
  undone_ = std::move(undone);
  then_ = undone_.places_.begin();
}

bool PageBuilder::meet(std::string_view namespace_name, std::string_view name, StoreVersion version,
                       std::optional<std::string_view> body) {
  const KeyView key(namespace_name, name);
  const auto& places = undone_.places_;
  for (; then_ != places.end() && view(then_->first) < key; ++then_) {
    if (then_->second.object && !take(std::move(then_->second))) return false;
  }
  FleetObject found;
  if (then_ != places.end() && view(then_->first) == key) {
    found = std::move((then_++)->second);
    return !found.object || take(std::move(found));
  }
  if (!body) return true;
  found.cluster = cluster_;
  found.version = version;
  found.object = object_of(namespace_name, name, *body);
  return take(std::move(found));
}

bool PageBuilder::end() {
  for (; then_ != undone_.places_.end(); ++then_) {
    if (then_->second.object && !take(std::move(then_->second))) return false;
  }
  return true;
}

bool PageBuilder::take(FleetObject object) {
  if (!wanted_.selects(*object.object)) return true;
  if (wanted_.limit > 0 && page_.objects.size() == wanted_.limit) {
    page_.more = true;
    return false;
  }
  page_.objects.push_back(std::move(object));
  return true;
}

}  // namespace tinf::database
