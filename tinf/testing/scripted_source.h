// ScriptedSource: a ListerWatcher that follows a script, so that a test reads as the conversation it is about.
// What is asked out of turn is not answered: it is written down, and script_is_done() says no.
#pragma once

#include <deque>

#include "tinf/contract/lister_watcher.h"
#include "tinf/testing/objects.h"

namespace tinf::testing {

// Confined to the strand of the reflector under test.
class ScriptedSource final : public ListerWatcher {
 public:
  explicit ScriptedSource(Clock& clock);

  // An API server's traits without streaming lists; a test may change them.
  SourceTraits scripted_traits;

  // One request as it came in.
  struct Request {
    bool is_list = false;
    ListOptions list;
    WatchOptions watch;
    TimePoint at{};
  };

  class Step {
   public:
    // What the request must be like, beside its kind and order.
    Step& after(Duration at_least);  // Since the step before ended.
    Step& paged(int page_size);
    Step& version_only();
    Step& times(int n);

    // A list's answer, and of both kinds a refusal; a list that has none, and a watch that does not end, stay silent.
    Step& replies(std::vector<ObjectPtr> objects, ResourceVersion version);
    Step& refuses(Code code, std::string message = "scripted");
    Step& takes(Duration duration);  // Before it answers.

    // What a watch says, in order. An event's batch has the version of the event.
    Step& sends(WatchEvent event);
    Step& sends(EventBatch batch);
    Step& bookmark(ResourceVersion version);
    Step& initial_events_end(ResourceVersion version);
    Step& waits(Duration duration);
    Step& ends_with(Code code, std::string message = "scripted");
    Step& falls_silent() {  // As its end.
      falls_silent_ = true;
      return ends_with(Code::Timeout);
    }
    Step& ends_at_once() { return ends_with(Code::Timeout); }

   private:
    friend class ScriptedSource;
    friend class ScriptedStream;
    struct Action {
      std::optional<EventBatch> batch;
      std::optional<Error> end;
      Duration wait{};
    };

    bool is_list_ = false;
    bool streaming_ = false;
    std::optional<ResourceVersion> version_;
    std::optional<int> page_size_;
    bool version_only_ = false;
    Duration after_{};
    int times_ = 1;
    Duration takes_{};
    std::optional<Snapshot> snapshot_;
    std::optional<Error> refusal_;
    std::deque<Action> actions_;
    bool falls_silent_ = false;
  };

  Step& expects_list();
  Step& expects_list(ResourceVersion version);
  Step& expects_watch(ResourceVersion from);
  Step& expects_streaming_list();
  Step& expects_streaming_list(ResourceVersion from);

  const std::vector<Request>& requests() const { return requests_; }
  int lists() const;
  int watches() const;
  int open_streams() const { return *open_streams_; }

  bool script_is_done() const { return steps_.empty() && problems_.empty(); }
  // What was asked out of turn, and which steps nobody asked for.
  std::string what_remains() const;

  SourceTraits traits() const override { return scripted_traits; }
  Task<Result<Snapshot>> list(const Scope& scope, ListOptions options) override;
  Task<Result<std::unique_ptr<WatchStream>>> watch(const Scope& scope, WatchOptions options) override;

 private:
  friend class ScriptedStream;
  Step& add(bool is_list, bool streaming, std::optional<ResourceVersion> version);
  // The step for this request, taken off the script; nothing if it is out of turn.
  std::optional<Step> take(const Request& request);
  Task<void> silence();

  Clock& clock_;
  std::deque<Step> steps_;
  std::vector<Request> requests_;
  std::vector<std::string> problems_;
  TimePoint last_end_{};
  std::shared_ptr<int> open_streams_ = std::make_shared<int>(0);
};

}  // namespace tinf::testing
