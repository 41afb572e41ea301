// LiveSource: a small API server's worth of history in memory, which a test changes while watches are open.
// For tests about what follows from changes; a test about the conversation itself takes ScriptedSource.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "tinf/contract/lister_watcher.h"
#include "tinf/testing/objects.h"

namespace tinf::testing {

// Lists at the latest version whatever is asked, watches from any version since the last compact(). Decimal versions.
// Confined to the strand of its user.
class LiveSource final : public ListerWatcher {
 public:
  LiveSource();
  ~LiveSource() override;

  // Creates or changes an object of namespace "default" and returns its state; its name as JSON writes it. A new uid
  // each time that it is created.
  ObjectPtr put(const std::string& name, const std::string& more = "");
  void remove(const std::string& name);
  void bookmark();  // On all open watches.

  // Ends all open watches with `code`.
  void end_watches(Code code);
  // Forgets history: watches can start only from now on.
  void compact();
  // While set, lists and new watches fail with it.
  void fail_with(std::optional<Error> error) { failure_ = std::move(error); }
  // While true, lists are not answered.
  void hold_lists(bool held) {
    lists_held_ = held;
    lists_released_.notify();
  }
  // Changes the source behind its own back, so that no watch tells of it.
  void corrupt(const std::string& name);

  ResourceVersion version() const { return ResourceVersion(std::to_string(version_)); }
  std::vector<ObjectPtr> objects() const;
  int lists() const { return lists_; }
  std::size_t open_streams() const { return streams_.size(); }

  SourceTraits traits() const override;
  Task<Result<Snapshot>> list(const Scope& scope, ListOptions options) override;
  Task<Result<std::unique_ptr<WatchStream>>> watch(const Scope& scope, WatchOptions options) override;

 private:
  class Stream;
  void record(WatchEvent event);
  ObjectPtr state(const std::string& name, const std::string& uid, const std::string& more) const;

  std::map<std::string, ObjectPtr> objects_;
  std::vector<std::pair<std::uint64_t, WatchEvent>> history_;
  std::set<Stream*> streams_;
  std::uint64_t version_ = 1;
  std::uint64_t compacted_ = 0;
  int lists_ = 0;
  std::optional<Error> failure_;
  bool lists_held_ = false;
  Signal lists_released_;
};

}  // namespace tinf::testing
