// ScriptedServer: an HTTP server that says exactly the bytes a test tells it to, over real sockets on the loopback.
// LiveLoop: a real event loop under a clock that only the test moves.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tinf/base/runtime.h"
#include "tinf/kube/kubeconfig.h"

namespace tinf::kube::testing {

class LiveLoop final : public Clock {
 public:
  LiveLoop();
  ~LiveLoop() override;

  TimePoint now() const override { return now_; }
  WallTime wall_now() const override {
    return WallTime(std::chrono::hours(24 * 365 * 50)) + std::chrono::duration_cast<WallTime::duration>(now_ - start_);
  }
  void arm(asio::steady_timer& timer, TimePoint deadline) override { deadlines_.emplace(deadline, &timer); }
  void disarm(asio::steady_timer& timer) override;

  Runtime& runtime() { return runtime_; }
  const std::vector<std::string>& log_lines() const { return log_lines_; }
  void spawn(Task<void> task) { group_.spawn(std::move(task)); }
  void cancel_all() { group_.cancel(); }

  // Lets the sockets speak until `done` holds; throws after ten real seconds, so that a mistake is no hang.
  void run_until(const std::function<bool()>& done);

  // Lets what is ready run, without waiting for more.
  void settle();

  // Moves the clock; what is due wakes.
  void advance(Duration duration);
  bool something_waits() const { return !deadlines_.empty(); }

  template <class T>
  T await(Task<T> task) {
    std::optional<T> result;
    spawn(keep(std::move(task), result));
    run_until([&] { return result.has_value(); });
    return std::move(*result);
  }

  // Runs `task` until it waits and `reached` holds, lets `duration` pass, and returns what it came to.
  template <class T>
  T await_after(Task<T> task, Duration duration, const std::function<bool()>& reached) {
    std::optional<T> result;
    spawn(keep(std::move(task), result));
    run_until([&] { return result.has_value() || (something_waits() && reached()); });
    advance(duration);
    run_until([&] { return result.has_value(); });
    return std::move(*result);
  }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  asio::io_context context_{1};
  const TimePoint start_{std::chrono::hours(1)};
  TimePoint now_ = start_;
  std::multimap<TimePoint, asio::steady_timer*> deadlines_;
  Metrics metrics_;
  Random random_{1};
  std::vector<std::string> log_lines_;
  Runtime runtime_;
  TaskGroup group_;
};

// What the server says and hears on one connection, in this order; then it closes, unless told otherwise.
class Conversation {
 public:
  enum class Act { Expect, Send, Reset, Silence, Pause };
  struct Step {
    Act act;
    std::string text;
  };

  Conversation& expects(std::string start_of_request) { return then(Act::Expect, std::move(start_of_request)); }
  Conversation& sends_raw(std::string bytes) { return then(Act::Send, std::move(bytes)); }
  Conversation& replies(std::string status, std::string body, std::string more_headers = "");
  Conversation& replies_json(std::string body) { return replies("200 OK", std::move(body)); }
  Conversation& starts_stream(std::string content_type = "application/json");
  Conversation& sends(const std::string& chunk);
  Conversation& ends_stream() { return sends_raw("0\r\n\r\n"); }
  Conversation& resets() { return then(Act::Reset, ""); }          // RST instead of a goodbye.
  Conversation& stays_silent() { return then(Act::Silence, ""); }  // Until the other side closes.
  Conversation& pauses() { return then(Act::Pause, ""); }          // Until the server's resume().

  const std::vector<Step>& steps() const { return steps_; }

 private:
  Conversation& then(Act act, std::string text) {
    steps_.push_back(Step{act, std::move(text)});
    return *this;
  }
  std::vector<Step> steps_;
};

// Plays the conversations in the order of the connections made to it.
class ScriptedServer {
 public:
  explicit ScriptedServer(LiveLoop& loop);
  ~ScriptedServer();

  // Of the next connection not yet scripted. The reference stays good.
  Conversation& connection();

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }
  unsigned short port() const { return acceptor_.local_endpoint().port(); }
  Connection target() const;

  const std::vector<std::string>& requests() const { return requests_; }  // Head and body, as they came.
  int connections() const { return accepted_; }
  int silences() const { return silences_; }
  int pauses() const { return pauses_; }
  int hang_ups() const { return hang_ups_; }  // Connections that the client closed while we were silent.
  void resume() { resume_.notify(); }
  bool done() const { return played_ == script_.size(); }
  const std::vector<std::string>& surprises() const { return surprises_; }

 private:
  using Socket = asio::ip::tcp::socket;
  Task<void> accept();
  Task<void> play(Socket socket, const Conversation& conversation);

  LiveLoop& loop_;
  asio::ip::tcp::acceptor acceptor_;
  std::deque<Conversation> script_;
  std::vector<std::string> requests_, surprises_;
  Signal resume_;
  int accepted_ = 0, silences_ = 0, pauses_ = 0, hang_ups_ = 0;
  std::size_t played_ = 0;
  TaskGroup group_;
};

}  // namespace tinf::kube::testing
