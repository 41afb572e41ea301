#include "tests/simulation/system_play.h"

#include <xxhash.h>

namespace tinf::simulation {

using namespace std::chrono_literals;

namespace {

constexpr Duration kQuiet = 10min;  // Within which all must be equal and proven.
constexpr Duration kStays = 40s;    // Longer than every copy's next proof.
constexpr Duration kUsualWay = 50ms;

}  // namespace

SystemOutcome System::play() {
  bool done = false;
  time_.spawn(history(done));
  const bool ended = time_.run_until(
      [&] {
        look();
        return done;
      },
      3h);
  if (!ended) violation("time: the history did not end");
  look_for_remains();
  outcome_.digest = trace_;
  return std::move(outcome_);
}

std::vector<std::string> System::kinds_of_mishaps() {
  std::vector<std::string> names;
  for (const Mishap& kind : mishaps()) names.emplace_back(kind.name);
  return names;
}

MemoryBrokerOptions System::broker_options() {
  MemoryBrokerOptions options;
  options.maximum_message_bytes = random_.chance(0.5) ? 2048 : 256 << 10;
  if (random_.chance(0.3)) options.maximum_queue_messages = 40;
  options.says_why = random_.chance(0.5);
  return options;
}

Task<void> System::history(bool& done) {
  conditions_ = Conditions{random_.fraction() * 0.3, random_.fraction() * 0.2, random_.fraction() * 0.1};
  TaskGroup closing(time_.runtime().executor);
  closing.spawn(close_ended());
  make_clusters();
  make_informers();
  schedule_trouble();
  while (!events_.empty()) {
    const Event event = events_.top();
    events_.pop();
    co_await time_.sleep_until(event.at);
    co_await event.act();
  }
  calm();
  quiet_since_ = time_.now();
  while (!amiss().empty() && time_.now() < quiet_since_ + kQuiet) co_await time_.sleep_for(1s);
  note("quiet for " + std::to_string((time_.now() - quiet_since_) / 1s) + " s");
  co_await time_.sleep_for(kStays);
  for (const std::string& what : amiss()) violation(what);
  over_ = true;
  ended_.notify();
  co_await closing.join();
  co_await end_all();
  done = true;
}

Task<void> System::close_ended() {
  while (!over_) {
    co_await ended_.wait();
    std::vector<Site*> sites;
    std::vector<Control*> controls;
    const auto leaves = [](Process& process) { return process.ended_at && !std::exchange(process.left, true); };
    for (Cluster& cluster : clusters_) {
      for (auto& elder : cluster.elders) {
        if (leaves(*elder)) sites.push_back(elder.get());
      }
    }
    for (Informer& informer : informers_) {
      for (auto& elder : informer.elders) {
        if (leaves(*elder)) controls.push_back(elder.get());
      }
    }
    for (Site* site : sites) co_await site->transport->close(site->provider->farewell());
    for (Control* control : controls) co_await control->transport->close(control->session->last_word());
  }
}

void System::at(Duration delay, std::function<Task<void>()> act) {
  events_.push(Event{time_.now() + delay, ++order_, std::move(act)});
}

void System::later(Duration delay, std::function<void()> act) {
  at(delay, [this, act = std::move(act)] { return do_now(act); });
}

Task<void> System::do_now(std::function<void()> act) {
  act();
  co_return;
}

void System::schedule_trouble() {
  for (std::size_t c = 0; c < clusters_.size(); ++c) {
    ApiServer& server = *clusters_[c].server;
    const std::size_t changes = 10 + random_.below(100);
    for (std::size_t i = 0; i < changes; ++i)
      later(random_.between(0s, kTrouble), [this, &server] { change(server, 1); });
    later(random_.between(0s, kTrouble), [this, &server] { change(server, 60); });
    for (Duration when = 5s; when < kTrouble; when += random_.between(5s, 30s))
      later(when, [&server] { server.bookmark(); });
  }
  const std::size_t times = random_.below(14);
  for (std::size_t i = 0; i < times; ++i) {
    const Mishap& kind = mishaps()[random_.below(mishaps().size())];
    at(random_.between(0s, kTrouble - 25s), [this, &kind] { return mishap(kind); });
  }
}

void System::change(ApiServer& server, int times) {
  for (int i = 0; i < times; ++i) server.change();
  outcome_.changes += static_cast<std::size_t>(times);
}

void System::calm() {
  note("calm");
  for (Informer& informer : informers_) {
    for (auto& [name, shelf] : informer.shelves) {
      if (shelf) shelf->refuses_until = TimePoint();
    }
  }
  conditions_ = Conditions();
  for (const std::string& client : clients_) broker_.set_reachable(client, true);
  broker_.start();
  for (Cluster& cluster : clusters_) cluster.server->answer_well();
}

MemoryBroker::Delivery System::fate(const std::string& client, const Message& message) {
  ++outcome_.messages;
  trace(client + message.topic + message.body);
  MemoryBroker::Delivery delivery;
  // Nobody can miss a name that it never heard: who follows whatever shows itself is shown everything.
  const bool shows = discovering_.count(client) > 0 && message.topic.ends_with("/presence");
  if (shows) return delivery;
  if (network_.chance(conditions_.drop)) {
    delivery.copies = 0;
  } else if (network_.chance(conditions_.repeat)) {
    delivery.copies = 2;
  }
  if (network_.chance(conditions_.long_delay)) {
    delivery.delay = network_.between(0s, kLongestWay);
    slow_[client].push_back(Slow{time_.now(), time_.now() + delivery.delay});
  } else {
    delivery.delay = network_.between(1ms, kUsualWay);
  }
  return delivery;
}

TimePoint System::sent(const std::string& client, TimePoint then) const {
  TimePoint earliest = then - kUsualWay;
  const auto slow = slow_.find(client);
  if (slow == slow_.end()) return earliest;
  for (const Slow& message : slow->second) {
    if (message.arrives >= then && message.arrives <= time_.now())
      earliest = std::min(earliest, then - (message.arrives - message.sent));
  }
  return earliest;
}

SystemOutcome play_system(const SystemStory& story) {
  return System(story).play();
}

std::vector<std::string> kinds_of_mishaps() {
  return System::kinds_of_mishaps();
}

}  // namespace tinf::simulation
