// Authenticator: from what a request brings along to who sends it: a client's certificate, a token of the file, or one
// that a cluster's API server vouches for.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tinf/api/bearer_tokens.h"
#include "tinf/api/identity.h"
#include "tinf/api/message.h"
#include "tinf/base/runtime.h"

namespace tinf::api {

// Asks whoever knows whose token it is. Nothing: nobody's. Errors: there is no answer now.
using TokenReview = std::function<Task<Result<std::optional<Identity>>>(std::string token)>;

// Remembers for a moment what a TokenReview said, so that a client's many requests are one question: a yes for ten
// seconds, a no for three; no answer is not remembered. Confined to the runtime's strand.
class ReviewedTokens {
 public:
  ReviewedTokens(Runtime& runtime, TokenReview review);

  // `remote` is the address of who brought it. 503: there is no answer now. 429: too many are waited for.
  Task<Answer<std::optional<Identity>>> find(std::string token, std::string remote);

 private:
  static constexpr std::size_t kMostRemembered = 4096;
  static constexpr std::size_t kMostAsked = 32;
  static constexpr std::size_t kMostAskedOfOneAddress = 4;  // So that made-up tokens leave room for those of others.

  using Said = Result<std::optional<Identity>>;
  struct Question {
    std::string remote;  // Who was the first to bring the token.
    Signal answered;
    std::optional<Said> said;
  };
  struct Memory {
    std::optional<Identity> who;
    TimePoint until{};
  };

  void say_failure(const Error& failure);
  void remember(const SecretHash& token, std::optional<Identity> who);
  static Answer<std::optional<Identity>> answer(const Said& said);

  // Constant after construction.
  Runtime& runtime_;
  const TokenReview review_;

  // Confined to the strand.
  std::map<SecretHash, Memory> remembered_;
  std::map<SecretHash, std::shared_ptr<Question>> asked_;
  TimePoint failure_said_{};
};

// How callers say who they are; none of it: nobody is asked.
struct AuthenticationOptions {
  bool certificates = false;  // A client's, which the server has verified.
  bool tokens = false;        // See use().
  TokenReview review;
  bool anonymous = false;  // Who brings nothing may go on as system:anonymous.

  AuthenticationOptions() = default;
};

// Confined to the runtime's strand.
class Authenticator {
 public:
  Authenticator(Runtime& runtime, AuthenticationOptions options);

  // Whether everybody may call, as who they are is not asked.
  bool is_open() const { return open_; }

  // The tokens of the file from now on.
  void use(std::shared_ptr<const BearerTokens> tokens) { tokens_ = std::move(tokens); }

  // 401: they are nobody. 429, 503: it cannot be found out now.
  Task<Answer<Identity>> authenticate(const ApiRequest& request);

 private:
  // Constant after construction.
  const bool anonymous_;
  const bool open_;

  // Confined to the strand.
  std::shared_ptr<const BearerTokens> tokens_;
  std::optional<ReviewedTokens> reviewed_;
};

}  // namespace tinf::api
