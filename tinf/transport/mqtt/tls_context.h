// TlsContext: what OpenSSL needs for one connection, made anew for each so that renewed files are seen.
// Our own rather than libmosquitto's: it says why a certificate was refused, and knows a server name other than the
// host's.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "tinf/base/result.h"
#include "tinf/transport/mqtt/mqtt_transport.h"

namespace tinf::mqtt {

class TlsContext {
 public:
  // Invalid: a file cannot be read or does not fit; the message names it.
  static Result<std::unique_ptr<TlsContext>> make(const MqttTlsOptions& options, const std::string& host);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* get() { return context_; }

  // Why the peer's certificate was refused; empty if it was not.
  const std::string& refusal() const { return refusal_; }

 private:
  explicit TlsContext(std::string server_name);
  static int verified(int accepted, X509_STORE_CTX* store);
  static void handshake(const SSL* ssl, int where, int value);

  const std::string server_name_;
  SSL_CTX* const context_;
  std::string refusal_;
};

}  // namespace tinf::mqtt
