#include "tinf/follower/admission.h"

namespace tinf {

void Admission::want(const Name& name) {
  if (inside_.count(name) > 0 || !waiting_.insert(name).second) return;
  auto& queue = queues_[name.first];
  if (queue.empty()) {
    turns_.push_back(name.first);
    std::swap(turns_.back(), turns_[random_.below(turns_.size())]);
  }
  queue.push_back(name.second);
}

void Admission::done(const Name& name) {
  waiting_.erase(name);
  inside_.erase(name);
}

std::vector<Admission::Name> Admission::admit(TimePoint now) {
  std::vector<Name> admitted;
  if (waiting_.empty()) return admitted;
  if (inside_.size() >= options_.at_once)
    std::erase_if(inside_, [&](const auto& each) { return each.second + options_.patience <= now; });
  while (inside_.size() < options_.at_once && !turns_.empty()) {
    const std::string cluster = std::move(turns_.front());
    turns_.pop_front();
    auto& queue = queues_.at(cluster);
    Name name(cluster, std::move(queue.front()));
    queue.pop_front();
    if (queue.empty()) {
      queues_.erase(cluster);
    } else {
      turns_.push_back(cluster);
    }
    if (waiting_.erase(name) == 0) continue;  // It has gone meanwhile.
    inside_.emplace(name, now);
    admitted.push_back(std::move(name));
  }
  return admitted;
}

}  // namespace tinf
