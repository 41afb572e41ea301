// merge() is the whole coalescing table: what is queued for a key, met by what comes next.
#include "tinf/informer/event_queue.h"

#include <algorithm>

namespace tinf {

using Type = Notification::Type;

Notification Notification::added(ObjectPtr now, bool initial) {
  Notification made(Type::Added, nullptr, std::move(now));
  made.initial = initial;
  return made;
}

Notification Notification::updated(ObjectPtr old, ObjectPtr now) {
  return Notification(Type::Updated, std::move(old), std::move(now));
}

Notification Notification::deleted(ObjectPtr last, bool final_state_unknown) {
  Notification made(Type::Deleted, std::move(last), nullptr);
  made.final_state_unknown = final_state_unknown;
  return made;
}

Notification Notification::resync(ObjectPtr now) {
  return Notification(Type::Resync, now, now);
}

Notification Notification::synced() {
  return Notification(Type::Synced, nullptr, nullptr);
}

EventQueue::EventQueue(Runtime& runtime, Labels labels) : runtime_(runtime) {
  depth_gauge_ = runtime_.metrics.gauge("tinf_handler_queue_depth", "Notifications that wait for a handler.", labels);
  lag_gauge_ =
      runtime_.metrics.gauge("tinf_handler_queue_lag_seconds", "Age of the oldest notification that waits.", labels);
}

void EventQueue::push(Notification change) {
  if (closed_) return;
  if (change.type == Type::Synced) {
    append(std::move(change));
  } else {
    const auto at = by_key_.try_emplace(change.key()).first;
    merge(at->second, std::move(change));
    if (!at->second.gone && !at->second.state) by_key_.erase(at);
  }
  measure();
  if (!slots_.empty()) ready_.notify();
}

EventQueue::Slots::iterator EventQueue::append(Notification change) {
  return slots_.emplace(slots_.end(), std::move(change), runtime_.clock.now());
}

void EventQueue::merge(Places& places, Notification change) {
  switch (change.type) {
    case Type::Resync:
      // A key that has news waiting is shown by them.
      if (!places.gone && !places.state) places.state = append(std::move(change));
      return;
    case Type::Added:
    case Type::Updated:
      if (places.state) {
        Notification& told = (*places.state)->notification;
        if (told.type == Type::Resync) told.type = Type::Updated;
        told.now = std::move(change.now);
      } else {
        if (places.gone && change.type == Type::Updated) change = Notification::added(std::move(change.now), false);
        places.state = append(std::move(change));
      }
      return;
    case Type::Deleted:
      if (!places.state) {
        if (!places.gone) places.gone = append(std::move(change));
      } else if ((*places.state)->notification.type == Type::Added) {
        // Never told, so nothing to take back; a delete before it stays.
        slots_.erase(*std::exchange(places.state, std::nullopt));
      } else {
        (*places.state)->notification = std::move(change);
        places.gone = std::exchange(places.state, std::nullopt);
      }
      return;
    case Type::Synced:
      return;
  }
}

Task<std::vector<Notification>> EventQueue::pop(std::size_t most) {
  while (slots_.empty() && !closed_) co_await ready_.wait();
  std::vector<Notification> taken;
  if (closed_) co_return taken;
  if (slots_.front().notification.type == Type::Synced) {
    taken.push_back(take_front());
  } else {
    taken.reserve(std::min(most, slots_.size()));
    while (taken.size() < most && !slots_.empty() && slots_.front().notification.type != Type::Synced)
      taken.push_back(take_front());
  }
  // Buckets of a burst long past are given back.
  if (by_key_.empty() && by_key_.bucket_count() > 1024) by_key_ = {};
  measure();
  co_return taken;
}

Notification EventQueue::take_front() {
  const auto front = slots_.begin();
  Notification next = std::move(front->notification);
  if (next.type != Type::Synced) {
    const auto at = by_key_.find(next.key());
    (at->second.gone == front ? at->second.gone : at->second.state).reset();
    if (!at->second.gone && !at->second.state) by_key_.erase(at);
  }
  slots_.erase(front);
  return next;
}

void EventQueue::close() {
  closed_ = true;
  slots_.clear();
  by_key_ = {};
  measure();
  ready_.notify();
}

Duration EventQueue::lag() const {
  return slots_.empty() ? Duration() : runtime_.clock.now() - slots_.front().since;
}

void EventQueue::measure() {
  depth_gauge_->set(static_cast<double>(depth()));
  lag_gauge_->set(std::chrono::duration<double>(lag()).count());
}

}  // namespace tinf
