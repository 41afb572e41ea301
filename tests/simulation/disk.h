// A disk of a simulated system: one SQLite file for all copies of an informer, as the daemon has it.
// The file is real, and so are the threads that write it. Whoever writes waits for them, so that in virtual time it
// takes no time, and one seed is one history.
#pragma once

#include <memory>
#include <string>

#include "tinf/contract/fleet_store.h"
#include "tinf/store/sqlite/folder_for_tests.h"
#include "tinf/testing/real_time.h"

namespace tinf::simulation {

class Disk {
 public:
  Disk();  // An empty file, deleted with it.

  // One process has ended and another one begins: the file is closed and opened. No copy may be open.
  void open_again();

  // The copy of a scope as it was left. It goes before the disk does.
  std::unique_ptr<Store> open(const std::string& cluster, const Scope& scope);

  // Alters a byte of an object in the file, so that not even the store knows of it. What stands there now.
  std::string flip(const std::string& cluster, const Resource& resource, const Object& victim);

 private:
  class Copy;

  Folder folder_;
  testing::RealTime loop_;
  std::unique_ptr<FleetStore> fleet_;
};

}  // namespace tinf::simulation
