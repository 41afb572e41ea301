// From a reflector's writes to what handlers are told: differences first, then the store, then the queues.
#include "tinf/informer/shared_informer.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <map>

#include "tinf/informer/subscriber.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;

// As many as a watch brings at once, so that telling keeps pace with reading; then others on the strand get their turn.
constexpr std::size_t kDeliveriesInARow = 512;

bool before(const ObjectPtr& a, const ObjectPtr& b) {
  return std::pair(a->namespace_name(), a->name()) < std::pair(b->namespace_name(), b->name());
}

bool same_key(const ObjectPtr& a, const ObjectPtr& b) {
  return a->name() == b->name() && a->namespace_name() == b->namespace_name();
}

// The index of the object with this key in a set that is ordered by key; its size if there is none.
std::size_t position(const std::vector<ObjectPtr>& ordered, const ObjectPtr& object) {
  const auto found = std::lower_bound(ordered.begin(), ordered.end(), object, before);
  return found != ordered.end() && same_key(*found, object) ? static_cast<std::size_t>(found - ordered.begin())
                                                            : ordered.size();
}

// Pages of a set that changes meanwhile may name a key twice: the later state stays, where it stands.
void drop_doubles(std::vector<ObjectPtr>& objects) {
  std::vector<const ObjectPtr*> order;
  order.reserve(objects.size());
  for (const auto& object : objects) order.push_back(&object);
  std::ranges::stable_sort(order, [](const ObjectPtr* a, const ObjectPtr* b) { return before(*a, *b); });
  std::vector<std::size_t> doubles;
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (same_key(*order[i - 1], *order[i])) doubles.push_back(static_cast<std::size_t>(order[i - 1] - objects.data()));
  }
  for (const std::size_t at : doubles) objects[at] = nullptr;
  if (!doubles.empty()) std::erase(objects, nullptr);
}

// A store on disk that was written through a transform holds nothing that its source could compare.
ReflectorOptions reflector_options(const SharedInformerOptions& informer, const StoreReader& reader, Signal& changed) {
  ReflectorOptions options = informer.reflector;
  if (!informer.transform && reader.size() > 0) {
    options.held = reader.version().empty() ? ResourceVersion(kUnknownPosition) : reader.version();
  }
  options.on_status = [then = std::move(options.on_status), &changed] {
    changed.notify();
    if (then) then();
  };
  return options;
}

}  // namespace

SharedInformer::SharedInformer(Runtime& runtime, Scope scope, ListerWatcher& source, StoreReader& reader,
                               StoreWriter& writer, SharedInformerOptions options)
    : runtime_(runtime),
      source_(source),
      options_(std::move(options)),
      reader_(reader),
      writer_(writer),
      log_(runtime.log.with("informer")),
      transform_failures_(runtime.metrics.counter("tinf_transform_failures_total",
                                                  "Objects that the transform refused.",
                                                  options_.reflector.labels_for(scope))),
      index_failures_(runtime.metrics.counter("tinf_index_failures_total", "Objects that an index function threw for.",
                                              options_.reflector.labels_for(scope))),
      reflector_(runtime, std::move(scope), source, *this, reflector_options(options_, reader, changed_)),
      tasks_(runtime.executor) {}

SharedInformer::~SharedInformer() {
  request_stop();
}

void SharedInformer::start() {
  if (started_ || stopped_) return;
  started_ = true;
  tasks_.spawn(reflector_.run());
  tasks_.spawn(resync());
}

void SharedInformer::request_stop() {
  if (stopped_) return;
  stopped_ = true;
  for (const auto* group : {&subscribers_, &waiting_}) {
    for (const auto& subscriber : *group) {
      subscriber->alive = false;
      subscriber->queue.close();
    }
  }
  tasks_.cancel();
  changed_.notify();
}

void SharedInformer::refresh_metrics() {
  for (const auto* group : {&subscribers_, &waiting_}) {
    for (const auto& subscriber : *group) subscriber->queue.measure();
  }
}

Task<void> SharedInformer::stop() {
  request_stop();
  co_await tasks_.join();
}

Result<SharedInformer::Registration> SharedInformer::add(Handler handler, HandlerOptions options) {
  if (stopped_) {
    return Error(Code::Cancelled, "the informer of " + scope().resource.group_resource() +
                                      " has stopped: it takes no handlers any more");
  }
  if (options.name.empty()) options.name = "handler-" + std::to_string(next_handler_++);
  if (options.resync > Duration()) options.resync = std::max<Duration>(options.resync, 1s);
  auto subscriber = std::make_shared<Subscriber>(runtime_, log_, std::move(handler), std::move(options),
                                                 options_.reflector.labels_for(scope()));
  if (writing_) {
    waiting_.push_back(subscriber);
  } else {
    attach(subscriber);
  }
  return Registration(std::move(subscriber));
}

void SharedInformer::attach(const std::shared_ptr<Subscriber>& subscriber) {
  std::erase_if(subscribers_, [](const auto& one) { return !one->alive; });
  if (auto present = reader_.list()) {
    for (auto& object : *present) subscriber->queue.push(Notification::added(std::move(object), true));
  } else {
    log_.error("the store cannot be read for a new handler: it will only be told of changes",
               {{"message", present.error().message}});
  }
  if (first_set_told_) subscriber->queue.push(Notification::synced());
  if (subscriber->options.resync > Duration()) {
    subscriber->next_resync = runtime_.clock.now() + subscriber->options.resync;
    resync_changed_.notify();
  }
  subscribers_.push_back(subscriber);
  tasks_.spawn(deliver(subscriber));
}

std::size_t SharedInformer::handlers() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(subscribers_, [](const auto& one) { return one->alive.load(); }));
}

Result<void> SharedInformer::add_index(std::string name, IndexFunction function) {
  auto present = reader_.list();
  if (!present) return present.error();
  auto added = indexer_.add(std::move(name), std::move(function), *present);
  count_index_failures();
  return added;
}

void SharedInformer::count_index_failures() {
  const std::uint64_t fresh = indexer_.failures() - index_failures_counted_;
  if (fresh == 0) return;
  index_failures_counted_ += fresh;
  index_failures_->add(fresh);
  const TimePoint now = runtime_.clock.now();
  if (index_logged_at_ != TimePoint() && now - index_logged_at_ < 1min) return;
  index_logged_at_ = now;
  log_.warning("an index function threw: the object is found under none of its values", {{"scope", scope().id()}});
}

ObjectPtr SharedInformer::transformed(const ObjectPtr& object) {
  if (!options_.transform) return object;
  Result<ObjectPtr> cut = Error(Code::Internal, "the transform threw something that is not a std::exception");
  try {
    cut = options_.transform(object);
    if (cut && (!*cut || !same_key(*cut, object) || (*cut)->uid() != object->uid())) {
      cut = Error(Code::Invalid, "the transform must keep an object's name, namespace and uid");
    }
  } catch (const std::exception& error) {
    cut = Error(Code::Internal, error.what());
  } catch (...) {
  }
  if (cut) return std::move(*cut);
  transform_failures_->add();
  last_transform_error_ = Error(cut.error().code, object->key().to_string() + ": " + cut.error().message);
  const TimePoint now = runtime_.clock.now();
  if (transform_logged_at_ == TimePoint() || now - transform_logged_at_ >= 1min) {
    transform_logged_at_ = now;
    log_.warning("an object could not be transformed and was left out",
                 {{"scope", scope().id()}, {"message", last_transform_error_->message}});
  }
  return nullptr;
}

Task<Result<void>> SharedInformer::replace(Snapshot all) {
  auto held = reader_.list();
  if (!held) co_return held.error();
  if (std::ranges::find(all.objects, nullptr) != all.objects.end())
    co_return Error(Code::Invalid, "a list holds a null object");
  drop_doubles(all.objects);

  std::vector<Told> deletes;
  std::vector<Told> upserts;
  std::vector<bool> stays(held->size(), false);
  Snapshot stored;
  stored.version = std::move(all.version);
  stored.objects.reserve(all.objects.size());
  for (ObjectPtr& object : all.objects) {
    const std::size_t at = position(*held, object);
    const ObjectPtr old = at < held->size() ? (*held)[at] : nullptr;
    if (old) stays[at] = true;
    const bool same_uid = old && old->uid() == object->uid();
    ObjectPtr now;
    if (same_uid && options_.transform && !object->resource_version().empty() &&
        old->resource_version() == object->resource_version()) {
      now = old;  // This state has been through the transform.
    } else {
      now = transformed(object);
    }
    if (!now) now = old;
    if (!now) continue;
    if (!old) {
      upserts.emplace_back(Change{nullptr, now}, false);
    } else if (old->uid() != now->uid()) {
      deletes.emplace_back(Change{old, nullptr}, true);
      upserts.emplace_back(Change{nullptr, now}, false);
    } else if (old == now || old->equals(*now)) {
      now = old;
    } else {
      upserts.emplace_back(Change{old, now}, false);
    }
    stored.objects.push_back(std::move(now));
    object.reset();  // Never held twice.
  }
  for (std::size_t i = 0; i < held->size(); ++i) {
    if (!stays[i]) deletes.emplace_back(Change{(*held)[i], nullptr}, true);
  }

  writing_ = true;
  auto written = co_await writer_.replace(std::move(stored));
  writing_ = false;
  if (written) {
    std::ranges::move(upserts, std::back_inserter(deletes));
    tell(std::move(deletes), !first_set_told_);
  }
  for (const auto& subscriber : std::exchange(waiting_, {})) attach(subscriber);
  co_return written;
}

Task<Result<void>> SharedInformer::apply(EventBatch changes) {
  const bool taken_up = changes.initial_events_end && !first_set_told_;
  std::vector<Told> told;
  std::map<ObjectKey, ObjectPtr> within;  // What earlier events of this batch have made of a key; null: gone.
  EventBatch stored;
  stored.version = std::move(changes.version);
  for (WatchEvent& event : changes.events) {
    ObjectPtr old;
    if (const auto earlier = within.find(event.key); earlier != within.end()) {
      old = earlier->second;
    } else {
      auto found = reader_.get(event.key);
      if (!found) co_return found.error();
      old = std::move(*found);
    }
    if (event.type == EventType::Deleted) {
      // What the store can no longer read has no uid (StoreReader).
      const bool fits = old && (event.uid.empty() || old->uid().empty() || old->uid() == event.uid);
      if (fits) {
        ObjectPtr last = event.object ? transformed(event.object) : nullptr;
        Told gone(Change{old, nullptr}, !last);
        gone.last = last ? std::move(last) : old;
        told.push_back(std::move(gone));
        within[event.key] = nullptr;
      }
    } else {
      if (!event.object)
        co_return Error(Code::Invalid, "event " + std::string(to_string(event.type)) + " of \"" +
                                           event.key.to_string() + "\" carries no object");
      event.object = transformed(event.object);
      if (!event.object) continue;
      if (!old) {
        told.emplace_back(Change{nullptr, event.object}, false);
      } else if (old->uid() != event.object->uid()) {
        told.emplace_back(Change{old, nullptr}, true);
        told.emplace_back(Change{nullptr, event.object}, false);
      } else if (!old->equals(*event.object)) {
        told.emplace_back(Change{old, event.object}, false);
      } else {
        continue;  // Comes again after a reconnect.
      }
      within[event.key] = event.object;
    }
    stored.events.push_back(std::move(event));
  }

  writing_ = true;
  auto written = co_await writer_.apply(std::move(stored));
  writing_ = false;
  if (written) tell(std::move(told), taken_up);
  for (const auto& subscriber : std::exchange(waiting_, {})) attach(subscriber);
  co_return written;
}

void SharedInformer::tell(std::vector<Told> changes, bool initial) {
  std::vector<Change> indexed;
  indexed.reserve(changes.size());
  for (const Told& told : changes) indexed.push_back(told.change);
  indexer_.apply(indexed);
  count_index_failures();

  std::erase_if(subscribers_, [](const auto& one) { return !one->alive; });
  for (const auto& subscriber : subscribers_) {
    for (const Told& told : changes) {
      const auto& [old, now] = told.change;
      if (!old) {
        subscriber->queue.push(Notification::added(now, initial));
      } else if (now) {
        subscriber->queue.push(Notification::updated(old, now));
      } else {
        subscriber->queue.push(Notification::deleted(told.last ? told.last : old, told.final_state_unknown));
      }
    }
    if (initial) subscriber->queue.push(Notification::synced());
  }
  if (initial) first_set_told_ = true;
  changed_.notify();
}

Task<void> SharedInformer::deliver(std::shared_ptr<Subscriber> subscriber) {
  while (true) {
    auto changes = co_await subscriber->queue.pop(kDeliveriesInARow);
    if (changes.empty()) co_return;
    if (changes.front().type == Notification::Type::Synced) subscriber->synced = true;
    subscriber->in_hand = changes.size();
    if (subscriber->options.executor) {
      co_await deliver_elsewhere(subscriber, std::move(changes));
    } else {
      subscriber->run(changes);
      co_await asio::post(runtime_.executor, asio::use_awaitable);
    }
  }
}

// Many at a time: each crossing to another thread and back costs more than what most handlers do.
Task<void> SharedInformer::deliver_elsewhere(std::shared_ptr<Subscriber> subscriber,
                                             std::vector<Notification> changes) {
  struct Call {
    explicit Call(std::vector<Notification> c) : changes(std::move(c)) {}
    std::vector<Notification> changes;
    Signal done;
  };
  // Shared with the other executor, which may get to it long after stop() has cancelled the wait here.
  auto call = std::make_shared<Call>(std::move(changes));
  asio::post(*subscriber->options.executor, [subscriber, call, home = runtime_.executor] {
    subscriber->run(call->changes);
    asio::post(home, [call] { call->done.notify(); });
  });
  co_await call->done.wait();
}

Task<void> SharedInformer::resync() {
  while (true) {
    TimePoint next = TimePoint::max();
    for (const auto& subscriber : subscribers_) {
      if (subscriber->alive) next = std::min(next, subscriber->next_resync);
    }
    co_await resync_changed_.wait_until(runtime_.clock, next);
    const TimePoint now = runtime_.clock.now();
    for (const auto& subscriber : subscribers_) {
      if (!subscriber->alive || subscriber->next_resync > now) continue;
      subscriber->next_resync = now + subscriber->options.resync;
      if (auto present = reader_.list()) {
        for (auto& object : *present) subscriber->queue.push(Notification::resync(std::move(object)));
      }
    }
  }
}

Task<Result<void>> SharedInformer::wait_synced(TimePoint deadline) {
  while (!synced()) {
    if (stopped_)
      co_return Error(Code::Cancelled, "the informer of " + scope().resource.group_resource() + " has stopped");
    const bool in_time = co_await changed_.wait_until(runtime_.clock, deadline);
    if (!in_time && !synced()) co_return unsynced();
  }
  co_return Result<void>();
}

Error SharedInformer::unsynced() const {
  const ScopeStatus now = status();
  std::string what = scope().resource.group_resource();
  if (!scope().namespace_name.empty()) what += " in namespace \"" + scope().namespace_name + "\"";
  std::string why;
  Code code = now.last_error ? now.last_error->code : Code::Timeout;
  switch (now.state) {
    case ScopeState::Forbidden:
      why = "the source refuses us; grant list and watch on it";
      break;
    case ScopeState::NotFound:
      why = "the source does not know the resource; is its CRD installed?";
      break;
    case ScopeState::StoreRefuses:
      why = "the store does not take it";
      code = Code::Internal;
      break;
    case ScopeState::Starting:
      why = "it was not started";
      code = Code::Timeout;
      break;
    case ScopeState::Listing:
      why = "its list was not complete in time";
      code = Code::Timeout;
      break;
    default:
      why = "the source failed";
      break;
  }
  if (now.last_error) why += ". Last words: " + now.last_error->message;
  return Error(code, what + " is not synced: " + why);
}

Task<Result<void>> SharedInformer::wait_until(ResourceVersion version, TimePoint deadline) {
  while (true) {
    const ResourceVersion at = reader_.version();
    if (at == version || version.is_before(at)) co_return Result<void>();
    if (!version.number() || (!at.empty() && !at.number())) {
      co_return Error(Code::Invalid, "versions \"" + version.text() + "\" and \"" + at.text() +
                                         "\" cannot be compared: both must be decimal");
    }
    if (stopped_)
      co_return Error(Code::Cancelled, "the informer of " + scope().resource.group_resource() + " has stopped");
    const bool in_time = co_await changed_.wait_until(runtime_.clock, deadline);
    if (!in_time) {
      co_return Error(Code::Timeout, scope().resource.group_resource() + " stands at version \"" + at.text() +
                                         "\", not yet at \"" + version.text() + "\"");
    }
  }
}

Task<Result<void>> SharedInformer::wait_until(ObjectPtr written, TimePoint deadline) {
  const ResourceVersion version(std::string(written->resource_version()));
  const auto shows_in = [&version](const ResourceVersion& at) { return at == version || version.is_before(at); };
  while (true) {
    if (shows_in(reader_.version())) co_return Result<void>();
    const auto held = reader_.get(written->key());
    if (held && *held && shows_in(ResourceVersion(std::string((*held)->resource_version())))) co_return Result<void>();
    if (!version.number()) {
      co_return Error(Code::Invalid, "version \"" + version.text() + "\" of " + written->key().to_string() +
                                         " is not decimal: it cannot be told which states are later");
    }
    if (stopped_)
      co_return Error(Code::Cancelled, "the informer of " + scope().resource.group_resource() + " has stopped");
    const bool in_time = co_await changed_.wait_until(runtime_.clock, deadline);
    if (!in_time) {
      co_return Error(Code::Timeout, scope().resource.group_resource() + " do not show version \"" + version.text() +
                                         "\" of " + written->key().to_string() + " yet");
    }
  }
}

// One key where source and store say different things, and what each says.
struct SharedInformer::Difference {
  ObjectKey key;
  std::string source;  // "uid@version", empty if it has none.
  std::string store;
  bool operator==(const Difference&) const = default;
};

Task<Result<ResourceVersion>> SharedInformer::compare(std::vector<Difference>& found) {
  ListOptions asked;
  asked.page_size = source_.traits().pages ? options_.reflector.page_size : 0;
  asked.once = true;
  Scope compared = scope();
  compared.projection = Projection::Metadata;
  auto listed = co_await source_.list(compared, asked);
  // Some know no metadata, and some have given them to our own watch.
  if (!listed && (listed.error().code == Code::Invalid || listed.error().code == Code::AlreadyExists)) {
    compared.projection = Projection::Full;
    listed = co_await source_.list(compared, asked);
  }
  if (!listed) co_return listed.error();
  auto held = reader_.list();
  if (!held) co_return held.error();

  const auto described = [](const ObjectPtr& object) {
    return std::string(object->uid()) + "@" + std::string(object->resource_version());
  };
  auto& theirs = listed->objects;
  std::ranges::sort(theirs, before);
  auto mine = held->begin();
  auto its = theirs.begin();
  while (mine != held->end() || its != theirs.end()) {
    if (its == theirs.end() || (mine != held->end() && before(*mine, *its))) {
      found.push_back(Difference{(*mine)->key(), "", described(*mine)});
      ++mine;
    } else if (mine == held->end() || before(*its, *mine)) {
      found.push_back(Difference{(*its)->key(), described(*its), ""});
      ++its;
    } else {
      if (described(*mine) != described(*its))
        found.push_back(Difference{(*mine)->key(), described(*its), described(*mine)});
      ++mine, ++its;
    }
  }
  co_return std::move(listed->version);
}

Task<Result<Verification>> SharedInformer::verify() {
  std::vector<Difference> first;
  std::vector<Difference> second;
  auto at = co_await compare(first);
  if (at && !first.empty()) {
    co_await runtime_.clock.sleep_for(kVerifyPause);
    at = co_await compare(second);
  }
  if (!at) co_return at.error();
  Verification result;
  result.at = std::move(*at);
  for (const Difference& difference : second) {
    if (std::ranges::find(first, difference) == first.end()) continue;
    auto& kind = difference.store.empty()    ? result.missing
                 : difference.source.empty() ? result.extra
                                             : result.different;
    kind.push_back(difference.key);
  }
  if (!result.equal()) {
    log_.error("the store differs from its source: listing again",
               {{"scope", scope().id()},
                {"missing", std::to_string(result.missing.size())},
                {"extra", std::to_string(result.extra.size())},
                {"different", std::to_string(result.different.size())}});
    reflector_.relist();
  }
  co_return result;
}

}  // namespace tinf
