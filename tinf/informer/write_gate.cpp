#include "tinf/informer/write_gate.h"

namespace tinf {

WriteGate::WriteGate(Runtime& runtime, const StoreReader& store, WriteGateOptions options)
    : runtime_(runtime),
      store_(store),
      options_(options),
      given_up_(runtime.metrics.counter("tinf_write_gate_given_up_total", "Writes that never showed in the cache.")) {}

void WriteGate::wrote(const ObjectKey& key, std::string uid, ResourceVersion version) {
  Write write;
  write.uid = std::move(uid);
  write.version = std::move(version);
  note(key, std::move(write));
}

void WriteGate::deleted(const ObjectKey& key, std::string uid, ResourceVersion version) {
  Write write;
  write.uid = std::move(uid);
  write.version = std::move(version);
  write.gone = true;
  note(key, std::move(write));
}

void WriteGate::note(const ObjectKey& key, Write write) {
  write.until = runtime_.clock.now() + options_.patience;
  const auto [at, fresh] = pending_.try_emplace(key, write);
  // Answers of two writers of one controller may cross: the later version counts.
  if (!fresh && !write.version.is_before(at->second.version)) at->second = std::move(write);
}

void WriteGate::saw_delete(const ObjectKey& key, std::string_view uid) {
  const auto write = pending_.find(key);
  if (write != pending_.end() && write->second.uid == uid) pending_.erase(write);
}

bool WriteGate::open(const ObjectKey& key) {
  const auto write = pending_.find(key);
  if (write == pending_.end()) return true;
  if (!reached(key, write->second)) {
    if (runtime_.clock.now() < write->second.until) return false;
    given_up_->add();
  }
  pending_.erase(write);
  return true;
}

bool WriteGate::reached(const ObjectKey& key, const Write& write) const {
  const auto at_least = [&](const ResourceVersion& version) {
    return !write.version.empty() && (version == write.version || write.version.is_before(version));
  };
  // Created and deleted between two looks, no object tells of it; the store's own version does, moved by bookmarks at
  // the latest.
  if (at_least(store_.version())) return true;
  const auto held = store_.get(key);
  if (!held) return false;
  if (!*held) return write.gone;
  const bool same = (*held)->uid() == write.uid;
  if (write.gone && !same) return true;  // Its successor shows, so its own end has.
  return at_least(ResourceVersion(std::string((*held)->resource_version()))) && (same || !write.gone);
}

}  // namespace tinf
