// Process: one daemon's life: its event loop, log, metrics, health endpoint, and its end on SIGTERM.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/daemon/options.h"

namespace tinf::daemon {

class HealthServer;

// One to a program. Single-threaded: everything runs on its loop.
class Process {
 public:
  Process(std::string name, const CommonOptions& options);
  ~Process();

  Runtime& runtime() { return runtime_; }
  const std::string& instance() const { return instance_; }  // A random id of this process.
  const std::string& host() const { return host_; }
  std::int64_t started() const { return started_; }  // Unix milliseconds.

  // Says what went wrong in one line on stderr, in the log's format, and returns the exit code for it: 1.
  int fail(const Error& error) const;

  // What /readyz answers; nothing: ready. Otherwise the text says what is missing.
  void ready_when(std::function<std::string()> missing) { missing_ = std::move(missing); }
  // What it says beside that, ready or not; nothing: no more.
  void remark(std::function<std::string()> remark) { remark_ = std::move(remark); }
  // Called before each answer of /metrics, to set gauges that are only worth computing then.
  void before_metrics(std::function<void()> refresh) { refresh_ = std::move(refresh); }

  // Runs `work` until it ends or a SIGTERM or SIGINT asks it to: then it is cancelled and `farewell` runs, for five
  // seconds at most together. Returns the exit code: 0 after a signal or a result without error, else 1 with one line
  // on stderr.
  int run(Task<Result<void>> work, std::function<Task<void>()> farewell);

 private:
  Task<void> live(Task<Result<void>> work, std::function<Task<void>()> farewell);
  Result<void> serve_health(TaskGroup& aside);
  Task<void> watch_signals();

  // Before anything is opened: a stream that we were started without must not become the number of a socket.
  struct StandardStreams {
    StandardStreams();
  };

  const StandardStreams streams_;
  const std::string name_;
  const CommonOptions options_;
  asio::io_context context_{1};
  RealClock clock_;
  Metrics metrics_;
  Random random_;
  const std::string instance_;
  std::string host_;
  std::int64_t started_;
  Runtime runtime_;
  std::function<std::string()> missing_;
  std::function<std::string()> remark_;
  std::function<void()> refresh_;
  std::unique_ptr<HealthServer> health_;
  int exit_code_ = 1;
};

}  // namespace tinf::daemon
