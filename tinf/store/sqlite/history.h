// History: the one counter behind every change of every copy, and the bounded log of what changes have replaced.
#pragma once

#include <atomic>
#include <cstdint>

#include "tinf/contract/versioned_store.h"
#include "tinf/store/sqlite/connection.h"

namespace tinf::sqlite {

struct HistoryOptions {
  std::uint64_t retained_changes = 65'536;
  std::uint64_t retained_bytes = 256 << 20;  // Of the states that were replaced.

  HistoryOptions() = default;
};

// For the writing thread, in a transaction, but for version() and floor(), which are thread-safe and speak of what is
// stored.
class History {
 public:
  explicit History(HistoryOptions options) : options_(options) {}

  // What the file says, before anything is written. `goes_on`: nothing that was told of this file can be missing from
  // it. Otherwise, as after a restart of the machine, versions that were told might be given again: then it begins at
  // higher ones, and knows nothing of before. `now` is microseconds since 1970.
  void load(Connection& connection, bool goes_on, StoreVersion now);

  // Notes a change of the object in row `object`, as it is before that, and returns the change's version. An object
  // that is new has no row yet.
  StoreVersion added(Connection& connection, std::int64_t scope, std::string_view namespace_name,
                     std::string_view name);
  StoreVersion modified(Connection& connection, std::int64_t object, StoreVersion previous, std::size_t bytes);
  StoreVersion deleted(Connection& connection, std::int64_t object, StoreVersion previous, std::size_t bytes);

  // After the last change of a piece of work: the log is cut by some of what is too much, and the counter is kept.
  void finish(Connection& connection);

  void undo();    // Nothing since the last stored() has been stored.
  void stored();  // All has.

  StoreVersion next() const { return now_.version; }  // What the last change was given, stored or not.
  StoreVersion version() const { return stored_version_; }
  StoreVersion floor() const { return stored_floor_; }  // The log has every change after this one.

 private:
  struct State {
    StoreVersion version = 0;
    StoreVersion floor = 0;
    std::uint64_t bytes = 0;
  };
  StoreVersion note(Connection& connection, int type, std::int64_t object, StoreVersion previous, std::size_t bytes);
  void keep(Connection& connection);

  const HistoryOptions options_;
  State now_;
  State stored_;
  std::atomic<StoreVersion> stored_version_ = 0;
  std::atomic<StoreVersion> stored_floor_ = 0;
};

}  // namespace tinf::sqlite
