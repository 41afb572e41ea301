// WatchedFiles: what is made of files that may be replaced at any time. What was good stays in force until what is new
// is good, too.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/base/runtime.h"

namespace tinf::api {

// The text of a file. Invalid: it cannot be read, or is larger than a MiB; the message names it.
Result<std::string> read_file(const std::string& path);

// Confined to one strand.
class WatchedFiles {
 public:
  // Reads the files and puts what they say in force. An error leaves things as they were.
  using Load = std::function<Result<void>()>;

  // `what` is for people and metrics: "certificate", "token file".
  WatchedFiles(Runtime& runtime, std::string what, std::vector<std::string> paths, Load load);

  // For the first time.
  Result<void> load();
  // Loads again if a file was replaced or written to since. What is wrong is said once for each state of the files.
  void refresh();

 private:
  // What changes when a file is replaced or written to; all zeros: it is not there.
  using Stamp = std::vector<std::int64_t>;
  Stamp stamp() const;

  // Constant after construction.
  const Log log_;
  const std::string what_;
  const std::vector<std::string> paths_;
  const Load load_;
  const std::shared_ptr<Counter> reloads_;
  const std::shared_ptr<Counter> failures_;

  // Confined to the strand.
  Stamp seen_;
};

}  // namespace tinf::api
