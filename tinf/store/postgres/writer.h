// Writer: what is to be written, by one thread, many pieces of work in one transaction.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tinf/contract/fleet_store.h"
#include "tinf/store/database/group_commit.h"
#include "tinf/store/postgres/copy.h"
#include "tinf/store/postgres/shared.h"

namespace tinf::postgres {

// A change of a copy: the whole set, or events; or it is emptied.
struct CopyChange {
  enum class Kind { Replace, Apply, Forget };

  Kind kind = Kind::Apply;
  std::shared_ptr<Copy> copy;
  Scope scope;
  std::vector<ObjectPtr> objects;  // Sorted by key, each key once.
  std::vector<WatchEvent> events;
  ResourceVersion version;
  bool only_if_empty = false;
  bool counts_anew = false;  // The copy was doubted: it is again, unless this is stored.
};

struct Work : database::WorkBase {
  std::string cluster;
  std::string token;  // Under which the cluster was taken; empty: it is taken first.
  std::optional<CopyChange> change;
  std::optional<FleetCluster> known;  // What is known of the cluster.
};

// What a transaction has changed, for the strand.
struct Committed {
  StoreVersion version = 0;              // 0: no object.
  std::set<database::CopyName> changed;  // Copies, by whichever process, since Progress::heard.
  bool is_anew = false;                  // Since the last transaction another life began: anything may have changed.
  bool resources_changed = false;        // A copy is written in another version of its API than before.
};

struct Draft;

// Confined to the writing thread.
class Writer {
 public:
  explicit Writer(Common& common) : common_(common) {}

  // For GroupCommit. Conflict: the cluster is another process's.
  void carry_out(const std::vector<Work*>& together);
  // What the last transaction has changed.
  Committed take_committed() { return std::exchange(committed_, Committed()); }

 private:
  Connection& connection();
  void take_clusters(Connection& connection, const std::vector<Work*>& together, const std::string& token);
  void store(Connection& connection, const std::vector<Work*>& together, std::vector<Draft>& drafts,
             const std::string& token);

  Common& common_;
  std::unique_ptr<Connection> connection_;
  StoreVersion cut_upto_ = 0;  // Of the log, as far as is known.
  std::string life_;           // Of the database, when it was last connected to.
  bool is_anew_ = false;       // That is another one than before, which is still to be told.
  Committed committed_;
};

}  // namespace tinf::postgres
