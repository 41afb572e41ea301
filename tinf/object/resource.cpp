#include "tinf/object/resource.h"

#include <xxhash.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "tinf/object/text.h"

namespace tinf {
namespace {

constexpr std::size_t kLongestName = 253;  // Of a resource, as of anything in DNS.

bool names(const ResourceInfo& info, const std::string& spelling) {
  return info.resource.name == spelling || info.singular == spelling || lower_case(info.kind) == spelling ||
         std::find(info.short_names.begin(), info.short_names.end(), spelling) != info.short_names.end();
}

// How many letters must be put in, taken out or replaced to make `b` of `a`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

// What a hand that slipped may have meant.
bool is_near(const std::string& spelling, const ResourceInfo& info) {
  const std::string& name = info.resource.name;
  if (spelling.size() < 3 || std::max({spelling.size(), name.size(), info.singular.size()}) > kLongestName)
    return false;
  const std::size_t slips = spelling.size() < 6 ? 1 : 2;
  return name.compare(0, 3, spelling, 0, 3) == 0 || distance(spelling, name) <= slips ||
         distance(spelling, info.singular) <= slips;
}

// How well `info` answers to the name: a plural wins over a short name of somebody else.
int rank(const ResourceInfo& info, const std::string& spelling) {
  return (info.resource.name == spelling ? 4 : 0) + (info.resource.group.empty() ? 2 : 0) +
         (info.preferred_version ? 1 : 0);
}

}  // namespace

std::string Resource::group_resource() const {
  return group.empty() ? name : name + "." + group;
}

std::string Resource::api_version() const {
  return group.empty() ? version : group + "/" + version;
}

bool ResourceInfo::has_verb(std::string_view verb) const {
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

Result<ResourceInfo> find_resource(const std::vector<ResourceInfo>& offered, std::string_view spelling) {
  const std::string wanted = lower_case(std::string(spelling));
  const auto dot = wanted.find('.');
  const std::string name = wanted.substr(0, dot);
  const std::string rest = dot == std::string::npos ? "" : wanted.substr(dot + 1);  // "group" or "version.group"

  const ResourceInfo* best = nullptr;
  int best_rank = -1;
  for (const ResourceInfo& info : offered) {
    if (!names(info, name)) continue;
    const bool group_fits = rest.empty() || rest == info.resource.group;
    const bool version_fits = rest == info.resource.version + "." + info.resource.group ||
                              (info.resource.group.empty() && rest == info.resource.version);
    if (!group_fits && !version_fits) continue;
    const int found = rank(info, name) + (version_fits ? 8 : 0);
    if (found > best_rank) {
      best = &info;
      best_rank = found;
    }
  }
  if (best != nullptr) return *best;

  std::string near;
  for (const ResourceInfo& info : offered) {
    if (info.preferred_version && is_near(name, info))
      near += (near.empty() ? "; did you mean " : ", ") + info.resource.group_resource();
  }
  return Error(Code::NotFound, "no resource \"" + std::string(spelling) + "\" is offered" + near);
}

std::string Scope::canonical() const {
  std::string text = resource.group + "/" + resource.version + "/" + resource.name;
  text += "\nn=" + namespace_name;
  text += "\nl=" + label_selector;
  text += "\nf=" + field_selector;
  text += projection == Projection::Metadata ? "\np=metadata" : "\np=full";
  return text;
}

std::string Scope::id() const {
  const std::string text = canonical();
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016" PRIx64,
                static_cast<std::uint64_t>(XXH3_64bits(text.data(), text.size())));
  return digits;
}

}  // namespace tinf
