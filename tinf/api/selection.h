// Selection: which objects of a resource a request is about.
#pragma once

#include "tinf/api/request.h"
#include "tinf/api/resource_type.h"
#include "tinf/contract/versioned_store.h"
#include "tinf/object/object.h"
#include "tinf/object/selector.h"

namespace tinf::api {

// Whether `object` is held in the version of the API that the type is of; of others than mirrored types all are, since
// they are written anew. What is held as its metadata alone is of every version.
bool is_of_version(const ResourceType& type, const Object& object);

class Selection {
 public:
  // 400: a selector cannot be read, or names a field that this resource does not offer.
  static Answer<Selection> parse(const ResourceTypePtr& type, const ResourcePath& path, const Query& query);

  bool matches(const Object& object) const;

  const ResourceType& type() const { return *type_; }

  // What matches, as far as a store can tell: all but is_of_version().
  PageQuery query() const;
  bool is_of_version(const Object& object) const { return api::is_of_version(*type_, object); }

 private:
  explicit Selection(ResourceTypePtr type) : type_(std::move(type)) {}

  ResourceTypePtr type_;
  std::string namespace_;  // Empty: all.
  LabelSelector labels_;
  FieldSelector fields_;
};

}  // namespace tinf::api
