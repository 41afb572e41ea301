// RequestLimits: how many requests are worked on at once, altogether and for one user, so that nobody who asks for much
// takes the place of others.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace tinf::api {

struct RequestLimitOptions {
  std::size_t requests = 400;  // As kube-apiserver's --max-requests-inflight.
  std::size_t requests_of_one_user = 40;
  std::size_t watches_of_one_user = 2000;

  RequestLimitOptions() = default;
};

// Confined to one strand.
class RequestLimits {
 public:
  // A place that is taken; given back when it is destroyed, also after the limits themselves.
  using Place = std::shared_ptr<void>;

  explicit RequestLimits(RequestLimitOptions options);

  // Null: there is none. Who nobody knows the user of is counted with all only.
  Place take(const std::string& user, bool is_watch);

  std::size_t requests() const { return state_->requests; }
  std::size_t watches() const { return state_->watches; }

 private:
  struct Counts {
    std::size_t requests = 0;
    std::size_t watches = 0;
  };
  struct State {
    std::size_t requests = 0;
    std::size_t watches = 0;
    std::map<std::string, Counts> by_user;  // Of those who have any.
  };

  const RequestLimitOptions options_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace tinf::api
