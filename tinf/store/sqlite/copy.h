// Copy: one resource of one cluster in the file: its rows, and what they come to.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "tinf/store/database/rows.h"
#include "tinf/store/sqlite/history.h"

namespace tinf::sqlite {

using database::CopyState;
using database::Marks;

// The writing functions are the writing thread's, in a transaction, and throw Failure; state() is thread-safe and
// speaks of what is stored.
class Copy {
 public:
  Copy(std::string cluster, CopyState stored);

  const std::string& cluster() const { return cluster_; }
  const std::string& collection() const { return collection_; }  // Resource::group_resource().
  CopyState state() const;
  // Parts of it, for those who ask often.
  std::int64_t row() const;
  Fingerprint fingerprint() const;

  // As StoreWriter has them. Objects are sorted by key, each key once.
  void replace(Connection& connection, History& history, const Scope& scope, const std::vector<ObjectPtr>& all,
               const ResourceVersion& version);
  void apply(Connection& connection, History& history, const Scope& scope, const std::vector<WatchEvent>& events,
             const ResourceVersion& version);
  // Deletes every object. Throws a Failure that is a Conflict where there are to be none, and are.
  void forget(Connection& connection, History& history, bool only_if_empty);

  void undo();
  // True: the objects are of another version of the API than before.
  bool stored();

  // Somebody has altered rows behind our back: the next write counts what there is. Thread-safe.
  void doubt() { doubtful_ = true; }

 private:
  struct Row {
    std::int64_t id = 0;
    StoreVersion version = 0;
    EntryHash hash;
    std::string uid;
    std::size_t bytes = 0;
    bool equal = false;  // To the object that it was looked up for.
    bool altered =
        false;  // By somebody else: the body is not what was written. Where it is not equal, as what follows.
    Marks marks;
  };
  static std::optional<Row> find(Connection& connection, std::int64_t scope, std::string_view namespace_name,
                                 std::string_view name, const Object* object);
  static Row row_of(const Query& query, int first_column, const Object* object);

  void name(Connection& connection, const Scope& scope);
  void insert(Connection& connection, History& history, const Object& object);
  void update(Connection& connection, History& history, const Row& row, const Object& object);
  void remove(Connection& connection, History& history, const Row& row);
  void mark(Connection& connection, const Row& row, const Marks& now);
  void mark(Connection& connection, std::int64_t object, const Marks& old, const Marks& now);
  void keep(Connection& connection);
  void count_anew(Connection& connection);

  const std::string cluster_;
  const std::string collection_;

  CopyState now_;         // The writing thread's.
  bool counted_ = false;  // Since the last stored().
  std::atomic<bool> doubtful_ = false;

  mutable std::mutex mutex_;
  CopyState stored_;  // Under mutex_.
};

}  // namespace tinf::sqlite
