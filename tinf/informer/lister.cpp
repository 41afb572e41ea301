#include "tinf/informer/lister.h"

#include <algorithm>

namespace tinf {

Result<std::vector<ObjectPtr>> Lister::list(const LabelSelector& selector, std::string_view namespace_name) const {
  auto objects = store_->list(namespace_name);
  if (objects && !selector.empty()) {
    std::erase_if(*objects, [&](const ObjectPtr& object) { return !selector.matches(*object); });
  }
  return objects;
}

}  // namespace tinf
