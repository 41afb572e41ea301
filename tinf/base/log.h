// Log: lines for the operator, with fields for machines; where they go is the user's choice.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tinf {

enum class LogLevel { Debug, Info, Warning, Error };

std::string_view to_string(LogLevel level);

struct LogField {
  std::string_view name;
  std::string value;
};

struct LogRecord {
  LogLevel level;
  std::string_view component;  // The folder that speaks: "kube", "provider", ...
  std::string_view message;
  const std::vector<LogField>& fields;
};

// A handle to a sink; cheap to copy, thread-safe if the sink is. Secrets never go in.
class Log {
 public:
  using Sink = std::function<void(const LogRecord&)>;

  Log() = default;  // Says nothing.
  Log(Sink sink, LogLevel threshold);

  bool enabled(LogLevel level) const { return sink_ && level >= threshold_; }
  Log with(std::string_view component) const;  // The same sink under another component's name.

  void debug(std::string_view message, std::vector<LogField> fields = {}) const;
  void info(std::string_view message, std::vector<LogField> fields = {}) const;
  void warning(std::string_view message, std::vector<LogField> fields = {}) const;
  void error(std::string_view message, std::vector<LogField> fields = {}) const;

 private:
  void write(LogLevel level, std::string_view message, std::vector<LogField> fields) const;

  std::shared_ptr<const Sink> sink_;
  LogLevel threshold_ = LogLevel::Info;
  std::string component_;
};

}  // namespace tinf
