// What callers may ask about themselves: SelfSubjectAccessReview and SelfSubjectRulesReview (kubectl auth can-i),
// SelfSubjectReview (kubectl auth whoami). Pure: nothing is looked up but what the caller named.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tinf/api/authorization_policy.h"
#include "tinf/api/message.h"
#include "tinf/api/request.h"

namespace tinf::api {

// Whether a resource's objects live in namespaces, as far as the caller may know it.
using IsNamespaced = std::function<std::optional<bool>(const Resource& resource)>;

bool is_review(const std::string& method, const ResourcePath& path);

// `cluster` is that of the path; nothing: the fleet. 201 with the status filled in; 400, 415: it cannot be read.
ApiResponse review(const ApiRequest& request, const ResourcePath& path, const std::optional<std::string>& cluster,
                   const Access& access, const IsNamespaced& is_namespaced);

// Documents that everybody who is known may read, as they tell no more than the caller may know: discovery.
bool is_document(std::string_view path);

}  // namespace tinf::api
