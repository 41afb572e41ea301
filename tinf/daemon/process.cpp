#include "tinf/daemon/process.h"

#include <fcntl.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/json.hpp>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "tinf/base/first_of.h"
#include "tinf/daemon/health_server.h"

namespace tinf::daemon {

using namespace std::chrono_literals;

namespace {

constexpr Duration kLongestFarewell = 4500ms;  // Five seconds are promised; the rest is for the loop's own end.

std::string random_instance(Random& random) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016" PRIx64, random.next());
  return digits;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return spdlog::level::debug;
    case LogLevel::Info:
      return spdlog::level::info;
    case LogLevel::Warning:
      return spdlog::level::warn;
    case LogLevel::Error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string as_text(const LogRecord& record) {
  std::string line;
  if (!record.component.empty()) line.append(record.component).append(": ");
  line += record.message;
  for (const LogField& field : record.fields) line.append(" ").append(field.name).append("=").append(field.value);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';  // What a peer wrote must not forge a line.
  }
  return line;
}

std::string as_json(const LogRecord& record) {
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  boost::json::object line{{"time", now.count()},
                           {"level", to_string(record.level)},
                           {"component", record.component},
                           {"message", record.message}};
  for (const LogField& field : record.fields) line[field.name] = field.value;
  return boost::json::serialize(line);
}

Log make_log(const CommonOptions& options) {
  auto logger = spdlog::stderr_color_mt("tinf");
  logger->set_pattern(options.log_json ? "%v" : "%Y-%m-%dT%H:%M:%S.%e %^%L%$ %v");
  logger->set_level(level_of(options.log_level));
  const bool json = options.log_json;
  return Log(
      [logger, json](const LogRecord& record) {
        logger->log(level_of(record.level), json ? as_json(record) : as_text(record));
      },
      options.log_level);
}

}  // namespace

// Writing to a stdout that was closed fails then, as it should.
Process::StandardStreams::StandardStreams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (fcntl(stream, F_GETFD) < 0) (void)open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

Process::Process(std::string name, const CommonOptions& options)
    : name_(std::move(name)),
      options_(options),
      random_(Random::from_entropy()),
      instance_(random_instance(random_)),
      started_(std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall_now().time_since_epoch()).count()),
      runtime_{context_.get_executor(), clock_, make_log(options), metrics_, random_} {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  host_ = std::string(host) + "/" + std::to_string(getpid());
}

Process::~Process() = default;

int Process::run(Task<Result<void>> work, std::function<Task<void>()> farewell) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // A file that may not grow is a fault that the store tells and waits for.
  TaskGroup tasks(context_.get_executor());
  tasks.spawn([](Process& self, Task<void> life) -> Task<void> {
    co_await std::move(life);
    self.context_.stop();  // Idle connections and their timers keep nobody.
  }(*this, live(std::move(work), std::move(farewell))));
  context_.run();
  return exit_code_;
}

int Process::fail(const Error& error) const {
  if (options_.log_json) {
    const std::vector<LogField> none;
    std::fprintf(stderr, "%s\n", as_json(LogRecord{LogLevel::Error, name_, error.message, none}).c_str());
    return 1;
  }
  std::string line = error.message;
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::fprintf(stderr, "%s: %s\n", name_.c_str(), line.c_str());
  return 1;
}

Task<void> Process::live(Task<Result<void>> work, std::function<Task<void>()> farewell) {
  TaskGroup aside(context_.get_executor());
  Result<void> outcome = serve_health(aside);
  if (outcome) {
    auto ended = co_await first_of(std::move(work), watch_signals());
    if (auto* result = std::get_if<0>(&ended)) outcome = std::move(*result);
  }
  auto said = co_await within(clock_, clock_.now() + kLongestFarewell, [](Task<void> words) -> Task<bool> {
    co_await std::move(words);
    co_return true;
  }(farewell()));
  if (!said) runtime_.log.warning("the broker did not take our leave in time: its last will speaks for us");
  co_await aside.stop();
  exit_code_ = outcome ? 0 : fail(outcome.error());
  // What did not end in time refers to what main() is about to destroy.
  if (!said) std::_Exit(exit_code_);
}

Result<void> Process::serve_health(TaskGroup& aside) {
  if (options_.listen.empty()) return Result<void>();
  auto health = HealthServer::open(
      runtime_, options_.listen,
      [this] {
        return Readiness{missing_ ? missing_() : "", remark_ ? remark_() : ""};
      },
      [this] {
        if (refresh_) refresh_();
        return metrics_.collect();
      });
  if (!health) return health.error();
  health_ = std::move(*health);
  aside.spawn(health_->run());
  return Result<void>();
}

// Returns at the first signal. A second one ends the process where it is, as whoever sends it wants.
Task<void> Process::watch_signals() {
  asio::signal_set signals(context_, SIGINT, SIGTERM);
  boost::system::error_code ignored;
  co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace tinf::daemon
