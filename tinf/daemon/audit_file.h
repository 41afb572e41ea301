// AuditFile: where the lines of the API's audit log go.
#pragma once

#include <boost/asio/signal_set.hpp>
#include <memory>
#include <string>

#include "tinf/base/result.h"
#include "tinf/base/runtime.h"

namespace tinf::daemon {

// Appends lines to a file, each in one write, or writes them to stderr if the path is "-". SIGHUP opens the file anew,
// so that one that was moved away is left. A line that cannot be written, as on a full disk, is lost: counted, and
// said once a minute; whoever calls goes on. Confined to the runtime's strand.
class AuditFile : public std::enable_shared_from_this<AuditFile> {
 public:
  // Unavailable: the file cannot be opened.
  static Result<std::shared_ptr<AuditFile>> open(Runtime& runtime, std::string path);
  ~AuditFile();

  AuditFile(const AuditFile&) = delete;
  AuditFile& operator=(const AuditFile&) = delete;

  void write(std::string line);

 private:
  AuditFile(Runtime& runtime, std::string path);

  Result<void> reopen();
  void lose(const std::string& why);
  void wait_for_signal();

  // Constant after construction.
  Clock& clock_;
  const Log log_;
  const std::string path_;
  const std::shared_ptr<Counter> lost_;

  // Confined to the strand.
  asio::signal_set hangup_;
  int file_ = -1;
  bool torn_ = false;  // Half a line stands at the end.
  TimePoint said_{};
};

}  // namespace tinf::daemon
