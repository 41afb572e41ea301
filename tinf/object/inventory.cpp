#include "tinf/object/inventory.h"

#include <algorithm>

namespace tinf {
namespace {

constexpr std::size_t kFill = 64;  // Entries or children of a node: one copied node is a few KiB, a million keys are
                                   // four levels.
constexpr std::size_t kSmall = kFill / 4;  // A node below this joins a neighbour that has room.

}  // namespace

struct Inventory::Node {
  struct Entry {
    Text key;
    EntryHash hash;
  };
  struct Child {
    Text first;  // No key below is smaller; that of the first child does not count.
    NodePtr node;
  };

  Fingerprint sum;
  std::vector<Entry> entries;   // Of a leaf.
  std::vector<Child> children;  // Of any other node.

  bool leaf() const { return children.empty(); }
  std::size_t size() const { return leaf() ? entries.size() : children.size(); }

  std::vector<Entry>::iterator at(std::string_view key) {
    return std::lower_bound(entries.begin(), entries.end(), key,
                            [](const Entry& entry, std::string_view wanted) { return entry.key < wanted; });
  }
  std::size_t child_of(std::string_view key) const {
    const auto after =
        std::upper_bound(children.begin() + 1, children.end(), key,
                         [](std::string_view wanted, const Child& child) { return wanted < child.first; });
    return static_cast<std::size_t>(after - children.begin()) - 1;
  }
};

Inventory::Text Inventory::text_of(std::string_view namespace_name, std::string_view name) {
  Text text;
  text.reserve(namespace_name.size() + 1 + name.size());
  text.append(namespace_name).append(1, '\0').append(name);
  return text;
}

ObjectKey Inventory::key_of(std::string_view text) {
  const std::size_t middle = text.find('\0');
  return ObjectKey{std::string(text.substr(0, middle)), std::string(text.substr(middle + 1))};
}

// The node to change: a copy of its own if it is shared with another inventory.
Inventory::Node& Inventory::own(NodePtr& node) {
  if (node.use_count() > 1) node = std::make_shared<Node>(*node);
  return *node;
}

std::optional<EntryHash> Inventory::put(std::string_view namespace_name, std::string_view name, const EntryHash& hash) {
  if (!root_) {
    root_ = std::make_shared<Node>();
    root_->entries.reserve(kFill + 1);
  }
  Text key = text_of(namespace_name, name);
  std::optional<EntryHash> before;
  NodePtr right = put(own(root_), key, hash, before);
  if (right) {
    auto above = std::make_shared<Node>();
    above->sum = root_->sum;
    above->sum.add(right->sum);
    Text first = right->leaf() ? right->entries.front().key : right->children.front().first;
    above->children.push_back(Node::Child{Text(), std::move(root_)});
    above->children.push_back(Node::Child{std::move(first), std::move(right)});
    root_ = std::move(above);
  }
  return before;
}

// Returns the right half of a node that had to be split.
Inventory::NodePtr Inventory::put(Node& node, Text& key, const EntryHash& hash, std::optional<EntryHash>& before) {
  bool at_end = false;
  if (node.leaf()) {
    const auto at = node.at(key);
    if (at != node.entries.end() && at->key == key) {
      before = at->hash;
      at->hash = hash;
    } else {
      at_end = at == node.entries.end();
      node.entries.insert(at, Node::Entry{std::move(key), hash});
    }
  } else {
    const std::size_t child = node.child_of(key);
    if (NodePtr right = put(own(node.children[child].node), key, hash, before)) {
      Text first = right->leaf() ? right->entries.front().key : right->children.front().first;
      at_end = child + 1 == node.children.size();
      node.children.insert(node.children.begin() + static_cast<std::ptrdiff_t>(child) + 1,
                           Node::Child{std::move(first), std::move(right)});
    }
  }
  if (before) node.sum.remove(*before);
  node.sum.add(hash);
  if (node.size() <= kFill) return nullptr;

  auto right = std::make_shared<Node>();
  // Keys that come in order leave full nodes behind.
  const std::size_t keep = at_end ? node.size() - 1 : node.size() / 2;
  const auto move_from = [keep](auto& from, auto& to) {
    if (from.empty()) return;
    to.reserve(kFill + 1);
    const auto middle = from.begin() + static_cast<std::ptrdiff_t>(keep);
    std::move(middle, from.end(), std::back_inserter(to));
    from.erase(middle, from.end());
  };
  move_from(node.entries, right->entries);
  move_from(node.children, right->children);
  for (const Node::Entry& entry : right->entries) right->sum.add(entry.hash);
  for (const Node::Child& child : right->children) right->sum.add(child.node->sum);
  node.sum.remove(right->sum);
  return right;
}

std::optional<EntryHash> Inventory::remove(const ObjectKey& key) {
  // Looked up first: what is not there must not cost copies of shared nodes.
  std::optional<EntryHash> before = find(key);
  if (!before) return before;
  remove(own(root_), text_of(key.namespace_name, key.name), before);
  while (!root_->leaf() && root_->children.size() == 1) root_ = NodePtr(root_->children.front().node);
  if (root_->size() == 0) root_ = nullptr;
  return before;
}

void Inventory::remove(Node& node, std::string_view key, std::optional<EntryHash>& before) {
  node.sum.remove(*before);
  if (node.leaf()) {
    node.entries.erase(node.at(key));
    return;
  }
  const std::size_t child = node.child_of(key);
  remove(own(node.children[child].node), key, before);
  join_small(node, child);
}

// A child that has become small joins its neighbour, so that a set that shrinks gives its memory back.
void Inventory::join_small(Node& parent, std::size_t child) {
  const std::size_t size = parent.children[child].node->size();
  if (size >= kSmall || parent.children.size() == 1) return;
  const std::size_t left = child > 0 ? child - 1 : child;
  if (parent.children[left].node->size() + parent.children[left + 1].node->size() > kFill) return;
  Node& into = own(parent.children[left].node);
  const Node& from = *parent.children[left + 1].node;
  into.sum.add(from.sum);
  into.entries.insert(into.entries.end(), from.entries.begin(), from.entries.end());
  if (!from.leaf()) {
    const std::size_t seam = into.children.size();
    into.children.insert(into.children.end(), from.children.begin(), from.children.end());
    into.children[seam].first = parent.children[left + 1].first;
  }
  parent.children.erase(parent.children.begin() + static_cast<std::ptrdiff_t>(left) + 1);
}

std::optional<EntryHash> Inventory::find(const ObjectKey& key) const {
  if (!root_) return std::nullopt;
  const Text wanted = text_of(key.namespace_name, key.name);
  Node* node = root_.get();
  while (!node->leaf()) node = node->children[node->child_of(wanted)].node.get();
  const auto at = node->at(wanted);
  if (at == node->entries.end() || at->key != wanted) return std::nullopt;
  return at->hash;
}

Fingerprint Inventory::fingerprint() const {
  return root_ ? root_->sum : Fingerprint();
}

// Of all keys smaller than this one.
Fingerprint Inventory::before(const ObjectKey& key) const {
  Fingerprint sum;
  if (!root_) return sum;
  const Text bound = text_of(key.namespace_name, key.name);
  Node* node = root_.get();
  while (!node->leaf()) {
    const std::size_t child = node->child_of(bound);
    for (std::size_t i = 0; i < child; ++i) sum.add(node->children[i].node->sum);
    node = node->children[child].node.get();
  }
  const auto end = node->at(bound);
  for (auto at = node->entries.begin(); at != end; ++at) sum.add(at->hash);
  return sum;
}

Fingerprint Inventory::fingerprint(const KeyRange& range) const {
  if (range.empty()) return Fingerprint();
  Fingerprint sum = range.to.name.empty() ? fingerprint() : before(range.to);
  if (!range.from.name.empty()) sum.remove(before(range.from));
  return sum;
}

const Inventory::Text& Inventory::key_at(std::uint64_t rank) const {
  const Node* node = root_.get();
  while (!node->leaf()) {
    auto child = node->children.begin();
    while (rank >= child->node->sum.count) rank -= (child++)->node->sum.count;
    node = child->node.get();
  }
  return node->entries[rank].key;
}

std::vector<KeyRange> Inventory::split(const KeyRange& range, std::size_t pieces) const {
  const std::uint64_t first = range.from.name.empty() ? 0 : before(range.from).count;
  const std::uint64_t count = fingerprint(range).count;
  pieces = std::clamp<std::uint64_t>(pieces, 1, std::max<std::uint64_t>(count, 1));
  std::vector<KeyRange> cut;
  cut.reserve(pieces);
  ObjectKey from = range.from;
  for (std::size_t i = 1; i < pieces; ++i) {
    ObjectKey to = key_of(key_at(first + count * i / pieces));
    cut.push_back(KeyRange{std::exchange(from, to), to});
  }
  cut.push_back(KeyRange{std::move(from), range.to});
  return cut;
}

std::vector<InventoryEntry> Inventory::entries(const KeyRange& range, std::size_t limit) const {
  std::vector<InventoryEntry> found;
  if (!root_) return found;
  const Text from = text_of(range.from.namespace_name, range.from.name);
  const Text to = text_of(range.to.namespace_name, range.to.name);
  const bool to_end = range.to.name.empty();
  std::vector<std::pair<Node*, std::size_t>> path;  // The nodes above, each with the child to visit next.
  path.emplace_back(root_.get(), root_->leaf() ? 0 : root_->child_of(from));
  bool first = true;
  while (!path.empty()) {
    auto& [node, next] = path.back();
    if (!node->leaf()) {
      if (next == node->children.size()) {
        path.pop_back();
        continue;
      }
      Node* const below = node->children[next++].node.get();
      path.emplace_back(below, first && !below->leaf() ? below->child_of(from) : 0);
      continue;
    }
    for (auto at = first ? node->at(from) : node->entries.begin(); at != node->entries.end(); ++at) {
      if (found.size() == limit || (!to_end && at->key >= to)) return found;
      found.push_back(InventoryEntry{key_of(at->key), at->hash});
    }
    first = false;
    path.pop_back();
  }
  return found;
}

}  // namespace tinf
