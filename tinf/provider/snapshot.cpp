#include "tinf/provider/snapshot.h"

#include <algorithm>
#include <tuple>

namespace tinf {

wire::Encoded PagedSnapshot::page(const std::string& scope, std::uint32_t number, std::uint64_t request,
                                  std::uint32_t behind_seconds) const {
  const std::size_t from = page_starts[number];
  const bool last = number + 1 == page_starts.size();
  const std::size_t to = last ? objects.size() : page_starts[number + 1];
  wire::EventsWriter writer(0);
  for (std::size_t i = from; i < to; ++i) writer.put(*objects[i]);
  wire::Page head{scope, id, at, number, last, objects.size(), inventory.fingerprint(), request, behind_seconds, {}};
  return std::move(writer).finish_page(head);
}

wire::Ranges::Range PagedSnapshot::compare(const KeyRange& range) const {
  wire::Ranges::Range answer{range, {}, {}};
  const std::uint64_t count = inventory.fingerprint(range).count;
  if (count <= kListed) {
    for (InventoryEntry& entry : inventory.entries(range, kListed)) {
      answer.entries.push_back(wire::Ranges::Entry{std::move(entry.key), entry.hash.low});
    }
    return answer;
  }
  for (KeyRange& piece : inventory.split(range, std::min<std::uint64_t>(kPieces, count / (kListed / 2)))) {
    const Fingerprint held = inventory.fingerprint(piece);
    answer.pieces.push_back(wire::Ranges::Piece{std::move(piece.to), held.count, held.low});
  }
  return answer;
}

ObjectPtr PagedSnapshot::object(const ObjectKey& key) const {
  const auto names = [](const ObjectPtr& object) { return std::tuple(object->namespace_name(), object->name()); };
  const std::tuple<std::string_view, std::string_view> wanted(key.namespace_name, key.name);
  const auto at = std::lower_bound(objects.begin(), objects.end(), wanted,
                                   [&](const ObjectPtr& object, const auto& w) { return names(object) < w; });
  return at != objects.end() && names(*at) == wanted ? *at : nullptr;
}

}  // namespace tinf
