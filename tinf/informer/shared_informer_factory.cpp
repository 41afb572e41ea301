// Why lives are ended by a task: the last holder may be a handler of the very informer, deep inside its own delivery.
#include "tinf/informer/shared_informer_factory.h"

#include <map>
#include <vector>

namespace tinf {

struct SharedInformerFactory::Life {
  Life(Runtime& runtime, const Scope& scope, InformerParts made, SharedInformerOptions options)
      : parts(std::move(made)),
        informer(runtime, scope, *parts.source, *parts.reader, *parts.writer, std::move(options)) {}
  InformerParts parts;
  SharedInformer informer;
};

struct SharedInformerFactory::State {
  State(Runtime& r, Make m, SharedInformerOptions d)
      : runtime(r), make(std::move(m)), defaults(std::move(d)), endings(r.executor) {}

  static Task<void> end(std::shared_ptr<Life> life) { co_await life->informer.stop(); }

  Runtime& runtime;
  const Make make;
  const SharedInformerOptions defaults;
  std::map<Scope, std::weak_ptr<SharedInformer>> lives;
  TaskGroup endings;
};

SharedInformerFactory::SharedInformerFactory(Runtime& runtime, Make make, SharedInformerOptions defaults)
    : state_(std::make_shared<State>(runtime, std::move(make), std::move(defaults))) {}

SharedInformerFactory::~SharedInformerFactory() = default;

std::shared_ptr<SharedInformer> SharedInformerFactory::get(const Scope& scope,
                                                           std::optional<SharedInformerOptions> options) {
  auto& known = state_->lives[scope];
  if (auto shared = known.lock(); shared && !shared->stopped()) return shared;
  auto life = std::make_shared<Life>(state_->runtime, scope, state_->make(scope),
                                     std::move(options).value_or(state_->defaults));
  auto* informer = &life->informer;
  std::shared_ptr<SharedInformer> shared(
      informer, [state = state_, life = std::move(life), scope](SharedInformer* leaving) mutable {
        leaving->request_stop();
        const auto at = state->lives.find(scope);
        if (at != state->lives.end() && at->second.expired()) state->lives.erase(at);
        state->endings.spawn(State::end(std::move(life)));
      });
  known = shared;
  informer->start();
  return shared;
}

Task<void> SharedInformerFactory::stop() {
  auto state = state_;
  std::vector<std::shared_ptr<SharedInformer>> held;
  for (const auto& [scope, life] : state->lives) {
    if (auto shared = life.lock()) held.push_back(std::move(shared));
  }
  for (const auto& informer : held) co_await informer->stop();
  held.clear();
  co_await state->endings.join();
}

std::size_t SharedInformerFactory::open() const {
  return state_->lives.size();
}

std::size_t SharedInformerFactory::closing() const {
  return state_->endings.running();
}

}  // namespace tinf
