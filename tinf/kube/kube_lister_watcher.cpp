// Which parameters go together is the API server's rule: docs at
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
#include "tinf/kube/kube_lister_watcher.h"

#include "tinf/kube/api_status.h"
#include "tinf/kube/list_splitter.h"
#include "tinf/kube/watch_decoder.h"

namespace tinf::kube {
namespace {

constexpr const char* kMetadataVersion = "meta.k8s.io/v1";
constexpr const char* kMetadataKind = "PartialObjectMetadata";

bool metadata_only(const Scope& scope) {
  return scope.projection == Projection::Metadata;
}

std::string expected_api_version(const Scope& scope) {
  return metadata_only(scope) ? kMetadataVersion : scope.resource.api_version();
}

// Refuses what is not JSON before a byte of it is parsed.
Task<Result<void>> check_content_type(ResponseStream& body, std::string what) {
  const std::string type(body.header("Content-Type"));
  if (type.starts_with("application/json")) co_return Result<void>();
  auto first = co_await body.read();
  const std::string seen = first ? excerpt(*first) : first.error().message;
  co_return Error(Code::Internal, what + ": not JSON but \"" + type + "\": " + seen);
}

}  // namespace

std::string collection_path(const Scope& scope) {
  const Resource& resource = scope.resource;
  std::string path = resource.group.empty() ? "/api/" : "/apis/" + percent_encoded(resource.group) + "/";
  path += percent_encoded(resource.version) + "/";
  if (!scope.namespace_name.empty()) path += "namespaces/" + percent_encoded(scope.namespace_name) + "/";
  return path + percent_encoded(resource.name);
}

struct KubeListerWatcher::Health {
  bool wants_fresh_connection = false;

  // Silence and broken connections cast doubt on all kept ones.
  void note(const Error& error) {
    if (error.code == Code::Unavailable || error.code == Code::Timeout) wants_fresh_connection = true;
  }
};

struct KubeListerWatcher::Page {
  std::vector<ObjectPtr> objects;  // Of this page and those before it.
  ListEnvelope envelope;
  std::optional<std::size_t> total;  // Of all pages, as the last one told.
};

class KubeListerWatcher::Stream final : public WatchStream {
 public:
  Stream(std::unique_ptr<ResponseStream> body, WatchExpectation expectation, std::string what,
         std::shared_ptr<Health> health, std::shared_ptr<Counter> undecodable)
      : body_(std::move(body)),
        decoder_(std::move(expectation)),
        what_(std::move(what)),
        health_(std::move(health)),
        undecodable_(std::move(undecodable)) {}

  Task<Result<EventBatch>> next() override {
    while (!failure_) {
      if (auto ready = decoder_.next()) {
        if (*ready) co_return std::move(*ready);
        if (ready->error().code == Code::Internal) undecodable_->add();
        fail(Error(ready->error().code, what_ + ": " + ready->error().message));
        break;
      }
      auto chunk = co_await body_->read();
      if (!chunk) {
        health_->note(chunk.error());
        silent_ = chunk.error().code == Code::Timeout;
        fail(chunk.error());
      } else if (!chunk->empty()) {
        decoder_.feed(std::move(*chunk));
      } else if (decoder_.mid_line()) {
        fail(Error(Code::Unavailable, what_ + ": the stream ended inside an event"));
      } else {
        fail(Error(Code::Timeout, what_ + ": the server ended the watch"));
      }
    }
    co_return *failure_;
  }

  bool fell_silent() const override { return silent_; }

 private:
  void fail(Error error) {
    failure_ = std::move(error);
    body_.reset();  // Closes the connection now, not when the owner gets to it.
  }

  std::unique_ptr<ResponseStream> body_;
  WatchDecoder decoder_;
  const std::string what_;
  const std::shared_ptr<Health> health_;
  const std::shared_ptr<Counter> undecodable_;
  std::optional<Error> failure_;
  bool silent_ = false;
};

KubeListerWatcher::KubeListerWatcher(RestClient& client, KubeListerWatcherOptions options)
    : client_(client),
      options_(std::move(options)),
      undecodable_(client.runtime().metrics.counter("tinf_kube_undecodable_events_total",
                                                    "Watch events that could not be decoded; each ends its watch.")),
      health_(std::make_shared<Health>()) {}

SourceTraits KubeListerWatcher::traits() const {
  SourceTraits traits;
  traits.pages = true;
  traits.streaming_list = true;
  traits.version_zero = true;
  traits.decimal_versions = true;
  traits.ends_watches = true;
  return traits;
}

Request KubeListerWatcher::request_for(const Scope& scope) const {
  Request request(collection_path(scope));
  if (!scope.label_selector.empty()) request.query.emplace_back("labelSelector", scope.label_selector);
  if (!scope.field_selector.empty()) request.query.emplace_back("fieldSelector", scope.field_selector);
  return request;
}

Task<Result<Snapshot>> KubeListerWatcher::list(const Scope& scope, ListOptions options) {
  const bool any_version = options.version.empty() || options.version.text() == "0";
  const bool in_pages = options.page_size > 0 && any_version;
  const int page_size = options.version_only ? 1 : in_pages ? options.page_size : 0;
  Page page;
  std::string version;
  while (true) {
    Request request = request_for(scope);
    request.headers.emplace_back("Accept", metadata_only(scope)
                                               ? "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
                                               : "application/json");
    if (page_size > 0) request.query.emplace_back("limit", std::to_string(page_size));
    if (!page.envelope.continue_token.empty()) {
      request.query.emplace_back("continue", page.envelope.continue_token);
    } else if (!options.version.empty()) {
      request.query.emplace_back("resourceVersion", options.version.text());
    }
    const bool first = version.empty();
    auto read = co_await read_page(scope, std::move(request), options, page);
    if (!read) co_return read.error();
    const ListEnvelope& envelope = page.envelope;
    if (envelope.resource_version.empty()) {
      co_return Error(Code::Internal,
                      scope.resource.group_resource() + ": the list has no resourceVersion, so it cannot be followed");
    }
    if (!first && envelope.resource_version != version) {
      co_return Error(Code::Expired, scope.resource.group_resource() + ": pages of two versions, " + version + " and " +
                                         envelope.resource_version);
    }
    version = envelope.resource_version;
    if (envelope.continue_token.empty() || options.version_only) break;
  }
  Snapshot snapshot;
  snapshot.objects = std::move(page.objects);
  snapshot.version = ResourceVersion(std::move(version));
  co_return snapshot;
}

Task<Result<void>> KubeListerWatcher::read_page(const Scope& scope, Request request, const ListOptions& options,
                                                Page& page) {
  const std::string what = "list of " + scope.resource.group_resource();
  const std::string api_version = expected_api_version(scope);
  request.deadlines = options_.list;
  request.fresh_connection = std::exchange(health_->wants_fresh_connection, false);
  auto opened = co_await client_.stream(std::move(request));
  if (!opened) {
    health_->note(opened.error());
    co_return opened.error();
  }
  ResponseStream& body = **opened;
  auto type_fits = co_await check_content_type(body, what);
  if (!type_fits) co_return type_fits.error();

  const std::size_t before = page.objects.size();
  bool kind_came_late = false;
  const auto fits = [&](const ListEnvelope& list) {
    const bool kind_fits = metadata_only(scope)
                               ? list.kind == "PartialObjectMetadataList"
                               : list.kind.ends_with("List") && list.kind != "PartialObjectMetadataList";
    return (list.kind.empty() || kind_fits) && (list.api_version.empty() || list.api_version == api_version);
  };
  const auto item_kind = [](const ListEnvelope& list) {
    return std::string_view(list.kind).substr(0, list.kind.size() - std::min<std::size_t>(list.kind.size(), 4));
  };
  std::string beginning;
  const auto refused = [&](const std::string& why) {
    return Error(Code::Internal, what + ": " + why + ": " + excerpt(beginning));
  };

  ListSplitter splitter([&](std::string_view item, const ListEnvelope& list) -> Result<void> {
    if (!fits(list)) return Error(Code::Internal, "is a " + list.api_version + " " + list.kind);
    ParseOptions parse;
    parse.keep_managed_fields = options_.keep_managed_fields;
    parse.kind = item_kind(list);
    parse.api_version = list.kind.empty() ? std::string_view() : std::string_view(api_version);
    auto object = Object::parse(item, parse);
    if (!object) return Error(Code::Internal, object.error().message + ": " + excerpt(item));
    const Object& state = **object;
    if (state.kind().empty() || state.api_version().empty()) kind_came_late = true;
    if (!parse.kind.empty() && state.kind() != parse.kind)
      return Error(Code::Internal, "an item is a " + std::string(state.kind()));
    if (state.resource_version().empty())
      return Error(Code::Internal, "an item has no resourceVersion: " + excerpt(item));
    page.objects.push_back(std::move(*object));
    return Result<void>();
  });

  while (true) {
    auto chunk = co_await body.read();
    if (!chunk) {
      health_->note(chunk.error());
      co_return chunk.error();
    }
    if (chunk->empty()) break;
    if (beginning.size() < 256) beginning.append(*chunk, 0, 256);
    if (auto fed = splitter.feed(*chunk); !fed) co_return refused(fed.error().message);
    if (options.progress) options.progress(page.objects.size(), page.total);
  }
  auto envelope = splitter.finish();
  if (!envelope) {
    if (envelope.error().code == Code::Unavailable)
      co_return Error(Code::Unavailable, what + ": " + envelope.error().message);
    co_return refused(envelope.error().message);
  }
  if (!fits(*envelope)) co_return refused("is a " + envelope->api_version + " " + envelope->kind);

  if (kind_came_late) {
    for (std::size_t i = before; i < page.objects.size(); ++i) {
      ParseOptions parse;
      parse.keep_managed_fields = true;  // Cut already if unwanted.
      parse.kind = item_kind(*envelope);
      parse.api_version = api_version;
      auto object = Object::parse(page.objects[i]->raw(), parse);
      if (!object) co_return refused(object.error().message);
      page.objects[i] = std::move(*object);
    }
  }
  if (envelope->continue_token.empty()) {
    page.total = page.objects.size();
  } else if (envelope->remaining_item_count) {
    page.total = page.objects.size() + *envelope->remaining_item_count;
  }
  if (options.progress) options.progress(page.objects.size(), page.total);
  if (!metadata_only(scope)) kinds_[scope.resource] = std::string(item_kind(*envelope));
  page.envelope = std::move(*envelope);
  co_return Result<void>();
}

Task<Result<std::unique_ptr<WatchStream>>> KubeListerWatcher::watch(const Scope& scope, WatchOptions options) {
  const std::string what = "watch of " + scope.resource.group_resource();
  if (options.from.empty() && !options.initial_events) {
    co_return Error(Code::Invalid, what + ": needs a version to start from, or the initial events");
  }
  Request request = request_for(scope);
  request.headers.emplace_back("Accept", metadata_only(scope)
                                             ? "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
                                             : "application/json");
  request.query.emplace_back("watch", "true");
  request.query.emplace_back("allowWatchBookmarks", "true");
  if (!options.from.empty()) request.query.emplace_back("resourceVersion", options.from.text());
  if (options.initial_events) {
    request.query.emplace_back("sendInitialEvents", "true");
    request.query.emplace_back("resourceVersionMatch", "NotOlderThan");
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.timeout).count();
  if (seconds > 0) request.query.emplace_back("timeoutSeconds", std::to_string(seconds));
  request.deadlines = options_.watch;
  request.fresh_connection = std::exchange(health_->wants_fresh_connection, false);

  auto opened = co_await client_.stream(std::move(request));
  if (!opened) {
    health_->note(opened.error());
    co_return opened.error();
  }
  auto type_fits = co_await check_content_type(**opened, what);
  if (!type_fits) co_return type_fits.error();

  WatchExpectation expectation;
  expectation.api_version = expected_api_version(scope);
  if (metadata_only(scope)) {
    expectation.kind = kMetadataKind;
  } else if (const auto known = kinds_.find(scope.resource); known != kinds_.end()) {
    expectation.kind = known->second;
  }
  expectation.from = std::move(options.from);
  expectation.initial_events = options.initial_events;
  expectation.keep_managed_fields = options_.keep_managed_fields;
  std::unique_ptr<WatchStream> stream =
      std::make_unique<Stream>(std::move(*opened), std::move(expectation), what, health_, undecodable_);
  co_return Result<std::unique_ptr<WatchStream>>(std::move(stream));
}

}  // namespace tinf::kube
