// The form every API server writes, {"type":"T","object":O}, is cut by comparing its ends: O is validated by whoever
// parses it, and what is left over is fixed text, so nothing goes unchecked. Any other form takes the long way.
#include "tinf/kube/watch_decoder.h"

#include <simdjson.h>

#include <cstring>

#include "tinf/kube/api_status.h"

namespace tinf::kube {
namespace {

constexpr std::size_t kBatchEvents = 512;
constexpr std::size_t kBatchBytes = 1u << 20;
constexpr std::size_t kLongestLine = 32u << 20;  // As for an item of a list.

constexpr std::string_view kTypeKey = "{\"type\":\"";
constexpr std::string_view kObjectKey = "\",\"object\":";
constexpr std::string_view kInitialEventsEnd = "k8s.io/initial-events-end";

struct UsualForm {
  std::string_view type;
  std::string_view object;
};

std::optional<UsualForm> usual_form(std::string_view line) {
  if (!line.starts_with(kTypeKey) || !line.ends_with('}')) return std::nullopt;
  line.remove_prefix(kTypeKey.size());
  line.remove_suffix(1);
  const auto end_of_type = line.substr(0, 16).find('"');
  if (end_of_type == std::string_view::npos) return std::nullopt;
  const std::string_view type = line.substr(0, end_of_type);
  line.remove_prefix(end_of_type);
  if (!line.starts_with(kObjectKey) || type.find('\\') != std::string_view::npos) return std::nullopt;
  return UsualForm{type, line.substr(kObjectKey.size())};
}

// Any other form: parsed as a whole.
struct OtherForm {
  std::string type;
  std::string object;

  bool read(std::string_view line) {
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    simdjson::dom::object found;
    std::string_view text;
    if (parser.parse(line.data(), line.size()).get(root)) return false;
    if (root["type"].get(text) || root["object"].get(found)) return false;
    type = std::string(text);
    return cut(line);
  }

 private:
  // The object's own bytes: DOM does not keep them, on-demand does, and the line is valid JSON by now.
  bool cut(std::string_view line) {
    const simdjson::padded_string padded(line);
    simdjson::ondemand::parser parser;
    simdjson::ondemand::document document;
    simdjson::ondemand::object value;
    std::string_view raw;
    if (parser.iterate(padded).get(document)) return false;
    if (document["object"].get_object().get(value) || value.raw_json().get(raw)) return false;
    object = std::string(raw);
    return true;
  }
};

Error undecodable(std::string_view why, std::string_view line) {
  return Error(Code::Internal, "a watch event " + std::string(why) + ": " + excerpt(line));
}

}  // namespace

void LineSplitter::feed(std::string chunk) {
  if (begin_ == buffer_.size()) {
    buffer_ = std::move(chunk);
    scanned_ = 0;
  } else {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    buffer_.append(chunk);
  }
  begin_ = 0;
}

std::optional<std::string_view> LineSplitter::next() {
  const void* found = std::memchr(buffer_.data() + scanned_, '\n', buffer_.size() - scanned_);
  if (found == nullptr) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  const std::size_t end = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
  std::string_view line(buffer_.data() + begin_, end - begin_);
  begin_ = scanned_ = end + 1;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

WatchDecoder::WatchDecoder(WatchExpectation expectation)
    : expectation_(std::move(expectation)), version_(expectation_.from) {}

void WatchDecoder::feed(std::string chunk) {
  lines_.feed(std::move(chunk));
}

std::optional<Result<EventBatch>> WatchDecoder::next() {
  if (failure_) return Result<EventBatch>(*failure_);
  EventBatch batch;
  std::size_t bytes = 0;
  while (batch.events.size() < kBatchEvents && bytes < kBatchBytes) {
    const auto line = lines_.next();
    if (!line) {
      if (lines_.pending() > kLongestLine) failure_ = Error(Code::Internal, "a watch event of more than 32 MiB");
      break;
    }
    if (line->empty()) continue;
    bytes += line->size();
    const Result<bool> last = decode(*line, batch);
    if (!last) failure_ = last.error();
    if (!last || *last) break;
  }
  if (!batch.events.empty() || !batch.version.empty()) return Result<EventBatch>(std::move(batch));
  if (failure_) return Result<EventBatch>(*failure_);
  if (bytes >= kBatchBytes) return next();  // A MiB of bookmarks that do not count yet; the buffer only shrinks.
  return std::nullopt;
}

Result<bool> WatchDecoder::decode(std::string_view line, EventBatch& batch) {
  const auto usual = usual_form(line);
  Result<bool> result = usual ? decode_as(usual->type, usual->object, batch) : undecodable("cannot be decoded", line);
  if (result || result.error().code != Code::Internal) return result;
  OtherForm other;  // Members in another order, or more of them.
  if (!other.read(line) || (usual && other.object == usual->object)) return result;
  return decode_as(other.type, other.object, batch);
}

Result<bool> WatchDecoder::decode_as(std::string_view type, std::string_view object, EventBatch& batch) {
  if (type == "MODIFIED") return decode_event(EventType::Modified, object, batch);
  if (type == "ADDED") return decode_event(EventType::Added, object, batch);
  if (type == "DELETED") return decode_event(EventType::Deleted, object, batch);
  if (type == "BOOKMARK") return decode_bookmark(object, batch);
  if (type == "ERROR") {
    if (const auto status = ApiStatus::parse(object)) return status->to_error();
    return undecodable("of type ERROR carries no Status", object);
  }
  return undecodable("has the unknown type \"" + std::string(type) + "\"", object);
}

Result<bool> WatchDecoder::decode_event(EventType type, std::string_view object, EventBatch& batch) {
  ParseOptions options;
  options.keep_managed_fields = expectation_.keep_managed_fields;
  auto parsed = Object::parse(object, options);
  if (!parsed) return undecodable("cannot be decoded (" + parsed.error().message + ")", object);
  const Object& state = **parsed;
  if (state.resource_version().empty()) return undecodable("has no resourceVersion", object);
  if (expectation_.kind.empty() && state.api_version() == expectation_.api_version)
    expectation_.kind = std::string(state.kind());
  if (state.kind().empty() || state.kind() != expectation_.kind || state.api_version() != expectation_.api_version) {
    return undecodable("is of the wrong kind, not " + expectation_.api_version + " " + expectation_.kind, object);
  }
  if (auto moved = advance(state.resource_version(), batch); !moved) return moved.error();
  switch (type) {
    case EventType::Added:
      batch.events.push_back(WatchEvent::added(std::move(*parsed)));
      break;
    case EventType::Modified:
      batch.events.push_back(WatchEvent::modified(std::move(*parsed)));
      break;
    case EventType::Deleted:
      batch.events.push_back(WatchEvent::deleted(std::move(*parsed)));
      break;
  }
  return false;
}

Result<bool> WatchDecoder::decode_bookmark(std::string_view object, EventBatch& batch) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view version;
  if (parser.parse(object.data(), object.size()).get(root)) return undecodable("cannot be decoded", object);
  if (root["metadata"]["resourceVersion"].get(version) || version.empty()) {
    return undecodable("of type BOOKMARK has no resourceVersion", object);
  }
  std::string_view api_version;
  if (!root["apiVersion"].get(api_version) && api_version != expectation_.api_version) {
    return undecodable("is of the wrong kind, not " + expectation_.api_version + " " + expectation_.kind, object);
  }
  std::string_view mark;
  const bool ends =
      expectation_.initial_events && !root["metadata"]["annotations"][kInitialEventsEnd].get(mark) && mark == "true";
  if (ends) expectation_.initial_events = false;
  if (auto moved = advance(version, batch); !moved) return moved.error();
  batch.initial_events_end = ends;
  return ends;
}

Result<void> WatchDecoder::advance(std::string_view version, EventBatch& batch) {
  if (expectation_.initial_events) return Result<void>();
  ResourceVersion next{std::string(version)};
  if (next.is_before(version_)) {
    return Error(Code::Expired, "the watch went back from version " + version_.text() + " to " + next.text() +
                                    ": the server's history was rewound");
  }
  version_ = next;
  batch.version = std::move(next);
  return Result<void>();
}

}  // namespace tinf::kube
