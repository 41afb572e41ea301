// What the server's TLS is made of: its context, out of files, and whose certificate a client has shown.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tinf/api/identity.h"
#include "tinf/base/clock.h"
#include "tinf/base/result.h"

namespace tinf::api {

enum class TlsVersion { Tls12, Tls13 };

struct TlsOptions {
  std::string certificate_file;  // PEM, with what stands between it and the authority.
  std::string key_file;
  std::string client_authority_file;  // PEM. Not empty: clients may show certificates that it has signed.
  TlsVersion minimum = TlsVersion::Tls12;

  TlsOptions() = default;
};

// Invalid: a file cannot be used, or the key is not the certificate's; the message names it.
Result<std::shared_ptr<boost::asio::ssl::context>> server_context(const TlsOptions& options);

struct ClientCertificate {
  Identity who;  // As Kubernetes reads it: the common name is the user, organizations are groups.
  WallTime ends{};
};

// Of the certificate that was verified in a handshake. Nothing: there was none, or it names no user.
std::optional<ClientCertificate> client_certificate(SSL* connection);

}  // namespace tinf::api
