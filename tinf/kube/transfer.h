// Transfer: one HTTP request and its answer on a CurlLoop. Inner header of this folder: it needs curl.
// curl's callbacks only note what happened and wake the coroutine that waits; nothing is resumed from inside curl.
#pragma once

#include <memory>
#include <string>

#include "tinf/kube/curl_loop.h"
#include "tinf/kube/rest_client.h"

namespace tinf::kube {

// Confined to the loop's executor. Destroying it ends the request.
class Transfer final : public ResponseStream, private CurlLoop::Owner {
 public:
  Transfer(std::shared_ptr<CurlLoop> loop, Clock& clock, const Connection& connection, const Grant& grant,
           Request request, const RestOptions& options);
  ~Transfer() override;

  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Sends the request; returns when the headers of the answer are here, whatever its status.
  Task<Result<void>> open();

  int status() const override { return status_; }
  std::string_view header(std::string_view name) const override;
  NamedValues& headers() { return headers_; }
  Task<Result<std::string>> read() override;

  const std::string& what() const { return what_; }

 private:
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  using List = std::unique_ptr<curl_slist, FreeList>;

  static std::size_t on_header(char* bytes, std::size_t, std::size_t size, void* self);
  static std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* self);
  static int on_connected(void* self, char*, char*, int, int);
  void transfer_ended(CURLcode result) override;

  void set_target(const Connection& connection, const std::string& path_and_query);
  void set_tls(const Connection& connection, const Grant& grant);
  void set_headers(const Grant& grant, const std::string& host);
  void take_header(std::string_view line);
  Error failure() const;

  // Waits for the next callback. An error if `deadline` came first.
  Task<Result<void>> wait(TimePoint deadline, Code late, const char* waited_for);

  // Constant after construction.
  const std::shared_ptr<CurlLoop> loop_;
  Clock& clock_;
  const Request request_;
  std::string what_;  // For messages: method and URL.
  CURL* const curl_;
  List header_list_, connect_to_;
  char error_text_[CURL_ERROR_SIZE] = {};

  // Confined to the strand.
  Signal changed_;
  bool connected_ = false;
  bool headers_complete_ = false;
  bool ended_ = false;
  bool paused_ = false;
  bool added_ = false;
  CURLcode result_ = CURLE_OK;
  int status_ = 0;
  NamedValues headers_;
  std::string unread_;
};

}  // namespace tinf::kube
