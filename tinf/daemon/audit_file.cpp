#include "tinf/daemon/audit_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace tinf::daemon {
namespace {

constexpr Duration kSaidOnceIn = std::chrono::minutes(1);
constexpr std::string_view kStderr = "-";

}  // namespace

AuditFile::AuditFile(Runtime& runtime, std::string path)
    : clock_(runtime.clock),
      log_(runtime.log.with("audit")),
      path_(std::move(path)),
      lost_(
          runtime.metrics.counter("tinf_api_audit_lost_lines_total", "Lines of the audit log that were not written.")),
      hangup_(runtime.executor) {}

AuditFile::~AuditFile() {
  if (file_ > STDERR_FILENO) close(file_);
}

Result<std::shared_ptr<AuditFile>> AuditFile::open(Runtime& runtime, std::string path) {
  std::shared_ptr<AuditFile> made(new AuditFile(runtime, std::move(path)));
  if (auto opened = made->reopen(); !opened) return opened.error();
  if (made->path_ == kStderr) return made;
  made->hangup_.add(SIGHUP);
  made->wait_for_signal();
  return made;
}

Result<void> AuditFile::reopen() {
  if (path_ == kStderr) {
    file_ = STDERR_FILENO;
    return Result<void>();
  }
  const int fresh = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fresh < 0) {
    return Error(Code::Unavailable, "--audit-log " + path_ + " cannot be opened: " + std::strerror(errno));
  }
  if (file_ >= 0) close(file_);
  file_ = fresh;
  torn_ = false;
  return Result<void>();
}

void AuditFile::wait_for_signal() {
  hangup_.async_wait([weak = weak_from_this()](boost::system::error_code failure, int) {
    const auto self = weak.lock();
    if (failure || self == nullptr) return;
    if (auto opened = self->reopen(); !opened) {
      self->log_.error("the audit log goes on where it was", {{"reason", opened.error().message}});
    } else {
      self->log_.info("the audit log was opened anew", {{"file", self->path_}});
    }
    self->wait_for_signal();
  });
}

void AuditFile::write(std::string line) {
  if (torn_) line.insert(line.begin(), '\n');
  line += '\n';
  ssize_t written = 0;
  do {
    written = ::write(file_, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) return lose(std::strerror(errno));
  torn_ = static_cast<std::size_t>(written) < line.size();
  if (torn_) lose("only a part of a line was taken: the disk is full");
}

void AuditFile::lose(const std::string& why) {
  lost_->add();
  const auto now = clock_.now();
  if (said_ != TimePoint() && now - said_ < kSaidOnceIn) return;
  said_ = now;
  log_.error("lines of the audit log are lost", {{"file", path_}, {"reason", why}});
}

}  // namespace tinf::daemon
