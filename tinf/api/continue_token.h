// ContinueToken: where the next page of a list begins.
#pragma once

#include <optional>
#include <string>

#include "tinf/contract/versioned_store.h"
#include "tinf/object/object.h"

namespace tinf::api {

struct ContinueToken {
  StoreVersion version = 0;              // That all pages are as of.
  ObjectKey last;                        // Of the last object handed out.
  std::optional<std::size_t> remaining;  // How many come after it, where that is known.
  std::string order;                     // Its values in the list's order, as Ordering writes them; empty: by key.

  ContinueToken() = default;

  // "version/namespace/name/remaining/order", without what is empty at its end.
  std::string text() const;
  static std::optional<ContinueToken> parse(const std::string& text);
};

}  // namespace tinf::api
