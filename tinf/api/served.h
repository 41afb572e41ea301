// Served: what stands behind an ApiHandler's health, authentication and debug paths: the API of one cluster, or a
// fleet's.
#pragma once

#include "tinf/api/message.h"
#include "tinf/api/request.h"
#include "tinf/base/result.h"

namespace tinf::api {

// Confined to one strand.
class Served {
 public:
  virtual ~Served() = default;

  // Before the first request.
  virtual Task<Result<void>> start() { co_return Result<void>(); }

  // `target` is the request's, read.
  virtual Task<ApiResponse> handle(const ApiRequest& request, Target target) = 0;

  // Forgets the history, so that watches and pages from before expire, where that is ours to do.
  virtual void compact() {}

  // Ends every open watch, as a restart would.
  virtual void cut_watches() = 0;
  virtual std::size_t open_watches() const = 0;
};

}  // namespace tinf::api
