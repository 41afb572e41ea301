// Asks a cluster's API server whose token it is: a TokenReview (authentication.k8s.io/v1).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/api/authenticator.h"
#include "tinf/base/runtime.h"
#include "tinf/kube/kubeconfig.h"

namespace tinf::daemon {

// Asks the server of `connection`, whose account must be allowed to create tokenreviews there. An answer takes ten
// seconds at most. `runtime` outlives what is returned.
api::TokenReview token_review_by(Runtime& runtime, kube::Connection connection);

// What a TokenReview in an answer says. Nothing: the token is nobody's. Internal: it is no TokenReview, or names a user
// or groups beyond all measure.
Result<std::optional<api::Identity>> identity_of_review(std::string_view body);

}  // namespace tinf::daemon
