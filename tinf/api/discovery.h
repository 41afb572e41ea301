// Discovery: the documents from which clients learn what is served, in the legacy and in the aggregated form.
// OpenAPI as far as kubectl needs it to write: which resources can be patched, and the schemas of custom ones.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/api/message.h"
#include "tinf/api/resource_type.h"

namespace tinf::api {

// Answers GET of /version, /api, /apis and what is below them but no resource. Nothing: not such a path.
std::optional<ApiResponse> discovery(const ResourceCatalog& catalog, std::string_view path, std::string_view accept);

// The same for /openapi/v2, /openapi/v3 and /openapi/v3/{api/v1,apis/G/V}. `root` stands in front of all paths.
std::optional<ApiResponse> openapi(const ResourceCatalog& catalog, std::string_view path, std::string_view root);

}  // namespace tinf::api
