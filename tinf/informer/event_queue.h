// EventQueue: what one handler has still to be told, at most a delete and an add per key.
// Why it coalesces: a handler that blocks for an hour must cost memory by the object, not by the event.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/object/object.h"

namespace tinf {

struct Notification {
  enum class Type {
    Added,
    Updated,
    Deleted,
    Resync,  // Nothing changed; the handler asked to be shown everything now and then. old == now.
    Synced,  // No object: all that was there when the handler came has been delivered.
  };

  Type type = Type::Added;
  ObjectPtr old;                     // Of Updated: the state last told. Of Deleted: the last state.
  ObjectPtr now;                     // Of Added, Updated and Resync.
  bool initial = false;              // Of Added: it was there before the handler, or before the first list ended.
  bool final_state_unknown = false;  // Of Deleted: learnt from a list or by name alone; `old` may be stale.

  Notification(Type t, ObjectPtr before, ObjectPtr after) : type(t), old(std::move(before)), now(std::move(after)) {}

  static Notification added(ObjectPtr now, bool initial);
  static Notification updated(ObjectPtr old, ObjectPtr now);
  static Notification deleted(ObjectPtr last, bool final_state_unknown);
  static Notification resync(ObjectPtr now);
  static Notification synced();

  // Of any type but Synced.
  ObjectKey key() const { return (now ? now : old)->key(); }
};

// Guarantees, per key: the consumer's view follows the store's, states may be skipped, and a delete followed by a
// create is told as both. An object that came and went before it was told is not told at all. Between keys the order is
// that of their first untold change. Holds at most two notifications a key. One consumer; confined to one strand.
class EventQueue {
 public:
  // `labels` name the handler in the metrics tinf_handler_queue_depth and tinf_handler_queue_lag_seconds.
  EventQueue(Runtime& runtime, Labels labels);

  // Ignored when closed.
  void push(Notification change);

  // Waits for news and takes up to `most` of it, in order; nothing once closed. Synced comes alone: whoever takes it
  // has told all that stood before it. What was taken does not coalesce any more.
  Task<std::vector<Notification>> pop(std::size_t most);

  // Forgets what is queued and wakes the consumer.
  void close();
  bool closed() const { return closed_; }

  std::size_t depth() const { return slots_.size(); }
  // How long the oldest untold change has been waiting.
  Duration lag() const;
  // Sets the metrics: an age grows without events, so whoever shows them asks for this first.
  void measure();

 private:
  struct Slot {
    Slot(Notification n, TimePoint when) : notification(std::move(n)), since(when) {}
    Notification notification;
    TimePoint since;
  };
  using Slots = std::list<Slot>;
  // Where a key's notifications stand. An add behind a delete stands at its own place, so that all deletes
  // of one list stay before its adds.
  struct Places {
    std::optional<Slots::iterator> gone;
    std::optional<Slots::iterator> state;
  };

  void merge(Places& places, Notification change);
  Slots::iterator append(Notification change);
  Notification take_front();

  Runtime& runtime_;
  Slots slots_;
  std::unordered_map<ObjectKey, Places, ObjectKeyHash> by_key_;
  bool closed_ = false;
  Signal ready_;
  std::shared_ptr<Gauge> depth_gauge_, lag_gauge_;
};

}  // namespace tinf
