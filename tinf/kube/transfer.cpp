// Deadlines run on the caller's Clock, not on curl's, so that a test can own them; curl's own are wider.
// HTTP/1.1 on purpose: a watch has a connection of its own, so one slow reader never holds up another.
#include "tinf/kube/transfer.h"

#include <strings.h>

#include <algorithm>
#include <charconv>

#ifndef TINF_VERSION
#error "the build says which version this is"
#endif

namespace tinf::kube {
namespace {

constexpr std::size_t kLargestUnread = 1u << 20;
constexpr long kReadBuffer = 256 * 1024;  // Sixteen TLS records, or one large read; touched only as far as used.
constexpr std::size_t kMostHeaders = 256;

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view find_header(const NamedValues& headers, std::string_view name) {
  for (const auto& [known, value] : headers) {
    if (same_name(known, name)) return value;
  }
  return {};
}

// The parts of scheme://host[:port][/path].
struct Url {
  std::string scheme, host, port, path;

  explicit Url(std::string_view text) {
    const auto colon = text.find("://");
    scheme = std::string(text.substr(0, colon));
    text.remove_prefix(colon + 3);
    const auto slash = std::min(text.find('/'), text.size());
    path = std::string(text.substr(slash));
    text = text.substr(0, slash);
    const auto bracket = text.rfind(']');
    const auto port_colon = text.rfind(':');
    if (port_colon != std::string_view::npos && (bracket == std::string_view::npos || port_colon > bracket)) {
      port = std::string(text.substr(port_colon + 1));
      text = text.substr(0, port_colon);
    }
    host = std::string(text);
  }

  std::string authority() const { return port.empty() ? host : host + ":" + port; }
  std::string port_or_default() const { return !port.empty() ? port : scheme == "https" ? "443" : "80"; }
  bool is_loopback() const { return host == "localhost" || host.starts_with("127.") || host == "[::1]"; }
};

void set_blob(CURL* curl, CURLoption option, const std::string& bytes) {
  if (bytes.empty()) return;
  curl_blob blob{const_cast<char*>(bytes.data()), bytes.size(), CURL_BLOB_COPY};
  curl_easy_setopt(curl, option, &blob);
}

}  // namespace

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      encoded.push_back(c);
    } else {
      encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return encoded;
}

std::string_view Response::header(std::string_view name) const {
  return find_header(headers, name);
}

Transfer::Transfer(std::shared_ptr<CurlLoop> loop, Clock& clock, const Connection& connection, const Grant& grant,
                   Request request, const RestOptions& options)
    : loop_(std::move(loop)), clock_(clock), request_(std::move(request)), curl_(curl_easy_init()) {
  if (curl_ == nullptr) throw std::bad_alloc();
  std::string path = request_.path;
  char separator = '?';
  for (const auto& [name, value] : request_.query) {
    path += separator + percent_encoded(name) + "=" + percent_encoded(value);
    separator = '&';
  }
  curl_easy_setopt(curl_, CURLOPT_PRIVATE, static_cast<CurlLoop::Owner*>(this));
  curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, error_text_);
  curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl_, CURLOPT_USERAGENT, "tinf/" TINF_VERSION);
  curl_easy_setopt(curl_, CURLOPT_BUFFERSIZE, kReadBuffer);
  curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  if (!request_.body.empty() || request_.method == "POST" || request_.method == "PUT" || request_.method == "PATCH") {
    curl_easy_setopt(curl_, CURLOPT_POST, 1L);
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, request_.body.data());
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  }
  if (options.accept_gzip) curl_easy_setopt(curl_, CURLOPT_ACCEPT_ENCODING, "gzip");
  if (request_.fresh_connection) curl_easy_setopt(curl_, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(curl_, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl_, CURLOPT_TCP_KEEPIDLE,
                   30L);  // As Go's client does it; finds a dead peer behind a quiet watch.
  curl_easy_setopt(curl_, CURLOPT_TCP_KEEPINTVL, 15L);
  curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(curl_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(curl_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(curl_, CURLOPT_PREREQFUNCTION, &Transfer::on_connected);
  curl_easy_setopt(curl_, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(curl_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set_target(connection, path);
  set_tls(connection, grant);
  set_headers(grant, Url(connection.server).authority());
}

Transfer::~Transfer() {
  if (added_) loop_->remove(curl_);
  curl_easy_cleanup(curl_);
}

void Transfer::set_target(const Connection& connection, const std::string& path_and_query) {
  const Url url(connection.server);
  what_ = request_.method + " " + connection.server + request_.path;
  std::string target = connection.server + path_and_query;
  if (!connection.tls_server_name.empty() && url.scheme == "https") {
    // The certificate must be for that name, so the URL carries it; the bytes still go to the server.
    target = "https://" + connection.tls_server_name + ":" + url.port_or_default() + url.path + path_and_query;
    const std::string mapping =
        connection.tls_server_name + ":" + url.port_or_default() + ":" + url.host + ":" + url.port_or_default();
    connect_to_.reset(curl_slist_append(nullptr, mapping.c_str()));
    curl_easy_setopt(curl_, CURLOPT_CONNECT_TO, connect_to_.get());
  }
  curl_easy_setopt(curl_, CURLOPT_URL, target.c_str());
  curl_easy_setopt(curl_, CURLOPT_PATH_AS_IS, 1L);
  if (!connection.proxy_url.empty()) {
    curl_easy_setopt(curl_, CURLOPT_PROXY, connection.proxy_url.c_str());
    curl_easy_setopt(curl_, CURLOPT_NOPROXY, "");  // What the kubeconfig says holds for every host.
  } else if (url.is_loopback()) {
    curl_easy_setopt(curl_, CURLOPT_NOPROXY, "*");  // As Go's client, which kubectl is.
  }
}

void Transfer::set_tls(const Connection& connection, const Grant& grant) {
  set_blob(curl_, CURLOPT_CAINFO_BLOB, grant.certificate_authority);
  set_blob(curl_, CURLOPT_SSLCERT_BLOB, grant.certificate);
  set_blob(curl_, CURLOPT_SSLKEY_BLOB, grant.key);
  curl_easy_setopt(curl_, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  if (connection.insecure_skip_tls_verify) {
    curl_easy_setopt(curl_, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl_, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

void Transfer::set_headers(const Grant& grant, const std::string& host) {
  const auto add = [this](const std::string& line) {
    curl_slist* longer = curl_slist_append(header_list_.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    (void)header_list_.release();
    header_list_.reset(longer);
  };
  add("Host: " + host);
  add("Expect:");  // No round trip before a body.
  if (request_.body.empty()) add("Content-Type:");
  for (const auto& [name, value] : grant.headers) add(name + ": " + value);
  for (const auto& [name, value] : request_.headers) add(name + ": " + value);
  curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, header_list_.get());
}

std::size_t Transfer::on_header(char* bytes, std::size_t, std::size_t size, void* self) {
  static_cast<Transfer*>(self)->take_header(std::string_view(bytes, size));
  return size;
}

void Transfer::take_header(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (headers_complete_) return;  // A trailer.
  if (line.starts_with("HTTP/")) {
    headers_.clear();
    status_ = 0;
    const auto blank = std::min(line.find(' '), line.size());
    line.remove_prefix(std::min(blank + 1, line.size()));
    std::from_chars(line.data(), line.data() + line.size(), status_);
  } else if (line.empty()) {
    if (status_ >= 200) {  // What is below announces the real answer.
      headers_complete_ = true;
      changed_.notify();
    }
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos && headers_.size() < kMostHeaders) {
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    headers_.emplace_back(std::string(line.substr(0, colon)), std::string(value));
  }
}

std::size_t Transfer::on_body(char* bytes, std::size_t, std::size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  if (!transfer.unread_.empty() && transfer.unread_.size() + size > kLargestUnread) {
    transfer.paused_ = true;
    return CURL_WRITEFUNC_PAUSE;  // curl keeps these bytes and offers them again.
  }
  transfer.unread_.append(bytes, size);
  transfer.changed_.notify();
  return size;
}

int Transfer::on_connected(void* self, char*, char*, int, int) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.connected_ = true;
  transfer.changed_.notify();
  return CURL_PREREQFUNC_OK;
}

void Transfer::transfer_ended(CURLcode result) {
  ended_ = true;
  result_ = result;
  changed_.notify();
}

Task<Result<void>> Transfer::wait(TimePoint deadline, Code late, const char* waited_for) {
  const bool notified = co_await changed_.wait_until(clock_, deadline);
  if (!notified && clock_.now() >= deadline) co_return Error(late, what_ + ": no " + waited_for + " in time");
  co_return Result<void>();
}

Task<Result<void>> Transfer::open() {
  loop_->add(curl_);
  added_ = true;
  TimePoint deadline = clock_.now() + request_.deadlines.connect;
  while (!connected_ && !ended_) {
    auto waited = co_await wait(deadline, Code::Unavailable, "connection");
    if (!waited) co_return waited.error();
  }
  deadline = clock_.now() + request_.deadlines.headers;
  while (!headers_complete_ && !ended_) {
    auto waited = co_await wait(deadline, Code::Timeout, "answer");
    if (!waited) co_return waited.error();
  }
  if (!headers_complete_) co_return failure();
  co_return Result<void>();
}

Task<Result<std::string>> Transfer::read() {
  const TimePoint deadline = clock_.now() + request_.deadlines.idle;
  while (unread_.empty() && !ended_) {
    auto waited = co_await wait(deadline, Code::Timeout, "byte");
    if (!waited) co_return waited.error();
  }
  if (unread_.empty() && result_ != CURLE_OK) co_return failure();
  std::string bytes = std::move(unread_);
  unread_.clear();
  if (std::exchange(paused_, false)) curl_easy_pause(curl_, CURLPAUSE_CONT);
  co_return bytes;
}

std::string_view Transfer::header(std::string_view name) const {
  return find_header(headers_, name);
}

Error Transfer::failure() const {
  const std::string text = what_ + ": " + (error_text_[0] != 0 ? error_text_ : curl_easy_strerror(result_));
  switch (result_) {
    case CURLE_SSL_CERTPROBLEM:
      return Error(Code::Unauthorized, text + " (our client certificate or key)");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return Error(Code::Unavailable, text + " (check the connection's certificate-authority)");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Error(Code::Invalid, text);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_OUT_OF_MEMORY:
      return Error(Code::Internal, text);
    default:
      return Error(Code::Unavailable, text);
  }
}

}  // namespace tinf::kube
