#include "tinf/transport/mqtt/tls_context.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace tinf::mqtt {
namespace {

Error failed(const std::string& what) {
  const char* reason = nullptr;
  if (const unsigned long code = ERR_peek_last_error(); code != 0) reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return Error(Code::Invalid, "TLS: " + what + (reason == nullptr ? "" : std::string(": ") + reason));
}

Error unreadable(const std::string& what) {
  return failed(what + ": it must be a PEM file that we may read");
}

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace

TlsContext::TlsContext(std::string server_name)
    : server_name_(std::move(server_name)), context_(SSL_CTX_new(TLS_client_method())) {}

TlsContext::~TlsContext() {
  if (context_ == nullptr) return;
  SSL_CTX_set_app_data(context_, nullptr);  // libmosquitto may hold the context a little longer.
  SSL_CTX_free(context_);
}

Result<std::unique_ptr<TlsContext>> TlsContext::make(const MqttTlsOptions& options, const std::string& host) {
  ERR_clear_error();
  std::unique_ptr<TlsContext> made(new TlsContext(options.server_name.empty() ? host : options.server_name));
  SSL_CTX* context = made->context_;
  if (context == nullptr) return failed("no context");
  SSL_CTX_set_app_data(context, made.get());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE);
  SSL_CTX_set_info_callback(context, handshake);

  if (options.ca_file.empty() && options.ca_path.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) != 1) return failed("the system's certificates cannot be read");
  } else if (SSL_CTX_load_verify_locations(context, or_null(options.ca_file), or_null(options.ca_path)) != 1) {
    return unreadable("the certificate authorities in " + options.ca_file + options.ca_path + " cannot be read");
  }
  if (!options.certificate_file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1) {
      return unreadable("the client certificate " + options.certificate_file + " cannot be read");
    }
    if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
      return failed("the key " + options.key_file + " cannot be read or does not fit the certificate " +
                    options.certificate_file);
    }
  }
  if (options.insecure) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    return made;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verified);
  X509_VERIFY_PARAM* expected = SSL_CTX_get0_param(context);
  if (X509_VERIFY_PARAM_set1_ip_asc(expected, made->server_name_.c_str()) != 1 &&
      X509_VERIFY_PARAM_set1_host(expected, made->server_name_.c_str(), 0) != 1) {
    return failed("the server name " + made->server_name_ + " is not valid");
  }
  ERR_clear_error();
  return made;
}

int TlsContext::verified(int accepted, X509_STORE_CTX* store) {
  if (accepted) return accepted;
  const auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* self = static_cast<TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  if (self != nullptr && self->refusal_.empty()) {
    const int error = X509_STORE_CTX_get_error(store);
    self->refusal_ = X509_verify_cert_error_string(error);
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
      self->refusal_ += ": it is not for " + self->server_name_;
    }
  }
  return accepted;
}

void TlsContext::handshake(const SSL* ssl, int where, int) {
  if ((where & SSL_CB_HANDSHAKE_START) == 0) return;
  // libmosquitto has just asked for the host's name; the certificate wanted may be another's.
  const auto* self = static_cast<TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  if (self != nullptr) SSL_set_tlsext_host_name(const_cast<SSL*>(ssl), self->server_name_.c_str());
}

}  // namespace tinf::mqtt
