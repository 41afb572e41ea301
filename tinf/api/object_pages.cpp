#include "tinf/api/object_pages.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace tinf::api {
namespace {

constexpr std::size_t kFewestRead = 16;          // Where many are left out, those that are not are still found soon.
constexpr std::size_t kFewBytes = 1024 * 1024;   // But of large ones, what takes no more than this.
constexpr std::size_t kUsualBytes = 128 * 1024;  // Of an object, before any was seen: large, to begin with few.

}  // namespace

ObjectPages::ObjectPages(ReaderPtr reader, std::string collection, Selection selection, PageQuery query,
                         std::optional<std::size_t> remaining)
    : reader_(std::move(reader)),
      collection_(std::move(collection)),
      selection_(std::move(selection)),
      query_(std::move(query)),
      remaining_(remaining) {}

// How many to read where room is left for `objects` and, if it is not 0, for `bytes`: as many as fit if they are like
// those before.
std::size_t ObjectPages::to_read(std::size_t objects, std::size_t bytes) const {
  std::size_t fewest = kFewestRead;
  if (bytes > 0) {
    const std::size_t usual = looked_at_ == 0 ? kUsualBytes : std::max<std::size_t>(bytes_looked_at_ / looked_at_, 1);
    objects = std::min(objects, bytes / usual);
    fewest = std::clamp<std::size_t>(kFewBytes / usual, 1, kFewestRead);
  }
  return std::max(objects, fewest);
}

Task<Answer<std::vector<ObjectPtr>>> ObjectPages::next(std::size_t most, std::size_t most_bytes) {
  std::vector<ObjectPtr> chosen;
  std::size_t bytes = 0;
  const auto is_full = [&] { return (most > 0 && chosen.size() == most) || (most_bytes > 0 && bytes >= most_bytes); };
  while (more_) {
    query_.limit =
        most == 0 ? 0 : std::min(most, to_read(most - chosen.size(), most_bytes == 0 ? 0 : most_bytes - bytes));
    auto page = co_await reader_->list(collection_, query_);
    // What is in memory is read without a wait: others have their turn all the same.
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    if (!page) {
      if (page.error().code == Code::Expired) {
        co_return Status::expired("The provided continue parameter or resource version is too old: " +
                                  page.error().message + "; start a new list without it");
      }
      co_return Status::of(page.error(), selection_.type().resource(), "");
    }
    query_.version = page->version;
    if (page->remaining) {
      remaining_ = page->remaining;
    } else if (remaining_) {
      *remaining_ -= std::min(*remaining_, page->objects.size());
    }
    std::size_t looked_at = 0;
    for (const auto& object : page->objects) {
      ++looked_at;
      const std::size_t size = object->raw().size();
      bytes_looked_at_ += size;
      if (selection_.is_of_version(*object)) {
        chosen.push_back(object);
        bytes += size;
      } else {
        ++of_other_versions_;
      }
      if (is_full()) break;
    }
    looked_at_ += looked_at;
    const std::size_t left = page->objects.size() - looked_at;
    more_ = left > 0 || page->more;
    if (!more_) break;
    query_.after = page->objects[looked_at - 1]->key();
    if (is_full()) {
      if (remaining_) *remaining_ += left;
      break;
    }
  }
  co_return chosen;
}

}  // namespace tinf::api
