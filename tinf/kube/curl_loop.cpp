// The sockets are curl's: they are lent to Asio to wait on, and given back before curl closes them.
#include "tinf/kube/curl_loop.h"

#include <stdexcept>

namespace tinf::kube {
namespace {

constexpr long kKeptConnections = 32;

CURLM* new_multi() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = ready == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) throw std::runtime_error("libcurl cannot be started");
  return multi;
}

}  // namespace

struct CurlLoop::Socket {
  Socket(const Executor& executor, curl_socket_t number) : descriptor(executor, number) {}
  ~Socket() { give_back(); }

  void give_back() {
    if (descriptor.is_open()) descriptor.release();
  }

  asio::posix::stream_descriptor descriptor;
  int wanted = CURL_POLL_NONE;
  bool waits_to_read = false;
  bool waits_to_write = false;
};

CurlLoop::CurlLoop(Executor executor) : executor_(std::move(executor)), multi_(new_multi()), timer_(executor_) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlLoop::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlLoop::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kKeptConnections);
}

CurlLoop::~CurlLoop() {
  sockets_.clear();
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, nullptr);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, nullptr);
  curl_multi_cleanup(multi_);
}

void CurlLoop::add(CURL* transfer) {
  curl_multi_add_handle(multi_, transfer);
}

void CurlLoop::remove(CURL* transfer) {
  curl_multi_remove_handle(multi_, transfer);
}

int CurlLoop::on_socket(CURL*, curl_socket_t number, int what, void* self, void*) {
  auto& loop = *static_cast<CurlLoop*>(self);
  const auto known = loop.sockets_.find(number);
  if (what == CURL_POLL_REMOVE) {
    if (known != loop.sockets_.end()) {
      known->second->wanted = CURL_POLL_NONE;
      known->second->give_back();  // Handlers in flight hold the rest of it a little longer.
      loop.sockets_.erase(known);
    }
    return 0;
  }
  auto socket = known != loop.sockets_.end() ? known->second : std::make_shared<Socket>(loop.executor_, number);
  if (known == loop.sockets_.end()) loop.sockets_.emplace(number, socket);
  socket->wanted = what;
  loop.wait(socket);
  return 0;
}

void CurlLoop::wait(const std::shared_ptr<Socket>& socket) {
  using Descriptor = asio::posix::stream_descriptor;
  const auto handler = [this, &socket](bool Socket::*flag, int event) {
    (*socket).*flag = true;
    return [loop = weak_from_this(), socket, flag, event](boost::system::error_code failed) {
      (*socket).*flag = false;
      const auto self = loop.lock();
      if (!self || failed == asio::error::operation_aborted || socket->wanted == CURL_POLL_NONE) return;
      // What curl stopped asking for while the handler was on its way is not reported.
      if ((socket->wanted & event) != 0)
        self->act(socket->descriptor.native_handle(), failed ? CURL_CSELECT_ERR : event);
      if (socket->wanted != CURL_POLL_NONE) self->wait(socket);
    };
  };
  // CURL_POLL_IN and CURL_POLL_OUT have the values of CURL_CSELECT_IN and CURL_CSELECT_OUT.
  static_assert(CURL_POLL_IN == CURL_CSELECT_IN && CURL_POLL_OUT == CURL_CSELECT_OUT);
  if ((socket->wanted & CURL_POLL_IN) != 0 && !socket->waits_to_read) {
    socket->descriptor.async_wait(Descriptor::wait_read, handler(&Socket::waits_to_read, CURL_CSELECT_IN));
  }
  if ((socket->wanted & CURL_POLL_OUT) != 0 && !socket->waits_to_write) {
    socket->descriptor.async_wait(Descriptor::wait_write, handler(&Socket::waits_to_write, CURL_CSELECT_OUT));
  }
}

int CurlLoop::on_timer(CURLM*, long milliseconds, void* self) {
  auto& loop = *static_cast<CurlLoop*>(self);
  if (milliseconds < 0) {
    loop.timer_.cancel();
    return 0;
  }
  loop.timer_.expires_after(std::chrono::milliseconds(milliseconds));
  loop.timer_.async_wait([weak = loop.weak_from_this()](boost::system::error_code failed) {
    const auto loop = weak.lock();
    if (loop && !failed) loop->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void CurlLoop::act(curl_socket_t socket, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, socket, events, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    char* owner = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
    reinterpret_cast<Owner*>(owner)->transfer_ended(result);
  }
}

}  // namespace tinf::kube
