// What the targets share: how a broken promise is told, and how an input, which is text, is taken apart.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tinf::fuzz {

// libFuzzer takes an abort for a finding and keeps the input.
inline void demand(bool condition, std::string_view what, std::string_view about = {}) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %.*s %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(about.size()), about.data());
  std::abort();
}

// The text before the next `separator`, which goes with it; all of it if there is none.
inline std::string_view take(std::string_view& rest, std::string_view separator = "\n") {
  const auto end = rest.find(separator);
  const auto piece = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + separator.size());
  return piece;
}

// A copy of exactly its size, so that the sanitizer sees a read beyond it.
class Exact {
 public:
  explicit Exact(std::string_view text) : bytes_(new char[text.size()]), size_(text.size()) {
    text.copy(bytes_, size_);
  }
  ~Exact() { delete[] bytes_; }
  Exact(const Exact&) = delete;
  Exact& operator=(const Exact&) = delete;

  std::string_view view() const { return {bytes_, size_}; }

 private:
  char* bytes_;
  std::size_t size_;
};

}  // namespace tinf::fuzz
