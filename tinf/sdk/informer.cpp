#include "tinf/sdk/informer.h"

#include "tinf/base/first_of.h"
#include "tinf/object/selector.h"
#include "tinf/sdk/inside/informer_state.h"
#include "tinf/wiring/stores.h"

namespace tinf::sdk {

struct Registration::State {
  std::shared_ptr<ClusterCore> core;  // It keeps no copy alive, but the thread that it must be ended on.
  SharedInformer::Registration registration;
};

Registration::Registration() = default;
Registration::Registration(std::unique_ptr<State> state) : state_(std::move(state)) {}
Registration::Registration(Registration&&) noexcept = default;

Registration& Registration::operator=(Registration&& other) noexcept {
  Registration old(std::move(*this));
  state_ = std::move(other.state_);
  return *this;
}

Registration::~Registration() {
  if (state_ == nullptr) return;
  Engine& engine = state_->core->engine();
  // Waited for here and not on the loop, which a running handler may be about to ask something.
  state_->registration.silence();
  if (engine.on_handler_thread()) {
    // From inside a handler, which cannot wait for its own end: once it has returned.
    std::shared_ptr<State> leaving = std::move(state_);
    asio::post(engine.handlers(), [leaving, &engine] { engine.post([leaving] { leaving->registration.reset(); }); });
    return;
  }
  engine.call([this] { state_->registration.reset(); });
}

Task<Result<void>> Informer::State::wait_synced(TimePoint deadline) {
  auto synced = co_await informer->wait_synced(deadline);
  // The source's own last words may be older than the end of all sources, and name something else.
  if (auto end = core->ended(); !synced && end) co_return std::move(*end);
  co_return synced;
}

void Informer::State::end(State* state) {
  // The engine may be the core's last use, so the core outlives this call.
  const std::shared_ptr<ClusterCore> core = state->core;
  core->engine().run([](State& ending) -> Task<void> {
    co_await ending.informer->stop();
    ending.informer = nullptr;
    ending.source = nullptr;
  }(*state));
  delete state;
}

Result<Informer> Informer::open(const Cluster& cluster, const Query& query, std::chrono::milliseconds patience) {
  InformerOptions options;
  options.patience = patience;
  return open(cluster, query, std::move(options));
}

Result<Informer> Informer::open(const Cluster& cluster, const Query& query, InformerOptions options) {
  auto stores = wiring::Stores::of(options.store);
  if (!stores) return stores.error();
  Scope scope;
  if (!query.label_selector.empty()) {
    auto selector = LabelSelector::parse(query.label_selector);
    if (!selector) return selector.error();
    scope.label_selector = selector->canonical();
  }
  if (!query.field_selector.empty()) {
    auto selector = FieldSelector::parse(query.field_selector);
    if (!selector) return selector.error();
    scope.field_selector = selector->canonical();
  }
  scope.namespace_name = query.namespace_name;
  scope.projection = query.metadata_only ? Projection::Metadata : Projection::Full;

  const auto& core = cluster.core_;
  Engine& engine = core->engine();
  auto offered = engine.run(core->offered(engine.runtime().clock.now() + options.patience));
  if (!offered) return offered.error();
  auto found = find_resource(*offered, query.resource);
  if (!found) return found.error();
  if (!found->namespaced && !query.namespace_name.empty()) {
    return Error(Code::Invalid, found->resource.group_resource() + " have no namespaces: ask for them without one");
  }
  scope.resource = found->resource;
  std::shared_ptr<State> state;
  const bool fits = engine.call([&] {
    std::erase_if(core->informers, [](const auto& known) { return known.second.expired(); });
    const auto known = core->informers.find(scope);
    // Not let go of here if it is the last handle: it would wait for this thread.
    if (known != core->informers.end()) state = known->second.lock();
    if (state) return !state->transforms && !options.transform;
    SharedInformerOptions how;
    how.transform = std::move(options.transform);
    if (options.begin_with_latest) how.reflector.first_version = "";
    auto& kept = core->stores.try_emplace(options.store, std::move(*stores)).first->second;
    state.reset(new State(core, scope, kept.open(scope.resource), std::move(how)), &State::end);
    if (core->one_source_a_scope()) core->informers[scope] = state;
    state->informer->start();
    return true;
  });
  if (!fits) {
    return Error(Code::AlreadyExists,
                 scope.resource.group_resource() +
                     " are followed by another informer of this cluster and query, and one of the two has a "
                     "transform: share its copy, or open another cluster with a client id of its own");
  }
  return Informer(std::move(state));
}

Result<Registration> Informer::add(Handlers handlers, std::chrono::milliseconds resync) {
  Engine& engine = state_->core->engine();
  return engine.call([&]() -> Result<Registration> {
    Handler handler;
    handler.on_add = std::move(handlers.on_add);
    handler.on_update = std::move(handlers.on_update);
    handler.on_delete = std::move(handlers.on_delete);
    handler.on_synced = std::move(handlers.on_synced);
    HandlerOptions how;
    how.resync = resync;
    how.executor = engine.handlers();
    auto added = state_->informer->add(std::move(handler), how);
    if (!added) return added.error();
    auto state = std::make_unique<Registration::State>();
    state->core = state_->core;
    state->registration = std::move(*added);
    return Registration(std::move(state));
  });
}

Result<void> Informer::wait_synced(std::chrono::milliseconds patience) {
  Engine& engine = state_->core->engine();
  return engine.run(state_->wait_synced(engine.runtime().clock.now() + patience));
}

bool Informer::synced() const {
  return state_->core->engine().call([this] { return state_->informer->synced(); });
}

bool Informer::live() const {
  return state_->core->engine().call(
      [this] { return state_->informer->live() && state_->core->following(state_->informer->scope()); });
}

Result<void> Informer::wait_until(const ObjectPtr& answer, std::chrono::milliseconds patience) {
  Engine& engine = state_->core->engine();
  return engine.run(state_->informer->wait_until(answer, engine.runtime().clock.now() + patience));
}

Result<std::vector<ObjectKey>> Informer::verify(std::chrono::milliseconds patience) {
  Engine& engine = state_->core->engine();
  Clock& clock = engine.runtime().clock;
  auto answered = engine.run(within(clock, clock.now() + patience, state_->informer->verify()));
  if (!answered) return Error(Code::Timeout, "the source has not listed its set in time to compare it with the copy");
  auto& verification = *answered;
  if (!verification) return verification.error();
  std::vector<ObjectKey> keys = std::move(verification->missing);
  keys.insert(keys.end(), verification->extra.begin(), verification->extra.end());
  keys.insert(keys.end(), verification->different.begin(), verification->different.end());
  return keys;
}

// A store in memory does not fail to read.
ObjectPtr Informer::get(const ObjectKey& key) const {
  return state_->store->get(key).value();
}

std::vector<ObjectPtr> Informer::list(std::string_view namespace_name) const {
  return state_->store->list(namespace_name).value();
}

Result<std::vector<ObjectPtr>> Informer::list_matching(const std::string& label_selector,
                                                       std::string_view namespace_name) const {
  auto selector = LabelSelector::parse(label_selector);
  if (!selector) return selector.error();
  return state_->informer->lister().list(*selector, namespace_name);
}

std::size_t Informer::size() const {
  return state_->store->size();
}

Result<void> Informer::add_index(std::string name, IndexFunction function) {
  return state_->core->engine().call([&] { return state_->informer->add_index(std::move(name), std::move(function)); });
}

Result<std::vector<ObjectPtr>> Informer::by_index(std::string index, std::string value) const {
  return state_->informer->lister().by_index(std::move(index), std::move(value));
}

}  // namespace tinf::sdk
