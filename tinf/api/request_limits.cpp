#include "tinf/api/request_limits.h"

namespace tinf::api {

RequestLimits::RequestLimits(RequestLimitOptions options) : options_(options) {}

RequestLimits::Place RequestLimits::take(const std::string& user, bool is_watch) {
  auto state = state_;
  const auto taken = [&]() -> bool {
    if (!is_watch && state->requests >= options_.requests) return false;
    if (user.empty()) return true;
    const auto found = state->by_user.find(user);
    if (found == state->by_user.end()) return true;
    return is_watch ? found->second.watches < options_.watches_of_one_user
                    : found->second.requests < options_.requests_of_one_user;
  };
  if (!taken()) return nullptr;
  ++(is_watch ? state->watches : state->requests);
  if (!user.empty()) {
    Counts& of_user = state->by_user[user];
    ++(is_watch ? of_user.watches : of_user.requests);
  }
  return Place(state.get(), [state, user, is_watch](void*) {
    --(is_watch ? state->watches : state->requests);
    const auto found = state->by_user.find(user);
    if (found == state->by_user.end()) return;
    --(is_watch ? found->second.watches : found->second.requests);
    if (found->second.requests == 0 && found->second.watches == 0) state->by_user.erase(found);
  });
}

}  // namespace tinf::api
