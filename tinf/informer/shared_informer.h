// SharedInformer: one copy of a scope for any number of handlers and readers.
// It stands between a reflector and a store, works out what changes, and tells of it once the store has it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/contract/lister_watcher.h"
#include "tinf/contract/store.h"
#include "tinf/informer/event_queue.h"
#include "tinf/informer/indexer.h"
#include "tinf/informer/lister.h"
#include "tinf/informer/reflector.h"
#include "tinf/informer/status.h"

namespace tinf {

// What a handler is told; empty functions are left out. They may throw (counted, logged at a bounded rate), block,
// remove themselves, add others, read the lister and stop the informer.
struct Handler {
  std::function<void(const ObjectPtr& object, bool initial)> on_add;
  std::function<void(const ObjectPtr& old, const ObjectPtr& now)> on_update;  // A resync tells old == now.
  // `final_state_unknown`: nobody saw the delete itself; `last` is the state before, with key and uid in any case.
  std::function<void(const ObjectPtr& last, bool final_state_unknown)> on_delete;
  std::function<void()> on_synced;  // Once, after the last initial add.
};

struct HandlerOptions {
  HandlerOptions() = default;

  std::string name;   // In metrics and logs; "handler-<n>" if empty.
  Duration resync{};  // Show everything again this often; zero: never; less than a second counts as a second.
  // Where the functions run, one at a time. The informer's own by default; a handler that blocks needs another,
  // whose threads it then holds up alone.
  std::optional<Executor> executor;
};

struct SharedInformerOptions {
  SharedInformerOptions() = default;

  ReflectorOptions reflector;
  // Cuts each object before it is stored, once per state. An object that it refuses, or throws for, is left as the
  // store has it (so not at all if it is new), counted, and shown in transform_failures().
  std::function<Result<ObjectPtr>(const ObjectPtr&)> transform;
};

// How the store differed from the source, key by key; already being repaired by a list when it is handed out.
struct Verification {
  std::vector<ObjectKey> missing;    // The source has it, the store does not.
  std::vector<ObjectKey> extra;      // The store has it, the source does not.
  std::vector<ObjectKey> different;  // Another uid or version.
  ResourceVersion at;                // The source's set that was compared.
  bool equal() const { return missing.empty() && extra.empty() && different.empty(); }
};

// Guarantees: no handler is told of a change before the store has it; per key a handler sees states in the source's
// order, perhaps skipping some; each handler sees exactly one initial add per present object, whenever it came; a
// change of uid is a delete and an add; an object listed again unchanged is told to nobody. A handler's queue is
// bounded (event_queue.h). Not guaranteed: that every state is seen; any order between keys; that a handler keeps pace
// with another. Confined to the runtime's executor, but for lister(), which is thread-safe.
class SharedInformer final : private StoreWriter {
 public:
  // `source` and the store, given as its two halves, must outlive the informer, which is the store's one writer. What a
  // store on disk still holds is told as initial adds, and the first list says what became of it. A source that can
  // take such a store up (SourceTraits) is not asked for its set: changes tell what became of it, and the first set is
  // there when the source has said that the two are equal.
  SharedInformer(Runtime& runtime, Scope scope, ListerWatcher& source, StoreReader& reader, StoreWriter& writer,
                 SharedInformerOptions options = SharedInformerOptions());
  ~SharedInformer() override;  // stop() has ended before, or it was never started.

  SharedInformer(const SharedInformer&) = delete;
  SharedInformer& operator=(const SharedInformer&) = delete;

  // Begins to list and watch. Once; handlers may be there already.
  void start();

  // Closes the stream and returns when nothing of the informer runs any more, in bounded time: it does not wait for a
  // function that runs on another executor, but no further one begins. Idempotent.
  Task<void> stop();
  // The same without the wait; may be called from a handler.
  void request_stop();
  // Sets the metrics whose values grow by themselves; call it before they are shown.
  void refresh_metrics();
  bool stopped() const { return stopped_; }

 private:
  struct Subscriber;

 public:
  // Keeps a handler subscribed. Once it is gone no function of the handler runs; if one is running on another thread,
  // its destruction waits for it. Destroy it on the informer's executor, from the handler itself if you like; also
  // after the informer.
  class [[nodiscard]] Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept = default;
    Registration& operator=(Registration&& other) noexcept;
    ~Registration() { reset(); }

    void reset();
    // The waiting part of reset(), from any thread, so that the executor need not wait: no function begins after this,
    // and one that ran on another thread has ended. reset() follows.
    void silence();
    // The handler was told of all that was there when it came. Stays true.
    bool synced() const;
    std::size_t queued() const;

   private:
    friend class SharedInformer;
    explicit Registration(std::shared_ptr<Subscriber> subscriber) : subscriber_(std::move(subscriber)) {}
    std::shared_ptr<Subscriber> subscriber_;
  };

  // At any time: what is present comes as initial adds first. Cancelled: the informer has stopped.
  Result<Registration> add(Handler handler, HandlerOptions options = HandlerOptions());

  // At any time. AlreadyExists: the name is taken.
  Result<void> add_index(std::string name, IndexFunction function);

  Lister lister() const { return Lister(reader_, indexer_); }

  // The first set is in the store, or the source has found the store that was there equal or made it so. Never turns
  // false again.
  bool synced() const { return reflector_.synced(); }
  // The set is stored and a watch is open: a question apart from synced().
  bool live() const { return reflector_.live(); }
  ScopeStatus status() const { return reflector_.status(); }
  const Scope& scope() const { return reflector_.scope(); }
  ResourceVersion version() const { return reader_.version(); }

  // Waits for synced(). The error names the scope and why: Forbidden, NotFound, Unavailable, Timeout (with the source's
  // last words), Internal (the store refuses), Cancelled (stopped).
  Task<Result<void>> wait_synced(TimePoint deadline);

  // Waits until the store is at least at `version`, so that one's own write shows. Timeout; Cancelled. Invalid: it is
  // not decimal, and nothing can be said about which of two such versions is later.
  Task<Result<void>> wait_until(ResourceVersion version, TimePoint deadline);
  // The same for the one object that a server answered a write with, also where sets have versions of another kind
  // than objects (behind a broker): waits until the store has it, or a later state or successor of it, or a set that is
  // later. There an object that was deleted meanwhile ends in Timeout.
  Task<Result<void>> wait_until(ObjectPtr written, TimePoint deadline);

  // Lists the source's set again and compares it with the store; what differs twice is reported and repaired by a
  // relist. Two lists of metadata, kVerifyPause apart if the first one differs: what is merely on its way has arrived
  // by the second. A source behind a broker is followed in that form for as long as the list takes. Errors: the list's;
  // AlreadyExists: there somebody else follows it in that form, perhaps another verify().
  static constexpr Duration kVerifyPause = std::chrono::seconds(5);
  Task<Result<Verification>> verify();

  std::uint64_t transform_failures() const { return transform_failures_->value(); }
  std::optional<Error> last_transform_error() const { return last_transform_error_; }
  std::size_t handlers() const;

 private:
  using Change = Indexer::Change;
  struct Told {  // A change and how it was learnt.
    Told(Change c, bool unknown) : change(std::move(c)), final_state_unknown(unknown) {}
    Change change;
    bool final_state_unknown;
    ObjectPtr last;  // Of a delete: the final state where the source told it, beside the state that the store had.
  };

  Task<Result<void>> replace(Snapshot all) override;
  Task<Result<void>> apply(EventBatch changes) override;
  ObjectPtr transformed(const ObjectPtr& object);  // Null if refused.
  void tell(std::vector<Told> changes, bool initial);
  void count_index_failures();
  void attach(const std::shared_ptr<Subscriber>& subscriber);

  Task<void> deliver(std::shared_ptr<Subscriber> subscriber);
  Task<void> deliver_elsewhere(std::shared_ptr<Subscriber> subscriber, std::vector<Notification> changes);
  Task<void> resync();
  struct Difference;
  Task<Result<ResourceVersion>> compare(std::vector<Difference>& found);
  Error unsynced() const;

  // Constant after construction.
  Runtime& runtime_;
  ListerWatcher& source_;
  const SharedInformerOptions options_;
  StoreReader& reader_;
  StoreWriter& writer_;
  const Log log_;

  // Confined to the strand.
  std::vector<std::shared_ptr<Subscriber>> subscribers_;
  std::vector<std::shared_ptr<Subscriber>> waiting_;  // Came while a write was under way; attached behind it.
  Indexer indexer_;
  bool writing_ = false;
  bool stopped_ = false;
  bool started_ = false;
  bool first_set_told_ = false;
  int next_handler_ = 1;
  std::optional<Error> last_transform_error_;
  TimePoint transform_logged_at_{};
  TimePoint index_logged_at_{};
  std::uint64_t index_failures_counted_ = 0;
  Signal changed_;  // The version or the status.
  Signal resync_changed_;
  std::shared_ptr<Counter> transform_failures_;
  std::shared_ptr<Counter> index_failures_;
  Reflector reflector_;
  TaskGroup tasks_;
};

}  // namespace tinf
