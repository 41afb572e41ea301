// Ledger: what is told of each request: a line in the audit log, and the metrics.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tinf/api/authorization_policy.h"
#include "tinf/api/message.h"
#include "tinf/api/request_limits.h"
#include "tinf/base/runtime.h"

namespace tinf::api {

// Takes one line of JSON, without its end. docs/api.md has the members.
using AuditSink = std::function<void(const std::string& line)>;

class Ledger;

// One request, from its coming to the last byte of its answer; told when it is destroyed. Confined to the strand.
class Exchange {
 public:
  Exchange(std::shared_ptr<Ledger> ledger, const ApiRequest& request, AccessQuestion question);
  ~Exchange();

  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const AccessQuestion& question() const { return question_; }

  void is_of(const Identity& who) { who_ = who; }
  void was_allowed(std::string rule);
  void was_refused();
  void was_throttled() { decision_ = "throttle"; }
  void is_of_resource(std::string label) { resource_ = std::move(label); }  // For metrics: of a bounded set.
  // `place` to the end, `opening` until it answers().
  void holds(RequestLimits::Place place, RequestLimits::Place opening) {
    place_ = std::move(place);
    opening_ = std::move(opening);
  }

  // What is about to be sent. A watch is told of at its start, too.
  void answers(int code, bool is_watch);
  void sent(std::size_t bytes) { bytes_ += bytes; }
  void was_cut(std::string why) { cut_ = std::move(why); }

 private:
  friend class Ledger;

  const std::shared_ptr<Ledger> ledger_;
  const AccessQuestion question_;
  const std::string method_;
  const std::string remote_;
  const std::string user_agent_;
  const TimePoint begun_;

  Identity who_;
  std::string decision_ = "unauthenticated";
  std::string rule_;
  std::string resource_;
  std::string cut_;
  int code_ = 0;
  bool is_watch_ = false;
  std::uint64_t bytes_ = 0;
  RequestLimits::Place place_;
  RequestLimits::Place opening_;
};

// Confined to the runtime's strand.
class Ledger : public std::enable_shared_from_this<Ledger> {
 public:
  Ledger(Runtime& runtime, AuditSink audit);

  std::unique_ptr<Exchange> open(const ApiRequest& request, AccessQuestion question);

  void failed_to_authenticate() { unauthenticated_->add(); }
  void was_throttled() { throttled_->add(); }

 private:
  friend class Exchange;

  void began(const Exchange& exchange);
  void ended(const Exchange& exchange);
  void tell(const Exchange& exchange, std::string_view stage) const;

  // Constant after construction.
  Clock& clock_;
  Metrics& metrics_;
  const AuditSink audit_;
  const std::shared_ptr<Counter> unauthenticated_;
  const std::shared_ptr<Counter> forbidden_;
  const std::shared_ptr<Counter> throttled_;
  const std::shared_ptr<Counter> bytes_;
  const std::shared_ptr<Gauge> in_flight_;
  const std::shared_ptr<Gauge> watches_;

  // Confined to the strand. As many as there are verbs, resources that are served, and codes.
  std::map<Labels, std::shared_ptr<Counter>> requests_;
  std::map<std::string, std::shared_ptr<Histogram>, std::less<>> durations_;
};

}  // namespace tinf::api
