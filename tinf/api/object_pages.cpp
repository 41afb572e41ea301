#include "tinf/api/object_pages.h"

namespace tinf::api {

ObjectPages::ObjectPages(VersionedReader& reader, std::string collection, Selection selection, PageQuery query)
    : reader_(reader), collection_(std::move(collection)), selection_(std::move(selection)), query_(std::move(query)) {}

Task<Answer<std::vector<ObjectPtr>>> ObjectPages::next(std::size_t most) {
  std::vector<ObjectPtr> chosen;
  query_.limit = most;
  while (more_) {
    auto page = co_await reader_.list(collection_, query_);
    if (!page) {
      if (page.error().code == Code::Expired) {
        co_return Status::expired("The provided continue parameter or resource version is too old: " +
                                  page.error().message + "; start a new list without it");
      }
      co_return Status::of(page.error(), selection_.type().resource(), "");
    }
    query_.version = page->version;
    std::size_t looked_at = 0;
    for (const auto& object : page->objects) {
      ++looked_at;
      if (selection_.is_of_version(*object)) {
        chosen.push_back(object);
      } else {
        ++of_other_versions_;
      }
      if (most > 0 && chosen.size() == most) break;
    }
    const std::size_t left = page->objects.size() - looked_at;
    more_ = left > 0 || page->more;
    if (!more_) break;
    query_.after = page->objects[looked_at - 1]->key();
    if (most > 0 && chosen.size() == most) {
      remaining_ = page->remaining;
      if (remaining_) *remaining_ += left;
      break;
    }
  }
  co_return chosen;
}

}  // namespace tinf::api
