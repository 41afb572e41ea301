#include "tinf/api/watched_files.h"

#include <sys/stat.h>

#include <fstream>

namespace tinf::api {
namespace {

constexpr std::size_t kLargestFile = 1 << 20;

}  // namespace

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kLargestFile + 1, '\0');
  if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
  // A folder opens, but is not read.
  if (in.bad() || (in.fail() && !in.eof())) return Error(Code::Invalid, path + " cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kLargestFile) return Error(Code::Invalid, path + " is larger than 1 MiB");
  return text;
}

WatchedFiles::WatchedFiles(Runtime& runtime, std::string what, std::vector<std::string> paths, Load load)
    : log_(runtime.log.with("api")),
      what_(std::move(what)),
      paths_(std::move(paths)),
      load_(std::move(load)),
      reloads_(runtime.metrics.counter("tinf_api_reloads_total", "Files that were read again, and are in force.",
                                       {{"file", what_}})),
      failures_(runtime.metrics.counter("tinf_api_reload_failures_total",
                                        "Files that were read again, and are no good: what was before stays in force.",
                                        {{"file", what_}})) {}

WatchedFiles::Stamp WatchedFiles::stamp() const {
  Stamp all;
  for (const auto& path : paths_) {
    struct stat file {};
    if (::stat(path.c_str(), &file) != 0) file = {};
    for (const std::int64_t part :
         {static_cast<std::int64_t>(file.st_dev), static_cast<std::int64_t>(file.st_ino),
          static_cast<std::int64_t>(file.st_size), static_cast<std::int64_t>(file.st_mtim.tv_sec),
          static_cast<std::int64_t>(file.st_mtim.tv_nsec), static_cast<std::int64_t>(file.st_ctim.tv_sec),
          static_cast<std::int64_t>(file.st_ctim.tv_nsec)}) {
      all.push_back(part);
    }
  }
  return all;
}

Result<void> WatchedFiles::load() {
  seen_ = stamp();  // Before it is read: what is written meanwhile is read again.
  return load_();
}

void WatchedFiles::refresh() {
  if (auto now = stamp(); now == seen_) return;
  if (const auto loaded = load(); !loaded) {
    failures_->add();
    log_.error("the new " + what_ + " is no good, and the old one stays in force",
               {{"reason", loaded.error().message}});
    return;
  }
  reloads_->add();
  log_.info("the new " + what_ + " is in force");
}

}  // namespace tinf::api
