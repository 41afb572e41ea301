// The table from what users call a store to the stores there are.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/contract/fleet_store.h"

namespace tinf {
class ObjectPacker;
}

namespace tinf::wiring {

// "memory:" holds objects as they came; "memory:?compress=true" holds them compressed, and takes longer to read and
// write them. "sqlite:///var/lib/fleet.db" (or "sqlite:fleet.db", in the working folder) is a file, which outlives the
// process; behind it "?changes=100000" says how many changes its log retains, "?format=zstd" (or "json") how new
// objects stand in it. "postgresql://user@host/database", or any URI that libpq takes, is a database that several
// processes share; "changes", "format" and "schema" are ours among its parameters.
inline constexpr const char* kDefaultStore = "memory:";

// Invalid: not the name of a store that there is; the message lists those.
Result<void> check_store(const std::string& name);

// The same store, with objects in this format. Invalid: it has none, or not this one.
Result<std::string> store_in_format(const std::string& name, const std::string& format);

// A store that keeps a history. Null if `name` is that of a store in memory and nobody is going to read the history:
// Stores makes those, at a lower price. Errors: Invalid, as check_store(), and what the store itself says when it is
// opened.
Result<std::unique_ptr<FleetStore>> open_fleet_store(Runtime& runtime, const std::string& name, bool with_history);

// Whether a password stands in it: no message repeats it, and no command line should hold it.
bool holds_password(const std::string& name);

// Whether other processes write into it meanwhile, so that one that only reads has something to read.
bool is_shared_store(const std::string& name);

// The reading half of a shared store, for a process that writes nothing and holds no cluster. Errors: Invalid: it is
// not shared; and as open_fleet_store().
Result<std::unique_ptr<FleetReader>> open_fleet_reader(Runtime& runtime, const std::string& name);

// Makes stores in memory, of one kind, without a history. What one compressed store learns of a resource's objects
// serves all of that resource, so they are written on one strand, as is this used.
class Stores {
 public:
  // Invalid: as check_store(), or one that is not in memory.
  static Result<Stores> of(const std::string& name);

  std::unique_ptr<Store> open(const Resource& resource);
  bool compress() const { return compress_; }
  // What is learnt, and what it is learnt from: bytes, beside those of the stores.
  std::size_t learnt_bytes() const;

 private:
  explicit Stores(bool compress) : compress_(compress) {}

  bool compress_;
  std::map<Resource, std::weak_ptr<ObjectPacker>> packers_;
};

}  // namespace tinf::wiring
