// WatchResponse: one client's watch: a store's changes seen through a selection, as lines of JSON.
#pragma once

#include <memory>
#include <set>

#include "tinf/api/message.h"
#include "tinf/api/object_pages.h"
#include "tinf/api/presentation.h"
#include "tinf/api/selection.h"
#include "tinf/base/clock.h"
#include "tinf/contract/versioned_store.h"

namespace tinf::api {

class WatchResponse;
// Those that are open now; shared, because a connection may unwind after its server.
using OpenWatches = std::shared_ptr<std::set<WatchResponse*>>;

struct WatchPlan {
  std::vector<ObjectPtr> initial;    // Told as ADDED first,
  std::optional<ObjectPages> rest;   // and then these, if there are more.
  StoreVersion initial_version = 0;  // What they are as of.
  bool initial_events_end = false;   // A bookmark says that these were all.
  bool bookmarks = false;
  TimePoint end{};

  WatchPlan() = default;
};

// Holds no events of its own: what a slow client has not read yet stays in the store's bounded history, and expires
// with it. Confined to one strand.
class WatchResponse final : public ResponseStream {
 public:
  WatchResponse(ResourceTypePtr type, Selection selection, Presentation presentation, WatchPlan plan,
                std::unique_ptr<VersionedWatch> watch, Clock& clock, OpenWatches open);
  ~WatchResponse() override;

  Task<std::optional<std::string>> next() override;
  void cut() override { watch_->cut(); }

  const ResourceType& type() const { return *type_; }

 private:
  bool fill_initial(std::string& out);
  bool has_rest() const { return plan_.rest && plan_.rest->more(); }
  void fill_changes(std::string& out);
  void tell(const StoreChange& change, std::string& out);
  void plan_next_bookmark();

  // Constant after construction.
  const ResourceTypePtr type_;
  const Selection selection_;
  Clock& clock_;
  const OpenWatches open_;

  // Confined to the strand.
  Presentation presentation_;
  WatchPlan plan_;
  std::unique_ptr<VersionedWatch> watch_;
  std::size_t told_initial_ = 0;
  ChangeBatch batch_;
  std::size_t told_ = 0;  // Of batch_.
  TimePoint next_bookmark_{};
  bool over_ = false;
};

}  // namespace tinf::api
