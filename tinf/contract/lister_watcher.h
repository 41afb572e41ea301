// A ListerWatcher is where a reflector gets its truth: one list, then a watch.
// Why this order loses nothing: docs/life-of-an-event.md.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "tinf/base/clock.h"
#include "tinf/base/result.h"
#include "tinf/base/task.h"
#include "tinf/object/resource.h"
#include "tinf/object/watch_event.h"

namespace tinf {

// An open watch. Destroying it closes it; no event follows.
class WatchStream {
 public:
  virtual ~WatchStream() = default;

  // Waits for the next changes or bookmark. Versions never go backwards within one stream, batches are not empty
  // unless they carry a version. After any error the stream is over:
  // Expired: the version we resumed from is gone; list again.
  // Unavailable: the stream broke. Timeout: the source ended it in good order (its time was up), or was silent for too
  // long (fell_silent()). Both: watch again from the last version seen. TooManyRequests, Forbidden, NotFound,
  // Unauthorized, Invalid, Internal: what the source said instead of an event.
  virtual Task<Result<EventBatch>> next() = 0;

  // After Timeout: it was silence. The source was last heard of when the batch before came.
  virtual bool fell_silent() const { return false; }
};

struct ListOptions {
  // "" the latest, "0" any the source has at hand, else at least as new as this one.
  ResourceVersion version;
  // Objects a page; 0 asks for all at once. Sources without pages ignore it.
  int page_size = 0;
  // Only the version is wanted: an API server is asked for one object (limit=1) and no further page;
  // Snapshot::objects may then be cut short and must not be used.
  bool version_only = false;
  // No watch follows: a source that keeps something for each scope lets go of it when the list is over. AlreadyExists:
  // it is watching this very scope.
  bool once = false;
  // Called as objects arrive, with how many so far and, where the source says so, of how many.
  std::function<void(std::size_t, std::optional<std::size_t>)> progress;

  ListOptions() = default;
};

struct WatchOptions {
  ResourceVersion from;  // Exclusive. Empty with `initial_events`: a streaming list.
  bool initial_events = false;
  Duration timeout{};  // What the source is asked to end the stream after; zero: its choice.

  WatchOptions() = default;
};

// What kind of history a source has; the reflector's rules depend on it.
struct SourceTraits {
  bool pages = false;             // Lists may come in pages and "expire" between two of them.
  bool streaming_list = false;    // Worth asking for one; the answer may still be Invalid.
  bool version_zero = false;      // Understands version "0".
  bool decimal_versions = false;  // A lower version means that history was rewound.
  bool ends_watches = false;      // At WatchOptions::timeout, so that a stream which outlives it is dead.
  bool takes_up_stores = false;   // A watch may begin at the version of a store that was kept from an earlier life, or
                                  // at kUnknownPosition where that has none. Its stream says initial_events_end once
                                  // the store is known to hold the source's set.

  SourceTraits() = default;
};

// What a store that holds something is said to be at, where it is not what any position stands for.
inline constexpr const char* kUnknownPosition = "?";

// Not thread-safe: call from one strand. Must outlive the streams it opened.
class ListerWatcher {
 public:
  virtual ~ListerWatcher() = default;

  virtual SourceTraits traits() const = 0;

  // Returns every object in `scope`, all of them as of Snapshot::version.
  // Expired: the version asked for is gone, or a page's token is; Invalid: the source does not understand the request.
  // TooManyRequests, Unavailable, Timeout: try again later. Forbidden, NotFound: no such right or resource now.
  virtual Task<Result<Snapshot>> list(const Scope& scope, ListOptions options) = 0;

  // Opens a watch for the changes made after `options.from`, exclusive. Errors as above.
  virtual Task<Result<std::unique_ptr<WatchStream>>> watch(const Scope& scope, WatchOptions options) = 0;
};

}  // namespace tinf
