#include "tinf/testing/mosquitto_broker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace tinf::testing {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

std::string find_program() {
  std::istringstream path(std::string(std::getenv("PATH") ? std::getenv("PATH") : "") + ":/usr/sbin:/usr/local/sbin");
  for (std::string folder; std::getline(path, folder, ':');) {
    const std::string program = folder + "/mosquitto";
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  throw std::runtime_error("mosquitto is neither on the PATH nor in /usr/sbin: install it to run this test");
}

}  // namespace

std::string dynamic_security_plugin() {
  const std::string name = "mosquitto_dynamic_security.so";
  for (const std::string root : {"/usr/lib", "/usr/lib64", "/usr/local/lib"}) {
    std::error_code none;
    if (std::filesystem::exists(root + "/" + name, none)) return root + "/" + name;
    for (const auto& folder : std::filesystem::directory_iterator(root, none)) {
      if (std::filesystem::exists(folder.path() / name, none)) return folder.path() / name;
    }
  }
  throw std::runtime_error(name + ", a part of mosquitto, is not installed");
}

int free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  const bool bound = bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(listener);
  if (!bound) throw std::runtime_error("no free port on 127.0.0.1");
  return ntohs(address.sin_port);
}

MosquittoBroker::MosquittoBroker(std::string configuration)
    : configuration_(std::move(configuration)), port_(free_port()) {
  std::string pattern = std::filesystem::temp_directory_path() / "tinf-mosquitto-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder for mosquitto");
  folder_ = pattern;
}

MosquittoBroker::~MosquittoBroker() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void MosquittoBroker::write_file(const std::string& name, const std::string& text) const {
  const std::string path = folder_ + "/" + name;
  std::ofstream(path) << text;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

void MosquittoBroker::start() {
  std::string configuration = "listener " + std::to_string(port_) + " 127.0.0.1\n" + configuration_ + "\n";
  if (configuration_.find("allow_anonymous") == std::string::npos) configuration += "allow_anonymous true\n";
  configuration += "persistence false\nset_tcp_nodelay true\nlog_dest stderr\n";
  if (getuid() == 0) configuration += "user root\n";  // It would give up its rights and then not find its files.
  for (std::size_t at; (at = configuration.find("@FOLDER@")) != std::string::npos;)
    configuration.replace(at, 8, folder_);
  write_file("mosquitto.conf", configuration);

  const std::string program = find_program();
  const std::string file = folder_ + "/mosquitto.conf", log = folder_ + "/mosquitto.log";
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ < 0) throw std::runtime_error("cannot start a process for mosquitto");
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // Also a test that crashes leaves no broker behind.
    if (getppid() != parent) _exit(1);
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, 1);
    dup2(out, 2);
    execl(program.c_str(), program.c_str(), "-c", file.c_str(), nullptr);
    _exit(127);
  }
  const auto words = [&] {
    std::ifstream in(log);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  for (int tries = 0; tries < 2000; ++tries) {
    int status = 0;
    if (waitpid(process_, &status, WNOHANG) == process_) {
      process_ = 0;
      throw std::runtime_error("mosquitto ended at once: " + words());
    }
    if (accepts_connections()) return;
    poll(nullptr, 0, 5);
  }
  kill();
  throw std::runtime_error("mosquitto does not accept connections: " + words());
}

bool MosquittoBroker::accepts_connections() const {
  const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port_);
  const bool accepted = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(probe);
  return accepted;
}

void MosquittoBroker::stop() {
  end(SIGTERM);
}

void MosquittoBroker::kill() {
  end(SIGKILL);
}

void MosquittoBroker::freeze() {
  ::kill(process_, SIGSTOP);
}

void MosquittoBroker::thaw() {
  ::kill(process_, SIGCONT);
}

void MosquittoBroker::end(int signal) {
  if (process_ == 0) return;
  ::kill(process_, signal);
  waitpid(process_, nullptr, 0);
  process_ = 0;
}

}  // namespace tinf::testing
