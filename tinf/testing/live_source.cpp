#include "tinf/testing/live_source.h"

#include <charconv>
#include <deque>

namespace tinf::testing {

class LiveSource::Stream final : public WatchStream {
 public:
  explicit Stream(LiveSource& source) : source_(source) { source_.streams_.insert(this); }
  ~Stream() override { source_.streams_.erase(this); }

  Task<Result<EventBatch>> next() override {
    while (queue_.empty() && !end_) co_await ready_.wait();
    if (queue_.empty()) co_return *end_;
    EventBatch batch = std::move(queue_.front());
    queue_.pop_front();
    co_return batch;
  }

  void push(EventBatch batch) {
    queue_.push_back(std::move(batch));
    ready_.notify();
  }
  void end(Error error) {
    end_ = std::move(error);
    ready_.notify();
  }

 private:
  LiveSource& source_;
  std::deque<EventBatch> queue_;
  std::optional<Error> end_;
  Signal ready_;
};

namespace {

EventBatch batch_of(std::uint64_t version, const WatchEvent& event) {
  EventBatch batch;
  batch.events.push_back(event);
  batch.version = ResourceVersion(std::to_string(version));
  return batch;
}

}  // namespace

LiveSource::LiveSource() = default;
LiveSource::~LiveSource() = default;

SourceTraits LiveSource::traits() const {
  SourceTraits traits;
  traits.decimal_versions = true;
  return traits;
}

ObjectPtr LiveSource::state(const std::string& name, const std::string& uid, const std::string& more) const {
  return object(name, static_cast<int>(version_), uid, more);
}

ObjectPtr LiveSource::put(const std::string& name, const std::string& more) {
  ++version_;
  auto& held = objects_[name];
  const bool fresh = !held;
  held = state(name, fresh ? "uid-" + std::to_string(version_) : std::string(held->uid()), more);
  record(fresh ? WatchEvent::added(held) : WatchEvent::modified(held));
  return held;
}

void LiveSource::remove(const std::string& name) {
  const auto held = objects_.find(name);
  if (held == objects_.end()) return;
  ++version_;
  auto last = state(name, std::string(held->second->uid()), "");
  objects_.erase(held);
  record(WatchEvent::deleted(std::move(last)));
}

void LiveSource::corrupt(const std::string& name) {
  ++version_;
  objects_[name] = state(name, "uid-corrupt", "");
}

void LiveSource::record(WatchEvent event) {
  for (auto* stream : streams_) stream->push(batch_of(version_, event));
  history_.emplace_back(version_, std::move(event));
}

void LiveSource::bookmark() {
  for (auto* stream : streams_) {
    EventBatch batch;
    batch.version = version();
    stream->push(std::move(batch));
  }
}

void LiveSource::end_watches(Code code) {
  for (auto* stream : streams_) stream->end(Error(code, "ended by the test"));
}

void LiveSource::compact() {
  compacted_ = version_;
  history_.clear();
}

std::vector<ObjectPtr> LiveSource::objects() const {
  std::vector<ObjectPtr> all;
  for (const auto& [name, held] : objects_) all.push_back(held);
  return all;
}

Task<Result<Snapshot>> LiveSource::list(const Scope&, ListOptions) {
  ++lists_;
  while (lists_held_) co_await lists_released_.wait();
  if (failure_) co_return *failure_;
  Snapshot all;
  all.objects = objects();
  all.version = version();
  co_return all;
}

Task<Result<std::unique_ptr<WatchStream>>> LiveSource::watch(const Scope&, WatchOptions options) {
  if (failure_) co_return *failure_;
  const auto from = options.from.number().value_or(0);
  if (from < compacted_) co_return Error(Code::Expired, "compacted by the test");
  auto stream = std::make_unique<Stream>(*this);
  for (const auto& [at, event] : history_) {
    if (at > from) stream->push(batch_of(at, event));
  }
  co_return std::unique_ptr<WatchStream>(std::move(stream));
}

}  // namespace tinf::testing
