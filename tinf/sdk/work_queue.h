// WorkQueue: the keys that somebody still has to look at, for programs that run workers of their own; a Controller has
// one inside.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "tinf/base/log.h"
#include "tinf/object/object.h"

namespace tinf::sdk {

// client-go's rules: doubles collapse; a key is handed to one worker at a time, and once more if it was added
// meanwhile; of two waits the shorter wins; the first add is never rate limited. Owns a thread. Thread-safe; only get()
// waits.
class WorkQueue {
 public:
  explicit WorkQueue(std::string name = "queue", Log log = Log());
  ~WorkQueue();  // Every get() has returned.

  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // Ignored after shut_down(), as are the next three.
  void add(const ObjectKey& key);
  // For what was there at the start: behind what changes meanwhile, but never starved.
  void add_initial(const ObjectKey& key);
  void add_after(const ObjectKey& key, std::chrono::milliseconds wait);
  // For what failed: after 5 ms, doubling up to 1000 s until forget(); of all keys together 10 a second after 100.
  void add_rate_limited(const ObjectKey& key);
  void forget(const ObjectKey& key);

  // Waits for a key; done() must follow, whatever came of it. Nothing: the queue was shut down and is empty.
  std::optional<ObjectKey> get();
  void done(const ObjectKey& key);

  // What is ready is still handed out, what waits for its time is dropped.
  void shut_down();

  std::size_t size() const;  // Ready now.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tinf::sdk
