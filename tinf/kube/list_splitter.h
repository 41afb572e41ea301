// ListSplitter: finds the items of a Kubernetes list in its JSON while the bytes arrive, so that no list is held twice.
// Each item is handed out as soon as its last brace is here; what is around the items is small and parsed at the end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "tinf/base/result.h"

namespace tinf::kube {

// What a list says besides its items. Servers write it before, after or around them.
struct ListEnvelope {
  std::string kind;
  std::string api_version;
  std::string resource_version;
  std::string continue_token;
  std::optional<std::uint64_t> remaining_item_count;

  ListEnvelope() = default;
};

// Finds where one JSON object ends: strings, escapes and depth are followed 64 bytes at a time. Brackets are counted,
// not matched, so the object must be validated by whoever parses it.
class ObjectEnd {
 public:
  // Takes the next bytes. The number of them that belong to the object if it ends here, nothing if it goes on.
  std::optional<std::size_t> find(std::string_view bytes);

 private:
  std::uint64_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

// Costs one pass over the bytes, however they are cut. Bounded: an item and the rest each have a largest size.
class ListSplitter {
 public:
  // Gets each item's bytes, valid during the call, with what is known of the list so far. An error ends the splitting.
  using OnItem = std::function<Result<void>(std::string_view item, const ListEnvelope& so_far)>;

  explicit ListSplitter(OnItem on_item) : on_item_(std::move(on_item)) {}

  // Invalid: not a JSON object with a list of objects in it. Else what `on_item` said. No more calls after an error.
  Result<void> feed(std::string_view chunk);

  // All bytes are here. Unavailable: they end in the middle. Invalid: what is around the items is not right.
  Result<ListEnvelope> finish();

 private:
  enum class Phase { Around, BeforeFirst, BeforeItem, InItem, AfterItem, Done };

  Result<std::size_t> around(std::string_view bytes);
  Result<std::size_t> between(std::string_view bytes);
  Result<std::size_t> in_item(std::string_view bytes);
  bool at_items() const;

  const OnItem on_item_;
  Phase phase_ = Phase::Around;
  std::string envelope_text_;  // Everything but the items.
  std::string partial_item_;
  ListEnvelope so_far_;
  ObjectEnd item_end_;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool items_seen_ = false;
};

}  // namespace tinf::kube
