// RestClient: HTTP requests to one API server, whole or as a stream, by the rules of a Connection.
// Every wait has a deadline; every answer outside 200 to 299 is an Error with Kubernetes' own reason.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tinf/base/result.h"
#include "tinf/base/runtime.h"
#include "tinf/kube/credentials.h"
#include "tinf/kube/kubeconfig.h"

namespace tinf::kube {

using NamedValues = std::vector<std::pair<std::string, std::string>>;

// How long each part of a request may take.
struct Deadlines {
  Duration connect = std::chrono::seconds(10);  // Name, socket, proxy and TLS, to the first byte sent.
  Duration headers = std::chrono::seconds(75);  // A little over the 60 s after which an API server gives up by itself.
  Duration idle = std::chrono::seconds(60);     // Without a byte, while the body is being waited for.

  Deadlines() = default;
};

struct Request {
  std::string method = "GET";
  std::string path;   // Behind the connection's server, which may have a path itself; percent-encoded by the caller.
  NamedValues query;  // Encoded here.
  NamedValues headers;
  std::string body;
  Deadlines deadlines;
  bool fresh_connection = false;         // A retry after silence or a broken connection should not meet the same one.
  std::size_t largest_body = 64u << 20;  // Of request(); stream() has no such limit.

  Request() = default;
  explicit Request(std::string path_text) : path(std::move(path_text)) {}
};

struct Response {
  int status = 0;
  NamedValues headers;
  std::string body;

  Response() = default;
  // The first value of a header, in any case; empty if absent.
  std::string_view header(std::string_view name) const;
};

// A body on its way. Destroying it ends the transfer. Confined to the client's strand.
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;

  virtual int status() const = 0;
  virtual std::string_view header(std::string_view name) const = 0;

  // The bytes that are there, as soon as there are any; empty: the body is complete. While nobody reads, at most a MiB
  // waits here and the server is not read any more. Timeout: no byte within the idle deadline. Unavailable: the
  // connection broke. The same again after an error.
  virtual Task<Result<std::string>> read() = 0;
};

struct RestOptions {
  bool accept_gzip = false;  // Spares the network and costs both CPUs: for slow links.

  RestOptions() = default;
};

// Keeps connections and reuses them. Not thread-safe: construct, call and destroy on the runtime's executor.
// Streams may outlive it.
class RestClient {
 public:
  RestClient(Runtime& runtime, Connection connection, RestOptions options = RestOptions());
  ~RestClient();

  RestClient(const RestClient&) = delete;
  RestClient& operator=(const RestClient&) = delete;

  // Sends a request and reads the whole answer. A 401 is tried once more where credentials can be renewed. After a 429
  // or 503 that asked to wait (Retry-After) every request waits until then first, half a minute at most. Cancelling the
  // awaiting coroutine ends the transfer.
  // Unavailable: not reached, or cut off. Timeout: headers or body came too late. Internal: the body is too large.
  // Others: what the server said; its message is in the error's.
  Task<Result<Response>> request(Request request);

  // The same, but returns when the headers are here.
  Task<Result<std::unique_ptr<ResponseStream>>> stream(Request request);

  // How long the server has asked to be left alone from now; zero if it has not.
  Duration retry_after() const;

  Runtime& runtime() { return runtime_; }
  const Connection& connection() const { return connection_; }

 private:
  class Transfers;  // libcurl lives behind this.

  void note_retry_after(std::string_view value);

  // Constant after construction.
  Runtime& runtime_;
  const Connection connection_;
  const RestOptions options_;
  const std::unique_ptr<Transfers> transfers_;

  // Confined to the strand.
  CredentialSource credentials_;
  TimePoint not_before_{};
};

// `text` with everything but letters, digits and -._~ percent-encoded (RFC 3986).
std::string percent_encoded(std::string_view text);

}  // namespace tinf::kube
