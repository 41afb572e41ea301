// Ciphers: forward secrecy and authenticated encryption only, which every client of TLS 1.2 that Kubernetes has had
// since 2016 can do. No sessions are resumed: each connection's client is verified by the authorities of its time.
#include "tinf/api/server_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>

#include "tinf/api/watched_files.h"

namespace tinf::api {
namespace ssl = boost::asio::ssl;
namespace {

constexpr std::string_view kProtocol = "\x08http/1.1";
constexpr std::size_t kLongestName = 256;
constexpr std::size_t kMostGroups = 256;

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned int offered_length, void*) {
  const auto* ours = reinterpret_cast<const unsigned char*>(kProtocol.data());
  unsigned char* found = nullptr;
  const int outcome = SSL_select_next_proto(&found, length, ours, kProtocol.size(), offered, offered_length);
  *chosen = found;
  return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::optional<std::string> text_of(const X509_NAME_ENTRY* entry) {
  unsigned char* bytes = nullptr;
  const int size = ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(entry));
  if (size < 0) return std::nullopt;
  std::string text(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  const bool is_readable = std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (text.empty() || text.size() > kLongestName || !is_readable) return std::nullopt;
  return text;
}

}  // namespace

Result<std::shared_ptr<ssl::context>> server_context(const TlsOptions& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, options.minimum == TlsVersion::Tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(native, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);

  boost::system::error_code failure;
  const auto wrong = [&](const std::string& what, const std::string& file) {
    ERR_clear_error();
    return Error(Code::Invalid, "the " + what + " " + file + " cannot be used: " + failure.message());
  };
  const auto certificate = read_file(options.certificate_file);
  if (!certificate) return certificate.error();
  context->use_certificate_chain(boost::asio::buffer(*certificate), failure);
  if (failure) return wrong("certificate", options.certificate_file);
  const auto key = read_file(options.key_file);
  if (!key) return key.error();
  context->use_private_key(boost::asio::buffer(*key), ssl::context::pem, failure);
  if (failure) return wrong("key", options.key_file);
  if (SSL_CTX_check_private_key(native) != 1) {
    ERR_clear_error();
    return Error(Code::Invalid, "the key " + options.key_file + " is not that of " + options.certificate_file);
  }
  if (options.client_authority_file.empty()) return context;

  const auto authority = read_file(options.client_authority_file);
  if (!authority) return authority.error();
  context->add_certificate_authority(boost::asio::buffer(*authority), failure);
  if (failure) return wrong("authority of clients", options.client_authority_file);
  if (X509_STORE* const store = SSL_CTX_get_cert_store(native)) {
    STACK_OF(X509_OBJECT)* const objects = X509_STORE_get0_objects(store);
    if (sk_X509_OBJECT_num(objects) == 0) {
      return Error(Code::Invalid, "the authority of clients " + options.client_authority_file +
                                      " cannot be used: there is no certificate in it");
    }
    // Clients with several certificates choose by the names of those that we take.
    for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
      if (X509* const one = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i))) SSL_CTX_add_client_CA(native, one);
    }
  }
  context->set_verify_mode(ssl::verify_peer, failure);
  return context;
}

std::optional<ClientCertificate> client_certificate(SSL* connection) {
  const X509* const certificate = SSL_get0_peer_certificate(connection);
  if (certificate == nullptr || SSL_get_verify_result(connection) != X509_V_OK) return std::nullopt;
  const X509_NAME* const subject = X509_get_subject_name(certificate);
  std::string user;
  std::vector<std::string> groups;
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const X509_NAME_ENTRY* const entry = X509_NAME_get_entry(subject, i);
    const int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (kind != NID_commonName && kind != NID_organizationName) continue;
    auto text = text_of(entry);
    if (!text) return std::nullopt;
    if (kind == NID_commonName) {
      user = std::move(*text);  // Of several the last, as Go takes it.
    } else if (groups.size() == kMostGroups) {
      return std::nullopt;
    } else {
      groups.push_back(std::move(*text));
    }
  }
  std::tm until{};
  if (user.empty() || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until) != 1) return std::nullopt;
  // Years beyond what the clock counts to are as good as never.
  const auto seconds = std::min<std::time_t>(timegm(&until), 9'000'000'000);
  return ClientCertificate{Identity(std::move(user), "", std::move(groups)),
                           std::chrono::system_clock::from_time_t(seconds)};
}

}  // namespace tinf::api
