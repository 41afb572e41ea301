// What a user of the installed library sees of it: every header of the face, and both kinds of cluster linked in.
// Reaches nothing: it asks for a kubeconfig that is not there and a broker that does not answer, and wants to be told.
#include <tinf/sdk/client.h>
#include <tinf/sdk/cluster.h>
#include <tinf/sdk/controller.h>
#include <tinf/sdk/informer.h>
#include <tinf/sdk/work_queue.h>

#include <iostream>

#if defined(BOOST_VERSION) || defined(BOOST_CONFIG_HPP) || defined(BOOST_ASIO_VERSION) || defined(SIMDJSON_H)
#error "a header of the public face brings a third party's along"
#endif

namespace {

bool expect(bool held, const char* what) {
  if (!held) std::cerr << "does not hold: " << what << "\n";
  return held;
}

}  // namespace

int main() {
  using namespace tinf;
  const auto direct = sdk::Cluster::open(sdk::Kubeconfig{.path = "/no/such/kubeconfig"});
  bool good = expect(!direct && direct.error().message.find("/no/such/kubeconfig") != std::string::npos,
                     "a kubeconfig that is not there is named");
  good &= expect(!sdk::Client::open(sdk::Kubeconfig{.path = "/no/such/kubeconfig"}), "so it is for a client");

  // Port 1 of this machine: nobody listens there.
  const auto cluster =
      sdk::Cluster::open(sdk::Broker{.url = "mqtt://127.0.0.1:1", .client_id = "me", .cluster = "cluster1"});
  good &= expect(bool(cluster), "a broker that is away is waited for");
  if (!cluster) return 1;
  const auto informer =
      sdk::Informer::open(*cluster, sdk::Query{.resource = "configmaps"}, std::chrono::milliseconds(1));
  good &= expect(!informer && informer.error().code == Code::Unavailable, "but not longer than it was said");

  sdk::WorkQueue queue;
  queue.add(ObjectKey{"default", "a"});
  queue.shut_down();
  good &= expect(queue.get() == ObjectKey{"default", "a"} && !queue.get(), "a queue hands out what it holds, and ends");
  return good ? 0 : 1;
}
