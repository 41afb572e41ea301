// Controller: a work queue of keys, workers that reconcile them, and a write gate that keeps a worker from acting on a
// copy older than its own last write.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "tinf/base/log.h"
#include "tinf/base/result.h"
#include "tinf/sdk/informer.h"

namespace tinf::sdk {

// What a reconcile came to, beside an error.
struct Outcome {
  static Outcome done() { return Outcome(); }
  static Outcome requeue_after(std::chrono::milliseconds wait) {
    Outcome outcome;
    outcome.again_after = wait;
    return outcome;
  }
  std::chrono::milliseconds again_after{0};  // Zero: not before something changes.
};

struct ControllerOptions {
  std::string name = "controller";  // In logs.
  int workers = 1;
  std::chrono::milliseconds sync_patience = std::chrono::minutes(1);  // For the first full sets.
  Log log = Log();
};

// A key is reconciled by one worker at a time, once more if it was added meanwhile, and never forgotten: an error is
// retried after 5 ms doubling to 1000 s. Items that were there at the start stand behind what changes, but are never
// starved. Thread-safe, but for run() and its own construction and destruction. Must not outlive its informers'
// clusters' threads: it holds the informers that it watches.
class Controller {
 public:
  using Reconcile = std::function<Result<Outcome>(const ObjectKey& key)>;
  using Map = std::function<std::vector<ObjectKey>(const Object& object)>;

  // `primary`: the objects whose keys are reconciled, and whose copy the write gate looks at.
  Controller(Informer primary, Reconcile reconcile, ControllerOptions options = ControllerOptions());
  ~Controller();  // run() has returned.

  // Changes of other objects reconcile the keys that `map` names, such as their owners'.
  Result<void> watch(Informer other, Map map);

  void add(const ObjectKey& key);

  // After a write of `primary`'s resource: what the server answered. The key waits until the copy shows it.
  void wrote(const ObjectPtr& answer);
  // After a delete of what the copy held.
  void deleted(const ObjectPtr& last);

  // Waits for the first full sets, then works until `stop` is requested; what is ready then is still reconciled, but
  // for keys whose copy does not show their last write yet: they, and what waits for its time, are left. Asked to stop
  // while it waits, it returns at once. Errors: those of Informer::wait_synced.
  Result<void> run(std::stop_token stop);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tinf::sdk
