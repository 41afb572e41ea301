// What objects are found by beside their keys and selectors: a text that they are marked with, and who owns them.
#pragma once

#include <string_view>

#include "tinf/object/object.h"

namespace tinf {

// Whether `text` holds `part`, where an ASCII letter is as good in the other case. Nothing in it has a meaning of its
// own; other bytes are compared as they are. An empty part is in any text.
bool holds_text(std::string_view text, std::string_view part);

// Whether the object's name, its namespace, or the key or value of one of its labels holds `part`.
bool search_finds(std::string_view part, const Object& object);

// Whether one of its owners has this uid.
bool is_owned_by(const Object& object, std::string_view uid);

}  // namespace tinf
