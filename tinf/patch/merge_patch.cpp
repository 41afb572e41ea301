// RFC 7386: null removes, objects merge, everything else replaces.
#include "tinf/patch/patch.h"

namespace tinf {

void apply_merge_patch(boost::json::value& target, const boost::json::value& patch) {
  const auto* members = patch.if_object();
  if (members == nullptr) {
    target = patch;
    return;
  }
  if (!target.is_object()) target = boost::json::object();
  auto& object = target.get_object();
  for (const auto& member : *members) {
    if (member.value().is_null()) {
      object.stable_erase(member.key());
    } else {
      apply_merge_patch(object[member.key()], member.value());
    }
  }
}

}  // namespace tinf
