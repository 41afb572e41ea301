// Selection: which objects of a resource a request is about.
#pragma once

#include "tinf/api/request.h"
#include "tinf/api/resource_type.h"
#include "tinf/object/object.h"
#include "tinf/object/selector.h"

namespace tinf::api {

class Selection {
 public:
  // 400: a selector cannot be read, or names a field that this resource does not offer.
  static Answer<Selection> parse(const ResourceType& type, const ResourcePath& path, const Query& query);

  bool matches(const Object& object) const;

  // True if it asks for labels or fields, beyond the place.
  bool selects() const { return !labels_.empty() || !fields_.empty(); }

  const std::string& namespace_name() const { return namespace_; }

 private:
  std::string namespace_;  // Empty: all.
  LabelSelector labels_;
  FieldSelector fields_;
};

}  // namespace tinf::api
