// ResourceVersion: where in a source's history something stands.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tinf {

// Opaque but for two questions: is it set, and, of a decimal one, which is later. An API server's are decimal
// (Kubernetes promises that they can be compared as integers); a transport's are "epoch/sequence".
class ResourceVersion {
 public:
  ResourceVersion() = default;
  explicit ResourceVersion(std::string text) : text_(std::move(text)) {}

  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }

  // The number, for a decimal version of at most 20 digits.
  std::optional<std::uint64_t> number() const;

  // True if both are decimal and this one is older: the source has gone back in time.
  bool is_before(const ResourceVersion& other) const;

  bool operator==(const ResourceVersion&) const = default;

 private:
  std::string text_;
};

}  // namespace tinf
