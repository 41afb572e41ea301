#include "tinf/sdk/controller.h"

#include <thread>

#include "tinf/base/first_of.h"
#include "tinf/informer/work_queue.h"
#include "tinf/informer/write_gate.h"
#include "tinf/sdk/inside/informer_state.h"

namespace tinf::sdk {

namespace {

// How soon a key is looked at again whose copy does not show our write yet.
constexpr Duration kGateLook = std::chrono::milliseconds(20);

// Nothing: `stopping` came first.
Task<std::optional<Result<void>>> unless(std::shared_ptr<Signal> stopping, Task<Result<void>> synced) {
  auto first = co_await first_of(std::move(synced), stopping->wait());
  if (auto* result = std::get_if<0>(&first)) co_return std::move(*result);
  co_return std::nullopt;
}

}  // namespace

// Queue and gate live on the primary's loop; whatever may come from a handler is posted there and not waited for.
struct Controller::State {
  State(Informer primary_informer, Reconcile reconcile_function, ControllerOptions controller_options)
      : primary(std::move(primary_informer)),
        reconcile(std::move(reconcile_function)),
        options(std::move(controller_options)),
        engine(primary.state_->core->engine()) {
    engine.call([this] {
      WorkQueueOptions named;
      named.name = options.name;
      queue = std::make_shared<ObjectWorkQueue>(engine.runtime(), named);
      gate = std::make_shared<WriteGate>(engine.runtime(), *primary.state_->store);
    });
    watched.push_back(primary);
  }

  ~State() {
    registrations.clear();  // No handler adds any more.
    engine.call([this] {
      queue = nullptr;
      gate = nullptr;
    });
  }

  void add(const ObjectKey& key, bool initial) {
    engine.post([queue = queue, key, initial] { queue->add(key, initial ? kInitialPriority : 0); });
  }

  // Until the queue is shut down and empty.
  void work() {
    while (const auto key = engine.run(queue->get())) {
      const bool open = engine.call([&] { return gate->open(*key); });
      if (!open) {
        engine.call([&] {
          queue->add_after(*key, kGateLook);
          queue->done(*key);
        });
        continue;
      }
      Result<Outcome> outcome = attempt(*key);
      engine.call([&] {
        if (!outcome) {
          options.log.warning(options.name + ": " + key->to_string() + ": " + outcome.error().message);
          queue->add_rate_limited(*key);
        } else {
          queue->forget(*key);
          if (outcome->again_after.count() > 0) queue->add_after(*key, outcome->again_after);
        }
        queue->done(*key);
      });
    }
  }

  Result<Outcome> attempt(const ObjectKey& key) {
    try {
      return reconcile(key);
    } catch (const std::exception& error) {
      return Error(Code::Internal, std::string("the reconcile threw: ") + error.what());
    } catch (...) {
      return Error(Code::Internal, "the reconcile threw something that is not a std::exception");
    }
  }

  Informer primary;
  const Reconcile reconcile;
  const ControllerOptions options;
  Engine& engine;
  std::shared_ptr<ObjectWorkQueue> queue;
  std::shared_ptr<WriteGate> gate;
  std::vector<Informer> watched;
  std::vector<Registration> registrations;
};

Controller::Controller(Informer primary, Reconcile reconcile, ControllerOptions options)
    : state_(std::make_unique<State>(std::move(primary), std::move(reconcile), std::move(options))) {}

Controller::~Controller() = default;

Result<void> Controller::watch(Informer other, Map map) {
  State* const self = state_.get();
  const auto each = [self, map = std::move(map)](const ObjectPtr& object, bool initial) {
    for (const ObjectKey& key : map(*object)) self->add(key, initial);
  };
  Handlers handlers;
  handlers.on_add = each;
  handlers.on_update = [each](const ObjectPtr& old, const ObjectPtr& now) {
    each(old, false);
    each(now, false);
  };
  handlers.on_delete = [each](const ObjectPtr& last, bool) { each(last, false); };
  auto registration = other.add(std::move(handlers));
  if (!registration) return registration.error();
  state_->registrations.push_back(std::move(*registration));
  state_->watched.push_back(std::move(other));
  return Result<void>();
}

void Controller::add(const ObjectKey& key) {
  state_->add(key, false);
}

void Controller::wrote(const ObjectPtr& answer) {
  state_->engine.call([&] {
    state_->gate->wrote(answer->key(), std::string(answer->uid()),
                        ResourceVersion(std::string(answer->resource_version())));
  });
}

void Controller::deleted(const ObjectPtr& last) {
  state_->engine.call([&] { state_->gate->deleted(last->key(), std::string(last->uid()), ResourceVersion()); });
}

Result<void> Controller::run(std::stop_token stop) {
  State& state = *state_;
  for (Informer& informer : state.watched) {
    Engine& engine = informer.state_->core->engine();
    const auto stopping = std::make_shared<Signal>();
    std::stop_callback wake(stop, [&] { engine.post([stopping] { stopping->notify(); }); });
    const TimePoint deadline = engine.runtime().clock.now() + state.options.sync_patience;
    const auto synced = engine.run(unless(stopping, informer.state_->wait_synced(deadline)));
    if (!synced) return Result<void>();
    if (!*synced) return *synced;
  }
  Handlers own;
  own.on_add = [&state](const ObjectPtr& object, bool initial) { state.add(object->key(), initial); };
  own.on_update = [&state](const ObjectPtr&, const ObjectPtr& now) { state.add(now->key(), false); };
  own.on_delete = [&state](const ObjectPtr& last, bool) {
    state.engine.post([gate = state.gate, queue = state.queue, last] {
      gate->saw_delete(last->key(), last->uid());
      queue->add(last->key());
    });
  };
  if (stop.stop_requested()) return Result<void>();
  auto registration = state.primary.add(std::move(own));
  if (!registration) return registration.error();

  std::stop_callback shut_down(stop, [&state] { state.engine.post([queue = state.queue] { queue->shut_down(); }); });
  std::vector<std::thread> workers;
  for (int i = 0; i < state.options.workers; ++i) workers.emplace_back([&state] { state.work(); });
  for (std::thread& worker : workers) worker.join();
  return Result<void>();
}

}  // namespace tinf::sdk
