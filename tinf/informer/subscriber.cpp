#include "tinf/informer/subscriber.h"

namespace tinf {
namespace {

using namespace std::chrono_literals;

Labels with_handler(Labels labels, const std::string& handler) {
  labels.emplace_back("handler", handler);
  return labels;
}

}  // namespace

SharedInformer::Subscriber::Subscriber(Runtime& runtime, const Log& where, Handler functions, HandlerOptions chosen,
                                       const Labels& labels)
    : handler(std::move(functions)),
      options(std::move(chosen)),
      log(where),
      clock(runtime.clock),
      queue(runtime, with_handler(labels, options.name)) {
  exceptions = runtime.metrics.counter("tinf_handler_exceptions_total", "Exceptions that a handler threw.",
                                       with_handler(labels, options.name));
}

void SharedInformer::Subscriber::run(std::vector<Notification>& changes) {
  for (Notification& change : changes) {
    run(change);
    change = Notification::synced();
    --in_hand;
  }
}

void SharedInformer::Subscriber::run(const Notification& change) {
  const std::lock_guard lock(gate);
  if (!alive) return;
  std::string thrown;
  try {
    switch (change.type) {
      case Notification::Type::Added:
        if (handler.on_add) handler.on_add(change.now, change.initial);
        break;
      case Notification::Type::Updated:
      case Notification::Type::Resync:
        if (handler.on_update) handler.on_update(change.old, change.now);
        break;
      case Notification::Type::Deleted:
        if (handler.on_delete) handler.on_delete(change.old, change.final_state_unknown);
        break;
      case Notification::Type::Synced:
        if (handler.on_synced) handler.on_synced();
        break;
    }
    return;
  } catch (const std::exception& error) {
    thrown = error.what();
  } catch (...) {
    thrown = "not a std::exception";
  }
  exceptions->add();
  const TimePoint now = clock.now();
  if (failure_logged_at != TimePoint() && now - failure_logged_at < 1min) return;
  failure_logged_at = now;
  log.error("a handler threw an exception; it will be told the next change all the same",
            {{"handler", options.name}, {"message", thrown}});
}

void SharedInformer::Subscriber::silence() {
  alive = false;
  const std::lock_guard wait_for_what_runs(gate);
}

void SharedInformer::Subscriber::remove() {
  silence();
  queue.close();
}

SharedInformer::Registration& SharedInformer::Registration::operator=(Registration&& other) noexcept {
  if (this != &other) {
    reset();
    subscriber_ = std::move(other.subscriber_);
  }
  return *this;
}

void SharedInformer::Registration::reset() {
  if (const auto leaving = std::exchange(subscriber_, nullptr)) leaving->remove();
}

void SharedInformer::Registration::silence() {
  if (subscriber_) subscriber_->silence();
}

bool SharedInformer::Registration::synced() const {
  return subscriber_ && subscriber_->synced;
}

std::size_t SharedInformer::Registration::queued() const {
  return subscriber_ ? subscriber_->queue.depth() + subscriber_->in_hand : 0;
}

}  // namespace tinf
