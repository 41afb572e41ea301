#include "tinf/base/metrics.h"

#include <algorithm>

namespace tinf {
namespace {

template <class T, class Map, class... Made>
std::shared_ptr<T> find_or_make(Map& families, std::string_view name, std::string_view help, Labels labels,
                                Made... made) {
  auto family = families.find(name);
  if (family == families.end()) {
    family = families.emplace(std::string(name), typename Map::mapped_type()).first;
    family->second.help = help;
  }
  std::weak_ptr<T>& slot = family->second.by_labels[std::move(labels)];
  auto series = slot.lock();
  if (!series) slot = series = std::make_shared<T>(std::move(made)...);
  return series;
}

void read(const Counter& held, Metrics::Sample& sample) {
  sample.value = static_cast<double>(held.value());
}

void read(const Gauge& held, Metrics::Sample& sample) {
  sample.value = held.value();
}

void read(const Histogram& held, Metrics::Sample& sample) {
  sample.value = held.sum();
  sample.bounds = held.bounds();
  sample.cumulative = held.cumulative();
}

template <class Map>
void collect_from(Map& families, Metrics::Kind kind, std::vector<Metrics::Family>& out) {
  for (auto& [name, series] : families) {
    Metrics::Family family{name, series.help, kind, {}};
    for (auto it = series.by_labels.begin(); it != series.by_labels.end();) {
      if (auto held = it->second.lock()) {
        auto& sample = family.samples.emplace_back();
        sample.labels = it->first;
        read(*held, sample);
        ++it;
      } else {
        it = series.by_labels.erase(it);
      }
    }
    if (!family.samples.empty()) out.push_back(std::move(family));
  }
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Histogram::observe(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<std::uint64_t> Histogram::cumulative() const {
  std::vector<std::uint64_t> all;
  std::uint64_t sum = 0;
  for (const auto& count : counts_) all.push_back(sum += count.load(std::memory_order_relaxed));
  return all;
}

std::shared_ptr<Counter> Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(mutex_);
  return find_or_make<Counter>(counters_, name, help, std::move(labels));
}

std::shared_ptr<Gauge> Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(mutex_);
  return find_or_make<Gauge>(gauges_, name, help, std::move(labels));
}

std::shared_ptr<Histogram> Metrics::histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                                              Labels labels) {
  std::lock_guard lock(mutex_);
  return find_or_make<Histogram>(histograms_, name, help, std::move(labels), std::move(bounds));
}

std::vector<Metrics::Family> Metrics::collect() const {
  std::lock_guard lock(mutex_);
  std::vector<Family> families;
  collect_from(counters_, Kind::Counter, families);
  collect_from(gauges_, Kind::Gauge, families);
  collect_from(histograms_, Kind::Histogram, families);
  std::sort(families.begin(), families.end(), [](const Family& a, const Family& b) { return a.name < b.name; });
  return families;
}

}  // namespace tinf
