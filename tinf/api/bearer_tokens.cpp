#include "tinf/api/bearer_tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <set>

#include "tinf/object/text.h"

namespace tinf::api {
namespace {

constexpr std::size_t kMostTokens = 10'000;

Error wrong_line(std::size_t number, std::string_view why) {
  return Error(Code::Invalid, "line " + std::to_string(number) + " of the token file " + std::string(why));
}

// Of RFC 4180, as far as one line goes. Nothing: a quote is not closed, or stands where none may.
std::optional<std::vector<std::string>> fields_of(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (quoted && c == '"') {
      quoted = false;
      if (i + 1 < line.size() && line[i + 1] != ',') return std::nullopt;
    } else if (!quoted && c == '"') {
      if (!fields.back().empty()) return std::nullopt;
      quoted = true;
    } else if (!quoted && c == ',') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) return std::nullopt;
  return fields;
}

std::vector<std::string> groups_of(std::string_view text) {
  std::vector<std::string> groups;
  for (std::string_view group : split(text, ',')) {
    while (group.starts_with(' ')) group.remove_prefix(1);
    while (group.ends_with(' ')) group.remove_suffix(1);
    if (!group.empty()) groups.emplace_back(group);
  }
  return groups;
}

}  // namespace

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";  // Of any case: RFC 7235, 2.1.
  if (lower_case(std::string(authorization.substr(0, kScheme.size()))) != kScheme) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  if (authorization.empty()) return std::nullopt;
  return authorization;
}

SecretHash hash_of_secret(std::string_view secret) {
  SecretHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), hash.data());
  return hash;
}

Result<BearerTokens> BearerTokens::parse(std::string_view text) {
  BearerTokens tokens;
  std::set<SecretHash> seen;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    auto fields = fields_of(line);
    if (!fields) return wrong_line(number, "has a quote that is not closed, or stands inside a value");
    if (fields->size() == 2 || fields->size() > 4) {
      return wrong_line(number, "is neither one token nor token,user,uid,\"group1,group2\"");
    }
    if (fields->front().empty()) return wrong_line(number, "has no token");
    if (fields->size() > 1 && (*fields)[1].empty()) return wrong_line(number, "names no user");
    const auto hash = hash_of_secret(fields->front());
    if (!seen.insert(hash).second) return wrong_line(number, "has a token that stands there already");
    if (tokens.entries_.size() == kMostTokens) {
      return wrong_line(number, "is one too many: " + std::to_string(kMostTokens) + " tokens are taken");
    }
    if (tokens.first_.empty()) tokens.first_ = fields->front();
    fields->resize(4);
    std::string user = (*fields)[1].empty() ? std::string(kTokenFileUser) : (*fields)[1];
    tokens.entries_.push_back(Entry{hash, Identity(std::move(user), (*fields)[2], groups_of((*fields)[3]))});
  }
  if (tokens.entries_.empty()) return Error(Code::Invalid, "the token file has no token in it");
  return tokens;
}

const Identity* BearerTokens::find(std::string_view token) const {
  const auto hash = hash_of_secret(token);
  const Identity* found = nullptr;
  for (const auto& entry : entries_) {
    if (CRYPTO_memcmp(entry.hash.data(), hash.data(), hash.size()) == 0) found = &entry.who;
  }
  return found;
}

}  // namespace tinf::api
