// What a selection makes of a change follows k8s.io/apiserver's watch cache: entering is ADDED, leaving is DELETED.
#include "tinf/api/watch_response.h"

namespace tinf::api {
namespace {

constexpr std::size_t kChunkBytes = 64 * 1024;
constexpr Duration kBookmarkInterval = std::chrono::minutes(1);
constexpr Duration kBookmarkBeforeEnd = std::chrono::seconds(2);

}  // namespace

WatchResponse::WatchResponse(ResourceTypePtr type, Selection selection, Presentation presentation, WatchPlan plan,
                             std::unique_ptr<VersionedWatch> watch, Clock& clock, OpenWatches open)
    : type_(std::move(type)),
      selection_(std::move(selection)),
      clock_(clock),
      open_(std::move(open)),
      presentation_(std::move(presentation)),
      plan_(std::move(plan)),
      watch_(std::move(watch)) {
  batch_.version = plan_.initial_version;
  open_->insert(this);
  plan_next_bookmark();
}

WatchResponse::~WatchResponse() {
  open_->erase(this);
}

void WatchResponse::plan_next_bookmark() {
  const auto now = clock_.now();
  const auto last = plan_.end - kBookmarkBeforeEnd;
  next_bookmark_ = now < last ? std::min(now + kBookmarkInterval, last) : plan_.end;
  if (!plan_.bookmarks) next_bookmark_ = plan_.end;
}

bool WatchResponse::fill_initial(std::string& out) {
  while (told_initial_ < plan_.initial.size() && out.size() < kChunkBytes) {
    out += presentation_.event("ADDED", *plan_.initial[told_initial_++]);
  }
  if (told_initial_ < plan_.initial.size()) return false;
  plan_.initial.clear();
  told_initial_ = 0;
  if (has_rest()) return true;
  if (std::exchange(plan_.initial_events_end, false)) out += presentation_.bookmark(plan_.initial_version, true);
  return true;
}

void WatchResponse::tell(const StoreChange& change, std::string& out) {
  const bool is_in = change.type != EventType::Deleted && selection_.matches(*change.object);
  const bool was_in = change.previous != nullptr && selection_.matches(*change.previous);
  if (is_in) {
    out += presentation_.event(was_in ? "MODIFIED" : "ADDED", *change.object);
  } else if (was_in && change.type == EventType::Deleted) {
    out += presentation_.event("DELETED", *change.object);
  } else if (was_in) {
    // The last state that the watcher was entitled to see, at the version at which it left.
    const auto left = Object::parse(with_resource_version(*change.previous, change.version));
    if (left) out += presentation_.event("DELETED", **left);
  }
}

void WatchResponse::fill_changes(std::string& out) {
  while (told_ < batch_.changes.size() && out.size() < kChunkBytes) tell(batch_.changes[told_++], out);
  if (told_ < batch_.changes.size()) return;
  batch_.changes.clear();
  told_ = 0;
}

Task<std::optional<std::string>> WatchResponse::next() {
  while (!over_) {
    std::string out;
    if (fill_initial(out) && !has_rest()) fill_changes(out);
    if (!out.empty()) co_return out;
    if (has_rest()) {
      auto read = co_await plan_.rest->next(kObjectsAtOnce, kWatchBytesAtOnce);
      if (!read) {
        over_ = true;
        co_return Presentation::error_event(read.error());
      }
      plan_.initial = std::move(*read);
      continue;
    }

    if (clock_.now() >= plan_.end) break;
    auto batch = co_await watch_->next(next_bookmark_);
    if (!batch) {
      over_ = true;
      if (batch.error().code == Code::Cancelled) break;
      co_return Presentation::error_event(Status::of(batch.error(), type_->resource(), ""));
    }
    batch_ = std::move(*batch);
    if (!batch_.changes.empty()) continue;
    if (plan_.bookmarks && clock_.now() >= next_bookmark_ && clock_.now() < plan_.end) {
      plan_next_bookmark();
      co_return presentation_.bookmark(batch_.version, false);
    }
  }
  over_ = true;
  co_return std::nullopt;
}

}  // namespace tinf::api
