// Discovery: which resources an API server has, which version it is, and which cluster it stands for.
#pragma once

#include <string>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/base/task.h"
#include "tinf/kube/rest_client.h"
#include "tinf/object/resource.h"

namespace tinf::kube {

struct ServerVersion {
  std::string major;
  std::string minor;  // May end in a plus sign.
  std::string git_version;

  ServerVersion() = default;
};

struct Discovery {
  // Every resource and version the server offers, without subresources; what can be listed has the verb "list".
  std::vector<ResourceInfo> resources;
  // What else there is and could not be read, or may be old because its own server does not answer, each with the why.
  std::vector<std::string> gaps;

  Discovery() = default;
};

// Says the gaps of one server, each once for as long as it lasts.
class GapLog {
 public:
  void say(RestClient& client, std::vector<std::string> gaps);

 private:
  std::vector<std::string> said_;
};

// Asks for aggregated discovery (two requests) and where the server has none reads each group. Errors: those of
// RestClient for the first request, Internal for an answer that is no discovery.
Task<Result<Discovery>> discover(RestClient& client);

Task<Result<ServerVersion>> server_version(RestClient& client);

// The uid of the namespace kube-system, which every cluster keeps for life; Forbidden or NotFound where it is hidden.
Task<Result<std::string>> cluster_uid(RestClient& client);

}  // namespace tinf::kube
