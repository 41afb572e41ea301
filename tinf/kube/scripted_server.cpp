// Test code: both ends of every connection live on one thread, so their order is the event loop's.
#include "tinf/kube/scripted_server.h"

#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <stdexcept>

namespace tinf::kube::testing {

LiveLoop::LiveLoop()
    : runtime_{context_.get_executor(), *this,
               Log([this](const LogRecord& record) { log_lines_.push_back(std::string(record.message)); },
                   LogLevel::Debug),
               metrics_, random_},
      group_(context_.get_executor()) {}

LiveLoop::~LiveLoop() {
  group_.cancel();
  settle();
}

void LiveLoop::settle() {
  context_.restart();
  context_.poll();
}

void LiveLoop::disarm(asio::steady_timer& timer) {
  std::erase_if(deadlines_, [&timer](const auto& entry) { return entry.second == &timer; });
}

void LiveLoop::run_until(const std::function<bool()>& done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  context_.restart();
  while (!done()) {
    context_.run_one_until(limit);
    if (std::chrono::steady_clock::now() >= limit) throw std::runtime_error("nothing came of it within ten seconds");
  }
}

void LiveLoop::advance(Duration duration) {
  now_ += duration;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    asio::steady_timer* timer = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    timer->cancel();
  }
}

Conversation& Conversation::replies(std::string status, std::string body, std::string more_headers) {
  return sends_raw("HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n" + more_headers + "\r\n" + body);
}

Conversation& Conversation::starts_stream(std::string content_type) {
  return sends_raw("HTTP/1.1 200 OK\r\nContent-Type: " + content_type + "\r\nTransfer-Encoding: chunked\r\n\r\n");
}

Conversation& Conversation::sends(const std::string& chunk) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", chunk.size());
  return sends_raw(size + chunk + "\r\n");
}

ScriptedServer::ScriptedServer(LiveLoop& loop)
    : loop_(loop),
      acceptor_(loop.runtime().executor, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      group_(loop.runtime().executor) {
  group_.spawn(accept());
}

ScriptedServer::~ScriptedServer() {
  group_.cancel();
  loop_.settle();  // Frames unwind while what they refer to still lives.
}

Conversation& ScriptedServer::connection() {
  return script_.emplace_back();
}

Connection ScriptedServer::target() const {
  Connection connection;
  connection.server = url();
  connection.origin = "the test";
  return connection;
}

Task<void> ScriptedServer::accept() {
  while (true) {
    boost::system::error_code failed;
    Socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, failed));
    if (failed) co_return;
    if (static_cast<std::size_t>(accepted_) >= script_.size()) {
      surprises_.push_back("one connection more than expected");
      continue;
    }
    const Conversation& conversation = script_[static_cast<std::size_t>(accepted_++)];
    group_.spawn(play(std::move(socket), conversation));
  }
}

Task<void> ScriptedServer::play(Socket socket, const Conversation& conversation) {
  boost::system::error_code failed;
  std::string received;
  for (const Conversation::Step& step : conversation.steps()) {
    switch (step.act) {
      case Conversation::Act::Expect: {
        auto buffer = asio::dynamic_buffer(received);
        std::size_t head = co_await asio::async_read_until(socket, buffer, "\r\n\r\n",
                                                           asio::redirect_error(asio::use_awaitable, failed));
        if (failed) {
          surprises_.push_back("the connection ended before: " + step.text);
          co_return;
        }
        std::size_t body = 0;
        const auto length = received.find("Content-Length: ");
        if (length < head) body = std::stoul(received.substr(length + 16));
        if (received.size() < head + body) {
          co_await asio::async_read(socket, buffer, asio::transfer_exactly(head + body - received.size()),
                                    asio::redirect_error(asio::use_awaitable, failed));
        }
        requests_.push_back(received.substr(0, head + body));
        received.erase(0, head + body);
        if (!requests_.back().starts_with(step.text))
          surprises_.push_back("not \"" + step.text + "\" but: " + requests_.back());
        break;
      }
      case Conversation::Act::Send:
        co_await asio::async_write(socket, asio::buffer(step.text), asio::redirect_error(asio::use_awaitable, failed));
        if (failed) co_return;
        break;
      case Conversation::Act::Reset: {
        const asio::socket_base::linger at_once(true, 0);
        socket.set_option(at_once);
        socket.close();
        ++played_;
        co_return;
      }
      case Conversation::Act::Silence: {
        ++silences_;
        char byte = 0;
        co_await socket.async_read_some(asio::buffer(&byte, 1), asio::redirect_error(asio::use_awaitable, failed));
        ++hang_ups_;
        ++played_;
        co_return;
      }
      case Conversation::Act::Pause:
        ++pauses_;
        co_await resume_.wait();
        break;
    }
  }
  ++played_;
}

}  // namespace tinf::kube::testing
