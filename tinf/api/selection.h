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
  // 400: a selector cannot be read, asks too much, or names a field that this resource does not offer. `search` and
  // `owner` are read of mirrored types alone; elsewhere they are, as for a kube-apiserver, words without meaning.
  static Answer<Selection> parse(const ResourceTypePtr& type, const ResourcePath& path, const Query& query);

  // But for search and owner, which are the reader's to look at.
  bool matches(const Object& object) const;

  const ResourceType& type() const { return *type_; }
  // There may be others in the place that the request is about.
  bool selects_some() const { return !labels_.empty() || !fields_.empty() || !search_.empty() || !owner_.empty(); }

  // What matches, as far as a store can tell: all but is_of_version().
  PageQuery query() const;
  bool is_of_version(const Object& object) const { return api::is_of_version(*type_, object); }

 private:
  explicit Selection(ResourceTypePtr type) : type_(std::move(type)) {}

  ResourceTypePtr type_;
  std::string namespace_;  // Empty: all.
  LabelSelector labels_;
  FieldSelector fields_;
  std::string search_;
  std::string owner_;
};

}  // namespace tinf::api
