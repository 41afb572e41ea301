#include "tests/simulation/api_server.h"

#include <algorithm>

namespace tinf::simulation {

using namespace std::chrono_literals;

namespace {

constexpr Duration kLongestAnswer = 90s;  // Of a request that hangs.
constexpr Duration kSilence = 150s;       // After which a watch is given up.
constexpr Duration kLongestWay = 30ms;    // Of what a watch says.

}  // namespace

class ApiServer::Stream final : public WatchStream {
 public:
  Stream(ApiServer& server, const Collection& of, std::uint64_t from, TimePoint ends_at)
      : server_(server), collection_(of), from_(from), ends_at_(ends_at) {
    server_.streams_.push_back(this);
  }
  ~Stream() override { std::erase(server_.streams_, this); }

  Task<Result<EventBatch>> next() override {
    while (frozen_until_ != TimePoint() || (waiting_.empty() && !end_)) {
      const TimePoint now = server_.clock_.now();
      if (frozen_until_ != TimePoint() && now >= given_up_at_) {
        fell_silent_ = true;
        co_return Error(Code::Timeout, "no word for 150 s");
      }
      if (frozen_until_ != TimePoint() && now >= frozen_until_) {
        frozen_until_ = TimePoint();
        continue;
      }
      const TimePoint until = frozen_until_ == TimePoint() ? ends_at_ : std::min(frozen_until_, given_up_at_);
      if (!co_await ready_.wait_until(server_.clock_, until) && frozen_until_ == TimePoint())
        co_return Error(Code::Timeout, "the watch's time is up");
    }
    // On its way; what happens meanwhile comes with it.
    const Duration way = server_.random_.between(1ms, kLongestWay);
    co_await server_.clock_.sleep_for(way);
    if (waiting_.empty()) co_return *end_;
    EventBatch batch = std::move(waiting_.front());
    waiting_.pop_front();
    while (!batch.initial_events_end && !waiting_.empty() && !waiting_.front().initial_events_end) {
      for (WatchEvent& event : waiting_.front().events) batch.events.push_back(std::move(event));
      batch.version = std::move(waiting_.front().version);
      waiting_.pop_front();
    }
    co_return batch;
  }

  void tell(const Change& change) {
    if (change.collection != &collection_ || change.version <= from_) return;
    push(EventBatch{{change.event}, ResourceVersion(std::to_string(change.version)), false});
  }
  void push(EventBatch batch) {
    if (end_) return;
    waiting_.push_back(std::move(batch));
    ready_.notify();
  }
  bool fell_silent() const override { return fell_silent_; }

  void freeze(TimePoint until) {
    frozen_until_ = until;
    given_up_at_ = server_.clock_.now() + kSilence;
    ready_.notify();
  }
  // What waits may still come first, or go down with the connection.
  void end(Error error, bool at_once) {
    if (end_) return;
    // No last word gets through a frozen connection before what was said earlier.
    if (frozen_until_ != TimePoint()) error = Error(Code::Unavailable, "connection reset");
    if (at_once) waiting_.clear();
    end_ = std::move(error);
    ready_.notify();
  }

  std::uint64_t from() const { return from_; }

 private:
  ApiServer& server_;
  const Collection& collection_;
  const std::uint64_t from_;
  const TimePoint ends_at_;
  std::deque<EventBatch> waiting_;
  std::optional<Error> end_;
  TimePoint frozen_until_{};
  TimePoint given_up_at_{};
  bool fell_silent_ = false;
  Signal ready_;
};

ApiServer::ApiServer(Clock& clock, std::uint64_t seed, std::vector<Resource> resources)
    : clock_(clock), random_(seed), streams_lists_(random_.chance(0.3)) {
  for (Resource& resource : resources) collections_.push_back(std::make_unique<Collection>(std::move(resource)));
}

ApiServer::~ApiServer() = default;

ApiServer::Collection& ApiServer::collection(const Resource& resource) {
  return **std::ranges::find_if(collections_, [&](const auto& one) { return one->resource == resource; });
}

const Truth& ApiServer::truth(const Resource& resource) const {
  return const_cast<ApiServer&>(*this).collection(resource).truth;
}

void ApiServer::change() {
  if (clock_.now() < away_until_) return;  // Nobody can write, either.
  Collection& changed = *collections_[random_.below(collections_.size())];
  for (WatchEvent& event : changed.truth.change(random_, version_, clock_.now())) {
    history_.push_back(Change{std::stoull(event.resource_version), &changed, std::move(event)});
    for (Stream* stream : streams_) stream->tell(history_.back());
  }
  if (random_.chance(0.2)) catch_up();
  if (!random_.chance(0.05)) return;
  backup_version_ = version_;
  for (auto& one : collections_) one->backup = one->truth.objects();
}

void ApiServer::catch_up() {
  lagging_version_ = version_;
  for (auto& one : collections_) one->lagging = one->truth.objects();
}

void ApiServer::bookmark() {
  catch_up();
  for (Stream* stream : streams_) {
    if (stream->from() <= version_) stream->push(EventBatch{{}, ResourceVersion(std::to_string(version_)), false});
  }
}

void ApiServer::compact() {
  compacted_ = version_;
  history_.clear();
  for (Stream* stream : streams_) {
    if (random_.chance(0.5)) stream->end(Error(Code::Expired, "too old resource version"), true);
  }
}

void ApiServer::end_watches() {
  static constexpr Code kReasons[] = {Code::Timeout, Code::Unavailable, Code::Internal, Code::TooManyRequests};
  const Error reason(kReasons[random_.below(4)], "the API server ends its watches");
  const bool at_once = random_.chance(0.5);
  for (Stream* stream : streams_) stream->end(reason, at_once);
}

void ApiServer::go_away(Duration length) {
  away_until_ = std::max(away_until_, clock_.now() + length);
  for (Stream* stream : streams_) stream->end(Error(Code::Unavailable, "connection reset"), true);
}

void ApiServer::set_back() {
  go_away(random_.between(1s, 20s));
  version_ = compacted_ = backup_version_;
  history_.clear();
  for (auto& one : collections_) one->truth.set_back(one->backup, clock_.now());
  catch_up();
}

void ApiServer::answer_badly(Duration length) {
  bad_until_ = std::max(bad_until_, clock_.now() + length);
}

void ApiServer::deny(Duration length) {
  denied_until_ = std::max(denied_until_, clock_.now() + length);
  for (Stream* stream : streams_) stream->end(Error(Code::Forbidden, "no right to watch"), true);
}

void ApiServer::freeze() {
  const TimePoint now = clock_.now();
  const TimePoint until = now + random_.between(5s, 2 * kSilence);
  for (Stream* stream : streams_) stream->freeze(until);
  if (!streams_.empty()) silences_.push_back(Silence{now, std::min(until, now + kSilence) + kLongestWay});
}

// The newest first: each may have begun within an earlier one.
TimePoint ApiServer::known_at(TimePoint then) const {
  for (auto silence = silences_.rbegin(); silence != silences_.rend(); ++silence) {
    if (silence->until >= then) then = std::min(then, silence->from);
  }
  return then;
}

SourceTraits ApiServer::traits() const {
  SourceTraits traits;
  traits.pages = true;
  traits.streaming_list = streams_lists_;
  traits.version_zero = true;
  traits.decimal_versions = true;
  traits.ends_watches = true;
  return traits;
}

// Lets the request take its time; then there may be no answer, or a bad one.
Task<std::optional<Error>> ApiServer::failure() {
  const Duration takes = random_.between(1ms, 50ms);
  co_await clock_.sleep_for(takes);
  if (clock_.now() < bad_until_) {
    switch (random_.below(6)) {
      case 0:
        co_return Error(Code::TooManyRequests, "too many requests");
      case 1:
        co_return Error(Code::Internal, "etcdserver: leader changed");
      case 2:
        co_return Error(Code::Timeout, "the server was unable to return a response in the time allotted");
      case 3: {
        const Duration hangs = random_.between(1s, kLongestAnswer);
        co_await clock_.sleep_for(hangs);
        co_return Error(Code::Unavailable, "connection reset");
      }
      default:
        break;
    }
  }
  if (clock_.now() < away_until_) co_return Error(Code::Unavailable, "connection refused");
  if (clock_.now() < denied_until_) co_return Error(Code::Forbidden, "no right to list or watch");
  co_return std::nullopt;
}

Task<Result<Snapshot>> ApiServer::list(const Scope& scope, ListOptions options) {
  if (auto failed = co_await failure()) co_return *failed;
  if (options.page_size > 0 && clock_.now() < bad_until_ && random_.chance(0.3))
    co_return Error(Code::Expired, "the provided continue parameter is too old");
  if (options.version.number().value_or(0) > version_)
    co_return Error(Code::Timeout, "Too large resource version: " + options.version.text());
  const Collection& listed = collection(scope.resource);
  Snapshot all;
  // Any version, or one no older than that: a replica may answer.
  const bool lags = !options.version.empty() && options.version.number().value_or(0) <= lagging_version_;
  all.version = ResourceVersion(std::to_string(lags ? lagging_version_ : version_));
  for (const auto& [key, object] : lags ? listed.lagging : listed.truth.objects()) all.objects.push_back(object);
  const Duration takes = random_.between(1ms, 2s);
  const TimePoint began = clock_.now();
  co_await clock_.sleep_for(takes);
  if (began < away_until_) co_return Error(Code::Unavailable, "connection reset");
  co_return all;
}

Task<Result<std::unique_ptr<WatchStream>>> ApiServer::watch(const Scope& scope, WatchOptions options) {
  if (auto failed = co_await failure()) co_return *failed;
  const Collection& watched = collection(scope.resource);
  const TimePoint ends_at = options.timeout > Duration() ? clock_.now() + options.timeout : TimePoint::max();
  if (options.initial_events) {
    if (random_.chance(0.2)) co_return Error(Code::Invalid, "sendInitialEvents is forbidden for watch");
    auto stream = std::make_unique<Stream>(*this, watched, version_, ends_at);
    EventBatch all;
    for (const auto& [key, object] : watched.truth.objects()) all.events.push_back(WatchEvent::added(object));
    all.version = ResourceVersion(std::to_string(version_));
    all.initial_events_end = true;
    stream->push(std::move(all));
    co_return std::unique_ptr<WatchStream>(std::move(stream));
  }
  const std::uint64_t from = options.from.number().value_or(0);
  const bool expired = from < compacted_;
  if (expired && random_.chance(0.5)) co_return Error(Code::Expired, "too old resource version");
  auto stream = std::make_unique<Stream>(*this, watched, from, ends_at);
  if (expired) stream->end(Error(Code::Expired, "too old resource version"), true);
  for (const Change& change : history_) stream->tell(change);
  co_return std::unique_ptr<WatchStream>(std::move(stream));
}

}  // namespace tinf::simulation
