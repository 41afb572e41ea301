// merge() is the whole coalescing table: what is queued for a key, met by what comes next.
#include "tinf/informer/event_queue.h"

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
  const TimePoint now = runtime_.clock.now();
  if (change.type == Type::Synced) {
    slots_.emplace_back(now).first = std::move(change);
    ++depth_;
  } else {
    auto key = change.key();
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) {
      slots_.emplace_back(now).first = std::move(change);
      by_key_.emplace(std::move(key), std::prev(slots_.end()));
      ++depth_;
    } else {
      Slot& slot = *found->second;
      depth_ -= slot.second ? 2 : 1;
      merge(slot, std::move(change));
      depth_ += (slot.first ? 1 : 0) + (slot.second ? 1 : 0);
      if (!slot.first) {
        slots_.erase(found->second);
        by_key_.erase(found);
      }
    }
  }
  measure();
  if (!slots_.empty()) ready_.notify();
}

void EventQueue::merge(Slot& slot, Notification change) {
  std::optional<Notification>& last = slot.second ? slot.second : slot.first;
  const bool gone = last->type == Type::Deleted;
  switch (change.type) {
    case Type::Resync:
      return;  // The key has news waiting: showing it again would add nothing.
    case Type::Added:
      if (gone) {
        slot.second = std::move(change);
      } else {
        last->now = std::move(change.now);
      }
      return;
    case Type::Updated:
      if (gone) {
        slot.second = Notification::added(std::move(change.now), false);
      } else {
        if (last->type == Type::Resync) last->type = Type::Updated;
        last->now = std::move(change.now);
      }
      return;
    case Type::Deleted:
      if (gone) return;
      if (last->type == Type::Added) {
        last.reset();  // Never told, so nothing to take back; a delete before it stays.
      } else {
        last = std::move(change);
      }
      return;
    case Type::Synced:
      return;
  }
}

Task<std::optional<Notification>> EventQueue::pop() {
  while (slots_.empty() && !closed_) co_await ready_.wait();
  if (closed_) co_return std::nullopt;
  Slot& slot = slots_.front();
  std::optional<Notification> next = std::move(slot.first);
  slot.first = std::move(slot.second);
  slot.second.reset();
  if (!slot.first) {
    if (next->type != Type::Synced) by_key_.erase(next->key());
    slots_.pop_front();
    // Buckets of a burst long past are given back.
    if (by_key_.empty() && by_key_.bucket_count() > 1024) by_key_ = {};
  }
  --depth_;
  measure();
  co_return next;
}

void EventQueue::close() {
  closed_ = true;
  slots_.clear();
  by_key_ = {};
  depth_ = 0;
  measure();
  ready_.notify();
}

Duration EventQueue::lag() const {
  return slots_.empty() ? Duration() : runtime_.clock.now() - slots_.front().since;
}

void EventQueue::measure() {
  depth_gauge_->set(static_cast<double>(depth_));
  lag_gauge_->set(std::chrono::duration<double>(lag()).count());
}

}  // namespace tinf
