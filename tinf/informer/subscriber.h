// Subscriber: one handler of a SharedInformer with its queue. Why the gate: a handler may run on another thread's
// executor while its registration is dropped, and afterwards nothing of it may run.
#pragma once

#include <atomic>
#include <mutex>

#include "tinf/informer/shared_informer.h"

namespace tinf {

// Shared by the informer, the task that delivers, and the Registration. The queue is confined to the informer's strand.
struct SharedInformer::Subscriber {
  Subscriber(Runtime& runtime, const Log& where, Handler functions, HandlerOptions chosen, const Labels& labels);

  // Runs for each of `changes`, in order, the one function that it is for, until the handler has gone. What it throws
  // ends here. Each is forgotten once it was told.
  void run(std::vector<Notification>& changes);

  // No function begins after this; waits for one that runs on another thread. From any thread.
  void silence();

  // The same, and nothing is kept for it any more; waits for one that runs on another thread.
  void remove();

  const Handler handler;
  const HandlerOptions options;
  const Log log;
  Clock& clock;

  std::atomic<bool> alive = true;
  std::recursive_mutex gate;      // Recursive: a handler may remove itself.
  TimePoint failure_logged_at{};  // Under the gate.

  EventQueue queue;
  std::atomic<std::size_t> in_hand = 0;  // Taken from the queue and not told yet.
  bool synced = false;
  TimePoint next_resync = TimePoint::max();
  std::shared_ptr<Counter> exceptions;

 private:
  void run(const Notification& change);
};

}  // namespace tinf
