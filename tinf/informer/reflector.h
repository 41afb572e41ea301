// A Reflector keeps a store equal to a source: it lists, replaces, then applies the watch batch by batch,
// and starts over whenever it may have missed something.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tinf/base/runtime.h"
#include "tinf/contract/lister_watcher.h"
#include "tinf/contract/store.h"
#include "tinf/informer/status.h"

namespace tinf {

enum class StreamingListUse {
  WhereOffered,  // If the source's traits say so; what is refused or fails is remembered, and pages are used instead.
  Never,
};

// What follows a time without a watch, in which the source may have been set back to a backup.
enum class AfterOutage {
  // It is watched on from where the sink stands, once it has said that it stands there or later. As cheap as can be;
  // but
  // a source that was set back, and has since written more than it had lost, is not told from one that was not.
  Resume,
  // It is listed: for those whose copy must be equal whatever happened. Nothing counts as current until then.
  List,
};

struct ReflectorOptions {
  ReflectorOptions() = default;

  int page_size = 500;              // client-go's; only asked where the version is "" or "0".
  int smallest_page_size = 50;      // How far it is halved after lists that outlived the watch window.
  std::string first_version = "0";  // Of the first list, where the source understands "0"; else "".
  // Of what the sink holds from an earlier life: where the source can take that up, it is watched from there instead of
  // listed, and is the first set as soon as the stream says so.
  ResourceVersion held;
  StreamingListUse streaming_list = StreamingListUse::WhereOffered;
  Duration streaming_list_deadline = std::chrono::minutes(2);  // For the whole initial set.
  int streaming_list_tries = 3;                                // Streams that break before its end.
  Duration list_deadline = std::chrono::minutes(10);
  Duration open_deadline = std::chrono::seconds(30);  // For a watch to open.

  // What the source is asked to end a watch after, uniform between the two: not all clients come back at once. Only
  // where its traits say that it does so.
  Duration shortest_watch = std::chrono::minutes(5);
  Duration longest_watch = std::chrono::minutes(10);
  Duration watch_grace = std::chrono::seconds(30);  // Beyond that the stream is taken for dead.
  Duration short_watch = std::chrono::seconds(1);   // One that ends sooner, without events, has failed.
  AfterOutage after_outage = AfterOutage::Resume;
  // A watch this quiet is suspected to stand at a version that the source has lost; zero: never.
  Duration probe_after = std::chrono::minutes(5);

  BackoffOptions backoff;
  // For Forbidden and NotFound: a state that a person or a CRD changes, not a passing fault.
  BackoffOptions denied_backoff = slow();

  Labels labels;  // Of metrics, before resource and scope: what tells apart reflectors of one scope, as the cluster.
  Labels labels_for(const Scope& scope) const;  // All of them.

  std::function<void(const Error&)> on_error;  // Every failure of source or store, on the strand.
  std::function<void()> on_status;             // After status() has changed, on the strand.

  static BackoffOptions slow();  // 5 s doubling to 2 min.
};

// What the reflector does next. One step() leads from each to the next:
//
// It begins with a list, or with a watch where the source takes up what the sink holds.
//
//   Listing ──stored──→ Watching        list failed → Waiting, then Listing; Expired → Listing at ""
//   StreamingList ──stored──→ Watching  refused, late or broken too often → Listing; broken → Waiting
//   Watching ──ended well──→ Watching   broken, short → Waiting, then Watching; Expired, rewound, no progress → Listing
//   Waiting ──time up──→ what follows; with AfterOutage::List, instead of Watching, → Listing
enum class ReflectorStep { StreamingList, Listing, Watching, Waiting };

// Guarantees: the states of one key reach the sink in the source's order, and what the sink holds is the source's set
// as of version(). Some states may be skipped; nothing is promised between different keys. The version moves only past
// what the sink has taken. No failure, whatever its pace, makes a busy loop or a log line each time. Not thread-safe:
// construct, run and destroy on the runtime's executor.
class Reflector {
 public:
  // Watches in a row from one version that failed or ended at once, after which the set is listed again:
  // there are servers that drop a stale watch without ever saying Expired.
  static constexpr int kWatchesWithoutProgress = 5;

  // `source` and `sink` must outlive the Reflector.
  Reflector(Runtime& runtime, Scope scope, ListerWatcher& source, StoreWriter& sink,
            ReflectorOptions options = ReflectorOptions());
  ~Reflector();

  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  // Returns only when cancelled; by then its stream is closed. Once per Reflector.
  Task<void> run();

  // Lists again at the source's latest version as soon as the present request is over.
  void relist();

  // True once the first set is in the sink. Never turns false again.
  bool synced() const { return synced_; }
  // True while the set is stored and a watch is open.
  bool live() const { return status_.state == ScopeState::Live; }
  // When the sink was last known to follow the source. While a watch is open, its last word; otherwise that of the last
  // one, or its end where the source ended it itself. Of a set that was never watched: when it was asked for.
  TimePoint current_at() const { return current_at_; }
  ScopeStatus status() const { return status_; }
  const Scope& scope() const { return scope_; }
  // Where the sink stands; empty before the first set.
  const ResourceVersion& version() const { return version_; }

 private:
  enum class Alarm { Silent, Rewound, RelistAsked };

  Task<void> step();
  Task<ReflectorStep> list();
  Task<ReflectorStep> stream_list();
  Task<ReflectorStep> watch();
  Task<ReflectorStep> wait();

  Task<Result<void>> store(Snapshot all, TimePoint asked_at);
  bool probes() const { return traits_.decimal_versions && options_.probe_after > Duration(); }
  static ListOptions probe();
  Task<Alarm> watchdog(TimePoint cut);  // Returns when the open stream is no longer worth waiting for.
  Task<bool> collect(std::map<ObjectKey, ObjectPtr>& set, ResourceVersion& at, std::optional<Error>& failure);

  ReflectorStep list_failed(const Error& error, const ListOptions& asked);
  ReflectorStep watch_ended(const Error& error, TimePoint opened, bool progressed);
  ReflectorStep watch_expired();
  ReflectorStep stream_list_failed(const Error& error);
  ReflectorStep give_up_streaming(const Error& error);
  ReflectorStep list_from_latest();
  ReflectorStep wait_then(ReflectorStep next, const Error& error);
  ReflectorStep pause_then(ReflectorStep next);
  ReflectorStep listing() const;
  void set_state(ScopeState state);
  void failed(const Error& error, ScopeState state);
  Duration watch_timeout();

  // Constant after construction.
  Runtime& runtime_;
  const Scope scope_;
  ListerWatcher& source_;
  StoreWriter& sink_;
  const ReflectorOptions options_;
  const SourceTraits traits_;
  const Log log_;

  // Confined to the strand.
  ReflectorStep step_;
  ReflectorStep after_wait_ = ReflectorStep::Listing;
  Duration wait_{};
  Backoff backoff_;
  Backoff denied_backoff_;
  ResourceVersion version_;
  std::unique_ptr<WatchStream> stream_;  // Open, or handed over by a streaming list.
  Signal wake_;
  bool synced_ = false;
  bool relist_asked_ = false;
  bool doubtful_ = false;      // For a while no watch was open: the source may have been set back meanwhile.
  bool list_latest_ = false;   // The next list asks for "", because our version is gone or not to be trusted.
  bool list_unpaged_ = false;  // The next list asks for all at once, because a page's token expired.
  int page_size_;
  bool streaming_;                // Streaming lists are worth a try.
  int streams_broken_ = 0;        // Streaming lists in a row that ended before their set was complete.
  int failed_watches_ = 0;        // In a row, from the same version.
  int lists_without_health_ = 0;  // Since a watch last made progress.
  TimePoint current_at_;
  ScopeStatus status_;
  std::optional<Code> logged_code_;
  TimePoint logged_at_{};

  std::shared_ptr<Counter> lists_, watches_, failures_, events_, rewinds_;
  std::shared_ptr<Gauge> live_gauge_;
};

}  // namespace tinf
