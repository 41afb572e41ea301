#include "tinf/api/authenticator.h"

#include <algorithm>

namespace tinf::api {
namespace {

constexpr Duration kYesIsGood = std::chrono::seconds(10);
constexpr Duration kNoIsGood = std::chrono::seconds(3);
constexpr Duration kSaidOnceIn = std::chrono::minutes(1);
constexpr std::size_t kLongestToken = 16 * 1024;

}  // namespace

ReviewedTokens::ReviewedTokens(Runtime& runtime, TokenReview review) : runtime_(runtime), review_(std::move(review)) {}

Answer<std::optional<Identity>> ReviewedTokens::answer(const Said& said) {
  if (said) return std::optional<Identity>(*said);
  return Status::unavailable("whose token this is cannot be found out now");
}

Task<Answer<std::optional<Identity>>> ReviewedTokens::find(std::string token, std::string remote) {
  if (token.size() > kLongestToken) co_return std::optional<Identity>();
  const auto key = hash_of_secret(token);
  if (const auto found = remembered_.find(key); found != remembered_.end()) {
    if (found->second.until > runtime_.clock.now()) co_return found->second.who;
    remembered_.erase(found);
  }
  if (const auto found = asked_.find(key); found != asked_.end()) {
    const auto question = found->second;
    while (!question->said) co_await question->answered.wait();
    co_return answer(*question->said);
  }
  const auto of_address = std::ranges::count_if(asked_, [&](const auto& one) { return one.second->remote == remote; });
  if (asked_.size() >= kMostAsked || static_cast<std::size_t>(of_address) >= kMostAskedOfOneAddress) {
    co_return Status::too_many_requests("too many tokens are being asked about, please try again later");
  }
  const auto question = std::make_shared<Question>();
  question->remote = std::move(remote);
  asked_.emplace(key, question);
  // Whatever becomes of us, those who wait hear something.
  struct Ending {
    std::map<SecretHash, std::shared_ptr<Question>>& asked;
    const SecretHash& key;
    Question& question;
    ~Ending() {
      asked.erase(key);
      if (!question.said) question.said.emplace(Error(Code::Unavailable, "the question was given up"));
      question.answered.notify();
    }
  };
  const Ending ending{asked_, key, *question};
  question->said.emplace(co_await review_(std::move(token)));
  if (const auto& said = *question->said) {
    remember(key, *said);
  } else {
    say_failure(said.error());
  }
  co_return answer(*question->said);
}

void ReviewedTokens::say_failure(const Error& failure) {
  const auto now = runtime_.clock.now();
  if (now - failure_said_ < kSaidOnceIn && failure_said_ != TimePoint()) return;
  failure_said_ = now;
  runtime_.log.with("api").warning("a token could not be reviewed", {{"reason", failure.message}});
}

void ReviewedTokens::remember(const SecretHash& token, std::optional<Identity> who) {
  const auto now = runtime_.clock.now();
  if (remembered_.size() >= kMostRemembered) {
    std::erase_if(remembered_, [&](const auto& entry) { return entry.second.until <= now; });
  }
  // Still full: of as many tokens in ten seconds any one may be asked about again.
  if (remembered_.size() >= kMostRemembered) remembered_.erase(remembered_.begin());
  const auto until = now + (who ? kYesIsGood : kNoIsGood);
  remembered_.insert_or_assign(token, Memory{std::move(who), until});
}

Authenticator::Authenticator(Runtime& runtime, AuthenticationOptions options)
    : anonymous_(options.anonymous), open_(!options.certificates && !options.tokens && !options.review) {
  if (options.review) reviewed_.emplace(runtime, std::move(options.review));
}

Task<Answer<Identity>> Authenticator::authenticate(const ApiRequest& request) {
  if (open_) co_return Identity();
  if (request.certificate != nullptr) co_return *request.certificate;
  const auto token = bearer_token(request.authorization);
  if (!token) {
    if (anonymous_ && request.authorization.empty()) co_return Identity();
    co_return Status::unauthorized();
  }
  if (tokens_ != nullptr) {
    if (const auto* who = tokens_->find(*token)) co_return *who;
  }
  if (reviewed_) {
    auto found = co_await reviewed_->find(std::string(*token), request.remote);
    if (!found) co_return found.error();
    if (*found) co_return std::move(**found);
  }
  co_return Status::unauthorized();
}

}  // namespace tinf::api
