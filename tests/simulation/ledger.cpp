#include "tests/simulation/ledger.h"

#include <set>

namespace tinf::simulation {

using namespace std::chrono_literals;

Task<Result<void>> Ledger::replace(Snapshot all) {
  if (auto refused = co_await refusal()) co_return *refused;
  auto held = shelf_.store->list();
  std::set<ObjectKey> gone;
  for (const ObjectPtr& object : *held) gone.insert(object->key());
  for (const ObjectPtr& object : all.objects) gone.erase(object->key());
  for (const ObjectKey& key : gone) check(key, nullptr);
  for (const ObjectPtr& object : all.objects) check(object->key(), object.get());
  co_return co_await shelf_.store->replace(std::move(all));
}

Task<Result<void>> Ledger::apply(EventBatch changes) {
  if (auto refused = co_await refusal()) co_return *refused;
  for (const WatchEvent& event : changes.events)
    check(event.key, event.type == EventType::Deleted ? nullptr : event.object.get());
  if (drops_ && !changes.events.empty() && random_.chance(kFaulty)) changes.events.pop_back();
  co_return co_await shelf_.store->apply(std::move(changes));
}

void Ledger::check(const ObjectKey& key, const Object* object) {
  if (!truth_.leads_to(key, object, shelf_.shown))
    violation_("the store was given a state of " + key.to_string() + " from before the one that it had");
}

Task<std::optional<Error>> Ledger::refusal() {
  if (shelf_.takes > Duration()) {
    const Duration takes = random_.between(0s, shelf_.takes);
    co_await clock_.sleep_for(takes);
  }
  if (clock_.now() < shelf_.refuses_until) co_return Error(Code::Unavailable, "no space left on device");
  co_return std::nullopt;
}

}  // namespace tinf::simulation
