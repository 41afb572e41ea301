// Boost.Beast reads requests and frames answers.
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>
#include <exception>

#include "tinf/api/api_listener.h"

namespace tinf::api {
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr std::size_t kMostWarnings = 8;
constexpr std::size_t kLongestWarning = 1024;        // It may quote what a client has made up.
constexpr std::size_t kMostWarningBytes = 4 * 1024;  // Of an answer; clients refuse heads that are too large.
constexpr std::size_t kFirstRead = 4096;
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
  Status status = Status::bad_request(
      "called \"" + host + "\": while nobody is asked who they are, only localhost, 127.0.0.1 and [::1] are answered");
  status.code = 403;
  status.reason = "Forbidden";
  return status;
}

// As a quoted-string has it; what is too long ends in dots, in front of a character.
std::string quoted(std::string_view text) {
  constexpr std::string_view kCut = "...";
  std::string quoted;
  std::size_t whole = 0;  // Up to where it may be cut.
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xc0) == 0x80;
    if (!continues && quoted.size() + kCut.size() <= kLongestWarning) whole = quoted.size();
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    if (quoted.size() > kLongestWarning) return quoted.substr(0, whole) += kCut;
  }
  return quoted;
}

// RFC 7234's 299, as kube-apiserver writes it and clients show it.
template <class Head>
void set_warnings(Head& head, const std::vector<std::string>& warnings) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  for (const auto& warning : warnings) {
    const std::string text = quoted(warning);
    bytes += text.size();
    if (++count > kMostWarnings || bytes > kMostWarningBytes) break;
    head.insert(http::field::warning, "299 - \"" + text + "\"");
  }
}

std::string_view why_ended(const Connections::Entry& entry) {
  return entry.why_closed().empty() ? "client-left" : entry.why_closed();
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

Task<void> ApiListener::guarded(Task<void> connection) {
  try {
    co_await std::move(connection);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == asio::error::operation_aborted) throw;  // The server stops.
    log_.error("a connection was closed: its answer failed", {{"reason", failure.what()}});
  } catch (const std::exception& failure) {
    log_.error("a connection was closed: its answer failed", {{"reason", failure.what()}});
  }
}

Task<void> ApiListener::serve_plain(tcp::socket socket) {
  Entry entry(open_, socket);
  co_await serve(socket, entry, std::nullopt);
}

Task<void> ApiListener::serve_tls(tcp::socket socket, std::shared_ptr<ssl::context> context) {
  ssl::stream<tcp::socket> stream(std::move(socket), *context);
  Entry entry(open_, stream.next_layer());
  entry.await(Awaited::Handshake, options_.handshake_timeout);
  error_code failure;
  co_await stream.async_handshake(ssl::stream_base::server, asio::redirect_error(asio::use_awaitable, failure));
  if (failure) {
    handshake_failures_->add();
    log_.debug("a connection did not come to TLS", {{"reason", failure.message()}});
    co_return;
  }
  auto certificate = client_certificate(stream.native_handle());
  if (certificate) entry.set_certified();
  // Of a handshake that was under way while the authorities changed: it was verified by those before.
  if (certificate && context != tls_) co_return;
  co_await serve(stream, entry, std::move(certificate));
}

template <class Stream>
Task<void> ApiListener::serve(Stream& stream, Entry& entry, std::optional<ClientCertificate> certificate) {
  boost::beast::flat_buffer buffer;
  error_code failure;
  Client client;
  const auto remote = entry.socket().remote_endpoint(failure);
  if (!failure) client.address = remote.address().to_string();
  client.is_loopback = !failure && remote.address().is_loopback();
  client.certificate = std::move(certificate);
  Duration patience = options_.request_timeout;
  for (bool goes_on = true; goes_on && !entry.is_retired();) {
    if (buffer.size() == 0) {
      buffer.shrink_to_fit();  // Of what the last one needed.
      entry.await(Awaited::Request, patience);
      const std::size_t size = co_await stream.async_read_some(buffer.prepare(kFirstRead),
                                                               asio::redirect_error(asio::use_awaitable, failure));
      if (failure || entry.is_retired()) break;
      buffer.commit(size);
    }
    patience = options_.idle_timeout;
    goes_on = co_await serve_request(stream, entry, buffer, client);
  }
  entry.socket().shutdown(tcp::socket::shutdown_both, failure);
}

template <class Stream>
Task<void> ApiListener::refuse(Stream& stream, Entry& entry, Status status) {
  unreadable_->add();
  ApiResponse refusal(status);
  co_await answer(stream, entry, std::move(refusal), false, false);
}

// One request, of which something is in the buffer. False: the connection is to be closed.
template <class Stream>
Task<bool> ApiListener::serve_request(Stream& stream, Entry& entry, boost::beast::flat_buffer& buffer,
                                      const Client& client) {
  error_code failure;
  entry.await(Awaited::RestOfRequest, options_.request_timeout);
  http::request_parser<http::string_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(options_.maximum_header_bytes));
  parser.body_limit(options_.maximum_body_bytes);
  co_await http::async_read_header(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, failure));
  std::size_t body = 0;
  if (!failure && parser.chunked()) body = options_.maximum_body_bytes;
  if (!failure && !parser.chunked()) {
    body = std::min<std::size_t>(parser.content_length().value_or(0), options_.maximum_body_bytes);
  }
  if (!failure && body_bytes_ + body > options_.maximum_body_bytes_at_once) {
    co_await refuse(stream, entry, Status::unavailable("there is no room for this request now"));
    co_return false;
  }
  const Room room(body_bytes_, body);
  if (!failure && boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    http::response<http::empty_body> go_on(http::status::continue_, 11);
    co_await http::async_write(stream, go_on, asio::redirect_error(asio::use_awaitable, failure));
  }
  if (!failure) co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, failure));
  if (failure) {
    if (failure == http::error::body_limit) {
      co_await refuse(stream, entry, Status::too_large(options_.maximum_body_bytes));
    } else if (failure.category() == http::make_error_code(http::error::body_limit).category() &&
               failure != http::error::end_of_stream && failure != http::error::partial_message) {
      co_await refuse(stream, entry, Status::bad_request("the request cannot be read: " + failure.message()));
    }
    co_return false;
  }
  if (entry.is_retired()) co_return false;  // While it came.
  auto& message = parser.get();
  ApiRequest request;
  request.method = text(message.method_string());
  request.target = text(message.target());
  request.accept = text(message[http::field::accept]);
  request.content_type = text(message[http::field::content_type]);
  request.authorization = text(message[http::field::authorization]);
  request.accept_encoding = text(message[http::field::accept_encoding]);
  request.if_none_match = text(message[http::field::if_none_match]);
  for (const auto& field : message) {
    const auto name = text(field.name_string());
    if (boost::beast::iequals(name.substr(0, 12), "Impersonate-")) request.impersonated = name;
    if (boost::beast::iequals(name, "Impersonate-User")) request.impersonated = text(field.value());
    if (!request.impersonated.empty()) break;
  }
  request.user_agent = text(message[http::field::user_agent]);
  request.body = std::move(message.body());
  request.remote = client.address;
  request.from_loopback = client.is_loopback;
  bool keep_alive = message.keep_alive();
  if (client.certificate && client.certificate->ends > runtime_.clock.wall_now()) {
    request.certificate = std::make_shared<const Identity>(client.certificate->who);
  }
  const bool head_only = request.method == "HEAD";

  entry.await_nothing();  // Ours to bound now: the handlers' own waits are short.
  ApiResponse response;
  if (const auto host = text(message[http::field::host]); options_.local_names_only && !is_local_name(host)) {
    response = ApiResponse(strange_name(host));
  } else {
    response = co_await handler_->handle(std::move(request));
  }
  // A second request before the first is answered: as stream_out() takes it, had it come a moment later.
  if (response.stream != nullptr && buffer.size() > 0) response.stream->cut();
  keep_alive = keep_alive && response.stream == nullptr;
  co_return co_await answer(stream, entry, std::move(response), keep_alive, head_only);
}

template <class Stream>
Task<bool> ApiListener::answer(Stream& stream, Entry& entry, ApiResponse response, bool keep_alive, bool head_only) {
  error_code failure;
  Exchange* const exchange = response.exchange.get();
  entry.await(Awaited::TakingAnswer, options_.write_timeout);
  const auto status = static_cast<http::status>(response.status);
  if (response.stream != nullptr) {
    http::response<http::empty_body> head(status, 11);
    set_headers(head, response);
    head.keep_alive(false);
    head.chunked(true);
    http::response_serializer<http::empty_body> serializer(head);
    const auto size =
        co_await http::async_write_header(stream, serializer, asio::redirect_error(asio::use_awaitable, failure));
    if (exchange != nullptr) exchange->sent(size);
    if (!failure && !head_only) co_await stream_out(stream, entry, *response.stream, exchange);
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
      entry.await(Awaited::TakingAnswer, options_.write_timeout);
      of_slice = 0;
    }
    const auto size =
        co_await http::async_write_some(stream, serializer, asio::redirect_error(asio::use_awaitable, failure));
    of_slice += size;
    if (exchange != nullptr) exchange->sent(size);
  }
  if (failure && exchange != nullptr) exchange->was_cut(std::string(why_ended(entry)));
  co_return !failure && keep_alive;
}

template <class Stream>
Task<void> ApiListener::stream_out(Stream& stream, Entry& entry, ResponseStream& source, Exchange* exchange) {
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
  std::exception_ptr bug;
  try {
    while (!failure && !ear->heard) {
      entry.await_nothing();  // A watch waits as long as it likes.
      auto piece = co_await source.next();
      entry.await(Awaited::TakingAnswer, options_.write_timeout);
      if (!piece) {
        if (source.failed()) {  // Without the last chunk: the client sees that something is missing.
          if (exchange != nullptr) exchange->was_cut("expired");
          break;
        }
        auto last = http::make_chunk_last();
        co_await asio::async_write(stream, last, asio::redirect_error(asio::use_awaitable, failure));
        break;
      }
      for (std::size_t at = 0; at < piece->size() && !failure; at += kSliceBytes) {
        entry.await(Awaited::TakingAnswer, options_.write_timeout);
        auto chunk = http::make_chunk(asio::buffer(piece->data() + at, std::min(kSliceBytes, piece->size() - at)));
        const auto size = co_await asio::async_write(stream, chunk, asio::redirect_error(asio::use_awaitable, failure));
        if (exchange != nullptr) exchange->sent(size);
      }
    }
  } catch (const boost::system::system_error&) {  // The server stops.
  } catch (const std::exception&) {
    bug = std::current_exception();
  }
  if ((failure || !entry.why_closed().empty()) && exchange != nullptr) exchange->was_cut(std::string(why_ended(entry)));
  // The ear's read uses the stream: it ends before the stream does, whatever happens.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  entry.socket().shutdown(tcp::socket::shutdown_send, failure);
  entry.socket().close(failure);
  while (!ear->heard) co_await asio::post(entry.socket().get_executor(), asio::use_awaitable);
  if (bug) std::rethrow_exception(bug);
}

}  // namespace tinf::api
