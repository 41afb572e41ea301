#include "tinf/kube/access.h"

#include <simdjson.h>

namespace tinf::kube {

Task<Result<bool>> may(RestClient& client, const Resource& resource, std::string_view verb) {
  Request request("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
  request.method = "POST";
  request.headers.emplace_back("Content-Type", "application/json");
  // Names out of discovery are DNS names: nothing in them wants escaping.
  request.body =
      R"({"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{"group":")" +
      resource.group + R"(","version":")" + resource.version + R"(","resource":")" + resource.name + R"(","verb":")" +
      std::string(verb) + R"("}}})";
  auto response = co_await client.request(std::move(request));
  if (!response) {
    if (response.error().code == Code::NotFound) co_return true;
    co_return response.error();
  }
  simdjson::dom::parser parser;
  simdjson::dom::element answer;
  bool allowed = false;
  if (parser.parse(response->body).get(answer) || answer.at_pointer("/status/allowed").get(allowed)) {
    co_return Error(Code::Internal, "the API server's answer to \"may I " + std::string(verb) + " " +
                                        resource.group_resource() + "\" is no SelfSubjectAccessReview");
  }
  co_return allowed;
}

}  // namespace tinf::kube
