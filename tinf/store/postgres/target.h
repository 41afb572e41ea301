// Target: which database is meant, and how it is called where people read it: without its password.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tinf/base/result.h"

namespace tinf::postgres {

class Target {
 public:
  using Parameters = std::vector<std::pair<std::string, std::string>>;  // As PQconnectdbParams() takes them.

  // Any URI that libpq understands. Invalid: it is none; the message does not repeat it, as a password may stand in it.
  // `takes_writes`: of several hosts the one that does, unless the URI says otherwise.
  static Result<Target> parse(const std::string& uri, bool takes_writes = true);

  // "postgresql://user@host:port/database", as far as the URI says; never a password.
  const std::string& name() const { return name_; }
  // One set for each host, in their order: each is tried for connect_timeout seconds. With what keeps a connection from
  // hanging where the URI says nothing of it.
  const std::vector<Parameters>& hosts() const { return hosts_; }
  int connect_seconds() const { return connect_seconds_; }

 private:
  std::string name_;
  std::vector<Parameters> hosts_;
  int connect_seconds_ = 5;
};

}  // namespace tinf::postgres
