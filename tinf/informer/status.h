// ScopeStatus: how one scope is doing, in words that an operator can act on.
#pragma once

#include <optional>
#include <string_view>

#include "tinf/base/clock.h"
#include "tinf/base/error.h"

namespace tinf {

enum class ScopeState {
  Starting,      // Nothing was asked yet.
  Listing,       // A set is on its way.
  Live,          // The set is stored and a watch is open.
  Resuming,      // A watch has ended in good order; the next one, from where it stood, is not open yet.
  Retrying,      // The source failed in passing; the next try comes after a wait.
  Forbidden,     // The source refuses us (Forbidden or Unauthorized); tried again at a slow pace.
  NotFound,      // The source does not know the resource, say because its CRD was deleted; tried again at a slow pace.
  StoreRefuses,  // The store does not take what the source gives; the version stands still meanwhile.
  Stopped,
};

std::string_view to_string(ScopeState state);  // "live", "store-refuses", ...

struct ScopeStatus {
  ScopeState state = ScopeState::Starting;
  std::optional<Error> last_error;  // The source's or store's last words; stays when the scope is live again.
  TimePoint since{};                // When `state` began.
};

}  // namespace tinf
