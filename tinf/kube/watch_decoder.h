// WatchDecoder: from the bytes of a watch to batches of events. Pure: bytes in, batches out, no sockets and no clock.
// Each byte is looked at once for its line's end and once for its meaning, however the bytes are cut.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/result.h"
#include "tinf/object/watch_event.h"

namespace tinf::kube {

// Cuts a stream into lines. A line's view lives until the next feed().
class LineSplitter {
 public:
  void feed(std::string chunk);
  std::optional<std::string_view> next();

  // Bytes that wait for their line's end.
  std::size_t pending() const { return buffer_.size() - begin_; }

 private:
  std::string buffer_;
  std::size_t begin_ = 0;    // Of the line not yet handed out.
  std::size_t scanned_ = 0;  // No line end in [begin_, scanned_).
};

// What a stream must be about; anything else in it is an error.
struct WatchExpectation {
  std::string api_version;
  std::string kind;             // Empty: the first event tells.
  ResourceVersion from;         // Exclusive.
  bool initial_events = false;  // A streaming list: versions mean nothing until its end bookmark.
  bool keep_managed_fields = false;

  WatchExpectation() = default;
};

// Confined to one strand.
class WatchDecoder {
 public:
  explicit WatchDecoder(WatchExpectation expectation);

  void feed(std::string chunk);

  // All complete lines that are here as one batch (bounded: 512 events or 1 MiB); nothing if more bytes are needed.
  // What stands before a bad line is handed out first. Errors, after which every call says the same: Internal: a line
  // that is no event of this watch. Expired: versions went back. Else what an ERROR event's Status says.
  std::optional<Result<EventBatch>> next();

  // The stream was cut inside a line.
  bool mid_line() const { return lines_.pending() > 0; }

  // The kind seen or expected.
  const std::string& kind() const { return expectation_.kind; }

 private:
  // One line into `batch`; true if the batch must end with it.
  Result<bool> decode(std::string_view line, EventBatch& batch);
  Result<bool> decode_as(std::string_view type, std::string_view object, EventBatch& batch);
  Result<bool> decode_event(EventType type, std::string_view object, EventBatch& batch);
  Result<bool> decode_bookmark(std::string_view object, EventBatch& batch);
  Result<void> advance(std::string_view version, EventBatch& batch);

  WatchExpectation expectation_;
  ResourceVersion version_;
  LineSplitter lines_;
  std::optional<Error> failure_;
};

}  // namespace tinf::kube
