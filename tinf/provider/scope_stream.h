// ScopeStream: the truth about one scope, and the numbered history from which every informer catches up.
// Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tinf/object/inventory.h"
#include "tinf/object/resource.h"
#include "tinf/object/watch_event.h"
#include "tinf/provider/snapshot.h"
#include "tinf/wire/codec.h"

namespace tinf {

struct ScopeStreamOptions {
  std::size_t frame_bytes = 256 << 10;   // Objects' bytes in one frame, before compression: 30 to 60 KiB after it,
                                         // where brokers are fastest.
  std::size_t patched_bytes = 16 << 20;  // Of the objects that one frame makes of patches.
  std::size_t base_bytes = 256 << 20;    // Of former states that are kept to write patches from.
  std::size_t log_entries = 16384;       // Changes remembered at least; twice the number of objects if that is more.
};

// Numbers each change 1, 2, 3, …; every number has one state of the set that goes with it. Remembers of each key only
// the last change, so its memory is bounded by the number of objects and a frame costs what differs.
// Not thread-safe.
class ScopeStream {
 public:
  // `epoch` is random: nobody has ever heard of it.
  ScopeStream(Scope scope, std::string epoch, ScopeStreamOptions options = ScopeStreamOptions());

  const std::string& id() const { return id_; }
  const Scope& scope() const { return scope_; }

  // The set is exactly this; numbers only what differs from the present one. The first one makes the stream ready.
  void replace(Snapshot all);
  // One batch of changes, of which those that change nothing are not numbered.
  void apply(const EventBatch& changes);

  bool ready() const { return ready_; }
  wire::Position position() const { return {epoch_, sequence_}; }
  Fingerprint fingerprint() const { return inventory_.fingerprint(); }
  const std::string& resource_version() const { return resource_version_; }
  std::size_t size() const { return inventory_.size(); }

  // The next changes after sequence `from`, as many as a frame holds, or nothing if there are none.
  // Expired: the history does not reach back to `from`.
  struct FrameAfter {
    wire::Encoded encoded;
    std::uint64_t through;
  };
  Result<std::optional<FrameAfter>> frame_after(std::uint64_t from) const;

  // The next changes for all who follow live, up to whom live() says where they stand; patches if all of them can apply
  // one. Expired: as above; live() has then moved to the present, and whoever follows sees the gap and asks.
  Result<std::optional<FrameAfter>> next_live_frame(bool patches);
  std::uint64_t live() const { return live_; }

  // True if a copy that stands at `position` can be brought forward by frames alone.
  bool can_resume(const wire::Position& position) const;

  // Somebody was answered with what lies beyond live(): what has changed since then is not told by patches, as not all
  // who follow have the same of it.
  void forget_bases();

  // The whole set now, in pages of at most `page_bytes` of objects, or one object, before compression. Shared by all
  // who ask while nothing changes.
  std::shared_ptr<const PagedSnapshot> snapshot(std::size_t page_bytes);

 private:
  struct Entry {
    ObjectPtr object;  // Null: deleted, remembered for those who have not heard of it.
    // What all who follow live have of it, while that is not the object itself; null where a patch will not do. Only
    // what changed since live_, and still stands in the log, has one.
    ObjectPtr base;
    std::uint64_t sequence = 0;
    std::string uid;  // Of a deleted object.
    std::string resource_version;
  };
  using Entries = std::map<ObjectKey, Entry>;

  void put(ObjectPtr object);
  void remove(const ObjectKey& key, const std::string& resource_version);
  void number(Entries::iterator changed);
  void keep_base(Entry& entry);
  void forget_base(Entry& entry);
  void forget_bases(std::uint64_t through);
  void trim();
  Result<std::optional<FrameAfter>> write_frame(std::uint64_t from, bool patches) const;
  static void write(const ObjectKey& key, const Entry& entry, bool patches, wire::EventsWriter& writer);
  std::deque<std::pair<std::uint64_t, Entries::iterator>>::const_iterator first_after(std::uint64_t sequence) const;

  // Constant after construction.
  const Scope scope_;
  const std::string id_;
  const std::string epoch_;
  const ScopeStreamOptions options_;

  bool ready_ = false;
  Entries entries_;      // Objects, and deletes that the log still names.
  Inventory inventory_;  // Of the objects.
  std::string resource_version_;
  std::uint64_t sequence_ = 0;
  // The last change of each key that changed since floor_, in order, among stale entries whose key has changed again
  // since.
  std::deque<std::pair<std::uint64_t, Entries::iterator>> log_;
  std::uint64_t floor_ = 0;  // Every change after this one is in the log.
  std::uint64_t live_ = 0;   // Live frames have gone out up to here.
  std::size_t base_bytes_ = 0;
  std::uint64_t snapshots_ = 0;
  std::weak_ptr<const PagedSnapshot> last_snapshot_;
};

}  // namespace tinf
