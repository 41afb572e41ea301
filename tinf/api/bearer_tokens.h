// BearerTokens: who may call by which token, out of a static file.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/api/identity.h"
#include "tinf/base/result.h"

namespace tinf::api {

// The token of an Authorization header; nothing: it is of another scheme, or there is none.
std::optional<std::string_view> bearer_token(std::string_view authorization);

// SHA-256 of a secret: what is kept and compared in its place.
using SecretHash = std::array<unsigned char, 32>;
SecretHash hash_of_secret(std::string_view secret);

// Who comes with a token of which the file says no name.
inline constexpr std::string_view kTokenFileUser = "system:token-file";

class BearerTokens {
 public:
  BearerTokens() = default;

  // A line is a token alone, or kube-apiserver's token,user,uid,"group1,group2" (groups may be missing). Empty lines
  // and lines that start with # are skipped. Invalid: a line is neither, a token stands there twice, or there is none;
  // the message names the line, and never what stands in it.
  static Result<BearerTokens> parse(std::string_view text);

  // Whose token it is; null: nobody's. Looks at all of them, at hashes only, in a time that tells nothing.
  const Identity* find(std::string_view token) const;

  bool empty() const { return entries_.empty(); }
  const std::string& first() const { return first_; }

 private:
  struct Entry {
    SecretHash hash;
    Identity who;
  };

  std::vector<Entry> entries_;
  std::string first_;
};

}  // namespace tinf::api
