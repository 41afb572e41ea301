// Discovery: the documents from which clients learn what is served, in the legacy and in the aggregated form.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/api/message.h"
#include "tinf/api/resource_type.h"

namespace tinf::api {

// Answers GET of /version, /api, /apis and what is below them but no resource. Nothing: not such a path.
std::optional<ApiResponse> discovery(const ResourceCatalog& catalog, std::string_view path, std::string_view accept);

}  // namespace tinf::api
