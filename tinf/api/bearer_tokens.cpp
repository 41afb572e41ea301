#include "tinf/api/bearer_tokens.h"

#include <algorithm>
#include <fstream>
#include <functional>

namespace tinf::api {
namespace {

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

Result<BearerTokens> BearerTokens::read(const std::string& file) {
  std::ifstream in(file);
  if (!in) return Error(Code::Invalid, "the token file " + file + " cannot be read");
  BearerTokens tokens;
  std::string line;
  while (std::getline(in, line)) {
    line.erase(std::min(line.find_first_of(",\r"), line.size()));
    if (!line.empty() && line.front() != '#') tokens.tokens_.push_back(line);
  }
  if (tokens.tokens_.empty()) return Error(Code::Invalid, "the token file " + file + " has no token in it");
  return tokens;
}

bool BearerTokens::allow(std::string_view authorization) const {
  if (tokens_.empty()) return true;
  constexpr std::string_view kScheme = "bearer ";  // Of any case: RFC 7235, 2.1.
  const bool is_bearer =
      std::ranges::equal(authorization.substr(0, kScheme.size()), kScheme, std::equal_to(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (!is_bearer) return false;
  authorization.remove_prefix(kScheme.size());
  bool allowed = false;
  for (const auto& token : tokens_) allowed |= equal_in_constant_time(token, authorization);
  return allowed;
}

}  // namespace tinf::api
