#include "tinf/base/listen_address.h"

namespace tinf {

namespace asio = boost::asio;

Result<asio::ip::tcp::endpoint> parse_listen_address(const std::string& text) {
  const auto colon = text.rfind(':');
  boost::system::error_code error;
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
  const std::string port = colon == std::string::npos ? "" : text.substr(colon + 1);
  const bool number = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos &&
                      std::stoi(port) <= 65535;
  if (error || !number) {
    return Error(Code::Invalid, "\"" + text + "\" is not address:port: write it as 127.0.0.1:8080 or [::]:8080");
  }
  return asio::ip::tcp::endpoint(address, static_cast<unsigned short>(std::stoi(port)));
}

}  // namespace tinf
