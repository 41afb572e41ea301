// Backoff: how long to wait before the next try, growing with each failure in a row.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>

#include "tinf/base/clock.h"

namespace tinf {

// Seeded pseudo-random numbers: one generator per component, so that a simulation replays exactly.
// Not for secrets.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  static Random from_entropy();

  std::uint64_t next() { return engine_(); }
  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(engine_);
  }
  double fraction() { return std::uniform_real_distribution<double>(0, 1)(engine_); }  // [0, 1)
  Duration between(Duration low, Duration high);
  bool chance(double probability) { return fraction() < probability; }

 private:
  std::mt19937_64 engine_;
};

struct BackoffOptions {
  // client-go's reflector: 800 ms doubling with full jitter to 30 s, forgotten after 2 minutes of health.
  Duration initial = std::chrono::milliseconds(800);
  Duration maximum = std::chrono::seconds(30);
  double factor = 2;
  double jitter = 1;  // A wait of d becomes d to d·(1 + jitter).
  Duration reset_after = std::chrono::minutes(2);
};

// Confined to one strand.
class Backoff {
 public:
  Backoff(Clock& clock, Random& random, BackoffOptions options = BackoffOptions());

  // The wait before the next try. Grows with each call; starts over when the last call was longer
  // than `reset_after` plus its own wait ago.
  Duration next();

  void reset() { failures_ = 0; }

 private:
  Clock& clock_;
  Random& random_;
  const BackoffOptions options_;
  int failures_ = 0;
  TimePoint healthy_from_{};  // When the last wait handed out was over.
};

}  // namespace tinf
