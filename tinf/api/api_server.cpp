// Boost.Beast reads requests and frames answers.
// One coroutine per connection; one sweep a second for all deadlines, so that an idle watch owns no timer.
#include "tinf/api/api_server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <list>
#include <optional>

#include "tinf/api/api_handler.h"
#include "tinf/base/listen_address.h"

namespace tinf::api {
namespace http = boost::beast::http;
namespace ssl = asio::ssl;
using tcp = asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr Duration kSweep = std::chrono::seconds(1);
constexpr std::size_t kMostWarnings = 8;
constexpr std::size_t kSliceBytes = 256 * 1024;  // For which a client has the write timeout.

// Of a Host header: NAME, NAME:PORT, [ADDRESS]:PORT.
bool is_local_name(std::string_view host) {
  const auto bracket = host.rfind(']');
  const auto colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    host = host.substr(0, colon);
  }
  if (host == "localhost") return true;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code failure;
  const auto address = asio::ip::make_address(std::string(host), failure);
  return !failure && address.is_loopback();
}

Status strange_name(const std::string& host) {
  Status status =
      Status::bad_request("called \"" + host + "\": without tokens only localhost, 127.0.0.1 and [::1] are answered");
  status.code = 403;
  status.reason = "Forbidden";
  return status;
}

// RFC 7234's 299, as kube-apiserver writes it and clients show it.
template <class Head>
void set_warnings(Head& head, const std::vector<std::string>& warnings) {
  std::size_t count = 0;
  for (const auto& warning : warnings) {
    if (++count > kMostWarnings) break;
    std::string quoted;
    for (const char c : warning) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    head.insert(http::field::warning, "299 - \"" + quoted + "\"");
  }
}

template <class Head>
void set_headers(Head& head, const ApiResponse& response) {
  if (!response.content_type.empty()) head.set(http::field::content_type, response.content_type);
  head.set(http::field::cache_control, "no-cache, private");
  if (response.retry_after_seconds > 0)
    head.set(http::field::retry_after, std::to_string(response.retry_after_seconds));
  for (const auto& [name, value] : response.headers) head.set(name, value);
  set_warnings(head, response.warnings);
}

std::string text(boost::beast::string_view view) {
  return std::string(view.data(), view.size());
}

}  // namespace

class ApiServer::Listener {
 public:
  // Makes `handler`, once the files it needs are read.
  using MakeHandler = std::function<void(std::optional<ApiHandler>& handler, HandlerOptions options)>;

  Listener(Runtime& runtime, MakeHandler make_handler, ApiOptions options)
      : runtime_(runtime),
        make_handler_(std::move(make_handler)),
        options_(std::move(options)),
        log_(runtime.log.with("api")),
        acceptor_(runtime.executor),
        connections_(runtime.executor) {}

  Task<Result<void>> listen();
  unsigned port() const { return port_; }
  std::string url() const;
  std::string kubeconfig(std::string_view name) const;
  Task<void> run();
  ApiHandler* handler() { return handler_ ? &*handler_ : nullptr; }

 private:
  // What the sweep needs of a connection; in a list while the connection lives.
  struct Live {
    Live(std::list<Live*>& list, tcp::socket& s) : all(list), socket(s), place(list.insert(list.end(), this)) {}
    ~Live() { all.erase(place); }
    Live(const Live&) = delete;
    std::list<Live*>& all;
    tcp::socket& socket;
    TimePoint deadline = TimePoint::max();
    std::list<Live*>::iterator place;
  };

  Result<void> open_tls();
  Task<void> serve_plain(tcp::socket socket);
  Task<void> serve_tls(tcp::socket socket);
  template <class Stream>
  Task<void> serve(Stream& stream, Live& live);
  template <class Stream>
  Task<bool> answer(Stream& stream, Live& live, ApiResponse response, bool keep_alive, bool head_only);
  template <class Stream>
  Task<void> stream_out(Stream& stream, Live& live, ResponseStream& source);
  Task<void> sweep();

  // Constant after listen().
  Runtime& runtime_;
  const MakeHandler make_handler_;
  const ApiOptions options_;
  const Log log_;
  std::optional<ssl::context> tls_;
  unsigned port_ = 0;
  std::string host_;
  std::string token_;

  // Confined to the strand.
  tcp::acceptor acceptor_;
  std::optional<ApiHandler> handler_;
  std::list<Live*> live_;
  TaskGroup connections_;  // Last: its frames use what stands above.
};

Result<void> ApiServer::Listener::open_tls() {
  if (options_.certificate_file.empty() != options_.key_file.empty()) {
    return Error(Code::Invalid, "TLS needs a certificate file and a key file; only one was given");
  }
  if (options_.certificate_file.empty()) return Result<void>();
  tls_.emplace(ssl::context::tls_server);
  error_code failure;
  tls_->use_certificate_chain_file(options_.certificate_file, failure);
  if (failure)
    return Error(Code::Invalid,
                 "the certificate " + options_.certificate_file + " cannot be used: " + failure.message());
  tls_->use_private_key_file(options_.key_file, ssl::context::pem, failure);
  if (failure) return Error(Code::Invalid, "the key " + options_.key_file + " cannot be used: " + failure.message());
  return Result<void>();
}

Task<Result<void>> ApiServer::Listener::listen() {
  HandlerOptions handler_options;
  handler_options.debug_paths = options_.debug_paths;
  handler_options.not_ready = options_.not_ready;
  if (!options_.token_file.empty()) {
    auto tokens = BearerTokens::read(options_.token_file);
    if (!tokens) co_return tokens.error();
    token_ = tokens->first();
    handler_options.tokens = std::move(*tokens);
  }
  if (auto opened = open_tls(); !opened) co_return opened.error();
  const auto endpoint = parse_listen_address(options_.listen);
  if (!endpoint) co_return endpoint.error();
  make_handler_(handler_, std::move(handler_options));
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

std::string ApiServer::Listener::url() const {
  return (tls_ ? "https://" : "http://") + host_ + ":" + std::to_string(port_);
}

std::string ApiServer::Listener::kubeconfig(std::string_view name) const {
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

Task<void> ApiServer::Listener::run() {
  connections_.spawn(sweep());
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
      if (live_.size() >= options_.maximum_connections) {
        log_.warning("a connection was refused: there are as many as are allowed");
        continue;
      }
      socket.set_option(tcp::no_delay(true), failure);
      connections_.spawn(tls_ ? serve_tls(std::move(socket)) : serve_plain(std::move(socket)));
    }
  } catch (const boost::system::system_error&) {  // This task was cancelled.
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  error_code ignored;
  acceptor_.close(ignored);
  if (handler_) handler_->cut_watches();
  co_await connections_.stop();
}

Task<void> ApiServer::Listener::sweep() {
  for (;;) {
    co_await runtime_.clock.sleep_for(kSweep);
    const auto now = runtime_.clock.now();
    for (Live* live : live_) {
      error_code ignored;
      if (live->deadline <= now) live->socket.close(ignored);
    }
  }
}

Task<void> ApiServer::Listener::serve_plain(tcp::socket socket) {
  Live live(live_, socket);
  co_await serve(socket, live);
}

Task<void> ApiServer::Listener::serve_tls(tcp::socket socket) {
  ssl::stream<tcp::socket> stream(std::move(socket), *tls_);
  Live live(live_, stream.next_layer());
  live.deadline = runtime_.clock.now() + options_.write_timeout;
  error_code failure;
  co_await stream.async_handshake(ssl::stream_base::server, asio::redirect_error(asio::use_awaitable, failure));
  if (!failure) co_await serve(stream, live);
}

template <class Stream>
Task<void> ApiServer::Listener::serve(Stream& stream, Live& live) {
  boost::beast::flat_buffer buffer;
  error_code failure;
  const auto remote = live.socket.remote_endpoint(failure);
  const bool from_loopback = !failure && remote.address().is_loopback();
  for (bool keep_alive = true; keep_alive;) {
    live.deadline = runtime_.clock.now() + options_.idle_timeout;
    http::request_parser<http::string_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(options_.maximum_header_bytes));
    parser.body_limit(options_.maximum_body_bytes);
    co_await http::async_read_header(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, failure));
    if (!failure && boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go_on(http::status::continue_, 11);
      co_await http::async_write(stream, go_on, asio::redirect_error(asio::use_awaitable, failure));
    }
    if (!failure) co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, failure));
    if (failure) {
      if (failure == http::error::body_limit) {
        ApiResponse refusal(Status::too_large(options_.maximum_body_bytes));
        co_await answer(stream, live, std::move(refusal), false, false);
      } else if (failure.category() == http::make_error_code(http::error::body_limit).category() &&
                 failure != http::error::end_of_stream && failure != http::error::partial_message) {
        ApiResponse refusal(Status::bad_request("the request cannot be read: " + failure.message()));
        co_await answer(stream, live, std::move(refusal), false, false);
      }
      break;
    }
    auto& message = parser.get();
    ApiRequest request;
    request.method = text(message.method_string());
    request.target = text(message.target());
    request.accept = text(message[http::field::accept]);
    request.content_type = text(message[http::field::content_type]);
    request.authorization = text(message[http::field::authorization]);
    request.accept_encoding = text(message[http::field::accept_encoding]);
    request.user_agent = text(message[http::field::user_agent]);
    request.if_none_match = text(message[http::field::if_none_match]);
    request.body = std::move(message.body());
    request.from_loopback = from_loopback;
    keep_alive = message.keep_alive();

    live.deadline = TimePoint::max();  // Ours to bound now: the handlers' own waits are short.
    ApiResponse response;
    if (const auto host = text(message[http::field::host]); options_.local_names_only && !is_local_name(host)) {
      response = ApiResponse(strange_name(host));
    } else {
      response = co_await handler_->handle(request);
    }
    if (log_.enabled(LogLevel::Debug)) {
      log_.debug("request",
                 {{"method", request.method}, {"target", request.target}, {"status", std::to_string(response.status)}});
    }
    const bool streams = response.stream != nullptr;
    keep_alive = co_await answer(stream, live, std::move(response), keep_alive && !streams, request.method == "HEAD");
  }
  live.socket.shutdown(tcp::socket::shutdown_both, failure);
}

template <class Stream>
Task<bool> ApiServer::Listener::answer(Stream& stream, Live& live, ApiResponse response, bool keep_alive,
                                       bool head_only) {
  error_code failure;
  live.deadline = runtime_.clock.now() + options_.write_timeout;
  const auto status = static_cast<http::status>(response.status);
  if (response.stream != nullptr) {
    http::response<http::empty_body> head(status, 11);
    set_headers(head, response);
    head.keep_alive(false);
    head.chunked(true);
    http::response_serializer<http::empty_body> serializer(head);
    co_await http::async_write_header(stream, serializer, asio::redirect_error(asio::use_awaitable, failure));
    if (!failure && !head_only) co_await stream_out(stream, live, *response.stream);
    co_return false;
  }
  http::response<http::string_body> message(status, 11);
  set_headers(message, response);
  message.keep_alive(keep_alive);
  message.body() = std::move(response.body);
  message.prepare_payload();
  if (head_only) message.body().clear();
  http::response_serializer<http::string_body> serializer(message);
  serializer.limit(kSliceBytes);
  std::size_t of_slice = 0;
  while (!failure && !serializer.is_done()) {
    if (of_slice >= kSliceBytes) {
      live.deadline = runtime_.clock.now() + options_.write_timeout;
      of_slice = 0;
    }
    of_slice += co_await http::async_write_some(stream, serializer, asio::redirect_error(asio::use_awaitable, failure));
  }
  co_return !failure && keep_alive;
}

template <class Stream>
Task<void> ApiServer::Listener::stream_out(Stream& stream, Live& live, ResponseStream& source) {
  // A watcher that goes away says so by closing its side: a read beside the writes hears it. Whatever it says instead
  // is a second request before the first is answered, which ends the watch, too.
  struct Ear {
    char byte = 0;
    bool heard = false;
    ResponseStream* source = nullptr;
  };
  auto ear = std::make_shared<Ear>();
  ear->source = &source;
  stream.async_read_some(asio::buffer(&ear->byte, 1), [ear](error_code, std::size_t) {
    ear->heard = true;
    if (ear->source != nullptr) ear->source->cut();
  });
  struct Deafen {
    std::shared_ptr<Ear> ear;
    explicit Deafen(std::shared_ptr<Ear> e) : ear(std::move(e)) {}
    ~Deafen() { ear->source = nullptr; }
  } deafen(ear);

  error_code failure;
  try {
    while (!failure && !ear->heard) {
      live.deadline = TimePoint::max();  // A watch waits as long as it likes.
      auto piece = co_await source.next();
      live.deadline = runtime_.clock.now() + options_.write_timeout;
      if (!piece) {
        if (source.failed()) break;  // Without the last chunk: the client sees that something is missing.
        auto last = http::make_chunk_last();
        co_await asio::async_write(stream, last, asio::redirect_error(asio::use_awaitable, failure));
        break;
      }
      for (std::size_t at = 0; at < piece->size() && !failure; at += kSliceBytes) {
        live.deadline = runtime_.clock.now() + options_.write_timeout;
        auto chunk = http::make_chunk(asio::buffer(piece->data() + at, std::min(kSliceBytes, piece->size() - at)));
        co_await asio::async_write(stream, chunk, asio::redirect_error(asio::use_awaitable, failure));
      }
    }
  } catch (const boost::system::system_error&) {  // The server stops.
  }
  // The ear's read uses the stream: it ends before the stream does, whatever happens.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  live.socket.shutdown(tcp::socket::shutdown_send, failure);
  live.socket.close(failure);
  while (!ear->heard) co_await asio::post(live.socket.get_executor(), asio::use_awaitable);
}

ApiServer::ApiServer(Runtime& runtime, VersionedStore& store, ApiOptions options)
    : listener_(std::make_unique<Listener>(
          runtime,
          [&runtime, &store](std::optional<ApiHandler>& handler, HandlerOptions of) {
            handler.emplace(runtime, store, std::move(of));
          },
          std::move(options))) {}

ApiServer::ApiServer(Runtime& runtime, FleetReader& fleet, ApiOptions options)
    : listener_(std::make_unique<Listener>(
          runtime,
          [&runtime, &fleet](std::optional<ApiHandler>& handler, HandlerOptions of) {
            handler.emplace(runtime, fleet, std::move(of));
          },
          std::move(options))) {}

ApiServer::~ApiServer() = default;

Task<Result<void>> ApiServer::listen() {
  return listener_->listen();
}

unsigned ApiServer::port() const {
  return listener_->port();
}

std::string ApiServer::url() const {
  return listener_->url();
}

std::string ApiServer::kubeconfig(std::string_view name) const {
  return listener_->kubeconfig(name);
}

Task<void> ApiServer::run() {
  return listener_->run();
}

void ApiServer::compact() {
  if (auto* handler = listener_->handler()) handler->compact();
}

void ApiServer::cut_watches() {
  if (auto* handler = listener_->handler()) handler->cut_watches();
}

std::size_t ApiServer::open_watches() const {
  auto* handler = listener_->handler();
  return handler == nullptr ? 0 : handler->open_watches();
}

}  // namespace tinf::api
