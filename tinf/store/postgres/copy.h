// Copy: what this process knows of one resource of one cluster in the database.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "tinf/store/database/rows.h"

namespace tinf::postgres {

using database::CopyState;

// Thread-safe. While this process holds the cluster nobody else alters what is stored, and the state is what the
// database says; otherwise it is what was last read.
class Copy {
 public:
  Copy(std::string cluster, std::string collection, CopyState stored)
      : cluster_(std::move(cluster)), collection_(std::move(collection)), stored_(std::move(stored)) {}

  const std::string& cluster() const { return cluster_; }
  const std::string& collection() const { return collection_; }  // Resource::group_resource().
  CopyState state() const {
    const std::lock_guard guard(mutex_);
    return stored_;
  }
  std::int64_t row() const {
    const std::lock_guard guard(mutex_);
    return stored_.row;
  }
  Fingerprint fingerprint() const {
    const std::lock_guard guard(mutex_);
    return stored_.fingerprint;
  }
  void stored(CopyState state) {
    const std::lock_guard guard(mutex_);
    stored_ = std::move(state);
  }
  // From now on its cluster is held under this token; what is written under another one does not tell the state.
  void hold_under(std::string token) {
    const std::lock_guard guard(mutex_);
    token_ = std::move(token);
  }
  // Of a write under `token` that is committed: another one may have taken the cluster since, and this process again.
  void stored_under(const std::string& token, CopyState state) {
    const std::lock_guard guard(mutex_);
    if (token_ == token) stored_ = std::move(state);
  }

  // A write has failed, and may be stored all the same: the next one asks what is. True once.
  void make_uncertain() { uncertain_ = true; }
  bool was_uncertain() { return uncertain_.exchange(false); }
  // Somebody has altered rows behind our back: the next write counts what there is. True once.
  void doubt() { doubtful_ = true; }
  bool was_doubted() { return doubtful_.exchange(false); }

 private:
  const std::string cluster_;
  const std::string collection_;
  std::atomic<bool> uncertain_ = false;
  std::atomic<bool> doubtful_ = false;
  mutable std::mutex mutex_;
  CopyState stored_;   // Under mutex_, as the next.
  std::string token_;  // Of the lease; empty: its cluster was never taken.
};

}  // namespace tinf::postgres
