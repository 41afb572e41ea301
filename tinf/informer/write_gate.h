// WriteGate: keeps a controller from reconciling a key before its cache shows the controller's own last write.
// A closed gate means "requeue", never "block": one late cache must not hold up workers.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "tinf/base/runtime.h"
#include "tinf/contract/store.h"

namespace tinf {

struct WriteGateOptions {
  WriteGateOptions() = default;

  // After that the gate opens all the same, counted: a write may have been undone by others and never show.
  Duration patience = std::chrono::minutes(1);
};

// Guarantees: open(key) is false until the store has reached the last write noted for the key, also when the object was
// deleted or replaced by another since. Holds as many entries as keys with writes that do not show yet. A controller
// that starts anew notes nothing, and needs nothing: its first list comes from after its last life's writes if it lists
// at the latest version. Needs decimal versions of objects; confined to one strand.
class WriteGate {
 public:
  WriteGate(Runtime& runtime, const StoreReader& store, WriteGateOptions options = WriteGateOptions());

  // The server answered a create, update or patch of `key` with this uid and version.
  void wrote(const ObjectKey& key, std::string uid, ResourceVersion version);
  // The server answered a delete; `version` may be empty if it did not say.
  void deleted(const ObjectKey& key, std::string uid, ResourceVersion version);

  // The informer has told of the end of this object (Handler::on_delete): for stores whose version cannot be compared.
  void saw_delete(const ObjectKey& key, std::string_view uid);

  // True if `key` may be reconciled now. Else requeue it, say with a rate limit.
  bool open(const ObjectKey& key);

  std::size_t pending() const { return pending_.size(); }

 private:
  struct Write {
    std::string uid;
    ResourceVersion version;
    bool gone = false;  // The write was a delete.
    TimePoint until{};
  };
  bool reached(const ObjectKey& key, const Write& write) const;
  void note(const ObjectKey& key, Write write);

  Runtime& runtime_;
  const StoreReader& store_;
  const WriteGateOptions options_;
  std::unordered_map<ObjectKey, Write, ObjectKeyHash> pending_;
  std::shared_ptr<Counter> given_up_;
};

}  // namespace tinf
