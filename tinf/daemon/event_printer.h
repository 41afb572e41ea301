// EventPrinter: what happens to objects, as lines or JSON on stdout.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/metrics.h"
#include "tinf/base/result.h"
#include "tinf/daemon/options.h"
#include "tinf/object/object.h"
#include "tinf/object/resource.h"

namespace tinf::daemon {

// Thread-safe. Writing blocks the caller while the reader of stdout does not read: call it where that holds up nobody
// else.
class EventPrinter {
 public:
  EventPrinter(OutputForm form, bool show_managed_fields, int descriptor = 1)
      : form_(form), show_managed_fields_(show_managed_fields), descriptor_(descriptor) {}

  // `type` is ADDED, MODIFIED or DELETED.
  void event(std::string_view type, const std::string& cluster, const Resource& resource, const Object& object);
  // The first full set of a scope is there: `objects` of them.
  void synced(const std::string& cluster, const Resource& resource, std::size_t objects);

  // Ends a write that waits for its reader, but gives it three seconds to finish a line that was begun; no line begins
  // afterwards.
  void stop();
  // Why nothing can be written any more, if so.
  std::optional<Error> failure() const;

 private:
  void write(std::string line);

  const OutputForm form_;
  const bool show_managed_fields_;
  const int descriptor_;
  std::mutex mutex_;                       // Lines of several clusters' handlers must not mix.
  std::atomic<std::int64_t> stopped_ = 0;  // When, in the steady clock's ticks; 0: not.
  std::atomic<int> failure_ = 0;           // errno.
};

}  // namespace tinf::daemon
