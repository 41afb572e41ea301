#include "tinf/api/api_listener.h"

#include <boost/json/serialize.hpp>
#include <filesystem>

#include "tinf/base/listen_address.h"

namespace tinf::api {
using boost::system::error_code;

namespace {

constexpr Duration kSweep = std::chrono::seconds(1);
constexpr Duration kSaidOnceIn = std::chrono::minutes(1);

}  // namespace

void ApiListener::watch_files() {
  if (!options_.certificate_file.empty()) {
    std::vector<std::string> paths{options_.certificate_file, options_.key_file};
    if (!options_.client_authority_file.empty()) paths.push_back(options_.client_authority_file);
    files_.emplace_back(runtime_, "certificate", std::move(paths), [this] { return load_tls(); });
  }
  if (!options_.token_file.empty()) {
    files_.emplace_back(runtime_, "token file", std::vector{options_.token_file}, [this] { return load_tokens(); });
  }
  if (!options_.authorization_file.empty()) {
    files_.emplace_back(runtime_, "authorization file", std::vector{options_.authorization_file},
                        [this] { return load_authorization(); });
  }
}

Result<void> ApiListener::load_tls() {
  TlsOptions of;
  of.certificate_file = options_.certificate_file;
  of.key_file = options_.key_file;
  of.client_authority_file = options_.client_authority_file;
  of.minimum = options_.minimum_tls;
  auto context = server_context(of);
  if (!context) return context.error();
  const bool is_change = tls_ != nullptr;
  tls_ = std::move(*context);
  if (!is_change || options_.client_authority_file.empty()) return Result<void>();
  // Whoever an authority has vouched for that is none any more has to go.
  open_.retire_certified();
  handler_->cut_watches();
  return Result<void>();
}

Result<void> ApiListener::load_tokens() {
  const auto text = read_file(options_.token_file);
  if (!text) return text.error();
  auto tokens = BearerTokens::parse(*text);
  if (!tokens) return Error(Code::Invalid, options_.token_file + ": " + tokens.error().message);
  token_ = tokens->first();
  handler_->use(std::make_shared<const BearerTokens>(std::move(*tokens)));
  return Result<void>();
}

Result<void> ApiListener::load_authorization() {
  const auto text = read_file(options_.authorization_file);
  if (!text) return text.error();
  auto policy = options_.read_authorization(*text);
  if (!policy) return Error(Code::Invalid, options_.authorization_file + ": " + policy.error().message);
  handler_->use(std::make_shared<const AuthorizationPolicy>(std::move(*policy)));
  return Result<void>();
}

Task<Result<void>> ApiListener::listen() {
  if (options_.certificate_file.empty() != options_.key_file.empty()) {
    co_return Error(Code::Invalid, "TLS needs a certificate file and a key file; only one was given");
  }
  if (!options_.client_authority_file.empty() && options_.certificate_file.empty()) {
    co_return Error(Code::Invalid, "clients show certificates in TLS only: it needs a certificate file and a key file");
  }
  HandlerOptions handler_options;
  handler_options.authentication.certificates = !options_.client_authority_file.empty();
  handler_options.authentication.tokens = !options_.token_file.empty();
  handler_options.authentication.review = options_.token_review;
  handler_options.authentication.anonymous = options_.anonymous;
  handler_options.limits = options_.limits;
  handler_options.audit = options_.audit;
  handler_options.debug_paths = options_.debug_paths;
  handler_options.not_ready = options_.not_ready;
  const auto endpoint = parse_listen_address(options_.listen);
  if (!endpoint) co_return endpoint.error();
  make_handler_(handler_, std::move(handler_options));
  watch_files();
  for (auto& file : files_) {
    if (auto loaded = file.load(); !loaded) co_return loaded.error();
  }
  auto started = co_await handler_->start();
  if (!started) co_return started.error();

  error_code failure;
  acceptor_.open(endpoint->protocol(), failure);
  if (!failure) acceptor_.set_option(tcp::acceptor::reuse_address(true), failure);
  if (!failure) acceptor_.bind(*endpoint, failure);
  if (!failure) acceptor_.listen(asio::socket_base::max_listen_connections, failure);
  if (failure) co_return Error(Code::Unavailable, "cannot listen on " + options_.listen + ": " + failure.message());
  port_ = acceptor_.local_endpoint().port();
  const auto address = endpoint->address();
  host_ = address.is_unspecified() ? "127.0.0.1"
          : address.is_v6()        ? "[" + address.to_string() + "]"
                                   : address.to_string();
  co_return Result<void>();
}

std::string ApiListener::url() const {
  return (tls_ ? "https://" : "http://") + host_ + ":" + std::to_string(port_);
}

std::string ApiListener::kubeconfig(std::string_view name) const {
  const auto quote = [](std::string_view value) { return boost::json::serialize(boost::json::string(value)); };
  const std::string own = quote(name);
  std::string text = "apiVersion: v1\nkind: Config\ncurrent-context: " + own + "\nclusters:\n- name: " + own +
                     "\n  cluster:\n    server: " + url() + "\n";
  if (tls_) {
    text += "    certificate-authority: " + quote(std::filesystem::absolute(options_.certificate_file).string()) + "\n";
  }
  text += "users:\n- name: " + own + "\n  user: {" + (token_.empty() ? "" : "token: " + quote(token_)) + "}\n";
  return text + "contexts:\n- name: " + own + "\n  context: {cluster: " + own + ", user: " + own + "}\n";
}

Task<void> ApiListener::run() {
  tasks_.spawn(sweep());
  // Cancelled, the acceptor is closed and the connections are told before this task unwinds.
  try {
    for (;;) {
      error_code failure;
      tcp::socket socket(runtime_.executor);
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, failure));
      if (failure == asio::error::operation_aborted) break;
      if (failure) {
        log_.warning("a connection could not be accepted", {{"reason", failure.message()}});
        co_await runtime_.clock.sleep_for(kSweep);  // Out of file descriptors, most likely: some will come back.
        continue;
      }
      if (open_.size() >= options_.maximum_connections && !open_.make_room()) {
        say_refused();
        continue;
      }
      socket.set_option(tcp::no_delay(true), failure);
      tasks_.spawn(guarded(tls_ ? serve_tls(std::move(socket), tls_) : serve_plain(std::move(socket))));
    }
  } catch (const boost::system::system_error&) {  // This task was cancelled.
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  error_code ignored;
  acceptor_.close(ignored);
  if (handler_) handler_->cut_watches();
  co_await tasks_.stop();
}

void ApiListener::say_refused() {
  ++refused_;
  const auto now = runtime_.clock.now();
  if (now - refused_said_ < kSaidOnceIn && refused_said_ != TimePoint()) return;
  log_.warning("connections were refused: there are as many as are allowed, and all are at work",
               {{"allowed", std::to_string(options_.maximum_connections)}, {"refused", std::to_string(refused_)}});
  refused_said_ = now;
  refused_ = 0;
}

Task<void> ApiListener::sweep() {
  for (;;) {
    co_await runtime_.clock.sleep_for(kSweep);
    open_.sweep();
    for (auto& file : files_) file.refresh();
  }
}

}  // namespace tinf::api
