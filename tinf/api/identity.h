// Identity: who calls, as authentication found out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tinf::api {

// Kubernetes' own words.
inline constexpr std::string_view kAnonymous = "system:anonymous";
inline constexpr std::string_view kUnauthenticated = "system:unauthenticated";
inline constexpr std::string_view kAuthenticated = "system:authenticated";

struct Identity {
  std::string user;
  std::string uid;
  std::vector<std::string> groups;

  Identity() : user(kAnonymous), groups{std::string(kUnauthenticated)} {}  // Nobody said who they are.

  // Somebody who proved to be `name`. They are in the group of all who did, too, and in none of those who did not.
  Identity(std::string name, std::string unique_id, std::vector<std::string> in_groups);
};

}  // namespace tinf::api
