#include "tinf/base/backoff.h"

#include <algorithm>
#include <cmath>

namespace tinf {

Random Random::from_entropy() {
  std::random_device device;
  return Random((static_cast<std::uint64_t>(device()) << 32) | device());
}

Duration Random::between(Duration low, Duration high) {
  return low + Duration(static_cast<Duration::rep>(fraction() * static_cast<double>((high - low).count())));
}

Backoff::Backoff(Clock& clock, Random& random, BackoffOptions options)
    : clock_(clock), random_(random), options_(options) {}

Duration Backoff::next() {
  const TimePoint now = clock_.now();
  if (failures_ > 0 && now - healthy_from_ > options_.reset_after) failures_ = 0;
  const double grown = static_cast<double>(options_.initial.count()) * std::pow(options_.factor, failures_);
  const double wait = std::min(grown, static_cast<double>(options_.maximum.count()));
  if (grown < static_cast<double>(options_.maximum.count())) ++failures_;
  if (failures_ == 0) failures_ = 1;
  const Duration jittered(static_cast<Duration::rep>(wait * (1 + options_.jitter * random_.fraction())));
  healthy_from_ = now + jittered;
  return jittered;
}

}  // namespace tinf
