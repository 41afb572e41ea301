// Indexer: which objects have a value, for any number of named functions from an object to its values.
// Kept in step with a store by the informer that owns both.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/object/object.h"

namespace tinf {

// The values of one object; none, one or several. Must give the same for the same bytes.
// An object that it throws for has none, which failures() counts. It must not call the informer that it indexes.
using IndexFunction = std::function<std::vector<std::string>(const Object&)>;

// Thread-safe to query; changed by one strand. A query sees all indexes as of one moment.
class Indexer {
 public:
  struct Term {
    std::string index;
    std::string value;
  };
  struct Change {
    ObjectPtr old;  // Null: it is new.
    ObjectPtr now;  // Null: it has gone.
  };

  // AlreadyExists: another function has this name. `present` is what the store holds now.
  Result<void> add(std::string name, IndexFunction function, const std::vector<ObjectPtr>& present);
  bool has(std::string_view name) const;

  // All changes as one step.
  void apply(const std::vector<Change>& changes);

  // Objects that index functions threw for; on the strand.
  std::uint64_t failures() const { return failures_; }

  // Objects in key order that satisfy every term. NotFound: there is no such index; the message lists those there are.
  Result<std::vector<ObjectPtr>> find(const std::vector<Term>& terms) const;
  Result<std::vector<ObjectPtr>> find(std::string index, std::string value) const;

  // Values that some object has now: an index keeps no empty sets. NotFound as above.
  Result<std::vector<std::string>> values(std::string_view index) const;

 private:
  struct ByKey {
    bool operator()(const ObjectPtr& a, const ObjectPtr& b) const {
      return std::pair(a->namespace_name(), a->name()) < std::pair(b->namespace_name(), b->name());
    }
  };
  using Members = std::set<ObjectPtr, ByKey>;
  struct Index {
    IndexFunction function;
    std::map<std::string, Members, std::less<>> sets;
  };

  void put(Index& index, const ObjectPtr& object);
  static void drop(Index& index, const ObjectPtr& object);
  Error unknown(std::string_view name) const;

  mutable std::shared_mutex mutex_;
  std::map<std::string, Index, std::less<>> indexes_;
  std::uint64_t failures_ = 0;
};

}  // namespace tinf
