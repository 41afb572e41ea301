// BodyFilter: what becomes of an answer's bytes on their way out, piece by piece: indented for people, or compressed.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tinf/api/message.h"

namespace tinf::api {

class BodyFilter {
 public:
  virtual ~BodyFilter() = default;

  // Appends to `out` what can be said by now.
  virtual void add(std::string_view piece, std::string& out) = 0;
  virtual void finish(std::string& out) = 0;
};

// JSON, indented by two spaces as Go does it; what is no JSON comes out in some way.
std::unique_ptr<BodyFilter> pretty_json();
// RFC 1952, at the level that kube-apiserver takes.
std::unique_ptr<BodyFilter> gzip();

// The answer with its body or stream filtered: in slices, between which others have their turn.
Task<ApiResponse> filtered(ApiResponse response, std::unique_ptr<BodyFilter> filter);

// As kube-apiserver decides it: whether the query, the Accept header or a browser, curl or wget asks for indented JSON,
// and whether an Accept-Encoding takes gzip.
bool wants_pretty(const ApiRequest& request);
bool takes_gzip(std::string_view accept_encoding);

}  // namespace tinf::api
