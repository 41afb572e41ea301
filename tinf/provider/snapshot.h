// Snapshot: a stream's whole set as of one sequence, as it is handed out: in pages, by range, or object by object.
// Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tinf/object/inventory.h"
#include "tinf/wire/codec.h"

namespace tinf {

// Never changes, so that who asks twice gets the same answer, and all answers together are one moment of the stream.
struct PagedSnapshot {
  // A range that holds at most this many is listed; a larger one is cut into pieces of half as many, or more.
  static constexpr std::size_t kListed = 32;
  static constexpr std::size_t kPieces = 64;

  std::string id;
  wire::Position at;
  std::size_t page_bytes = 0;            // As it was asked for.
  std::vector<ObjectPtr> objects;        // In key order.
  Inventory inventory;                   // Of them.
  std::vector<std::size_t> page_starts;  // Index of each page's first object; one page at least.

  wire::Encoded page(const std::string& scope, std::uint32_t number, std::uint64_t request,
                     std::uint32_t behind_seconds) const;

  // What a range holds: its entries, or pieces to ask for one by one.
  wire::Ranges::Range compare(const KeyRange& range) const;

  // Null if there is no such object.
  ObjectPtr object(const ObjectKey& key) const;
};

}  // namespace tinf
