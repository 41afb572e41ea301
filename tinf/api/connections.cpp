#include "tinf/api/connections.h"

#include <algorithm>

namespace tinf::api {
namespace {

// For metrics, and for the audit log.
std::string_view reason_of(Connections::Awaited awaited) {
  switch (awaited) {
    case Connections::Awaited::Handshake:
      return "slow-handshake";
    case Connections::Awaited::Request:
      return "idle";
    case Connections::Awaited::RestOfRequest:
      return "slow-request";
    case Connections::Awaited::TakingAnswer:
      return "slow-reader";
    case Connections::Awaited::Nothing:
      break;
  }
  return "closed";
}

}  // namespace

Connections::Entry::Entry(Connections& all, boost::asio::ip::tcp::socket& socket)
    : all_(all), socket_(socket), place_(all.open_.insert(all.open_.end(), this)) {
  all_.gauge_->set(static_cast<double>(all_.open_.size()));
}

Connections::Entry::~Entry() {
  all_.open_.erase(place_);
  all_.gauge_->set(static_cast<double>(all_.open_.size()));
}

void Connections::Entry::await(Awaited what, Duration at_most) {
  awaited_ = what;
  since_ = all_.clock_.now();
  deadline_ = since_ + at_most;
}

void Connections::Entry::await_nothing() {
  awaited_ = Awaited::Nothing;
  deadline_ = TimePoint::max();
}

void Connections::Entry::close(std::string_view why) {
  if (!why_closed_.empty()) return;
  why_closed_ = why;
  all_.count(why);
  boost::system::error_code ignored;
  socket_.close(ignored);
}

Connections::Connections(Runtime& runtime)
    : clock_(runtime.clock),
      metrics_(runtime.metrics),
      gauge_(metrics_.gauge("tinf_api_connections", "Open connections.")) {}

void Connections::count(std::string_view reason) {
  auto& counter = closed_[std::string(reason)];
  if (counter == nullptr) {
    counter = metrics_.counter("tinf_api_connections_closed_total", "Connections that we closed, and why.",
                               {{"reason", std::string(reason)}});
  }
  counter->add();
}

void Connections::sweep() {
  const auto now = clock_.now();
  for (Entry* entry : open_) {
    if (entry->deadline_ <= now) entry->close(reason_of(entry->awaited_));
  }
}

bool Connections::make_room() {
  Entry* longest = nullptr;
  for (Entry* entry : open_) {
    const bool waits = entry->awaited_ == Awaited::Request || entry->awaited_ == Awaited::Handshake ||
                       entry->awaited_ == Awaited::RestOfRequest;
    if (!waits || !entry->why_closed_.empty()) continue;
    if (longest == nullptr || entry->since_ < longest->since_) longest = entry;
  }
  if (longest == nullptr) {
    count("refused");
    return false;
  }
  longest->close("crowded-out");
  return true;
}

void Connections::retire_certified() {
  for (Entry* entry : open_) {
    if (!entry->certified_) continue;
    entry->retired_ = true;
    if (entry->awaited_ == Awaited::Request) entry->close("authority-changed");
  }
}

}  // namespace tinf::api
