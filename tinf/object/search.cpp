#include "tinf/object/search.h"

#include <algorithm>

namespace tinf {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool holds_text(std::string_view text, std::string_view part) {
  // Not std::ranges::search: clang 14 does not take it with this standard library.
  const auto equal = [](char a, char b) { return lower(a) == lower(b); };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), equal) != text.end() || part.empty();
}

bool search_finds(std::string_view part, const Object& object) {
  if (holds_text(object.name(), part) || holds_text(object.namespace_name(), part)) return true;
  return std::ranges::any_of(object.labels(), [part](const auto& label) {
    return holds_text(label.first, part) || holds_text(label.second, part);
  });
}

bool is_owned_by(const Object& object, std::string_view uid) {
  const auto uids = object.owner_uids();
  return std::ranges::find(uids, uid) != uids.end();
}

}  // namespace tinf
