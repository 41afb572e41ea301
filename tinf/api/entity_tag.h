// What tells one edition of a document from another.
#pragma once

#include <string>
#include <string_view>

namespace tinf::api {

// XXH3-128 in 32 hexadecimal digits, capitals as kube-apiserver writes them.
std::string document_hash(std::string_view of);

// An ETag, with its quotes.
inline std::string entity_tag(const std::string& hash) {
  return "\"" + hash + "\"";
}

// Whether an If-None-Match header names the tag, alone or among others, strong or weak.
inline bool is_named(std::string_view tag, std::string_view if_none_match) {
  return !tag.empty() && if_none_match.find(tag) != std::string_view::npos;
}

}  // namespace tinf::api
