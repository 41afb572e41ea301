// CurlLoop: drives libcurl's multi interface from an Asio executor. Inner header of this folder: it needs curl.
// curl says which sockets and which time it waits for; Asio waits.
#pragma once

#include <curl/curl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <unordered_map>

#include "tinf/base/task.h"

namespace tinf::kube {

// Owns the connections that transfers share and reuse. Confined to its executor, a strand or a single thread.
// Shared: each transfer holds it, so that frames which unwind late find it alive.
class CurlLoop : public std::enable_shared_from_this<CurlLoop> {
 public:
  // One transfer's end is told to its owner, which CURLOPT_PRIVATE points to.
  class Owner {
   public:
    virtual void transfer_ended(CURLcode result) = 0;

   protected:
    ~Owner() = default;
  };

  explicit CurlLoop(Executor executor);
  ~CurlLoop();

  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  // Starts a transfer; remove() ends it at any time but inside one of its callbacks. A connection that was in use is
  // closed.
  void add(CURL* transfer);
  void remove(CURL* transfer);

 private:
  struct Socket;

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM*, long milliseconds, void* self);

  void wait(const std::shared_ptr<Socket>& socket);
  void act(curl_socket_t socket, int events);

  const Executor executor_;
  CURLM* const multi_;
  asio::steady_timer timer_;  // Real time: curl keeps its own clock. The deadlines that matter are the caller's.
  std::unordered_map<curl_socket_t, std::shared_ptr<Socket>> sockets_;
};

}  // namespace tinf::kube
