// KubeListerWatcher: the ListerWatcher over a real API server.
// A list becomes objects while its bytes arrive and is never held twice; a watch becomes batches of what is there.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "tinf/contract/lister_watcher.h"
#include "tinf/kube/rest_client.h"

namespace tinf::kube {

// Where the API server has a scope's collection, "/apis/apps/v1/namespaces/web/deployments"; its objects are one level
// below by name.
std::string collection_path(const Scope& scope);

struct KubeListerWatcherOptions {
  bool keep_managed_fields = false;
  Deadlines list;   // Headers and bytes of a list.
  Deadlines watch;  // `idle`: how long a watch may be silent. Bookmarks come once a minute where a server has them.

  KubeListerWatcherOptions() { watch.idle = std::chrono::seconds(150); }  // One bookmark may be lost, not two.
};

// Beyond the contract's errors: Internal for a list or event of another kind, a Table, or what is not JSON; the message
// has the first bytes. A version in this server's future ("too large") is Expired. After a call that broke or stayed
// silent the next one takes a fresh connection. Not thread-safe: one strand.
class KubeListerWatcher final : public ListerWatcher {
 public:
  // `client` must outlive this and its streams.
  explicit KubeListerWatcher(RestClient& client, KubeListerWatcherOptions options = KubeListerWatcherOptions());

  SourceTraits traits() const override;
  Task<Result<Snapshot>> list(const Scope& scope, ListOptions options) override;
  Task<Result<std::unique_ptr<WatchStream>>> watch(const Scope& scope, WatchOptions options) override;

 private:
  class Stream;
  struct Health;  // Shared with the streams.
  struct Page;

  Request request_for(const Scope& scope) const;
  Task<Result<void>> read_page(const Scope& scope, Request request, const ListOptions& options, Page& page);

  // Constant after construction.
  RestClient& client_;
  const KubeListerWatcherOptions options_;
  const std::shared_ptr<Counter> undecodable_;

  // Confined to the strand.
  const std::shared_ptr<Health> health_;
  std::map<Resource, std::string> kinds_;  // As lists have told; at most one entry for each resource in use.
};

}  // namespace tinf::kube
