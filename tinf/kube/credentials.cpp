// Precedence as in client-go: a token file before a token, either before a password, each before an exec plugin.
#include "tinf/kube/credentials.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "tinf/base/base64.h"

namespace tinf::kube {

Result<std::string> WatchedFile::read() {
  struct stat now {};
  if (::stat(path_.c_str(), &now) != 0) {
    if (content_) return *content_;
    return Error(Code::Unauthorized, path_ + " cannot be read: " + std::strerror(errno));
  }
  const auto changed_at = static_cast<std::int64_t>(now.st_mtim.tv_sec) * 1'000'000'000 + now.st_mtim.tv_nsec;
  if (content_ && now.st_ino == inode_ && static_cast<std::uint64_t>(now.st_size) == size_ &&
      changed_at == changed_at_) {
    return *content_;
  }
  std::ifstream stream(path_, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  if (!stream || text.str().empty()) {  // Caught between truncation and writing, too.
    if (content_) return *content_;
    return Error(Code::Unauthorized, path_ + " is empty or cannot be read");
  }
  content_ = text.str();
  inode_ = now.st_ino;
  size_ = static_cast<std::uint64_t>(now.st_size);
  changed_at_ = changed_at;
  return *content_;
}

CredentialSource::CredentialSource(Clock& clock, Connection connection)
    : clock_(clock),
      connection_(std::move(connection)),
      token_file_(connection_.credentials.token_file),
      authority_file_(connection_.certificate_authority.path),
      certificate_file_(connection_.credentials.client_certificate.path),
      key_file_(connection_.credentials.client_key.path) {}

Result<std::string> CredentialSource::read(const Material& material, WatchedFile& file) const {
  if (!material.bytes.empty() || material.path.empty()) return material.bytes;
  auto content = file.read();
  if (!content) return Error(content.error().code, connection_.origin + ": " + content.error().message);
  if (content->find("-----BEGIN") == std::string::npos) {
    return Error(Code::Unauthorized, connection_.origin + ": " + material.path + " is not PEM");
  }
  return content;
}

Task<Result<Grant>> CredentialSource::grant() {
  const Credentials& who = connection_.credentials;
  Grant grant;
  auto authority = read(connection_.certificate_authority, authority_file_);
  if (!authority) co_return authority.error();
  grant.certificate_authority = std::move(*authority);
  auto certificate = read(who.client_certificate, certificate_file_);
  if (!certificate) co_return certificate.error();
  grant.certificate = std::move(*certificate);
  auto key = read(who.client_key, key_file_);
  if (!key) co_return key.error();
  grant.key = std::move(*key);

  std::string token = who.token;
  if (!who.token_file.empty()) {
    auto content = token_file_.read();
    if (!content && token.empty())
      co_return Error(content.error().code, connection_.origin + ": " + content.error().message);
    if (content) token = std::move(*content);
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  }
  if (token.empty() && who.username.empty() && who.exec) {
    auto renewed = co_await renew_exec_credential();
    if (!renewed) co_return renewed.error();
    token = exec_credential_->token;
    if (!exec_credential_->certificate.empty()) {
      grant.certificate = exec_credential_->certificate;
      grant.key = exec_credential_->key;
    }
  }
  if (!token.empty()) {
    grant.headers.emplace_back("Authorization", "Bearer " + token);
  } else if (!who.username.empty()) {
    grant.headers.emplace_back("Authorization", "Basic " + base64_encode(who.username + ":" + who.password));
  }
  if (!who.impersonate_user.empty()) grant.headers.emplace_back("Impersonate-User", who.impersonate_user);
  if (!who.impersonate_uid.empty()) grant.headers.emplace_back("Impersonate-Uid", who.impersonate_uid);
  for (const std::string& group : who.impersonate_groups) grant.headers.emplace_back("Impersonate-Group", group);
  for (const auto& [name, value] : grant.headers) {
    if (value.find_first_of("\r\n") != std::string::npos) {
      co_return Error(Code::Unauthorized, connection_.origin + ": a credential has a line break in it");
    }
  }
  co_return grant;
}

Task<Result<void>> CredentialSource::renew_exec_credential() {
  while (plugin_runs_) co_await plugin_ended_.wait();
  if (exec_credential_ && (!exec_credential_->expires || clock_.wall_now() < *exec_credential_->expires))
    co_return Result<void>();

  struct Running {
    explicit Running(CredentialSource& s) : source(s) { source.plugin_runs_ = true; }
    ~Running() {
      source.plugin_runs_ = false;
      source.plugin_ended_.notify();
    }
    CredentialSource& source;
  } running(*this);
  auto credential = co_await run_exec_plugin(clock_, connection_);
  if (!credential) co_return credential.error();
  exec_credential_ = std::move(*credential);
  co_return Result<void>();
}

bool CredentialSource::refused(const Grant& grant) {
  const auto uses = [&grant](const std::string& token) {
    for (const auto& [name, value] : grant.headers) {
      if (name == "Authorization") return value == "Bearer " + token;
    }
    return token.empty();
  };
  if (exec_credential_) {
    // Somebody else's refusal may have brought a new one already.
    if (uses(exec_credential_->token) &&
        (exec_credential_->certificate.empty() || exec_credential_->certificate == grant.certificate)) {
      exec_credential_.reset();
    }
    return true;
  }
  return !connection_.credentials.token_file.empty();
}

}  // namespace tinf::kube
