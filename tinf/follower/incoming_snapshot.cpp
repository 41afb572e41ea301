#include "tinf/follower/incoming_snapshot.h"

#include <algorithm>

#include "tinf/wire/rules.h"

namespace tinf {
namespace {

constexpr std::uint32_t kMaximumPages = 1 << 20;  // More than any set has; a page number takes memory before it.

}  // namespace

IncomingSnapshot::IncomingSnapshot(const wire::Page& page, std::uint32_t window)
    : id_(page.snapshot),
      at_(page.at),
      total_(page.total),
      fingerprint_(page.fingerprint),
      window_(window),
      asked_(window) {}

IncomingSnapshot::Taken IncomingSnapshot::receive(wire::Page page) {
  const bool elsewhere = page.at != at_ && !wire::broken(wire::Rule::PagesBelongToOneSnapshot);
  const bool beyond_the_last =
      (last_ && page.number > *last_) || (page.last && pages_.size() > std::size_t{page.number} + 1);
  if (elsewhere || beyond_the_last || page.number >= kMaximumPages) return Taken::Contradicts;
  if (page.number > asked_ + window_) return Taken::Ignored;
  if (pages_.size() <= page.number) pages_.resize(page.number + 1);
  auto& slot = pages_[page.number];
  if (slot) return Taken::Ignored;
  if (page.last) last_ = page.number;
  objects_ += page.objects.size();
  slot = std::move(page.objects);
  while (contiguous_ < pages_.size() && pages_[contiguous_]) ++contiguous_;
  return Taken::New;
}

std::optional<IncomingSnapshot::Pages> IncomingSnapshot::next_pages() {
  const std::uint32_t wanted = contiguous_ + window_;
  if (last_ || wanted < asked_ + std::max<std::uint32_t>(window_ / 2, 1)) return std::nullopt;
  return Pages(std::exchange(asked_, wanted), wanted);
}

std::vector<IncomingSnapshot::Pages> IncomingSnapshot::missing() const {
  std::vector<Pages> missing;
  const std::uint32_t end = last_ ? *last_ + 1 : asked_;
  for (std::uint32_t page = contiguous_; page < end; ++page) {
    if (page < pages_.size() && pages_[page]) continue;
    if (!missing.empty() && missing.back().second == page) {
      ++missing.back().second;
    } else {
      missing.emplace_back(page, page + 1);
    }
  }
  return missing;
}

std::optional<IncomingSnapshot::Set> IncomingSnapshot::finish() && {
  Set set;
  set.objects.reserve(objects_);
  for (auto& page : pages_) {
    for (ObjectPtr& object : *page) {
      set.inventory.put(object->namespace_name(), object->name(), EntryHash::of(*object));
      set.objects.push_back(std::move(object));
    }
    page.reset();
  }
  if (set.inventory.fingerprint() != fingerprint_ || set.objects.size() != total_) return std::nullopt;
  return set;
}

}  // namespace tinf
