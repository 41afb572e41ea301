// IncomingSnapshot: the pages of one snapshot as they come in, in any order and more than once, until the set is whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tinf/object/inventory.h"
#include "tinf/wire/messages.h"

namespace tinf {

// Not thread-safe.
class IncomingSnapshot {
 public:
  // Of the snapshot that `page`, still to be received, belongs to. `window`: how many pages may be under way at once;
  // the provider sends the first so many unasked.
  IncomingSnapshot(const wire::Page& page, std::uint32_t window);

  const std::string& id() const { return id_; }
  const wire::Position& at() const { return at_; }
  bool has(const wire::Page& page) const { return page.snapshot == id_ && page.at.epoch == at_.epoch; }

  // New: it is kept. Ignored: it is here already, or lies more than a window beyond what was asked for. Contradicts:
  // pages of one snapshot cannot say that, and the snapshot is of no use.
  enum class Taken : std::uint8_t { New, Ignored, Contradicts };
  Taken receive(wire::Page page);

  bool whole() const { return last_ && contiguous_ == *last_ + 1; }
  std::uint64_t objects() const { return objects_; }  // Here so far.
  std::uint64_t total() const { return total_; }      // Announced.

  using Pages = std::pair<std::uint32_t, std::uint32_t>;  // The first, and one past the last.
  // What to ask for now, so that the window stays full: the next half of it while the other half is under way.
  std::optional<Pages> next_pages();
  // What was asked for and is not here: lost on the way, or with the provider that had it.
  std::vector<Pages> missing() const;

  struct Set {
    std::vector<ObjectPtr> objects;
    Inventory inventory;
  };
  // Once it is whole. Nothing: it is not the set that was announced.
  std::optional<Set> finish() &&;

 private:
  std::string id_;
  wire::Position at_;
  std::uint64_t total_;
  Fingerprint fingerprint_;
  std::uint32_t window_;
  std::vector<std::optional<std::vector<ObjectPtr>>> pages_;
  std::uint32_t contiguous_ = 0;  // Pages from the start without a gap.
  std::uint32_t asked_;           // One past the last page asked for.
  std::optional<std::uint32_t> last_;
  std::uint64_t objects_ = 0;
};

}  // namespace tinf
