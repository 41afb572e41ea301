// The list-and-watch state machine. Why each rule is there stands beside it; the rules as a whole:
// docs/known-faults.md.
#include "tinf/informer/reflector.h"

#include "tinf/base/first_of.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;

// API servers say it in three ways: as a cause, as Timeout with this text, or in details; all of them carry the words.
bool is_too_large_version(const Error& error) {
  return error.code == Code::Timeout && error.message.find("oo large resource version") != std::string::npos;
}

bool is_expired(const Error& error) {
  return error.code == Code::Expired || is_too_large_version(error);
}

ScopeState state_for(const Error& error) {
  if (error.code == Code::Forbidden || error.code == Code::Unauthorized) return ScopeState::Forbidden;
  if (error.code == Code::NotFound) return ScopeState::NotFound;
  return ScopeState::Retrying;
}

constexpr Duration kLogEvery = 1min;  // Of one error code; a change of code is always said.

}  // namespace

std::string_view to_string(ScopeState state) {
  switch (state) {
    case ScopeState::Starting:
      return "starting";
    case ScopeState::Listing:
      return "listing";
    case ScopeState::Live:
      return "live";
    case ScopeState::Resuming:
      return "resuming";
    case ScopeState::Retrying:
      return "retrying";
    case ScopeState::Forbidden:
      return "forbidden";
    case ScopeState::NotFound:
      return "not-found";
    case ScopeState::StoreRefuses:
      return "store-refuses";
    case ScopeState::Stopped:
      return "stopped";
  }
  return "";
}

BackoffOptions ReflectorOptions::slow() {
  BackoffOptions options;
  options.initial = 5s;
  options.maximum = 2min;
  options.reset_after = 10min;
  return options;
}

Reflector::Reflector(Runtime& runtime, Scope scope, ListerWatcher& source, StoreWriter& sink, ReflectorOptions options)
    : runtime_(runtime),
      scope_(std::move(scope)),
      source_(source),
      sink_(sink),
      options_(std::move(options)),
      traits_(source.traits()),
      log_(runtime.log.with("informer")),
      backoff_(runtime.clock, runtime.random, options_.backoff),
      denied_backoff_(runtime.clock, runtime.random, options_.denied_backoff),
      page_size_(options_.page_size),
      streaming_(traits_.streaming_list && options_.streaming_list == StreamingListUse::WhereOffered) {
  step_ = listing();
  if (traits_.takes_up_stores && !options_.held.empty()) {
    version_ = options_.held;
    step_ = ReflectorStep::Watching;
  }
  status_.since = current_at_ = runtime_.clock.now();
  const auto labels = options_.labels_for(scope_);
  auto& metrics = runtime_.metrics;
  lists_ = metrics.counter("tinf_reflector_lists_total", "Sets stored, by list or streaming list.", labels);
  watches_ = metrics.counter("tinf_reflector_watches_total", "Watches asked for.", labels);
  failures_ = metrics.counter("tinf_reflector_failures_total", "Failures of source or store.", labels);
  events_ = metrics.counter("tinf_reflector_events_total", "Changes stored from watches.", labels);
  rewinds_ = metrics.counter("tinf_reflector_rewinds_total", "Times that the source was found behind us.", labels);
  live_gauge_ = metrics.gauge("tinf_reflector_live", "1 while the set is stored and a watch is open.", labels);
}

Reflector::~Reflector() = default;

Labels ReflectorOptions::labels_for(const Scope& scope) const {
  Labels all = labels;
  all.emplace_back("resource", scope.resource.group_resource());
  all.emplace_back("scope", scope.id());
  return all;
}

Task<void> Reflector::run() {
  struct Closing {
    explicit Closing(Reflector& r) : reflector(r) {}
    ~Closing() {
      reflector.stream_.reset();
      reflector.set_state(ScopeState::Stopped);
    }
    Reflector& reflector;
  } closing(*this);
  while (true) co_await step();
}

void Reflector::relist() {
  relist_asked_ = true;
  wake_.notify();
}

Task<void> Reflector::step() {
  if (relist_asked_) {
    relist_asked_ = false;
    step_ = list_from_latest();
  }
  switch (step_) {
    case ReflectorStep::StreamingList:
      step_ = co_await stream_list();
      break;
    case ReflectorStep::Listing:
      step_ = co_await list();
      break;
    case ReflectorStep::Watching:
      step_ = co_await watch();
      break;
    case ReflectorStep::Waiting:
      step_ = co_await wait();
      break;
  }
}

ReflectorStep Reflector::listing() const {
  return streaming_ ? ReflectorStep::StreamingList : ReflectorStep::Listing;
}

ReflectorStep Reflector::list_from_latest() {
  list_latest_ = true;
  stream_.reset();
  return listing();
}

Task<ReflectorStep> Reflector::list() {
  if (!synced_ || live()) set_state(ScopeState::Listing);
  ListOptions asked;
  if (!list_latest_)
    asked.version = version_.empty() && traits_.version_zero ? ResourceVersion(options_.first_version) : version_;
  // A page of a certain version would have to name it and a token, which servers refuse.
  const bool may_page = traits_.pages && (asked.version.empty() || asked.version.text() == "0");
  asked.page_size = may_page && !list_unpaged_ ? page_size_ : 0;
  std::size_t so_far = 0;
  asked.progress = [&so_far](std::size_t count, std::optional<std::size_t>) { so_far = count; };

  const TimePoint began = runtime_.clock.now();
  auto answer = co_await within(runtime_.clock, began + options_.list_deadline, source_.list(scope_, asked));
  if (!answer) {
    const Error late(Code::Timeout, "the list of " + scope_.resource.group_resource() + " was not complete within " +
                                        std::to_string(options_.list_deadline / 1s) + " s; " + std::to_string(so_far) +
                                        " objects had come");
    page_size_ = std::max(options_.smallest_page_size, page_size_ / 2);
    co_return wait_then(ReflectorStep::Listing, late);
  }
  if (!*answer) co_return list_failed(answer->error(), asked);
  Snapshot all = std::move(**answer);
  if (all.version.empty()) {
    co_return wait_then(
        ReflectorStep::Listing,
        Error(Code::Internal, "the source sent a list without a resourceVersion: no watch could follow it"));
  }
  if (all.version.is_before(version_)) {
    if (!asked.version.empty()) {
      // Perhaps a replica that lags behind. Only an answer at "" is the source's own word.
      list_latest_ = true;
      co_return ReflectorStep::Listing;
    }
    rewinds_->add();
    log_.warning("the source has gone back in time, say by a restore: its set replaces ours",
                 {{"scope", scope_.id()}, {"ours", version_.text()}, {"its", all.version.text()}});
  }
  auto stored = co_await store(std::move(all), began);
  if (!stored) {
    failed(stored.error(), ScopeState::StoreRefuses);
    co_return pause_then(ReflectorStep::Listing);
  }
  co_return ReflectorStep::Watching;
}

ReflectorStep Reflector::list_failed(const Error& error, const ListOptions& asked) {
  if (is_expired(error)) {
    const bool first_time = !list_latest_ || (asked.page_size > 0 && !list_unpaged_);
    list_unpaged_ = asked.page_size > 0;
    list_latest_ = true;
    failures_->add();
    status_.last_error = error;
    if (options_.on_error) options_.on_error(error);
    if (first_time) return ReflectorStep::Listing;
    return pause_then(ReflectorStep::Listing);
  }
  // A resource that comes back has a new history: nothing of the old one may be asked for.
  if (error.code == Code::NotFound || error.code == Code::Invalid) list_latest_ = true;
  return wait_then(ReflectorStep::Listing, error);
}

Task<Result<void>> Reflector::store(Snapshot all, TimePoint asked_at) {
  ResourceVersion at = all.version;
  auto stored = co_await sink_.replace(std::move(all));
  if (!stored) co_return stored;
  version_ = std::move(at);
  current_at_ = asked_at;
  doubtful_ = doubtful_ && !list_latest_;  // Only a list at "" is the source's own word.
  list_latest_ = false;
  list_unpaged_ = false;
  failed_watches_ = 0;
  ++lists_without_health_;
  lists_->add();
  synced_ = true;
  if (options_.on_status) options_.on_status();
  co_return stored;
}

Task<ReflectorStep> Reflector::stream_list() {
  if (!synced_ || live()) set_state(ScopeState::Listing);
  WatchOptions asked;
  if (!list_latest_) asked.from = version_;
  asked.initial_events = true;
  asked.timeout = watch_timeout();
  const TimePoint began = runtime_.clock.now();
  const TimePoint deadline = began + options_.streaming_list_deadline;
  watches_->add();
  auto opened =
      co_await within(runtime_.clock, std::min(deadline, began + options_.open_deadline), source_.watch(scope_, asked));
  if (!opened) co_return stream_list_failed(Error(Code::Timeout, "a streaming list was not opened in time"));
  if (!*opened) co_return stream_list_failed(opened->error());
  stream_ = std::move(**opened);

  Snapshot all;
  std::map<ObjectKey, ObjectPtr> set;
  std::optional<Error> failure;
  auto complete = co_await within(runtime_.clock, deadline, collect(set, all.version, failure));
  if (!complete) {
    stream_.reset();
    co_return give_up_streaming(Error(Code::Timeout, "a streaming list of " + scope_.resource.group_resource() +
                                                         " had no end bookmark within " +
                                                         std::to_string(options_.streaming_list_deadline / 1s) +
                                                         " s; " + std::to_string(set.size()) + " objects had come"));
  }
  if (failure) {
    stream_.reset();
    co_return stream_list_failed(*failure);
  }
  if (all.version.is_before(version_)) {
    if (!asked.from.empty()) {
      co_return list_from_latest();
    }
    rewinds_->add();
    log_.warning("the source has gone back in time, say by a restore: its set replaces ours",
                 {{"scope", scope_.id()}, {"ours", version_.text()}, {"its", all.version.text()}});
  }
  streams_broken_ = 0;
  all.objects.reserve(set.size());
  for (auto& [key, object] : set) all.objects.push_back(std::move(object));
  auto stored = co_await store(std::move(all), began);
  if (!stored) {
    stream_.reset();
    failed(stored.error(), ScopeState::StoreRefuses);
    co_return pause_then(ReflectorStep::StreamingList);
  }
  co_return ReflectorStep::Watching;
}

Task<bool> Reflector::collect(std::map<ObjectKey, ObjectPtr>& set, ResourceVersion& at, std::optional<Error>& failure) {
  while (true) {
    auto batch = co_await stream_->next();
    if (!batch) {
      failure = batch.error();
      co_return false;
    }
    // The initial events come in no order of versions, so none of them says where the set stands: its end does.
    for (WatchEvent& event : batch->events) {
      if (event.type == EventType::Deleted) {
        set.erase(event.key);
      } else {
        set.insert_or_assign(std::move(event.key), std::move(event.object));
      }
    }
    if (!batch->initial_events_end) continue;
    if (batch->version.empty()) {
      failure = Error(Code::Invalid, "a streaming list ended without a resourceVersion");
      co_return false;
    }
    at = std::move(batch->version);
    co_return true;
  }
}

ReflectorStep Reflector::stream_list_failed(const Error& error) {
  switch (error.code) {
    case Code::Invalid:
      return give_up_streaming(error);
    case Code::TooManyRequests:
    case Code::Forbidden:
    case Code::Unauthorized:
      return wait_then(ReflectorStep::StreamingList, error);
    case Code::NotFound:
      list_latest_ = true;
      return wait_then(ReflectorStep::StreamingList, error);
    default:
      break;
  }
  if (is_expired(error) && !list_latest_) return list_from_latest();
  if (++streams_broken_ >= options_.streaming_list_tries) return give_up_streaming(error);
  return wait_then(ReflectorStep::StreamingList, error);
}

ReflectorStep Reflector::give_up_streaming(const Error& error) {
  streaming_ = false;
  // A server that does not know them has answered, not failed.
  if (error.code != Code::Invalid) {
    failures_->add();
    status_.last_error = error;
    if (options_.on_error) options_.on_error(error);
  }
  log_.info(error.code == Code::Invalid ? "streaming lists do not work here: listing in pages from now on"
                                        : "streaming lists broke too often: listing in pages from now on",
            {{"scope", scope_.id()}, {"resource", scope_.resource.group_resource()}, {"reason", error.message}});
  return ReflectorStep::Listing;
}

Task<ReflectorStep> Reflector::watch() {
  const TimePoint began = runtime_.clock.now();
  const Duration timeout = watch_timeout();
  if (!synced_) set_state(ScopeState::Listing);
  if (!stream_) {
    if (doubtful_ && options_.after_outage == AfterOutage::List) co_return list_from_latest();
    if (live()) set_state(ScopeState::Resuming);
    WatchOptions asked;
    asked.from = version_;
    asked.timeout = timeout;
    watches_->add();
    auto opened = co_await within(runtime_.clock, began + options_.open_deadline, source_.watch(scope_, asked));
    if (!opened) co_return watch_ended(Error(Code::Unavailable, "a watch was not opened in time"), began, false);
    if (!*opened) {
      const Error error = opened->error();
      if (is_expired(error)) co_return watch_expired();
      // Nobody there, or too busy: a list would not fare better, and makes it worse. A gateway says the one as a
      // timeout.
      if (error.code == Code::Unavailable || error.code == Code::TooManyRequests || error.code == Code::Timeout)
        co_return wait_then(ReflectorStep::Watching, error);
      co_return watch_ended(error, began, false);
    }
    stream_ = std::move(**opened);
  }
  const TimePoint opened_at = runtime_.clock.now();
  if (doubtful_ && probes()) {
    // Nothing that this watch says or does not say counts before the source has said where it stands.
    auto answer = co_await within(runtime_.clock, opened_at + options_.open_deadline, source_.list(scope_, probe()));
    if (!answer || !*answer) {
      co_return wait_then(ReflectorStep::Watching,
                          answer ? answer->error() : Error(Code::Timeout, "the source does not say where it stands"));
    }
    doubtful_ = false;
    if ((*answer)->version.is_before(version_)) co_return list_from_latest();
  }
  const TimePoint before = std::exchange(current_at_, opened_at);
  if (synced_) set_state(ScopeState::Live);

  const TimePoint cut =
      traits_.ends_watches && timeout > Duration() ? opened_at + timeout + options_.watch_grace : TimePoint::max();
  bool spoken = false;  // Events or a bookmark have come.
  bool progressed = false;
  while (true) {
    auto first = co_await first_of(stream_->next(), watchdog(cut));
    if (const auto* alarm = std::get_if<1>(&first)) {
      stream_.reset();
      if (!spoken) current_at_ = before;
      switch (*alarm) {
        case Alarm::Silent:
          co_return watch_ended(
              Error(Code::Unavailable, "a watch outlived its time without a word: its peer is taken for gone"),
              opened_at, progressed);
        case Alarm::Rewound:
        case Alarm::RelistAsked:
          relist_asked_ = false;
          co_return list_from_latest();
      }
    }
    auto& next = std::get<0>(first);
    if (!next) {
      const TimePoint now = runtime_.clock.now();
      const bool silent = stream_->fell_silent();
      const bool ended_well = next.error().code == Code::Timeout && !silent && !is_expired(next.error());
      if (ended_well && (spoken || now - opened_at >= options_.short_watch)) {
        current_at_ = now;
      } else if (!spoken) {
        current_at_ = before;  // It has not even told what happened while there was no watch.
      }
      // Ended early, as by a server that shuts down politely: what comes next may be another history.
      const bool early = traits_.ends_watches && now + options_.watch_grace < opened_at + timeout;
      doubtful_ = doubtful_ || silent || (early && options_.after_outage == AfterOutage::List);
      stream_.reset();
      co_return watch_ended(next.error(), opened_at, progressed);
    }
    EventBatch batch = std::move(*next);
    if (batch.version.is_before(version_)) {
      // Versions never go back within one history, so this is another one. Its full set decides.
      const ReflectorStep next = list_from_latest();
      co_return lists_without_health_ < 2
          ? next
          : wait_then(next, Error(Code::Internal, "a watch speaks of versions before its list"));
    }
    spoken = true;
    current_at_ = runtime_.clock.now();
    const std::size_t events = batch.events.size();
    const bool taken_up = !synced_ && batch.initial_events_end;
    ResourceVersion at = batch.version;
    const bool moved = (!at.empty() && at != version_) || events > 0;
    auto stored = co_await sink_.apply(std::move(batch));
    if (!stored) {
      stream_.reset();
      failed(stored.error(), ScopeState::StoreRefuses);
      co_return pause_then(ReflectorStep::Watching);
    }
    events_->add(events);
    if (!at.empty()) version_ = std::move(at);
    if (taken_up) {
      synced_ = true;
      set_state(ScopeState::Live);
    }
    if (moved) {
      progressed = true;
      failed_watches_ = 0;
      lists_without_health_ = 0;
    }
  }
}

ReflectorStep Reflector::watch_ended(const Error& error, TimePoint opened, bool progressed) {
  if (is_expired(error)) return watch_expired();
  if (error.code == Code::NotFound || error.code == Code::Invalid) {
    list_latest_ = true;
    return wait_then(listing(), error);
  }
  if (error.code == Code::Forbidden || error.code == Code::Unauthorized)
    return wait_then(ReflectorStep::Watching, error);
  const bool in_good_order = error.code == Code::Timeout;
  const bool long_enough = runtime_.clock.now() - opened >= options_.short_watch;
  if (in_good_order && (progressed || long_enough)) {
    failed_watches_ = 0;
    lists_without_health_ = 0;
    return ReflectorStep::Watching;
  }
  if (progressed) backoff_.reset();
  if (++failed_watches_ >= kWatchesWithoutProgress) {
    failed_watches_ = 0;
    list_latest_ = true;
    return wait_then(listing(), error);
  }
  return wait_then(ReflectorStep::Watching, error);
}

ReflectorStep Reflector::watch_expired() {
  // The first time a list follows at once. When its version, too, has expired before a watch could start, the list
  // took longer than the source keeps its history: smaller pages let it move on, and a wait keeps the pace bounded.
  if (lists_without_health_ < 2) return listing();
  page_size_ = std::max(options_.smallest_page_size, page_size_ / 2);
  list_latest_ = true;
  return wait_then(listing(), Error(Code::Expired, "the version of a list had expired before its watch could start"));
}

// The source's own word on where it stands, as cheap as it is to be had.
ListOptions Reflector::probe() {
  ListOptions asked;
  asked.page_size = 1;
  asked.version_only = true;
  return asked;
}

Task<Reflector::Alarm> Reflector::watchdog(TimePoint cut) {
  Clock& clock = runtime_.clock;
  TimePoint probe_at = probes() ? clock.now() + options_.probe_after : TimePoint::max();
  while (true) {
    if (relist_asked_) co_return Alarm::RelistAsked;
    if (clock.now() >= cut) co_return Alarm::Silent;
    if (clock.now() >= probe_at) {
      auto answer =
          co_await within(clock, std::min(cut, clock.now() + options_.open_deadline), source_.list(scope_, probe()));
      if (answer && *answer && (*answer)->version.is_before(version_)) co_return Alarm::Rewound;
      probe_at = clock.now() + options_.probe_after;
      continue;
    }
    co_await wake_.wait_until(clock, std::min(cut, probe_at));
  }
}

Task<ReflectorStep> Reflector::wait() {
  const TimePoint until = runtime_.clock.now() + wait_;
  while (!relist_asked_ && runtime_.clock.now() < until) co_await wake_.wait_until(runtime_.clock, until);
  co_return after_wait_;
}

ReflectorStep Reflector::wait_then(ReflectorStep next, const Error& error) {
  stream_.reset();
  failed(error, state_for(error));
  return pause_then(next);
}

ReflectorStep Reflector::pause_then(ReflectorStep next) {
  // A server set back to a backup keeps quiet about it: a watch from its future says nothing until that has come, and
  // from then on tells of another history.
  doubtful_ = doubtful_ || next == ReflectorStep::Watching;
  const bool denied = status_.state == ScopeState::Forbidden || status_.state == ScopeState::NotFound;
  // Where each list is followed by a watch that fails, lists must not follow each other without end.
  const bool in_vain = options_.after_outage == AfterOutage::List && lists_without_health_ >= 2;
  wait_ = denied || in_vain ? denied_backoff_.next() : backoff_.next();
  after_wait_ = next;
  return ReflectorStep::Waiting;
}

void Reflector::set_state(ScopeState state) {
  if (status_.state == state) return;
  status_.state = state;
  status_.since = runtime_.clock.now();
  live_gauge_->set(state == ScopeState::Live ? 1 : 0);
  if (options_.on_status) options_.on_status();
}

void Reflector::failed(const Error& error, ScopeState state) {
  failures_->add();
  status_.last_error = error;
  const TimePoint now = runtime_.clock.now();
  const bool denied = state == ScopeState::Forbidden || state == ScopeState::NotFound;
  // A denial is said once: it is a state, and lasts. Of passing faults each kind is said at a bounded rate.
  if (logged_code_ != error.code || (!denied && now - logged_at_ >= kLogEvery)) {
    log_.warning("a scope is not being kept up", {{"scope", scope_.id()},
                                                  {"resource", scope_.resource.group_resource()},
                                                  {"state", std::string(to_string(state))},
                                                  {"reason", std::string(to_string(error.code))},
                                                  {"message", error.message}});
    logged_code_ = error.code;
    logged_at_ = now;
  }
  set_state(state);
  if (options_.on_error) options_.on_error(error);
}

Duration Reflector::watch_timeout() {
  if (options_.longest_watch <= options_.shortest_watch) return options_.shortest_watch;
  return runtime_.random.between(options_.shortest_watch, options_.longest_watch);
}

}  // namespace tinf
