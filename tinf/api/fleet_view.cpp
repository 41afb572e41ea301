// What can be asked of the store is asked of the store, in the clusters' own words; only fields that read otherwise in
// the fleet's form are looked at in it.
#include "tinf/api/fleet_view.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace tinf::api {
namespace {

constexpr std::size_t kChunk = 500;  // Objects that are put into their form between two turns of others.

// Fields of the fleet's form, matched before an object is put into it as far as they read the same.
class FieldFilter {
 public:
  FieldFilter(const FieldSelector& fields, std::string_view reference, Naming naming)
      : fields_(fields), name_(fields.required_value("metadata.name")), native_(naming == Naming::Native) {
    for (const auto path : fields.paths()) {
      if (path.starts_with("metadata.")) reads_otherwise_ = true;
      if (!reference.empty() && path.starts_with(reference)) reads_otherwise_ = true;
    }
  }

  bool may_match(const Object& object) const {
    if (fields_.empty()) return true;
    if (!reads_otherwise_) return fields_.matches(object);
    return !name_ || (!native_ && object.namespace_name().empty()) || object.name() == *name_;
  }
  bool matches(const Object& form) const { return !reads_otherwise_ || fields_.matches(form); }

 private:
  const FieldSelector& fields_;
  const std::optional<std::string_view> name_;
  const bool native_;
  bool reads_otherwise_ = false;
};

}  // namespace

std::optional<StoreChange> FleetForms::of(const FleetChange& change, std::string_view reference) {
  if (const auto found = made_.find(change.version); found != made_.end()) return found->second;
  const auto form = [&](const Object& object) {
    return fleet_form(object, change.cluster, change.version, naming_, reference);
  };
  StoreChange made{change.type, change.version, form(*change.object), nullptr};
  if (made.object == nullptr) return std::nullopt;
  if (change.previous) made.previous = change.previous == change.object ? made.object : form(*change.previous);
  const auto cost = [](const StoreChange& one) {
    return sizeof(one) + one.object->memory_bytes() + (one.previous ? one.previous->memory_bytes() : 0);
  };
  bytes_ += cost(made);
  made_.emplace(change.version, made);
  while (bytes_ > kMaximumBytes) {
    bytes_ -= cost(made_.begin()->second);
    made_.erase(made_.begin());
  }
  return made;
}

class FleetView::Watch final : public VersionedWatch {
 public:
  Watch(std::unique_ptr<FleetWatch> watch, std::shared_ptr<FleetForms> forms, std::string cluster,
        std::string_view reference)
      : watch_(std::move(watch)), forms_(std::move(forms)), cluster_(std::move(cluster)), reference_(reference) {}

  Task<Result<ChangeBatch>> next(TimePoint deadline) override {
    while (true) {
      auto heard = co_await watch_->next(deadline);
      if (!heard) co_return heard.error();
      ChangeBatch batch;
      batch.version = heard->version;
      for (const auto& change : heard->changes) {
        if (!cluster_.empty() && change.cluster != cluster_) continue;
        if (auto made = forms_->of(change, reference_)) batch.changes.push_back(std::move(*made));
      }
      if (!batch.changes.empty() || heard->changes.empty()) co_return batch;
    }
  }

  void cut() override { watch_->cut(); }

 private:
  const std::unique_ptr<FleetWatch> watch_;
  const std::shared_ptr<FleetForms> forms_;
  const std::string cluster_;
  const std::string_view reference_;
};

FleetView::FleetView(FleetReader& fleet, std::shared_ptr<FleetForms> forms, std::string cluster)
    : fleet_(fleet), forms_(std::move(forms)), cluster_(std::move(cluster)) {}

std::optional<FleetPlace> FleetView::place_of(const ObjectKey& key) const {
  if (cluster_.empty()) return fleet_place(key);
  return FleetPlace{cluster_, key};
}

Task<Result<ObjectPtr>> FleetView::get(std::string collection, ObjectKey key) const {
  auto place = place_of(key);
  if (!place) co_return ObjectPtr();
  const std::string_view reference = reference_of(collection);
  auto found = co_await fleet_.get(std::move(collection), std::move(*place));
  if (!found) co_return found.error();
  if (!*found) co_return ObjectPtr();
  const FleetObject& object = **found;
  co_return fleet_form(*object.object, object.cluster, object.version, forms_->naming(), reference);
}

Result<std::optional<FleetQuery>> FleetView::fleet_query(std::string collection, const PageQuery& query) const {
  const std::optional<FleetQuery> nothing;
  FleetQuery asked;
  asked.collection = std::move(collection);
  asked.version = query.version;
  asked.namespace_name = query.namespace_name;
  if (!cluster_.empty()) {
    asked.clusters = {cluster_};
  } else if (!query.namespace_name.empty()) {
    auto parts = fleet_namespace(query.namespace_name);
    if (!parts) return nothing;
    asked.clusters = {std::move(parts->first)};
    asked.namespace_name = std::move(parts->second);
  }
  if (query.after) {
    asked.after = place_of(*query.after);
    if (!asked.after) return Error(Code::Invalid, "continue key is not valid: it names no cluster");
  }
  // The label with the cluster is ours, whatever the cluster's objects say.
  auto split = query.labels.split(kClusterLabel);
  const LabelSelector of_cluster = std::move(split.first);
  asked.labels = std::move(split.second);
  if (!of_cluster.empty()) {
    asked.of_cluster = [of_cluster](const std::string& cluster) {
      return of_cluster.matches({{std::string(kClusterLabel), cluster}});
    };
  }
  return std::optional(std::move(asked));
}

Task<Result<Page>> FleetView::list(std::string collection, PageQuery query) const {
  const std::string_view reference = reference_of(collection);
  const FieldFilter filter(query.fields, reference, forms_->naming());
  Page page;
  auto asked = fleet_query(std::move(collection), query);
  if (!asked) co_return asked.error();
  page.version = query.version.value_or(fleet_.version());
  if (!*asked) co_return page;
  FleetQuery& next = **asked;
  next.limit = query.limit > 0 && query.fields.empty() ? std::min(query.limit, kChunk) : kChunk;
  while (true) {
    auto got = co_await fleet_.list(next);
    if (!got) co_return got.error();
    next.version = page.version = got->version;
    for (const auto& object : got->objects) {
      if (!filter.may_match(*object.object)) continue;
      auto form = fleet_form(*object.object, object.cluster, object.version, forms_->naming(), reference);
      if (form == nullptr || !filter.matches(*form)) continue;
      if (query.limit > 0 && page.objects.size() == query.limit) {
        page.more = true;
        co_return page;
      }
      page.objects.push_back(std::move(form));
    }
    if (!got->more || got->objects.empty()) co_return page;
    if (query.limit > 0 && page.objects.size() == query.limit) {
      page.more = true;
      co_return page;
    }
    next.after = FleetPlace{got->objects.back().cluster, got->objects.back().object->key()};
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
}

Result<std::unique_ptr<VersionedWatch>> FleetView::watch(std::string collection, StoreVersion from) {
  const std::string_view reference = reference_of(collection);
  auto opened = fleet_.watch(std::move(collection), from);
  if (!opened) return opened.error();
  return std::unique_ptr<VersionedWatch>(std::make_unique<Watch>(std::move(*opened), forms_, cluster_, reference));
}

}  // namespace tinf::api
