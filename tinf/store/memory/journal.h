// Journal: what a memory store says of each change of it, and the stores that keep one: what a history is made of.
#pragma once

#include <string_view>
#include <vector>

#include "tinf/contract/store.h"
#include "tinf/contract/versioned_store.h"

namespace tinf {

// Called by a store's writer, as it writes: the store does not hold the change yet, and will when the write is over.
class Journal {
 public:
  virtual ~Journal() = default;

  // One state; `version` is what this journal gave it.
  struct State {
    ObjectPtr object;  // Null: there is none.
    StoreVersion version = 0;

    State() = default;
    State(ObjectPtr o, StoreVersion v) : object(std::move(o)), version(v) {}
  };

  // Of several states of a key that one write brings, the last alone is told. `after` is null where an object leaves.
  // Returns the version of the new state.
  virtual StoreVersion note(State before, ObjectPtr after) = 0;
};

// A store whose changes are told to a journal, and whose objects have the versions that it gave them.
class JournaledStore : public Store {
 public:
  // From now on; before the first write. It outlives the store's writes.
  virtual void tell(Journal& journal) = 0;

  // Confined to the writer's strand. An object of null: there is none.
  virtual Journal::State state(const ObjectKey& key) const = 0;
  // The first `limit` whose keys come behind `after`, in key order; of one namespace if it is not empty.
  virtual std::vector<Journal::State> states(const ObjectKey& after, std::string_view namespace_name,
                                             std::size_t limit) const = 0;
};

}  // namespace tinf
