// CredentialSource: who we are at one API server, at this moment: files that rotate and plugins whose answers expire
// are looked at again when it is time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tinf/base/clock.h"
#include "tinf/base/result.h"
#include "tinf/base/task.h"
#include "tinf/kube/exec_plugin.h"
#include "tinf/kube/kubeconfig.h"

namespace tinf::kube {

// What one request is sent with.
struct Grant {
  std::vector<std::pair<std::string, std::string>> headers;
  std::string certificate_authority;  // PEM, as are the next two; empty: none.
  std::string certificate;
  std::string key;

  Grant() = default;
};

// A file that is read again when it was replaced or written to.
class WatchedFile {
 public:
  WatchedFile() = default;
  explicit WatchedFile(std::string path) : path_(std::move(path)) {}

  // Unauthorized: it cannot be read now. What was read before stays good while the file is away.
  Result<std::string> read();

 private:
  std::string path_;
  std::optional<std::string> content_;
  std::uint64_t inode_ = 0, size_ = 0;
  std::int64_t changed_at_ = 0;
};

// Confined to one strand.
class CredentialSource {
 public:
  CredentialSource(Clock& clock, Connection connection);

  // Runs the exec plugin if there is one and what it said last has expired; callers at the same time share one run.
  // Unauthorized: a file or the plugin gives nothing to go with.
  Task<Result<Grant>> grant();

  // The server refused `grant`. True if the next grant() may give something better.
  bool refused(const Grant& grant);

 private:
  Result<std::string> read(const Material& material, WatchedFile& file) const;
  Task<Result<void>> renew_exec_credential();

  // Constant after construction.
  Clock& clock_;
  const Connection connection_;

  // Confined to the strand.
  WatchedFile token_file_, authority_file_, certificate_file_, key_file_;
  std::optional<ExecCredential> exec_credential_;
  bool plugin_runs_ = false;
  Signal plugin_ended_;
};

}  // namespace tinf::kube
