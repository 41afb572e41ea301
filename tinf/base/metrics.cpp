#include "tinf/base/metrics.h"

#include <algorithm>

namespace tinf {
namespace {

template <class T, class Map>
std::shared_ptr<T> find_or_make(Map& families, std::string_view name, std::string_view help, Labels labels) {
  auto family = families.find(name);
  if (family == families.end()) {
    family = families.emplace(std::string(name), typename Map::mapped_type()).first;
    family->second.help = help;
  }
  std::weak_ptr<T>& slot = family->second.by_labels[std::move(labels)];
  auto series = slot.lock();
  if (!series) slot = series = std::make_shared<T>();
  return series;
}

template <class Map>
void collect_from(Map& families, Metrics::Kind kind, std::vector<Metrics::Family>& out) {
  for (auto& [name, series] : families) {
    Metrics::Family family{name, series.help, kind, {}};
    for (auto it = series.by_labels.begin(); it != series.by_labels.end();) {
      if (auto held = it->second.lock()) {
        family.samples.push_back(Metrics::Sample{it->first, static_cast<double>(held->value())});
        ++it;
      } else {
        it = series.by_labels.erase(it);
      }
    }
    if (!family.samples.empty()) out.push_back(std::move(family));
  }
}

}  // namespace

std::shared_ptr<Counter> Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(mutex_);
  return find_or_make<Counter>(counters_, name, help, std::move(labels));
}

std::shared_ptr<Gauge> Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(mutex_);
  return find_or_make<Gauge>(gauges_, name, help, std::move(labels));
}

std::vector<Metrics::Family> Metrics::collect() const {
  std::lock_guard lock(mutex_);
  std::vector<Family> families;
  collect_from(counters_, Kind::Counter, families);
  collect_from(gauges_, Kind::Gauge, families);
  std::sort(families.begin(), families.end(), [](const Family& a, const Family& b) { return a.name < b.name; });
  return families;
}

}  // namespace tinf
