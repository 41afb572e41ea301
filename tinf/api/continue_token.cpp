#include "tinf/api/continue_token.h"

#include <array>

#include "tinf/api/request.h"

namespace tinf::api {

std::string ContinueToken::text() const {
  std::string text = std::to_string(version) + "/" + last.namespace_name + "/" + last.name;
  if (remaining || !order.empty()) text += "/" + (remaining ? std::to_string(*remaining) : "");
  if (!order.empty()) text += "/" + order;
  return text;
}

std::optional<ContinueToken> ContinueToken::parse(const std::string& text) {
  std::array<std::string, 5> parts;
  std::size_t count = 0;
  std::size_t from = 0;
  while (from <= text.size()) {
    if (count == parts.size()) return std::nullopt;
    const auto to = std::min(text.find('/', from), text.size());
    parts[count++] = text.substr(from, to - from);
    from = to + 1;
  }
  const auto version = number(parts[0]);
  if (count < 3 || !version || parts[2].empty()) return std::nullopt;
  ContinueToken token;
  token.version = *version;
  token.last = ObjectKey{std::move(parts[1]), std::move(parts[2])};
  token.remaining = number(parts[3]);
  if (!parts[3].empty() && !token.remaining) return std::nullopt;
  token.order = std::move(parts[4]);
  return token;
}

}  // namespace tinf::api
