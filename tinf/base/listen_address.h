// The address that a server is to listen on, as users write it.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "tinf/base/result.h"

namespace tinf {

// Of ADDRESS:PORT, where the address is numeric, in brackets if it has colons, or `localhost`; port 0 stands for a free
// one. Invalid: it is not that; the message shows how to write it.
Result<boost::asio::ip::tcp::endpoint> parse_listen_address(const std::string& text);

}  // namespace tinf
