// Lister: reading what an informer holds, by key, namespace, label or index.
#pragma once

#include "tinf/contract/store.h"
#include "tinf/informer/indexer.h"
#include "tinf/object/selector.h"

namespace tinf {

// A cheap handle. Thread-safe; valid as long as the informer it came from. Objects are const and stay as they were
// read.
class Lister {
 public:
  Lister(const StoreReader& store, const Indexer& indexer) : store_(&store), indexer_(&indexer) {}

  // Null if there is no such object.
  Result<ObjectPtr> get(const ObjectKey& key) const { return store_->get(key); }

  // In key order, as of one moment; of one namespace if it is not empty.
  Result<std::vector<ObjectPtr>> list(std::string_view namespace_name = "") const {
    return store_->list(namespace_name);
  }
  Result<std::vector<ObjectPtr>> list(const LabelSelector& selector, std::string_view namespace_name = "") const;

  // What Indexer::find says.
  Result<std::vector<ObjectPtr>> by_index(std::string index, std::string value) const {
    return indexer_->find(std::move(index), std::move(value));
  }
  Result<std::vector<ObjectPtr>> by_indexes(const std::vector<Indexer::Term>& terms) const {
    return indexer_->find(terms);
  }

  std::size_t size() const { return store_->size(); }

 private:
  const StoreReader* store_;
  const Indexer* indexer_;
};

}  // namespace tinf
