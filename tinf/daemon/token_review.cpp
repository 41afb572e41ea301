#include "tinf/daemon/token_review.h"

#include <boost/json/object.hpp>
#include <memory>

#include "tinf/base/first_of.h"
#include "tinf/kube/rest_client.h"
#include "tinf/patch/json.h"

namespace tinf::daemon {
namespace {

constexpr Duration kLongest = std::chrono::seconds(10);
constexpr std::size_t kLargestAnswer = 256 * 1024;  // The token stands in it, too.
constexpr std::size_t kLongestName = 1024;
constexpr std::size_t kMostGroups = 1000;

Task<Result<std::optional<api::Identity>>> ask(Runtime& runtime, std::shared_ptr<kube::RestClient> client,
                                               std::string token) {
  namespace json = boost::json;
  kube::Request request("/apis/authentication.k8s.io/v1/tokenreviews");
  request.method = "POST";
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = json_text(json::object{
      {"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenReview"}, {"spec", json::object{{"token", token}}}});
  request.largest_body = kLargestAnswer;
  auto asked = client->request(std::move(request));
  auto response = co_await within(runtime.clock, runtime.clock.now() + kLongest, std::move(asked));
  if (!response) {
    co_return Error(Code::Timeout, client->connection().server + " did not answer a TokenReview within 10 s");
  }
  if (!*response) co_return response->error();
  co_return identity_of_review((*response)->body);
}

}  // namespace

Result<std::optional<api::Identity>> identity_of_review(std::string_view body) {
  const Error alien(Code::Internal, "the answer to a TokenReview is none");
  const auto tree = parse_json(body);
  if (!tree || json_string_at(*tree, {"kind"}) != "TokenReview") return alien;
  const auto* status = json_at(*tree, {"status"});
  if (status == nullptr || !status->is_object()) return alien;
  const auto* yes = json_at(*status, {"authenticated"});
  if (yes == nullptr || !yes->is_bool() || !yes->get_bool()) return std::optional<api::Identity>();
  const std::string user(json_string_at(*status, {"user", "username"}));
  if (user.empty() || user.size() > kLongestName) return alien;
  std::vector<std::string> groups;
  if (const auto* told = json_at(*status, {"user", "groups"}); told != nullptr && told->is_array()) {
    if (told->get_array().size() > kMostGroups) return alien;
    for (const auto& group : told->get_array()) {
      if (!group.is_string() || group.get_string().size() > kLongestName) return alien;
      groups.emplace_back(group.get_string());
    }
  }
  std::string uid(json_string_at(*status, {"user", "uid"}));
  if (uid.size() > kLongestName) return alien;
  return std::optional(api::Identity(user, std::move(uid), std::move(groups)));
}

api::TokenReview token_review_by(Runtime& runtime, kube::Connection connection) {
  auto client = std::make_shared<kube::RestClient>(runtime, std::move(connection));
  return [&runtime, client](std::string token) { return ask(runtime, client, std::move(token)); };
}

}  // namespace tinf::daemon
