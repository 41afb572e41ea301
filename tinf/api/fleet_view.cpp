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

StoreChange FleetForms::of(const FleetChange& change, std::string_view reference) {
  if (const auto found = made_.find(change.version); found != made_.end()) return found->second;
  const auto form = [&](const Object& object) {
    return fleet_form(object, change.cluster, change.version, naming_, reference);
  };
  StoreChange made{change.type, change.version, form(*change.object), nullptr};
  if (change.previous) made.previous = change.previous == change.object ? made.object : form(*change.previous);
  if (made.object == nullptr || (change.previous && made.previous == nullptr)) return made;
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
  Watch(std::unique_ptr<FleetWatch> watch, std::shared_ptr<FleetForms> forms, FleetQuery found, Shown shown,
        std::string_view reference)
      : watch_(std::move(watch)),
        forms_(std::move(forms)),
        found_(std::move(found)),
        shown_(std::move(shown)),
        reference_(reference) {}

  Task<Result<ChangeBatch>> next(TimePoint deadline) override {
    while (true) {
      auto heard = co_await watch_->next(deadline);
      if (!heard) co_return heard.error();
      ChangeBatch batch;
      batch.version = heard->version;
      for (const auto& change : heard->changes) {
        if (shown_ && !shown_(change.cluster)) continue;
        StoreChange made = forms_->of(change, reference_);
        // What watchers hold of it cannot be told from what they do not: they list again rather than keep it for ever.
        if (change.previous && made.previous == nullptr) co_return unreadable(change);
        if (made.object != nullptr && narrow(change, made)) batch.changes.push_back(std::move(made));
      }
      if (!batch.changes.empty() || heard->changes.empty()) co_return batch;
    }
  }

  void cut() override { watch_->cut(); }

 private:
  // Whose it is may be nothing to who watches: it is not said.
  static Error unreadable(const FleetChange& change) {
    return Error(Code::Expired, "a state of cluster " + change.cluster + " before version " +
                                    std::to_string(change.version) + " cannot be read any more: list again");
  }

  // Makes of a change what it is to who sees what is found alone. False: nothing.
  bool narrow(const FleetChange& change, StoreChange& made) const {
    const bool was = change.previous != nullptr && found_.selects(*change.previous);
    const bool is = change.type != EventType::Deleted && found_.selects(*change.object);
    if (!was && !is) return false;
    if (!was) {
      made.type = EventType::Added;
      made.previous = nullptr;
    } else if (!is) {
      made.type = EventType::Deleted;
      made.object = made.previous;
    }
    return true;
  }

  const std::unique_ptr<FleetWatch> watch_;
  const std::shared_ptr<FleetForms> forms_;
  const FleetQuery found_;  // Asks for nothing but search and owner.
  const Shown shown_;
  const std::string_view reference_;
};

FleetView::FleetView(FleetReader& fleet, std::shared_ptr<FleetForms> forms, std::string cluster, Shown shown)
    : fleet_(fleet), forms_(std::move(forms)), cluster_(std::move(cluster)), shown_(std::move(shown)) {}

std::optional<FleetPlace> FleetView::place_of(const ObjectKey& key) const {
  if (cluster_.empty()) return fleet_place(key);
  return FleetPlace{cluster_, key};
}

Task<Result<ObjectPtr>> FleetView::get(std::string collection, ObjectKey key) const {
  auto place = place_of(key);
  if (!place || (shown_ && !shown_(place->cluster))) co_return ObjectPtr();
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
  asked.search = query.search;
  asked.owner = query.owner;
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
    auto named = of_cluster.allowed_values(kClusterLabel);
    if (named && named->empty()) return nothing;
    if (named && asked.clusters.empty()) asked.clusters = std::move(*named);
  }
  if (!of_cluster.empty() || shown_) {
    asked.of_cluster = [of_cluster, shown = shown_](const std::string& cluster) {
      return (!shown || shown(cluster)) && of_cluster.matches({{std::string(kClusterLabel), cluster}});
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
  std::optional<std::size_t> remaining;  // Behind what was got of the store.
  const auto is_full = [&] { return query.limit > 0 && page.objects.size() == query.limit; };
  const auto say_more = [&](std::size_t left) {
    page.more = true;
    // As a kube-apiserver, nothing where some are selected; nor of what may not be seen.
    if (remaining && !shown_ && query.labels.empty() && query.fields.empty()) page.remaining = *remaining + left;
  };
  while (true) {
    auto got = co_await fleet_.list(next);
    if (!got) co_return got.error();
    next.version = page.version = got->version;
    if (got->remaining) {
      remaining = got->remaining;
    } else if (remaining) {
      *remaining -= std::min(*remaining, got->objects.size());
    }
    for (std::size_t at = 0; at < got->objects.size(); ++at) {
      const FleetObject& object = got->objects[at];
      if (!filter.may_match(*object.object)) continue;
      auto form = fleet_form(*object.object, object.cluster, object.version, forms_->naming(), reference);
      if (form == nullptr || !filter.matches(*form)) continue;
      if (is_full()) {
        say_more(got->objects.size() - at);
        co_return page;
      }
      page.objects.push_back(std::move(form));
    }
    if (!got->more || got->objects.empty()) co_return page;
    if (is_full()) {
      say_more(0);
      co_return page;
    }
    next.after = FleetPlace{got->objects.back().cluster, got->objects.back().object->key()};
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
}

Result<std::unique_ptr<VersionedWatch>> FleetView::watch(std::string collection, StoreVersion from, PageQuery about) {
  const std::string_view reference = reference_of(collection);
  auto asked = fleet_query(collection, about);
  if (!asked) return asked.error();
  FleetQuery found;
  found.search = std::move(about.search);
  found.owner = std::move(about.owner);
  // None is named "": of an object that cannot be nothing is told.
  auto clusters = *asked ? std::move((*asked)->clusters) : std::vector<std::string>{""};
  auto opened = fleet_.watch(std::move(collection), from, std::move(clusters));
  if (!opened) return opened.error();
  return std::unique_ptr<VersionedWatch>(
      std::make_unique<Watch>(std::move(*opened), forms_, std::move(found), shown_, reference));
}

}  // namespace tinf::api
