// SharedInformerFactory: informers by scope, each shared by all who ask for it and gone with the last of them.
#pragma once

#include <functional>
#include <memory>

#include "tinf/informer/shared_informer.h"

namespace tinf {

// What an informer of one scope stands on.
struct InformerParts {
  std::unique_ptr<ListerWatcher> source;
  std::shared_ptr<void> store;  // Owns the two halves.
  StoreReader* reader = nullptr;
  StoreWriter* writer = nullptr;
};

// Guarantees: two holders of one scope share one informer; when the last lets go, the stream is closed and the store
// freed; whoever asks afterwards starts a new life, with new parts. Confined to the runtime's executor.
class SharedInformerFactory {
 public:
  using Make = std::function<InformerParts(const Scope&)>;

  // `defaults` are for scopes asked for without options.
  SharedInformerFactory(Runtime& runtime, Make make, SharedInformerOptions defaults = SharedInformerOptions());
  ~SharedInformerFactory();  // stop() has ended before.

  // The informer of `scope`, started. The first holder's options stand until the last is gone.
  std::shared_ptr<SharedInformer> get(const Scope& scope, std::optional<SharedInformerOptions> options = std::nullopt);

  // Stops every informer, also those still held, and returns when none runs; handles may be dropped later.
  Task<void> stop();

  std::size_t open() const;     // Scopes that somebody holds.
  std::size_t closing() const;  // Informers let go of whose last tasks still run.

 private:
  struct Life;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tinf
