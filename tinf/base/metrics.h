// Metrics: counters and gauges with labels, readable at any time from any thread.
// Names and labels are documented in docs/metrics.md; how they are printed is the daemon's affair.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tinf {

// One number of one series. Thread-safe; never blocks.
class Counter {
 public:
  void add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// How often a value was at most each of some bounds. Thread-safe; never blocks.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);  // Rising.

  void observe(double value);

  const std::vector<double>& bounds() const { return bounds_; }
  // How many values were no greater than each bound; the last is of all.
  std::vector<std::uint64_t> cumulative() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;  // Between two bounds each, and above the last.
  std::atomic<double> sum_{0};
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// Thread-safe. A series lives as long as somebody holds it; its last holder gone, it leaves the output,
// so that resources and clusters that come and go leave nothing behind.
class Metrics {
 public:
  enum class Kind { Counter, Gauge, Histogram };

  // The series of this name and these labels, made if nobody holds it yet. `help` of the first caller stays.
  std::shared_ptr<Counter> counter(std::string_view name, std::string_view help, Labels labels = {});
  std::shared_ptr<Gauge> gauge(std::string_view name, std::string_view help, Labels labels = {});
  // `bounds` of the first caller stay, too.
  std::shared_ptr<Histogram> histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                                       Labels labels = {});

  struct Sample {
    Labels labels;
    double value = 0;  // Of a histogram: the sum.
    // Of a histogram alone.
    std::vector<double> bounds;
    std::vector<std::uint64_t> cumulative;

    Sample() = default;
  };
  struct Family {
    std::string name;
    std::string help;
    Kind kind;
    std::vector<Sample> samples;
  };

  // All series now, in the order of their names.
  std::vector<Family> collect() const;

 private:
  template <class T>
  struct Series {
    std::string help;
    std::map<Labels, std::weak_ptr<T>> by_labels;
  };

  mutable std::mutex mutex_;
  mutable std::map<std::string, Series<Counter>, std::less<>> counters_;
  mutable std::map<std::string, Series<Gauge>, std::less<>> gauges_;
  mutable std::map<std::string, Series<Histogram>, std::less<>> histograms_;
};

}  // namespace tinf
