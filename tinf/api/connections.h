// Connections: the open ones, what each is waiting for and until when. One sweep for all deadlines, so that an idle
// watch owns no timer.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "tinf/base/runtime.h"

namespace tinf::api {

// Confined to the runtime's strand.
class Connections {
 public:
  // What a client has to do next; nothing of it: it is our turn, or a watch that waits as long as it likes.
  enum class Awaited { Nothing, Handshake, Request, RestOfRequest, TakingAnswer };

  // In the list while it lives. `socket` outlives it.
  class Entry {
   public:
    Entry(Connections& all, boost::asio::ip::tcp::socket& socket);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    void await(Awaited what, Duration at_most);
    void await_nothing();
    boost::asio::ip::tcp::socket& socket() { return socket_; }

    // Whether its client was authenticated by a certificate when the connection was opened.
    void set_certified() { certified_ = true; }
    // It is to take no more requests.
    bool is_retired() const { return retired_; }
    // Why we closed it; empty: we did not.
    std::string_view why_closed() const { return why_closed_; }

   private:
    friend class Connections;
    void close(std::string_view why);

    Connections& all_;
    boost::asio::ip::tcp::socket& socket_;
    Awaited awaited_ = Awaited::Nothing;
    TimePoint since_{};
    TimePoint deadline_ = TimePoint::max();
    bool certified_ = false;
    bool retired_ = false;
    std::string_view why_closed_;
    std::list<Entry*>::iterator place_;
  };

  explicit Connections(Runtime& runtime);

  std::size_t size() const { return open_.size(); }

  // Closes those whose clients have had their time.
  void sweep();
  // Closes the one that has waited longest for a request, or for the rest of one. False: all are at work.
  bool make_room();
  // Ends those whose clients showed certificates: now, or after what they are at.
  void retire_certified();

 private:
  void count(std::string_view reason);

  // Constant after construction.
  Clock& clock_;
  Metrics& metrics_;
  const std::shared_ptr<Gauge> gauge_;

  // Confined to the strand.
  std::list<Entry*> open_;
  std::map<std::string, std::shared_ptr<Counter>, std::less<>> closed_;
};

}  // namespace tinf::api
