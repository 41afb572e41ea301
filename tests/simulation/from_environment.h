// What a simulation is told by its environment: which history to play, or how many.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace tinf::simulation {

inline std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace tinf::simulation
