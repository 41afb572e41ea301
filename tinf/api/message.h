// A request and its answer as the handlers see them: no sockets, no HTTP library.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tinf/api/status.h"
#include "tinf/base/task.h"

namespace tinf::api {

class Access;
class Exchange;
struct Identity;

struct ApiRequest {
  std::string method;
  std::string target;  // Path and query, as they stand in the request line.
  std::string accept;
  std::string accept_encoding;
  std::string content_type;
  std::string authorization;
  std::string user_agent;
  std::string if_none_match;
  std::string body;
  std::string impersonated;  // Whom the caller wants to be taken for.
  std::string remote;        // The client's address, for the audit log.
  bool from_loopback = false;
  std::shared_ptr<const Identity> certificate;  // Whose certificate the connection was opened with; null: nobody's.
  std::shared_ptr<const Access> access;         // What the caller may read; null: everything. Set by the ApiHandler.

  ApiRequest() = default;
};

// A body that is made as it is sent: a watch, or a list that nobody bounded. Destroying it closes it.
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;

  // The next bytes; nothing at the end. One caller at a time.
  virtual Task<std::optional<std::string>> next() = 0;

  // The end came before its time: the client must not take what it has for the whole.
  virtual bool failed() const { return false; }

  // It waits for nothing but its source's objects: what it says may be held back to be compressed. A watch's may not.
  virtual bool ends_by_itself() const { return false; }

  // Makes next() come to the end, now and from now on.
  virtual void cut() = 0;
};

struct ApiResponse {
  int status = 200;
  std::string content_type = "application/json";  // Empty: there is no body.
  std::string body;
  int retry_after_seconds = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // Beside or instead of those that every answer has.
  std::vector<std::string> warnings;                         // Of what is right and yet not all: kubectl shows them.
  std::unique_ptr<ResponseStream> stream;                    // Instead of a body.
  std::shared_ptr<Exchange> exchange;  // To be told what becomes of it, and held until then; may be null.

  ApiResponse() = default;
  explicit ApiResponse(std::string json) : body(std::move(json)) {}
  explicit ApiResponse(const Status& failure)
      : status(failure.code), body(failure.to_json()), retry_after_seconds(failure.retry_after_seconds) {}
};

}  // namespace tinf::api
