#include "tinf/daemon/event_printer.h"

#include <poll.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

namespace tinf::daemon {
namespace {

constexpr int kPollMilliseconds = 100;        // How late stop() may be seen.
constexpr std::chrono::seconds kLastLine(3);  // The process may take five for all of its end.

std::string quote(std::string_view text) {
  return boost::json::serialize(boost::json::string(text));
}

// DEL, or the first byte of one of the control characters beyond ASCII (U+0080 to U+009F): JSON leaves them as they
// are, terminals may obey them.
bool is_late_control(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0; };
  return byte(at) == 0x7f || (byte(at) == 0xc2 && byte(at + 1) >= 0x80 && byte(at + 1) < 0xa0);
}

// An object's key in a line of columns. Names of some kinds (roles, for one) may hold spaces, line ends and what
// controls a terminal: such a key stands as a JSON string, so that no name forges a line or a column.
std::string column(const std::string& text) {
  bool plain = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    plain = plain && !is_late_control(text, i) && c != '"' && c != '\\' && (c > ' ' || c < 0);
  }
  if (plain) return text;
  const std::string quoted = quote(text);
  std::string safe;
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    if (!is_late_control(quoted, i)) {
      safe += quoted[i];
      continue;
    }
    if (quoted[i] != 0x7f) ++i;
    char escape[7];
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(quoted[i])));
    safe += escape;
  }
  return safe;
}

// The members and their order are documented in the README: programs read them.
std::string json_line(std::string_view type, const std::string& cluster, const Resource& resource,
                      std::string_view namespace_name, std::string_view name, std::string_view version,
                      std::string_view object) {
  std::string line = "{\"type\":\"" + std::string(type) + "\",\"cluster\":" + quote(cluster) +
                     ",\"group\":" + quote(resource.group) + ",\"version\":" + quote(resource.version) +
                     ",\"resource\":" + quote(resource.name) + ",\"namespace\":" + quote(namespace_name) +
                     ",\"name\":" + quote(name) + ",\"resourceVersion\":" + quote(version) + ",\"object\":";
  line.append(object).append("}\n");
  return line;
}

}  // namespace

void EventPrinter::event(std::string_view type, const std::string& cluster, const Resource& resource,
                         const Object& object) {
  if (form_ == OutputForm::None) return;
  if (form_ == OutputForm::Lines) {
    return write(cluster + "  " + std::string(type) + "  " + resource.group_resource() + "  " +
                 column(object.key().to_string()) + "  rv=" + column(std::string(object.resource_version())) + "\n");
  }
  std::string_view raw = object.raw();
  ObjectPtr trimmed;
  if (!show_managed_fields_ && raw.find("\"managedFields\"") != std::string_view::npos) {
    if (auto parsed = Object::parse(raw)) {
      trimmed = std::move(*parsed);
      raw = trimmed->raw();
    }
  }
  // A line is a line: an API server that was asked to be pretty must not break it.
  std::string flat;
  if (raw.find('\n') != std::string_view::npos) {
    for (const char c : raw) flat += c == '\n' || c == '\r' ? ' ' : c;
    raw = flat;
  }
  write(json_line(type, cluster, resource, object.namespace_name(), object.name(), object.resource_version(), raw));
}

void EventPrinter::synced(const std::string& cluster, const Resource& resource, std::size_t objects) {
  if (form_ == OutputForm::None) return;
  if (form_ == OutputForm::Lines) {
    return write(cluster + "  SYNCED  " + resource.group_resource() + "  " + std::to_string(objects) +
                 (objects == 1 ? " object\n" : " objects\n"));
  }
  write(json_line("SYNCED", cluster, resource, "", "", "", "null"));
}

void EventPrinter::write(std::string line) {
  std::lock_guard lock(mutex_);
  std::string_view rest = line;
  const auto may_go_on = [&] {
    const std::chrono::steady_clock::duration stopped(stopped_);
    if (stopped.count() == 0) return true;
    return rest.size() < line.size() && std::chrono::steady_clock::now().time_since_epoch() - stopped < kLastLine;
  };
  while (!rest.empty() && failure_ == 0 && may_go_on()) {
    pollfd ready{descriptor_, POLLOUT, 0};
    if (poll(&ready, 1, kPollMilliseconds) <= 0) continue;
    // What a pipe takes at once, so that the write itself does not block.
    const ssize_t written = ::write(descriptor_, rest.data(), std::min<std::size_t>(rest.size(), 4096));
    if (written > 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      failure_ = errno;
    }
  }
}

void EventPrinter::stop() {
  stopped_ = std::chrono::steady_clock::now().time_since_epoch().count();
}

std::optional<Error> EventPrinter::failure() const {
  if (failure_ == 0) return std::nullopt;
  if (failure_ == EPIPE) return Error(Code::Cancelled, "stdout was closed by its reader");
  return Error(Code::Unavailable, std::string("stdout cannot be written: ") + std::strerror(failure_));
}

}  // namespace tinf::daemon
