// What goes around a transfer: credentials, the second try after a 401, errors out of answers, and Retry-After.
#include "tinf/kube/rest_client.h"

#include <algorithm>
#include <charconv>

#include "tinf/kube/api_status.h"
#include "tinf/kube/transfer.h"

namespace tinf::kube {
namespace {

constexpr std::size_t kLargestErrorBody = 256 * 1024;
constexpr auto kLongestRetryAfter = std::chrono::seconds(30);  // The longest step of our own backoff.

}  // namespace

class RestClient::Transfers {
 public:
  explicit Transfers(const Executor& executor) : loop(std::make_shared<CurlLoop>(executor)) {}
  const std::shared_ptr<CurlLoop> loop;
};

RestClient::RestClient(Runtime& runtime, Connection connection, RestOptions options)
    : runtime_(runtime),
      connection_(std::move(connection)),
      options_(options),
      transfers_(std::make_unique<Transfers>(runtime.executor)),
      credentials_(runtime.clock, connection_) {}

RestClient::~RestClient() = default;

Duration RestClient::retry_after() const {
  return std::max(Duration::zero(), Duration(not_before_ - runtime_.clock.now()));
}

void RestClient::note_retry_after(std::string_view value) {
  int seconds = 0;  // The other form, a date, is not one that API servers use.
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error != std::errc() || end != value.data() + value.size() || seconds <= 0) return;
  not_before_ = std::max(not_before_,
                         runtime_.clock.now() + std::min<Duration>(std::chrono::seconds(seconds), kLongestRetryAfter));
}

Task<Result<std::unique_ptr<ResponseStream>>> RestClient::stream(Request request) {
  for (bool retried = false;; retried = true) {
    if (runtime_.clock.now() < not_before_) co_await runtime_.clock.sleep_until(not_before_);
    auto grant = co_await credentials_.grant();
    if (!grant) co_return grant.error();
    auto transfer =
        std::make_unique<Transfer>(transfers_->loop, runtime_.clock, connection_, *grant, request, options_);
    auto opened = co_await transfer->open();
    if (!opened) co_return opened.error();
    const int status = transfer->status();
    if (status >= 200 && status <= 299) {
      std::unique_ptr<ResponseStream> stream = std::move(transfer);
      co_return Result<std::unique_ptr<ResponseStream>>(std::move(stream));
    }
    if (status == 401 && !retried && credentials_.refused(*grant)) continue;

    std::string body;
    while (body.size() < kLargestErrorBody) {
      auto chunk = co_await transfer->read();
      if (!chunk || chunk->empty()) break;  // The status alone is worth more than why its explanation was cut.
      body += *chunk;
    }
    const std::string retry_after(transfer->header("Retry-After"));
    Error error = error_of_answer(status, body, transfer->what());
    if (!retry_after.empty()) {
      // Of others it is no plea: a version "too large" carries one, too, and is best answered by a list at once.
      if (status == 429 || status == 503) note_retry_after(retry_after);
      error.message += " (Retry-After: " + retry_after + ")";
    }
    if (status >= 300 && status <= 399)
      error.message += " (redirects to " + std::string(transfer->header("Location")) + ", not followed)";
    co_return error;
  }
}

Task<Result<Response>> RestClient::request(Request request) {
  const std::size_t largest = request.largest_body;
  const std::string what = request.method + " " + connection_.server + request.path;
  auto opened = co_await stream(std::move(request));
  if (!opened) co_return opened.error();
  auto& transfer = static_cast<Transfer&>(**opened);
  Response response;
  response.status = transfer.status();
  response.headers = std::move(transfer.headers());
  while (true) {
    auto chunk = co_await transfer.read();
    if (!chunk) co_return chunk.error();
    if (chunk->empty()) break;
    if (response.body.size() + chunk->size() > largest) {
      co_return Error(Code::Internal, what + ": the answer has more than " + std::to_string(largest) + " bytes");
    }
    response.body += *chunk;
  }
  co_return response;
}

}  // namespace tinf::kube
