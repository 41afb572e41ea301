// Why requests out of turn hang instead of failing: an error would send the reflector on, past the point of interest.
#include "tinf/testing/scripted_source.h"

#include <algorithm>

namespace tinf::testing {

using Step = ScriptedSource::Step;

namespace {

std::string described(bool is_list, bool streaming, const std::optional<ResourceVersion>& version) {
  const std::string what = is_list ? "a list" : streaming ? "a streaming list" : "a watch";
  return version ? what + " from \"" + version->text() + "\"" : what;
}

}  // namespace

class ScriptedStream final : public WatchStream {
 public:
  ScriptedStream(ScriptedSource& source, Step step)
      : source_(source), step_(std::move(step)), open_(source.open_streams_) {
    ++*open_;
  }
  ~ScriptedStream() override { --*open_; }

  Task<Result<EventBatch>> next() override {
    while (!step_.actions_.empty()) {
      auto action = std::move(step_.actions_.front());
      step_.actions_.pop_front();
      if (action.wait > Duration()) co_await source_.clock_.sleep_for(action.wait);
      if (action.batch) co_return std::move(*action.batch);
      if (action.end) {
        source_.last_end_ = source_.clock_.now();
        co_return std::move(*action.end);
      }
    }
    co_await source_.silence();
    co_return Error(Code::Internal, "unreachable");
  }

  bool fell_silent() const override { return step_.falls_silent_; }

 private:
  ScriptedSource& source_;
  Step step_;
  std::shared_ptr<int> open_;
};

Step& Step::after(Duration at_least) {
  after_ = at_least;
  return *this;
}
Step& Step::paged(int page_size) {
  page_size_ = page_size;
  return *this;
}
Step& Step::version_only() {
  version_only_ = true;
  return *this;
}
Step& Step::times(int n) {
  times_ = n;
  return *this;
}
Step& Step::replies(std::vector<ObjectPtr> objects, ResourceVersion version) {
  snapshot_ = Snapshot{std::move(objects), std::move(version)};
  return *this;
}
Step& Step::refuses(Code code, std::string message) {
  refusal_ = Error(code, std::move(message));
  return *this;
}
Step& Step::takes(Duration duration) {
  takes_ = duration;
  return *this;
}
Step& Step::sends(WatchEvent event) {
  ResourceVersion version(event.resource_version);
  std::vector<WatchEvent> events;
  events.push_back(std::move(event));
  return sends(EventBatch{std::move(events), std::move(version), false});
}
Step& Step::sends(EventBatch batch) {
  actions_.push_back(Action{std::move(batch), std::nullopt, Duration()});
  return *this;
}
Step& Step::bookmark(ResourceVersion version) {
  return sends(EventBatch{{}, std::move(version), false});
}
Step& Step::initial_events_end(ResourceVersion version) {
  return sends(EventBatch{{}, std::move(version), true});
}
Step& Step::waits(Duration duration) {
  actions_.push_back(Action{std::nullopt, std::nullopt, duration});
  return *this;
}
Step& Step::ends_with(Code code, std::string message) {
  actions_.push_back(Action{std::nullopt, Error(code, std::move(message)), Duration()});
  return *this;
}

ScriptedSource::ScriptedSource(Clock& clock) : clock_(clock), last_end_(clock.now()) {
  scripted_traits.pages = true;
  scripted_traits.version_zero = true;
  scripted_traits.decimal_versions = true;
  scripted_traits.ends_watches = true;
}

Step& ScriptedSource::add(bool is_list, bool streaming, std::optional<ResourceVersion> version) {
  auto& step = steps_.emplace_back();
  step.is_list_ = is_list;
  step.streaming_ = streaming;
  step.version_ = std::move(version);
  return step;
}

Step& ScriptedSource::expects_list() {
  return add(true, false, std::nullopt);
}
Step& ScriptedSource::expects_list(ResourceVersion version) {
  return add(true, false, std::move(version));
}
Step& ScriptedSource::expects_watch(ResourceVersion from) {
  return add(false, false, std::move(from));
}
Step& ScriptedSource::expects_streaming_list() {
  return add(false, true, std::nullopt);
}
Step& ScriptedSource::expects_streaming_list(ResourceVersion from) {
  return add(false, true, std::move(from));
}

int ScriptedSource::lists() const {
  return static_cast<int>(std::ranges::count_if(requests_, &Request::is_list));
}

int ScriptedSource::watches() const {
  return static_cast<int>(requests_.size()) - lists();
}

std::string ScriptedSource::what_remains() const {
  std::string text;
  for (const auto& problem : problems_) text += problem + "\n";
  for (const auto& step : steps_) {
    text += "never asked for: " + described(step.is_list_, step.streaming_, step.version_) +
            (step.times_ > 1 ? " (" + std::to_string(step.times_) + " times)" : "") + "\n";
  }
  return text;
}

std::optional<Step> ScriptedSource::take(const Request& request) {
  requests_.push_back(request);
  const auto& version = request.is_list ? request.list.version : request.watch.from;
  const std::string asked = "request " + std::to_string(requests_.size()) + ", " +
                            described(request.is_list, request.watch.initial_events, version);
  const auto out_of_turn = [&](const std::string& why) {
    problems_.push_back(asked + ": " + why);
    return std::nullopt;
  };
  if (steps_.empty()) return out_of_turn("the script had ended");
  Step& step = steps_.front();
  if (step.is_list_ != request.is_list || step.streaming_ != request.watch.initial_events ||
      (step.version_ && *step.version_ != version)) {
    return out_of_turn("expected " + described(step.is_list_, step.streaming_, step.version_));
  }
  if (step.page_size_ && *step.page_size_ != request.list.page_size) {
    return out_of_turn("expected a page size of " + std::to_string(*step.page_size_) + ", not " +
                       std::to_string(request.list.page_size));
  }
  if (step.version_only_ != request.list.version_only)
    return out_of_turn("a list of the version alone at the wrong time");
  if (request.at - last_end_ < step.after_) {
    return out_of_turn("came " + std::to_string((request.at - last_end_) / std::chrono::milliseconds(1)) +
                       " ms after the step before");
  }
  Step taken = step;
  if (--step.times_ == 0) steps_.pop_front();
  return taken;
}

Task<void> ScriptedSource::silence() {
  Signal never;
  co_await never.wait();
}

Task<Result<Snapshot>> ScriptedSource::list(const Scope&, ListOptions options) {
  Request request;
  request.is_list = true;
  request.list = std::move(options);
  request.at = clock_.now();
  auto step = take(request);
  if (step && step->takes_ > Duration()) co_await clock_.sleep_for(step->takes_);
  if (!step || (!step->refusal_ && !step->snapshot_)) co_await silence();
  last_end_ = clock_.now();
  if (step->refusal_) co_return *step->refusal_;
  co_return std::move(*step->snapshot_);
}

Task<Result<std::unique_ptr<WatchStream>>> ScriptedSource::watch(const Scope&, WatchOptions options) {
  Request request;
  request.watch = std::move(options);
  request.at = clock_.now();
  auto step = take(request);
  if (!step) co_await silence();
  if (step->takes_ > Duration()) co_await clock_.sleep_for(step->takes_);
  if (step->refusal_) {
    last_end_ = clock_.now();
    co_return *step->refusal_;
  }
  co_return std::unique_ptr<WatchStream>(std::make_unique<ScriptedStream>(*this, std::move(*step)));
}

}  // namespace tinf::testing
