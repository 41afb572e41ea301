// Presentation: how objects, lists and events leave the server in the form that was asked for.
// In the plain form stored bytes go out as they are, under the kind and the version of the path.
#pragma once

#include <span>
#include <string>

#include "tinf/api/request.h"
#include "tinf/api/resource_type.h"
#include "tinf/base/task.h"
#include "tinf/contract/versioned_store.h"
#include "tinf/object/object.h"

namespace tinf::api {

// `object` in the bytes of another resourceVersion, or of another version of its API.
std::string with_resource_version(const Object& object, StoreVersion version);
std::string with_api_version(const Object& object, std::string_view api_version);

// What stands in a list's metadata.
struct ListMeta {
  StoreVersion version = 0;
  std::string continue_token;
  std::optional<std::size_t> remaining;

  ListMeta() = default;
};

// Of one request. Not shared between requests: a Table watch sends its columns once.
class Presentation {
 public:
  Presentation(ResourceTypePtr type, Form form, TableObjects rows, Clock& clock)
      : type_(std::move(type)), form_(form), rows_(rows), clock_(clock) {}

  std::string object(const Object& object);
  std::string list(const std::vector<ObjectPtr>& objects, const ListMeta& meta);
  // The same, and others have their turn while it is made.
  Task<std::string> list_in_turns(const std::vector<ObjectPtr>& objects, const ListMeta& meta);
  // The same in parts: head, items with commas between them, tail.
  std::string list_head(const ListMeta& meta);
  std::string items(std::span<const ObjectPtr> objects) const;
  // Appends them.
  Task<void> items_in_turns(const std::vector<ObjectPtr>& objects, std::string& out) const;
  static std::string_view list_tail() { return "]}"; }

  // One line of a watch.
  std::string event(std::string_view type, const Object& object);
  std::string bookmark(StoreVersion version, bool initial_events_end);
  static std::string error_event(const Status& status);

 private:
  void plain(const Object& object, std::string& out) const;  // Appends it.
  std::string metadata_only(const Object& object) const;
  std::string row(const Object& object) const;
  std::string table_head(std::string_view list_meta);
  std::string table(std::string_view list_meta, std::string_view rows);

  const ResourceTypePtr type_;
  const Form form_;
  const TableObjects rows_;
  Clock& clock_;
  bool columns_sent_ = false;
};

}  // namespace tinf::api
