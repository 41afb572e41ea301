// Lease: which clusters this process may write. Several processes share a database, and each cluster is one's at a
// time. A process renews one row; the rows of clusters name it. Every transaction that writes checks in itself that the
// row is still there, and keeps it there until it commits: who was not heard of for a while finds it gone.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tinf/store/postgres/connection.h"

namespace tinf::postgres {

// Another process, as it was last seen.
struct Holder {
  std::string process;  // In words for people.
  std::string until;    // When it will be taken for gone, unless it is heard of.
};

// Thread-safe; whoever calls brings a connection. Functions that take one throw Failure.
class Lease {
 public:
  Lease(std::string process, std::chrono::milliseconds length) : process_(std::move(process)), length_(length) {}

  // Names one life among the holders: everything taken under another one is lost. Empty: not entered.
  std::string token() const;
  std::chrono::milliseconds length() const { return length_; }

  // Enters this process among the holders, if it is not there. It waits for nobody who writes. For the one thread that
  // looks after the connection, as renew().
  void enter(Connection& connection);
  // Says that it is alive, and hears who holds what. What it finds lost is entered anew. True: it was lost.
  bool renew(Connection& connection);
  // What was taken under this token is lost, as a write has found out.
  void lose(const std::string& token);
  void leave(Connection& connection);

  struct Taken {
    std::string token;  // Under which it was done.
    std::set<std::string> clusters;
  };
  // Takes of these clusters those that are nobody's, or whose process was not heard of for too long. Who has the others
  // is learnt: holder_of(). Unavailable while this process is not entered.
  Taken take(Connection& connection, std::vector<std::string> clusters);

  std::optional<Holder> holder_of(const std::string& cluster) const;  // If that is another process.
  Error refusal(const std::string& database, const std::string& cluster) const;

 private:
  void tell_what_nobody_holds(Connection& connection);
  void learn(const Rows& rows, const std::string& token);

  const std::string process_;
  const std::chrono::milliseconds length_;

  bool is_to_tell_ = false;  // That nothing is heard of what nobody holds. The entering thread's.
  mutable std::mutex mutex_;
  std::string token_;                      // Under mutex_, as the next two.
  std::string lost_;                       // The token before it.
  std::map<std::string, Holder> holders_;  // By cluster: other processes.
};

}  // namespace tinf::postgres
