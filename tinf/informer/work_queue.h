// WorkQueue: which keys a controller still has to look at; each at most once at a time, none forgotten.
// The semantics are those of client-go's workqueue and controller-runtime's priority queue, which users know.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "tinf/base/runtime.h"
#include "tinf/object/object.h"

namespace tinf {

struct WorkQueueOptions {
  WorkQueueOptions() = default;

  std::string name = "controller";  // In metrics.
  // Retries of one item: 5 ms doubling to 1000 s. Of all items together: 10 a second after a burst of 100. The longer
  // counts.
  Duration first_retry = std::chrono::milliseconds(5);
  Duration longest_retry = std::chrono::seconds(1000);
  double retries_per_second = 10;
  double retry_burst = 100;
  // One step of priority is worth this much waiting: an item of priority -100 is taken at the latest when everything
  // that came 10 s after it has come, however much of priority 0 keeps coming.
  Duration ageing = std::chrono::milliseconds(100);
};

// For items that were there at the start: behind what changes meanwhile, but never starved.
constexpr int kInitialPriority = -100;

// Guarantees: an item added while it is being processed is handed out once more after done(); doubles collapse; the
// first add() is never rate limited; of two delayed adds the earlier wins; of two priorities the higher; a requeue
// without a priority keeps the one that the item was taken with. Any number of workers. Confined to one strand; workers
// are coroutines on it (or hand their item to another thread and come back for done()).
template <class Key, class Hash = std::hash<Key>>
class WorkQueue {
 public:
  explicit WorkQueue(Runtime& runtime, WorkQueueOptions options = WorkQueueOptions())
      : runtime_(runtime),
        options_(std::move(options)),
        tokens_(options_.retry_burst),
        tokens_at_(runtime.clock.now()) {
    const Labels labels{{"queue", options_.name}};
    auto& metrics = runtime_.metrics;
    depth_ = metrics.gauge("tinf_work_queue_depth", "Items ready to be taken.", labels);
    running_ = metrics.gauge("tinf_work_queue_processing", "Items being processed.", labels);
    wait_ = metrics.gauge("tinf_work_queue_wait_seconds", "How long the item taken last had been ready.", labels);
    adds_ = metrics.counter("tinf_work_queue_adds_total", "Items added; doubles do not count.", labels);
    retries_ = metrics.counter("tinf_work_queue_retries_total", "Rate limited adds.", labels);
  }

  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // Ignored after shut_down(), as are the two below.
  void add(const Key& key, std::optional<int> priority = std::nullopt) {
    if (shut_down_) return;
    delayed_drop(key);
    make_dirty(key, priority_of(key, priority), runtime_.clock.now());
    changed_.notify();
  }

  void add_after(const Key& key, Duration wait, std::optional<int> priority = std::nullopt) {
    if (wait <= Duration()) return add(key, priority);
    if (shut_down_) return;
    TimePoint due = runtime_.clock.now() + wait;
    int with = priority_of(key, priority);
    if (const auto earlier = delayed_.find(key); earlier != delayed_.end()) {
      due = std::min(due, earlier->second.first);
      with = std::max(with, earlier->second.second);
      delayed_drop(key);
    }
    delayed_.emplace(key, std::pair(due, with));
    due_.emplace(due, key);
    changed_.notify();
  }

  // For what failed: after the limiter's wait, which grows until forget().
  void add_rate_limited(const Key& key, std::optional<int> priority = std::nullopt) {
    if (shut_down_) return;
    retries_->add();
    add_after(key, std::max(item_wait(key), overall_wait()), priority);
  }
  void forget(const Key& key) { failures_.erase(key); }
  int failures(const Key& key) const {
    const auto found = failures_.find(key);
    return found == failures_.end() ? 0 : found->second;
  }

  // Waits for an item; done() must follow. Nothing once the queue is shut down and what was ready has been taken.
  Task<std::optional<Key>> get() {
    while (true) {
      const TimePoint now = runtime_.clock.now();
      while (!due_.empty() && due_.begin()->first <= now) {
        const Key key = due_.begin()->second;
        const auto [due, priority] = delayed_.at(key);
        delayed_drop(key);
        make_dirty(key, priority, due);
      }
      if (!ready_.empty()) {
        auto first = ready_.extract(ready_.begin());
        Key key = std::move(first.mapped());
        const auto item = dirty_.find(key);
        processing_.emplace(key, item->second.priority);
        wait_->set(std::chrono::duration<double>(now - item->second.since).count());
        dirty_.erase(item);
        measure();
        if (!ready_.empty()) changed_.notify();  // For the next worker: this one was woken for both.
        co_return key;
      }
      if (shut_down_) co_return std::nullopt;
      co_await changed_.wait_until(runtime_.clock, due_.empty() ? TimePoint::max() : due_.begin()->first);
    }
  }

  void done(const Key& key) {
    processing_.erase(key);
    if (const auto again = dirty_.find(key); again != dirty_.end()) make_ready(key, again->second);
    measure();
    changed_.notify();
    idle_.notify();
  }

  // Takes nothing more; delayed items are dropped, ready ones still handed out, every get() returns in the end.
  void shut_down() {
    shut_down_ = true;
    delayed_.clear();
    due_.clear();
    changed_.notify();
    idle_.notify();
  }

  // The same, and returns when every item that was taken is done and nothing is ready.
  Task<void> drain() {
    shut_down();
    while (!processing_.empty() || !ready_.empty()) co_await idle_.wait();
  }

  std::size_t size() const { return ready_.size(); }  // Ready now; neither delayed nor being processed.
  std::size_t processing() const { return processing_.size(); }
  bool shutting_down() const { return shut_down_; }

 private:
  // Ordered by when an item of priority 0 would have had to come to stand at the same place.
  using Place = std::pair<TimePoint, std::uint64_t>;
  struct Item {
    int priority = 0;
    TimePoint since{};
    std::optional<Place> place;  // None while it is being processed.
  };

  int priority_of(const Key& key, std::optional<int> asked) const {
    if (asked) return *asked;
    const auto taken = processing_.find(key);
    return taken == processing_.end() ? 0 : taken->second;
  }

  void make_dirty(const Key& key, int priority, TimePoint since) {
    const auto [at, fresh] = dirty_.try_emplace(key);
    Item& item = at->second;
    if (fresh) {
      adds_->add();
      item.since = since;
      item.priority = priority;
    } else if (priority <= item.priority) {
      return;
    }
    item.priority = std::max(item.priority, priority);
    if (!processing_.contains(key)) make_ready(key, item);
    measure();
  }

  void make_ready(const Key& key, Item& item) {
    if (item.place) ready_.erase(*item.place);
    item.place = Place(item.since - item.priority * options_.ageing, next_++);
    ready_.emplace(*item.place, key);
  }

  void delayed_drop(const Key& key) {
    const auto found = delayed_.find(key);
    if (found == delayed_.end()) return;
    for (auto [at, end] = due_.equal_range(found->second.first); at != end; ++at) {
      if (at->second == key) {
        due_.erase(at);
        break;
      }
    }
    delayed_.erase(found);
  }

  Duration item_wait(const Key& key) {
    const int before = failures_[key]++;
    const double grown = static_cast<double>(options_.first_retry.count()) * std::pow(2.0, before);
    return grown >= static_cast<double>(options_.longest_retry.count()) ? options_.longest_retry
                                                                        : Duration(static_cast<Duration::rep>(grown));
  }

  // A token bucket that may owe: each taker waits until its token has come.
  Duration overall_wait() {
    const TimePoint now = runtime_.clock.now();
    tokens_ = std::min(options_.retry_burst,
                       tokens_ + std::chrono::duration<double>(now - tokens_at_).count() * options_.retries_per_second);
    tokens_at_ = now;
    tokens_ -= 1;
    if (tokens_ >= 0) return Duration();
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(-tokens_ / options_.retries_per_second));
  }

  void measure() {
    depth_->set(static_cast<double>(ready_.size()));
    running_->set(static_cast<double>(processing_.size()));
  }

  Runtime& runtime_;
  const WorkQueueOptions options_;
  std::map<Place, Key> ready_;
  std::unordered_map<Key, Item, Hash> dirty_;      // To be processed: ready, or added again meanwhile.
  std::unordered_map<Key, int, Hash> processing_;  // With the priority it was taken with.
  std::unordered_map<Key, std::pair<TimePoint, int>, Hash> delayed_;
  std::multimap<TimePoint, Key> due_;
  std::unordered_map<Key, int, Hash> failures_;
  std::uint64_t next_ = 0;
  double tokens_;
  TimePoint tokens_at_;
  bool shut_down_ = false;
  Signal changed_;
  Signal idle_;
  std::shared_ptr<Gauge> depth_, running_, wait_;
  std::shared_ptr<Counter> adds_, retries_;
};

using ObjectWorkQueue = WorkQueue<ObjectKey, ObjectKeyHash>;

}  // namespace tinf
