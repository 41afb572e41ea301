// The authorization file: rules of who may read what of the fleet, in YAML. docs/api.md has its grammar.
#pragma once

#include <string>

#include "tinf/api/authorization_policy.h"
#include "tinf/base/result.h"

namespace tinf::daemon {

// Invalid: it says something that we do not know, leaves out what a rule needs, or is no YAML; the message has the
// line.
Result<api::AuthorizationPolicy> parse_authorization(const std::string& text);

}  // namespace tinf::daemon
