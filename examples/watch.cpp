// The smallest program: prints what happens to the configmaps of a cluster until Enter is pressed.
#include <iostream>

#include "tinf/sdk/informer.h"

using namespace tinf;

int main() {
  auto cluster = sdk::Cluster::open(sdk::Kubeconfig{});
  if (!cluster) return std::cerr << cluster.error().message << "\n", 1;
  auto informer = sdk::Informer::open(*cluster, sdk::Query{.resource = "configmaps"});
  if (!informer) return std::cerr << informer.error().message << "\n", 1;

  sdk::Handlers print;
  print.on_add = [](const ObjectPtr& object, bool) {
    std::cout << "added   " << object->key().to_string() << std::endl;
  };
  print.on_update = [](const ObjectPtr&, const ObjectPtr& now) {
    std::cout << "changed " << now->key().to_string() << std::endl;
  };
  print.on_delete = [](const ObjectPtr& last, bool) {
    std::cout << "deleted " << last->key().to_string() << std::endl;
  };
  auto registration = informer->add(std::move(print));
  if (!registration) return std::cerr << registration.error().message << "\n", 1;
  std::cin.get();
}
