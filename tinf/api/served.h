// Served: what stands behind an ApiHandler's health, authentication and debug paths: the API of one cluster, or a
// fleet's.
#pragma once

#include "tinf/api/authorization_policy.h"
#include "tinf/api/message.h"
#include "tinf/api/request.h"
#include "tinf/base/result.h"

namespace tinf::api {

// Whether a request may go on.
struct Verdict {
  std::optional<Status> refusal;
  std::string rule;  // That allows it, where there are rules.

  Verdict() = default;
};

// Confined to one strand.
class Served {
 public:
  virtual ~Served() = default;

  // Before the first request.
  virtual Task<Result<void>> start() { co_return Result<void>(); }

  // Before handle(); looks up nothing that the caller may not know of.
  virtual Verdict judge(const ApiRequest&, const AccessQuestion&) { return Verdict(); }

  // A word for the resource in metrics, of as many as are served; empty: there is none such.
  virtual std::string label_of(const AccessQuestion& question) const = 0;

  // `target` is the request's, read.
  virtual Task<ApiResponse> handle(const ApiRequest& request, Target target) = 0;

  // Forgets the history, so that watches and pages from before expire, where that is ours to do.
  virtual void compact() {}

  // Ends every open watch, as a restart would.
  virtual void cut_watches() = 0;
  virtual std::size_t open_watches() const = 0;
};

}  // namespace tinf::api
