#include "tinf/testing/postgres_server.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "tinf/testing/mosquitto_broker.h"

namespace tinf::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kOldestVersion = 15;
constexpr int kPorts = 5;           // Tries, as somebody else may take the one that was free.
constexpr int kStartTries = 12000;  // Of 5 ms: a minute, on a machine that builds meanwhile. Normally 0.1 s.

// Debian has each version in a folder of its own, which no PATH leads to.
std::string find_programs() {
  int newest = 0;
  std::string found;
  std::error_code none;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", none)) {
    const int number = std::atoi(version.path().filename().c_str());
    if (number > newest && access((version.path() / "bin/initdb").c_str(), X_OK) == 0) {
      newest = number;
      found = version.path() / "bin";
    }
  }
  if (newest >= kOldestVersion) return found;
  std::istringstream path(std::getenv("PATH") ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(path, folder, ':');) {
    if (access((folder + "/initdb").c_str(), X_OK) == 0 && access((folder + "/postgres").c_str(), X_OK) == 0)
      return folder;
  }
  throw std::runtime_error(
      "PostgreSQL 15 or newer is neither in /usr/lib/postgresql nor on the PATH: install it to run this test");
}

// PostgreSQL refuses to run as root.
struct Owner {
  uid_t user = getuid();
  gid_t group = getgid();
};

Owner owner() {
  if (getuid() != 0) return Owner();
  for (const char* name : {"postgres", "nobody"}) {
    if (const passwd* entry = getpwnam(name)) return Owner{entry->pw_uid, entry->pw_gid};
  }
  throw std::runtime_error("PostgreSQL does not run as root, and there is neither a user postgres nor nobody");
}

void become(const Owner& who) {
  if (getuid() != 0) return;
  if (setregid(who.group, who.group) != 0 || setreuid(who.user, who.user) != 0) _exit(126);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// This process's, without what would lead PostgreSQL's programs to another server.
std::vector<std::string> environment() {
  std::vector<std::string> result{"LC_ALL=C.UTF-8"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!text.starts_with("PG") && !text.starts_with("LC_ALL=")) result.emplace_back(text);
  }
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Starts a program, its output in `out`; it ends with this process, by `last_signal`.
pid_t spawn(std::vector<std::string> words, const std::string& folder, const std::string& out, const Owner& who,
            int last_signal) {
  std::vector<std::string> variables = environment();
  const std::vector<char*> arguments = pointers(words), settings = pointers(variables);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot start a process for " + words[0]);
  if (child > 0) return child;
  // Other threads may have held any lock: only system calls from here on.
  become(who);
  prctl(PR_SET_PDEATHSIG, last_signal);  // Also a test that crashes leaves nothing behind.
  setpgid(0, 0);  // A group that loses its parent is continued by the kernel, so that a frozen one sees the signal.
  if (getppid() != parent || chdir(folder.c_str()) != 0) _exit(125);
  const int log = open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(open("/dev/null", O_RDONLY), 0);
  dup2(log, 1);
  dup2(log, 2);
  execve(arguments[0], arguments.data(), settings.data());
  _exit(127);
}

// Runs a program to its end and returns what it wrote.
std::string run(const std::vector<std::string>& words, const std::string& folder, const Owner& who) {
  std::string out = folder + "/output-XXXXXX";
  const int file = mkstemp(out.data());
  if (file < 0 || fchown(file, who.user, who.group) != 0) throw std::runtime_error("cannot write into " + folder);
  close(file);
  int status = 0;
  waitpid(spawn(words, folder, out, who, SIGKILL), &status, 0);
  const std::string text = read_file(out);
  fs::remove(out);
  if (status != 0) throw std::runtime_error(words[0] + " failed: " + text);
  return text;
}

// The processes that the server has made. They are no group: each of its backends leads a session of its own.
std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    if (!std::isdigit(static_cast<unsigned char>(name[0]))) continue;
    const std::string stat = read_file(entry.path() / "stat");
    const std::size_t behind_name = stat.rfind(')');
    if (behind_name == std::string::npos) continue;
    std::istringstream words(stat.substr(behind_name + 1));
    char state = 0;
    pid_t its_parent = 0;
    if (words >> state >> its_parent && its_parent == parent) children.push_back(std::atoi(name.c_str()));
  }
  return children;
}

std::string as_uri_part(const std::string& text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string result;
  for (const unsigned char c : text) {
    if (std::isalnum(c)) {
      result += static_cast<char>(c);
    } else {
      result += {'%', kDigits[c >> 4], kDigits[c & 15]};
    }
  }
  return result;
}

}  // namespace

PostgresServer::PostgresServer(std::string configuration)
    : configuration_(std::move(configuration)), programs_(find_programs()) {
  std::string pattern = fs::temp_directory_path() / "tinf-postgres-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder for PostgreSQL");
  folder_ = pattern;
  const Owner who = owner();
  if (chown(folder_.c_str(), who.user, who.group) != 0) throw std::runtime_error("cannot give " + folder_ + " away");
}

PostgresServer::~PostgresServer() {
  kill();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

PostgresServer& PostgresServer::shared() {
  static PostgresServer server;
  static const bool started = (server.start(), true);
  (void)started;
  return server;
}

void PostgresServer::initialize() {
  // With Unicode's order of words: a query that wants the order of bytes and does not say so gets another one.
  run({programs_ + "/initdb", "--pgdata", folder_ + "/data", "--username", "postgres", "--auth", "trust", "--encoding",
       "UTF8", "--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en", "--no-sync",
       "--no-instructions"},
      folder_, owner());
  std::ofstream(folder_ + "/data/pg_hba.conf") << "host all,replication postgres 127.0.0.1/32 trust\n"
                                                  "host all all 127.0.0.1/32 scram-sha-256\n";
}

void PostgresServer::write_configuration() const {
  std::ofstream(folder_ + "/data/postgresql.conf") << "listen_addresses = '127.0.0.1'\n"
                                                      "unix_socket_directories = ''\n"
                                                      "port = "
                                                   << port_
                                                   << "\n"
                                                      "fsync = off\n"
                                                      "full_page_writes = off\n"
                                                      "shared_buffers = 32MB\n"
                                                      "dynamic_shared_memory_type = mmap\n"
                                                      "max_connections = 50\n"
                                                      "log_line_prefix = '%m [%p] %u@%d '\n"
                                                      "timezone = 'UTC'\n"
                                                   << configuration_ << "\n";
}

void PostgresServer::start() {
  if (!fs::exists(folder_ + "/data")) initialize();
  if (port_ != 0) {
    if (!start_on_port()) throw std::runtime_error("PostgreSQL ended at once: " + log());
    return;
  }
  for (int tries = 0; tries < kPorts; ++tries) {
    port_ = free_port();
    if (start_on_port()) return;
  }
  throw std::runtime_error("PostgreSQL ended at once, on several ports: " + log());
}

bool PostgresServer::start_on_port() {
  write_configuration();
  // SIGQUIT takes its own processes with it.
  process_ = spawn({programs_ + "/postgres", "-D", folder_ + "/data"}, folder_, folder_ + "/log", owner(), SIGQUIT);
  for (int tries = 0; tries < kStartTries; ++tries) {
    if (waitpid(process_, nullptr, WNOHANG) == process_) {
      process_ = 0;
      return false;
    }
    if (accepts_connections()) return true;
    poll(nullptr, 0, 5);
  }
  kill();
  throw std::runtime_error("PostgreSQL does not accept connections: " + log());
}

// It writes this into a file of its own when its port is open and its data are recovered.
bool PostgresServer::accepts_connections() const {
  std::istringstream lines(read_file(folder_ + "/data/postmaster.pid"));
  std::string process, state;
  std::getline(lines, process);
  for (int line = 2; line <= 8; ++line) std::getline(lines, state);
  return process == std::to_string(process_) && state.starts_with("ready");
}

void PostgresServer::stop() {
  end(SIGINT);
}

void PostgresServer::kill() {
  if (process_ == 0) return;
  ::kill(process_, SIGSTOP);  // So that it makes no more of them.
  for (const pid_t child : children_of(process_)) ::kill(child, SIGKILL);
  end(SIGKILL);
}

void PostgresServer::freeze() {
  ::kill(process_, SIGSTOP);
  for (const pid_t child : children_of(process_)) ::kill(child, SIGSTOP);
}

void PostgresServer::thaw() {
  for (const pid_t child : children_of(process_)) ::kill(child, SIGCONT);
  ::kill(process_, SIGCONT);
}

void PostgresServer::end(int signal) {
  if (process_ == 0) return;
  ::kill(process_, signal);
  waitpid(process_, nullptr, 0);
  process_ = 0;
}

std::string PostgresServer::create_database() {
  const std::string name = "test_" + std::to_string(++databases_);
  query("postgres", "CREATE DATABASE " + name);
  return name;
}

void PostgresServer::create_role(const std::string& name, const std::string& password) {
  query("postgres", "CREATE ROLE \"" + name + "\" LOGIN PASSWORD '" + password + "'");
}

std::string PostgresServer::uri(const std::string& database) const {
  return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

std::string PostgresServer::uri(const std::string& database, const std::string& role,
                                const std::string& password) const {
  return "postgresql://" + as_uri_part(role) + ":" + as_uri_part(password) + "@127.0.0.1:" + std::to_string(port_) +
         "/" + database;
}

std::vector<std::string> PostgresServer::query(const std::string& database, const std::string& sql) const {
  std::istringstream text(run({programs_ + "/psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set",
                               "ON_ERROR_STOP=1", "--dbname", uri(database), "--command", sql},
                              folder_, owner()));
  std::vector<std::string> rows;
  for (std::string row; std::getline(text, row);) rows.push_back(row);
  return rows;
}

std::string PostgresServer::log() const {
  return read_file(folder_ + "/log");
}

}  // namespace tinf::testing
