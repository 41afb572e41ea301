// BearerTokens: who may call, out of a static file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tinf/base/result.h"

namespace tinf::api {

class BearerTokens {
 public:
  BearerTokens() = default;  // Everybody may call.

  // One token a line; what follows a comma is kube-apiserver's (user, uid, groups) and ignored. Empty lines and lines
  // that start with # are skipped. Invalid: the file cannot be read or has no token.
  static Result<BearerTokens> read(const std::string& file);

  // `authorization` is the header's value. Takes the same time for every wrong token of a length.
  bool allow(std::string_view authorization) const;

  // Empty if everybody may call.
  std::string first() const { return tokens_.empty() ? "" : tokens_.front(); }

 private:
  std::vector<std::string> tokens_;
};

}  // namespace tinf::api
