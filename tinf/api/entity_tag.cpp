#include "tinf/api/entity_tag.h"

#include <xxhash.h>

#include <cstdio>

namespace tinf::api {

std::string document_hash(std::string_view of) {
  const XXH128_hash_t hash = XXH3_128bits(of.data(), of.size());
  char digits[33];
  std::snprintf(digits, sizeof digits, "%016llX%016llX", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return digits;
}

}  // namespace tinf::api
