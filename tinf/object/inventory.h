// Inventory: what a set of objects holds, without the objects: each key's hash, in key order, and the fingerprint of
// any range of keys in O(log n). Two sides that compare ranges find what differs at the price of the difference.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tinf/object/fingerprint.h"
#include "tinf/object/object.h"

namespace tinf {

// The keys from `from` on, inclusive, up to `to`, exclusive, in ObjectKey's order. Empty: from the start, to the end.
struct KeyRange {
  ObjectKey from;
  ObjectKey to;

  auto operator<=>(const KeyRange&) const = default;
  bool empty() const { return !to.name.empty() && to <= from; }
  bool contains(const ObjectKey& key) const { return key >= from && (to.name.empty() || key < to); }
};

struct InventoryEntry {
  ObjectKey key;
  EntryHash hash;

  auto operator<=>(const InventoryEntry&) const = default;
};

// A B+ tree whose nodes know the fingerprint of all that is below them. A copy costs O(1): nodes are shared until one
// of the copies changes. An entry costs 50 bytes beside its key where keys came in order, and at most 100 otherwise.
// uid and resourceVersion are not kept: they stand in the bytes that the hash is of.
// A copy and its original are confined to one strand, as they share nodes.
class Inventory {
 public:
  // What the key's hash was before; nothing if it had none. Both O(log n).
  std::optional<EntryHash> put(std::string_view namespace_name, std::string_view name, const EntryHash& hash);
  std::optional<EntryHash> put(const ObjectKey& key, const EntryHash& h) {
    return put(key.namespace_name, key.name, h);
  }
  std::optional<EntryHash> remove(const ObjectKey& key);

  std::optional<EntryHash> find(const ObjectKey& key) const;
  bool empty() const { return root_ == nullptr; }
  std::size_t size() const { return static_cast<std::size_t>(fingerprint().count); }

  // Of all, O(1), and of a range, O(log n).
  Fingerprint fingerprint() const;
  Fingerprint fingerprint(const KeyRange& range) const;

  // The range cut into at most `pieces` that hold equally many, in order and without gaps: O(pieces · log n).
  std::vector<KeyRange> split(const KeyRange& range, std::size_t pieces) const;

  // The first `limit` entries of the range, in order.
  std::vector<InventoryEntry> entries(const KeyRange& range, std::size_t limit) const;
  std::vector<InventoryEntry> entries() const { return entries(KeyRange(), size()); }

 private:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  using Text = std::string;  // "namespace\0name": its bytes order as ObjectKey does.

  static Text text_of(std::string_view namespace_name, std::string_view name);
  static ObjectKey key_of(std::string_view text);
  static Node& own(NodePtr& node);
  static NodePtr put(Node& node, Text& key, const EntryHash& hash, std::optional<EntryHash>& before);
  static void remove(Node& node, std::string_view key, std::optional<EntryHash>& before);
  static void join_small(Node& parent, std::size_t child);
  Fingerprint before(const ObjectKey& key) const;
  const Text& key_at(std::uint64_t rank) const;

  NodePtr root_;  // Null: empty.
};

}  // namespace tinf
