// Access: what an account may do, by asking the API server itself.
#pragma once

#include <string_view>

#include "tinf/base/result.h"
#include "tinf/base/task.h"
#include "tinf/kube/rest_client.h"
#include "tinf/object/resource.h"

namespace tinf::kube {

// True if the client's account may do `verb` with `resource` in all namespaces (a SelfSubjectAccessReview). A server
// that does not know such questions allows everything. Errors: those of RestClient::request.
Task<Result<bool>> may(RestClient& client, const Resource& resource, std::string_view verb);

}  // namespace tinf::kube
