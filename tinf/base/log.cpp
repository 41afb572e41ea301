#include "tinf/base/log.h"

namespace tinf {

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return "debug";
    case LogLevel::Info:
      return "info";
    case LogLevel::Warning:
      return "warning";
    case LogLevel::Error:
      return "error";
  }
  return "error";
}

Log::Log(Sink sink, LogLevel threshold) : sink_(std::make_shared<const Sink>(std::move(sink))), threshold_(threshold) {}

Log Log::with(std::string_view component) const {
  Log named = *this;
  named.component_ = component;
  return named;
}

void Log::write(LogLevel level, std::string_view message, std::vector<LogField> fields) const {
  if (enabled(level)) (*sink_)(LogRecord{level, component_, message, fields});
}

void Log::debug(std::string_view message, std::vector<LogField> fields) const {
  write(LogLevel::Debug, message, std::move(fields));
}

void Log::info(std::string_view message, std::vector<LogField> fields) const {
  write(LogLevel::Info, message, std::move(fields));
}

void Log::warning(std::string_view message, std::vector<LogField> fields) const {
  write(LogLevel::Warning, message, std::move(fields));
}

void Log::error(std::string_view message, std::vector<LogField> fields) const {
  write(LogLevel::Error, message, std::move(fields));
}

}  // namespace tinf
