// A folder of a test's own, for database files.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace tinf {

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "tinf-sqlite-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string file() const { return path / "fleet.db"; }
  std::filesystem::path path;
};

}  // namespace tinf
