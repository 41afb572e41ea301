#include "tinf/api/identity.h"

#include <algorithm>

namespace tinf::api {

Identity::Identity(std::string name, std::string unique_id, std::vector<std::string> in_groups)
    : user(std::move(name)), uid(std::move(unique_id)), groups(std::move(in_groups)) {
  std::erase(groups, kUnauthenticated);
  if (std::ranges::find(groups, kAuthenticated) == groups.end()) groups.emplace_back(kAuthenticated);
}

}  // namespace tinf::api
