// ApiListener: the port that an ApiServer listens on, the files that it follows, and the connections that came.
// One coroutine per connection; one sweep a second for all deadlines and for files that have changed.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <functional>
#include <list>
#include <optional>
#include <string>

#include "tinf/api/api_handler.h"
#include "tinf/api/api_server.h"
#include "tinf/api/connections.h"
#include "tinf/api/watched_files.h"

namespace tinf::api {
namespace ssl = asio::ssl;
using tcp = asio::ip::tcp;

// Confined to the runtime's strand.
class ApiListener {
 public:
  // Makes `handler`, once the files it needs are read.
  using MakeHandler = std::function<void(std::optional<ApiHandler>& handler, HandlerOptions options)>;

  ApiListener(Runtime& runtime, MakeHandler make_handler, ApiOptions options)
      : runtime_(runtime),
        make_handler_(std::move(make_handler)),
        options_(std::move(options)),
        log_(runtime.log.with("api")),
        handshake_failures_(
            runtime.metrics.counter("tinf_api_tls_handshake_failures_total", "Connections that never came to TLS.")),
        unreadable_(runtime.metrics.counter("tinf_api_unreadable_requests_total", "What is no request in HTTP/1.1.")),
        acceptor_(runtime.executor),
        open_(runtime),
        tasks_(runtime.executor) {}

  Task<Result<void>> listen();
  unsigned port() const { return port_; }
  std::string url() const;
  std::string kubeconfig(std::string_view name) const;
  Task<void> run();
  ApiHandler* handler() { return handler_ ? &*handler_ : nullptr; }

 private:
  using Entry = Connections::Entry;
  using Awaited = Connections::Awaited;

  // Of the client at the other end; the same for all its requests.
  struct Client {
    std::string address;
    bool is_loopback = false;
    std::optional<ClientCertificate> certificate;
  };

  // Room for a request's body, given back when it has gone.
  class Room {
   public:
    Room(std::size_t& taken, std::size_t bytes) : taken_(taken), bytes_(bytes) { taken_ += bytes_; }
    ~Room() { taken_ -= bytes_; }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

   private:
    std::size_t& taken_;
    const std::size_t bytes_;
  };

  void watch_files();
  Result<void> load_tls();
  Result<void> load_tokens();
  Result<void> load_authorization();
  void say_refused();
  // Whatever goes wrong in one connection ends that one alone.
  Task<void> guarded(Task<void> connection);
  Task<void> serve_plain(tcp::socket socket);
  Task<void> serve_tls(tcp::socket socket, std::shared_ptr<ssl::context> context);
  template <class Stream>
  Task<void> serve(Stream& stream, Entry& entry, std::optional<ClientCertificate> certificate);
  template <class Stream>
  Task<bool> serve_request(Stream& stream, Entry& entry, boost::beast::flat_buffer& buffer, const Client& client);
  template <class Stream>
  Task<void> refuse(Stream& stream, Entry& entry, Status status);
  template <class Stream>
  Task<bool> answer(Stream& stream, Entry& entry, ApiResponse response, bool keep_alive, bool head_only);
  template <class Stream>
  Task<void> stream_out(Stream& stream, Entry& entry, ResponseStream& source, Exchange* exchange);
  Task<void> sweep();

  // Constant after listen().
  Runtime& runtime_;
  const MakeHandler make_handler_;
  const ApiOptions options_;
  const Log log_;
  const std::shared_ptr<Counter> handshake_failures_;
  const std::shared_ptr<Counter> unreadable_;
  unsigned port_ = 0;
  std::string host_;
  std::string token_;

  // Confined to the strand.
  tcp::acceptor acceptor_;
  std::shared_ptr<ssl::context> tls_;  // For connections to come. Null: no TLS.
  std::optional<ApiHandler> handler_;
  std::list<WatchedFiles> files_;
  Connections open_;
  std::size_t body_bytes_ = 0;
  std::size_t refused_ = 0;  // Connections, since it was last said.
  TimePoint refused_said_{};
  TaskGroup tasks_;  // Last: its frames use what stands above.
};

}  // namespace tinf::api
