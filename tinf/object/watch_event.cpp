#include "tinf/object/watch_event.h"

namespace tinf {

std::string_view to_string(EventType type) {
  switch (type) {
    case EventType::Added:
      return "ADDED";
    case EventType::Modified:
      return "MODIFIED";
    case EventType::Deleted:
      return "DELETED";
  }
  return "";
}

WatchEvent WatchEvent::of(EventType type, ObjectPtr object) {
  const Object& state = *object;
  return WatchEvent(type, state.key(), std::string(state.uid()), std::move(object),
                    std::string(state.resource_version()));
}

}  // namespace tinf
