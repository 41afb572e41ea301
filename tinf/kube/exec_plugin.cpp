// The child is watched through a pidfd, so that no signal handler of the host process is needed.
// Both of its outputs are read as they come: a child must never block on a full pipe.
#include "tinf/kube/exec_plugin.h"

#include <fcntl.h>
#include <simdjson.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <csignal>
#include <cstring>

#include "tinf/base/base64.h"
#include "tinf/kube/api_status.h"

extern char** environ;

namespace tinf::kube {
namespace {

constexpr std::size_t kLongestOutput = 1u << 20;
constexpr auto kLongestRun = std::chrono::minutes(1);  // Long enough for somebody to touch a security key.

std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json.push_back('\\');
    if (static_cast<unsigned char>(c) >= 0x20) json.push_back(c);
  }
  return json + "\"";
}

// KUBERNETES_EXEC_INFO: what the plugin is told.
std::string exec_info(const Connection& connection) {
  const ExecPlugin& plugin = *connection.credentials.exec;
  std::string json = "{\"apiVersion\":" + json_text(plugin.api_version) +
                     ",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false";
  if (plugin.provide_cluster_info) {
    json += ",\"cluster\":{\"server\":" + json_text(connection.server);
    if (!connection.tls_server_name.empty()) json += ",\"tls-server-name\":" + json_text(connection.tls_server_name);
    if (connection.insecure_skip_tls_verify) json += ",\"insecure-skip-tls-verify\":true";
    if (!connection.certificate_authority.bytes.empty()) {
      json += ",\"certificate-authority-data\":" + json_text(base64_encode(connection.certificate_authority.bytes));
    }
    if (!connection.proxy_url.empty()) json += ",\"proxy-url\":" + json_text(connection.proxy_url);
    json += "}";
  }
  return json + "}}";
}

// A running program. Shared with its handlers, which may end after everybody else has gone.
class Child : public std::enable_shared_from_this<Child> {
 public:
  explicit Child(const Executor& executor) : output_(executor), errors_(executor), process_(executor) {}
  ~Child() { reap(); }

  // The error number if it could not be started.
  int start(const ExecPlugin& plugin, const std::string& info) {
    std::array<int, 2> output{-1, -1}, errors{-1, -1};
    if (::pipe2(output.data(), O_CLOEXEC) != 0) return errno;
    output_.assign(output[0]);
    if (::pipe2(errors.data(), O_CLOEXEC) != 0) {
      const int error = errno;
      ::close(output[1]);
      return error;
    }
    errors_.assign(errors[0]);

    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
    const auto set = [&variables](const std::string& name, const std::string& value) {
      std::erase_if(variables, [&](const std::string& v) { return v.starts_with(name + "="); });
      variables.push_back(name + "=" + value);
    };
    for (const auto& [name, value] : plugin.environment) set(name, value);
    set("KUBERNETES_EXEC_INFO", info);
    std::vector<char*> environment, arguments{const_cast<char*>(plugin.command.c_str())};
    for (const std::string& variable : variables) environment.push_back(const_cast<char*>(variable.c_str()));
    for (const std::string& argument : plugin.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
    environment.push_back(nullptr);
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output[1], 1);
    posix_spawn_file_actions_adddup2(&actions, errors[1], 2);
    int error = ::posix_spawnp(&pid_, plugin.command.c_str(), &actions, nullptr, arguments.data(), environment.data());
    posix_spawn_file_actions_destroy(&actions);
    ::close(output[1]);
    ::close(errors[1]);
    if (error != 0) {
      pid_ = -1;
      return error;
    }
    const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (process < 0) return errno;
    process_.assign(process);
    read(output_, output_text, output_chunk_, output_open_);
    read(errors_, error_text, error_chunk_, errors_open_);
    process_.async_wait(asio::posix::stream_descriptor::wait_read,
                        [self = shared_from_this()](boost::system::error_code failed) {
                          if (failed) return;
                          if (::waitpid(self->pid_, &self->status, WNOHANG) == self->pid_) self->pid_ = -1;
                          self->changed.notify();
                        });
    return 0;
  }

  // It has ended and said all. A grandchild that keeps its outputs open is waited for, as kubectl does.
  bool ended() const { return pid_ == -1 && !output_open_ && !errors_open_; }

  void stop() {
    reap();
    boost::system::error_code ignored;
    for (auto* descriptor : {&output_, &errors_, &process_}) descriptor->close(ignored);
  }

  Signal changed;
  std::string output_text;
  std::string error_text;
  int status = 0;

 private:
  void read(asio::posix::stream_descriptor& from, std::string& to, std::array<char, 4096>& chunk, bool& open) {
    open = true;
    from.async_read_some(asio::buffer(chunk),
                         [&, self = shared_from_this()](boost::system::error_code failed, std::size_t n) {
                           if (failed || to.size() + n > kLongestOutput) {
                             open = false;
                             boost::system::error_code ignored;
                             from.close(ignored);
                             self->changed.notify();
                             return;
                           }
                           to.append(chunk.data(), n);
                           self->read(from, to, chunk, open);
                         });
  }

  void reap() {
    if (pid_ == -1) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  pid_t pid_ = -1;
  asio::posix::stream_descriptor output_, errors_, process_;
  std::array<char, 4096> output_chunk_, error_chunk_;
  bool output_open_ = false;
  bool errors_open_ = false;
};

// Stops the program also when the task that waits for it is cancelled.
struct StopOnExit {
  explicit StopOnExit(Child& c) : child(c) {}
  ~StopOnExit() { child.stop(); }
  Child& child;
};

}  // namespace

std::optional<WallTime> parse_time(std::string_view text) {
  const std::string copy(text);
  std::tm parts{};
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  if (*rest == '.') {
    do ++rest;
    while (*rest >= '0' && *rest <= '9');
  }
  long offset = 0;
  if (*rest == '+' || *rest == '-') {
    int hours = 0, minutes = 0;
    if (std::sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2) return std::nullopt;
    offset = (hours * 60L + minutes) * 60L * (*rest == '-' ? -1 : 1);
  } else if (std::strcmp(rest, "Z") != 0) {
    return std::nullopt;
  }
  return std::chrono::system_clock::from_time_t(::timegm(&parts) - offset);
}

Result<ExecCredential> parse_exec_credential(std::string_view json, std::string_view api_version) {
  const auto refuse = [](const std::string& what) {
    return Error(Code::Unauthorized, "the exec plugin printed " + what);
  };
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  // Not shown: it may be half a secret.
  if (parser.parse(json.data(), json.size()).get(root)) return refuse("something that is not JSON");
  const auto text = [](simdjson::simdjson_result<simdjson::dom::element> value) {
    std::string_view found;
    return value.get(found) ? std::string() : std::string(found);
  };
  if (text(root["kind"]) != "ExecCredential")
    return refuse("no ExecCredential but kind \"" + text(root["kind"]) + "\"");
  if (text(root["apiVersion"]) != api_version) {
    return refuse("an ExecCredential of " + text(root["apiVersion"]) + ", not of " + std::string(api_version));
  }
  ExecCredential credential;
  const auto status = root["status"];
  credential.token = text(status["token"]);
  credential.certificate = text(status["clientCertificateData"]);
  credential.key = text(status["clientKeyData"]);
  if (credential.certificate.empty() != credential.key.empty()) return refuse("only one of client certificate and key");
  if (credential.token.empty() && credential.certificate.empty())
    return refuse("neither a token nor a client certificate");
  const std::string expires = text(status["expirationTimestamp"]);
  if (!expires.empty()) {
    credential.expires = parse_time(expires);
    if (!credential.expires) return refuse("an expirationTimestamp that is no time: " + expires);
  }
  return credential;
}

Task<Result<ExecCredential>> run_exec_plugin(Clock& clock, const Connection& connection) {
  const ExecPlugin& plugin = *connection.credentials.exec;
  const auto failed = [&](const std::string& what) {
    std::string text = connection.origin + ": the exec plugin \"" + plugin.command + "\" " + what;
    if (!plugin.install_hint.empty()) text += "; " + plugin.install_hint;
    return Error(Code::Unauthorized, std::move(text));
  };
  Executor executor = co_await asio::this_coro::executor;
  auto child = std::make_shared<Child>(executor);
  StopOnExit stop(*child);
  const int error = child->start(plugin, exec_info(connection));
  if (error != 0) co_return failed(std::string("cannot be started: ") + std::strerror(error));

  const TimePoint deadline = clock.now() + kLongestRun;
  while (!child->ended()) {
    const bool changed = co_await child->changed.wait_until(clock, deadline);
    if (!changed && clock.now() >= deadline) co_return failed("did not end within a minute");
  }
  if (!WIFEXITED(child->status) || WEXITSTATUS(child->status) != 0) {
    const std::string& said = child->error_text;
    const std::string how = WIFEXITED(child->status) ? "with status " + std::to_string(WEXITSTATUS(child->status))
                                                     : "by signal " + std::to_string(WTERMSIG(child->status));
    co_return failed(
        "ended " + how +
        (said.empty() ? "" : ": " + excerpt(said.substr(said.size() - std::min<std::size_t>(said.size(), 200)))));
  }
  auto credential = parse_exec_credential(child->output_text, plugin.api_version);
  if (!credential) co_return failed(credential.error().message.substr(std::string_view("the exec plugin ").size()));
  co_return credential;
}

}  // namespace tinf::kube
