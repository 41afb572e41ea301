// ApiServer: a Kubernetes API server at its worst. Compacts its history, is set back to a backup, refuses, hangs, is
// away, ends its watches in every way there is; and always tells the truth about what it holds.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/truth.h"
#include "tinf/contract/lister_watcher.h"

namespace tinf::simulation {

// Some resources under one history. Confined to the strand of its users, and outlives them.
class ApiServer final : public ListerWatcher {
 public:
  ApiServer(Clock& clock, std::uint64_t seed, std::vector<Resource> resources);
  ~ApiServer() override;

  const Truth& truth(const Resource& resource) const;

  void change();       // Of one object of any resource.
  void bookmark();     // On all open watches.
  void compact();      // Watches from before now are Expired; some of the open ones are told so, too.
  void end_watches();  // One reason for all.
  // All connections break, and until then none comes about.
  void go_away(Duration length);
  // etcd is set back to the last backup: versions go back and are given to other states. Away meanwhile.
  void set_back();
  // Until then, requests are answered by 429, 500 or a timeout, or are not answered for long.
  void answer_badly(Duration length);
  // Until then, our rights are withdrawn.
  void deny(Duration length);
  void answer_well() { away_until_ = bad_until_ = denied_until_ = TimePoint(); }
  // The open watches bring nothing more, as where a cable is cut. Some come to life again; the others are given up by
  // who reads them, after two and a half minutes.
  void freeze();
  // What was known of this server at `then` by who took a silent watch for a living one is what was so at that moment
  // or later: `then` itself, or when the freeze began that lasted until then.
  TimePoint known_at(TimePoint then) const;

  std::size_t open_streams() const { return streams_.size(); }

  SourceTraits traits() const override;
  Task<Result<Snapshot>> list(const Scope& scope, ListOptions options) override;
  Task<Result<std::unique_ptr<WatchStream>>> watch(const Scope& scope, WatchOptions options) override;

 private:
  class Stream;
  struct Collection {
    explicit Collection(Resource r) : resource(std::move(r)) {}
    Resource resource;
    Truth truth;
    Objects backup;
    Objects lagging;  // What a replica that lags behind holds.
  };
  struct Change {
    std::uint64_t version;
    const Collection* collection;
    WatchEvent event;
  };
  struct Silence {
    TimePoint from;
    TimePoint until;
  };

  Collection& collection(const Resource& resource);
  Task<std::optional<Error>> failure();
  void catch_up();

  Clock& clock_;
  Random random_;
  const bool streams_lists_;
  std::vector<std::unique_ptr<Collection>> collections_;
  std::uint64_t version_ = 1;
  std::uint64_t backup_version_ = 1;
  std::uint64_t lagging_version_ = 1;
  std::uint64_t compacted_ = 0;
  std::deque<Change> history_;
  std::vector<Stream*> streams_;  // As they were opened.
  TimePoint away_until_{};
  TimePoint bad_until_{};
  TimePoint denied_until_{};
  std::vector<Silence> silences_;  // Each that a watch fell into.
};

}  // namespace tinf::simulation
