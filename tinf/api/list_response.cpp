#include "tinf/api/list_response.h"

namespace tinf::api {

ListResponse::ListResponse(Presentation presentation, ListMeta meta, std::vector<ObjectPtr> first, ObjectPages pages)
    : presentation_(std::move(presentation)),
      head_(presentation_.list_head(meta)),
      objects_(std::move(first)),
      pages_(std::move(pages)) {}

Task<std::optional<std::string>> ListResponse::next() {
  if (cut_ || ended_) {
    failed_ = !ended_;
    co_return std::nullopt;
  }
  std::string out;
  if (!begun_) {
    out = std::move(head_);
  } else {
    auto read = co_await pages_.next_part();
    if (!read) {
      failed_ = ended_ = true;
      co_return std::nullopt;
    }
    objects_ = std::move(*read);
    if (!objects_.empty()) out = ",";
  }
  begun_ = true;
  co_await presentation_.items_in_turns(objects_, out);
  objects_.clear();
  if (!pages_.more()) {
    out += Presentation::list_tail();
    ended_ = true;
  }
  co_return out;
}

}  // namespace tinf::api
