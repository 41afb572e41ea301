// OpenAPI: the documents from which clients learn the schemas of what is served: kubectl to explain them and to look at
// a manifest before it is sent, code generators, editors. Of what may be done they tell what discovery offers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tinf/api/message.h"
#include "tinf/api/request.h"
#include "tinf/api/resource_type.h"
#include "tinf/base/clock.h"
#include "tinf/base/task.h"

namespace tinf::api {

// Below /openapi: v2 is one document; v3 an index and a document for each version of a group.
struct OpenApiPath {
  enum class Of { Version2, Index, GroupVersion };
  Of of = Of::Index;
  std::string group;  // Of a GroupVersion, with the next.
  std::string version;

  // Nothing: it is no such path.
  static std::optional<OpenApiPath> parse(std::string_view path);
};

// Where the schemas of custom resources come from: by default from the types, which have them where the definitions are
// ours.
class SchemaSource {
 public:
  virtual ~SchemaSource() = default;

  // Another text whenever the schema may be another; asked far more often than the schema itself.
  virtual Task<std::string> state(const ResourceType& type);
  // As the definition has it: OpenAPI v3, as JSON. Empty: unknown.
  virtual Task<std::string> schema(const ResourceType& type);
};

// Nothing: no document stands there. `target` is the request's, without `root`, which stands in front of all paths.
// v2 as JSON, or as the protobuf of old kubectls. Answers have an ETag; one that the client knows already is a 304.
// The catalog is a copy, since the server's own may change while definitions are read.
Task<std::optional<ApiResponse>> openapi(ResourceCatalog catalog, SchemaSource& schemas, const ApiRequest& request,
                                         const Target& target, std::string_view root, Clock& clock);

}  // namespace tinf::api
