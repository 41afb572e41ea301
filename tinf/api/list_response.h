// ListResponse: a list that nobody bounded, sent part by part as it is read.
#pragma once

#include "tinf/api/message.h"
#include "tinf/api/object_pages.h"
#include "tinf/api/presentation.h"

namespace tinf::api {

// As of one version. If the store does not reach back to that any more before the end, the list breaks off: failed().
// Confined to one strand.
class ListResponse final : public ResponseStream {
 public:
  // `first` was read of `pages`, which has more.
  ListResponse(Presentation presentation, ListMeta meta, std::vector<ObjectPtr> first, ObjectPages pages);

  Task<std::optional<std::string>> next() override;
  bool failed() const override { return failed_; }
  bool ends_by_itself() const override { return true; }
  void cut() override { cut_ = true; }

 private:
  Presentation presentation_;
  std::string head_;
  std::vector<ObjectPtr> objects_;
  ObjectPages pages_;
  bool begun_ = false;
  bool ended_ = false;
  bool failed_ = false;
  bool cut_ = false;
};

}  // namespace tinf::api
