// devcluster: a small Kubernetes API server in one process, in memory: for demos, tests and first steps.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <fstream>
#include <iostream>

#include "tinf/api/api_server.h"
#include "tinf/store/versioned_memory/versioned_memory_store.h"

using namespace tinf;

namespace {

Task<void> serve(Runtime& runtime, api::ApiServer& server, std::string file, int& code) {
  auto ready = co_await server.listen();
  umask(077);  // The kubeconfig may hold a token.
  if (ready && !file.empty() && !(std::ofstream(file) << server.kubeconfig("devcluster") << std::flush))
    ready = Error(Code::Internal, file + " cannot be written");
  if (!ready) {
    std::cerr << "devcluster: " << ready.error().message << "\n";
    code = 1;
    co_return;
  }
  std::cout << "devcluster serves " << server.url() << std::endl;
  asio::signal_set signals(runtime.executor, SIGINT, SIGTERM);
  TaskGroup group(runtime.executor);
  group.spawn(server.run());
  co_await signals.async_wait(asio::use_awaitable);
  co_await group.stop();
}

}  // namespace

int main(int argc, char** argv) {
  api::ApiOptions options;
  std::string kubeconfig_out;
  CLI::App app("devcluster: a small Kubernetes API server in one process, in memory");
  app.add_option("--listen", options.listen, "address and port; port 0 takes a free one")->capture_default_str();
  app.add_option("--kubeconfig-out", kubeconfig_out, "write a kubeconfig for it here");
  app.add_option("--token-file", options.token_file, "bearer tokens that may call, one a line");
  app.add_option("--tls-cert", options.certificate_file, "certificate, PEM; clients are told to trust exactly it");
  app.add_option("--tls-key", options.key_file, "its key, PEM");
  app.add_flag("--debug-paths", options.debug_paths, "offer POST /debug/compact and /debug/cut-watches to loopback");
  CLI11_PARSE(app, argc, argv);

  asio::io_context context(1);
  RealClock clock;
  Metrics metrics;
  Random random = Random::from_entropy();
  Runtime runtime{context.get_executor(), clock, Log(), metrics, random};
  VersionedMemoryStore store(clock);
  api::ApiServer server(runtime, store, options);
  int code = 0;
  TaskGroup tasks(runtime.executor);
  tasks.spawn(serve(runtime, server, kubeconfig_out, code));
  context.run();
  return code;
}
