#include "tinf/api/body.h"

#include "tinf/api/request.h"
#include "tinf/patch/json.h"

namespace tinf::api {

Answer<boost::json::value> body_tree(const ApiRequest& request) {
  const auto types = media_types(request.content_type);
  const std::string type = types.empty() ? "" : types.front().type;
  if (type == "application/vnd.kubernetes.protobuf") return tree_of_protobuf(request.body);
  if (!type.empty() && type != "application/json") {
    return Status::unsupported_media_type("the body of the request was in an unknown format (" + type +
                                          "): accepted media types include: application/json");
  }
  auto tree = parse_json(request.body);
  if (!tree) return Status::bad_request("the body of the request is " + tree.error().message);
  return std::move(*tree);
}

}  // namespace tinf::api
