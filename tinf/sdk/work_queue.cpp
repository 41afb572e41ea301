#include "tinf/sdk/work_queue.h"

#include "tinf/informer/work_queue.h"
#include "tinf/sdk/inside/engine.h"

namespace tinf::sdk {

// The queue lives on the engine's loop. What does not have to answer is posted there, in the caller's order.
struct WorkQueue::State {
  State(std::string name, Log log) : engine(std::move(log)) {
    engine.call([&] {
      WorkQueueOptions options;
      options.name = std::move(name);
      queue = std::make_unique<ObjectWorkQueue>(engine.runtime(), std::move(options));
    });
  }
  ~State() {
    engine.call([this] { queue = nullptr; });
  }

  template <class F>
  void post(F act) {
    engine.post([this, act = std::move(act)] { act(*queue); });
  }

  std::unique_ptr<ObjectWorkQueue> queue;
  Engine engine;
};

WorkQueue::WorkQueue(std::string name, Log log) : state_(std::make_unique<State>(std::move(name), std::move(log))) {}

WorkQueue::~WorkQueue() = default;

void WorkQueue::add(const ObjectKey& key) {
  state_->post([key](ObjectWorkQueue& queue) { queue.add(key); });
}

void WorkQueue::add_initial(const ObjectKey& key) {
  state_->post([key](ObjectWorkQueue& queue) { queue.add(key, kInitialPriority); });
}

void WorkQueue::add_after(const ObjectKey& key, std::chrono::milliseconds wait) {
  state_->post([key, wait](ObjectWorkQueue& queue) { queue.add_after(key, wait); });
}

void WorkQueue::add_rate_limited(const ObjectKey& key) {
  state_->post([key](ObjectWorkQueue& queue) { queue.add_rate_limited(key); });
}

void WorkQueue::forget(const ObjectKey& key) {
  state_->post([key](ObjectWorkQueue& queue) { queue.forget(key); });
}

std::optional<ObjectKey> WorkQueue::get() {
  return state_->engine.run(state_->queue->get());
}

void WorkQueue::done(const ObjectKey& key) {
  state_->post([key](ObjectWorkQueue& queue) { queue.done(key); });
}

void WorkQueue::shut_down() {
  state_->post([](ObjectWorkQueue& queue) { queue.shut_down(); });
}

std::size_t WorkQueue::size() const {
  return state_->engine.call([this] { return state_->queue->size(); });
}

}  // namespace tinf::sdk
