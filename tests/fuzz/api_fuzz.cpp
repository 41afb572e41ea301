// The API server as its clients see it: request lines, bodies in JSON and protobuf, patches.
//
// An input is text:
//   r<METHOD> <target> [<content type> [<Accept>]]     requests to one server, one after another; a line that begins
//   <body>                                             with "> " begins the next
//   > <METHOD> …
//
//   f<METHOD> …     the same to the API of a fleet whose objects are always the same
//
//   a<METHOD> …     the same as somebody who may read the cluster c1 alone
//
//   n<object>       an object of a cluster, which gets its form for the fleet
//
//   t<resource>     an object that is shown in the columns of its resource, and what a printer column's path finds in
//   it <path> <object>
//
//   s<schema>       of a custom resource, which becomes OpenAPI of both versions
//
//   p<protobuf>     a body, see protobuf_of()
//
//   m<object>       a patch of each kind
//   <patch>
//
// A request's body is written like p's where its content type is Kubernetes' protobuf.
#include <boost/json/parse.hpp>
#include <map>
#include <set>

#include "tests/fuzz/fuzz.h"
#include "tinf/api/api_handler.h"
#include "tinf/api/body.h"
#include "tinf/api/body_filter.h"
#include "tinf/api/columns.h"
#include "tinf/api/components.h"
#include "tinf/api/fleet_form.h"
#include "tinf/api/openapi_v2.h"
#include "tinf/api/printer_path.h"
#include "tinf/patch/json.h"
#include "tinf/patch/patch.h"
#include "tinf/store/memory/fleet_memory_store.h"
#include "tinf/store/versioned_memory/versioned_memory_store.h"
#include "tinf/testing/virtual_time.h"

namespace tinf::fuzz {
namespace {

namespace json = boost::json;
using api::ApiRequest;
using api::ApiResponse;
using namespace std::chrono_literals;

constexpr std::size_t kMostRequests = 8;
constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";
constexpr std::string_view kTable = "application/json;as=Table;v=v1;g=meta.k8s.io";
constexpr std::string_view kMetadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

// Protobuf as it can be read: 1"text" is a string in field 1, 2{…} a message, 3=7 a number; what else there is stands
// for itself, so that nothing is too broken to be written.
std::string protobuf_of(std::string_view& text) {
  std::string bytes;
  const auto varint = [](std::uint64_t value) {
    std::string out;
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    return out + static_cast<char>(value);
  };
  const auto number = [&text] {
    std::uint64_t value = 0;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
      value = value * 10 + static_cast<std::uint64_t>(text.front() - '0');
      text.remove_prefix(1);
    }
    return value;
  };
  while (!text.empty()) {
    const char first = text.front();
    if (first == ' ' || first == '\n') {
      text.remove_prefix(1);
    } else if (first == '}') {
      text.remove_prefix(1);
      break;
    } else if (first >= '0' && first <= '9') {
      const auto field = number();
      const char kind = text.empty() ? '\0' : text.front();
      if (kind == '=') {
        text.remove_prefix(1);
        bytes += varint(field << 3) + varint(number());
      } else if (kind == '"' || kind == '{') {
        text.remove_prefix(1);
        const std::string inside = kind == '"' ? std::string(take(text, "\"")) : protobuf_of(text);
        bytes += varint(field << 3 | 2) + varint(inside.size()) + inside;
      } else {
        bytes += varint(field);
      }
    } else {
      bytes += first;
      text.remove_prefix(1);
    }
  }
  return bytes;
}

std::string body_of_protobuf(std::string_view text) {
  // As deep as the reader may recurse below; the writer above recurses, too.
  if (std::count(text.begin(), text.end(), '{') > 1000) return {};
  return std::string("k8s\0", 4) + protobuf_of(text);
}

json::value tree_of(std::string_view text, std::string_view about) {
  json::parse_options options;
  options.max_depth = 512;  // A list stands around what may itself be as deep as we allow.
  boost::system::error_code failure;
  auto tree = json::parse(json::string_view(text.data(), text.size()), failure, {}, options);
  if (failure) demand(false, "an answer is JSON", std::string(about) + "\n" + std::string(text));
  return tree;
}

std::vector<ApiRequest> requests_of(std::string_view input) {
  std::vector<ApiRequest> requests;
  while (!input.empty() && requests.size() < kMostRequests) {
    std::string_view text = take(input, "\n> ");
    std::string_view line = take(text);
    ApiRequest& request = requests.emplace_back();
    request.method = take(line, " ");
    request.target = take(line, " ");
    request.content_type = take(line, " ");
    request.accept = line;
    request.body = request.content_type == kProtobuf ? body_of_protobuf(text) : std::string(text);
  }
  return requests;
}

void check(const ApiRequest& request, const ApiResponse& response) {
  const std::string about = request.method + " " + request.target;
  demand(response.status >= 200 && (response.status < 500 || response.status == 504), "no request is our fault",
         about + " " + response.body);
  if (response.stream != nullptr || !response.content_type.starts_with("application/json")) return;
  if (response.body.ends_with("}\n")) return;  // A watch that ends before it has begun: a line.
  const auto tree = tree_of(response.body, about);
  std::string pretty;
  const auto indented = api::pretty_json();
  indented->add(response.body, pretty);
  indented->finish(pretty);
  demand(tree_of(pretty, about) == tree, "indented it says the same", pretty);
  if (response.status < 400) return;
  demand(json_string_at(tree, {"kind"}) == "Status" && json_integer_at(tree, {"code"}) == response.status,
         "a refusal is a Status", response.body);
  demand(!json_string_at(tree, {"message"}).empty(), "a refusal says why", response.body);
}

// A server on virtual time, and a client who watches config maps from the beginning.
class Play {
 public:
  Play() {
    demand(time_.await(handler_.start()).has_value(), "a server starts");
    watch_ = get("/api/v1/configmaps?watch=true");
    demand(watch_.stream != nullptr, "a watch is a stream");
  }

  void send(const ApiRequest& request) {
    const auto before = store_.version();
    const auto target = api::Target::parse(request.target);
    auto response = time_.await(handler_.handle(request));
    check(request, response);
    const bool same = store_.version() == before;
    demand(same || request.method != "GET", "reading changes nothing", request.target);
    demand(same || target.query.get("dryRun") != "All", "a dry run changes nothing", request.target);
    const bool writes = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
    demand(same || !writes || response.status < 300, "what is refused changes nothing", request.target);
    if (!same && writes) read_back(request, response);
  }

  // What is read in each form is of the same objects.
  void look_at(std::string target) {
    target = target.substr(0, target.find('?'));
    const std::string above = target.substr(0, target.rfind('/'));
    for (const auto& path : {target, above}) {
      if (!looked_at_.insert(path).second) continue;
      const auto plain = get(path);
      if (plain.status != 200 || plain.content_type != "application/json") continue;
      const auto tree = tree_of(plain.body, path);
      const auto* items = json_at(tree, {"items"});
      const bool is_list =
          items != nullptr && api::ResourcePath::parse(path) && json_at(tree, {"metadata", "name"}) == nullptr;
      if (!is_list) continue;
      demand(items->is_array(), "a list has items", path);
      std::set<std::string> keys;
      for (const auto& item : items->get_array()) {
        const auto object = Object::parse(json_text(item));
        demand(object.has_value(), "a list is of objects", plain.body);
        demand(keys.insert((*object)->key().to_string()).second, "a list has each object once", plain.body);
      }
      const auto table = get(path, kTable);
      demand(table.status == 200, "a list can be had as a table", table.body);
      demand(json_at(tree_of(table.body, path), {"rows"})->get_array().size() == keys.size(), "a table has them all");
      const auto metadata = get(path, kMetadata);
      demand(json_at(tree_of(metadata.body, path), {"items"})->get_array().size() == keys.size(),
             "so has a list of metadata");
    }
  }

  // Who watched from the beginning knows what a list says at the end.
  void settle() {
    std::map<std::string, json::value> known;
    while (auto lines = next()) {
      std::string_view rest = *lines;
      while (!rest.empty()) {
        const auto line = take(rest);
        const auto event = tree_of(line, "a watch");
        const auto type = json_string_at(event, {"type"});
        demand(type != "ERROR", "this watch goes on", line);
        const auto& object = *json_at(event, {"object"});
        const std::string key = std::string(json_string_at(object, {"metadata", "namespace"})) + "/" +
                                std::string(json_string_at(object, {"metadata", "name"}));
        demand((type == "ADDED") == !known.contains(key), "what is added was not there, what changes was", line);
        if (type == "DELETED") {
          known.erase(key);
        } else {
          known[key] = object;
        }
      }
    }
    const auto tree = tree_of(get("/api/v1/configmaps").body, "the last list");
    const auto& items = json_at(tree, {"items"})->get_array();
    demand(items.size() == known.size(), "a watch tells of every object");
    for (const auto& item : items) {
      const std::string key = std::string(json_string_at(item, {"metadata", "namespace"})) + "/" +
                              std::string(json_string_at(item, {"metadata", "name"}));
      demand(known.contains(key) && known[key] == item, "a watch tells of every change", key);
    }
  }

 private:
  ApiResponse get(const std::string& target, std::string_view accept = {}) {
    ApiRequest request;
    request.method = "GET";
    request.target = target;
    request.accept = accept;
    auto response = time_.await(handler_.handle(request));
    check(request, response);
    return response;
  }

  // What was answered is what is stored, unless taking its last finalizer ended it.
  void read_back(const ApiRequest& request, const ApiResponse& response) {
    if (!request.accept.empty()) return;
    std::string path = request.target.substr(0, request.target.find('?'));
    while (path.ends_with('/')) path.pop_back();
    const auto answered = tree_of(response.body, path);
    if (request.method == "POST") path += "/" + std::string(json_string_at(answered, {"metadata", "name"}));
    const auto stored = get(path);
    if (stored.status == 404 && json_at(answered, {"metadata", "deletionTimestamp"}) != nullptr) return;
    demand(tree_of(stored.body, path) == answered, "what was answered is what is stored",
           path + "\n" + response.body + "\n" + stored.body);
  }

  std::optional<std::string> next() {
    std::optional<std::optional<std::string>> piece;
    const auto read = [&]() -> Task<void> { piece.emplace(co_await watch_.stream->next()); };
    TaskGroup group(time_.runtime().executor);
    group.spawn(read());
    if (!time_.run_until([&] { return piece.has_value(); }, 1s)) {
      group.cancel();
      time_.run_for(0s);
      return std::nullopt;
    }
    return *piece;
  }

  testing::VirtualTime time_;
  VersionedMemoryStore store_{time_};
  api::ApiHandler handler_{time_.runtime(), store_};
  ApiResponse watch_;
  std::set<std::string> looked_at_;
};

void play_requests(std::string_view input) {
  const auto requests = requests_of(input);
  Play play;
  for (const auto& request : requests) play.send(request);
  for (const auto& request : requests) play.look_at(request.target);
  play.settle();
}

// Three clusters, of which one is away and one holds widgets in an older version.
class Fleet {
 public:
  explicit Fleet(bool is_restricted = false) : is_restricted_(is_restricted) {
    if (is_restricted_) {
      api::AuthorizationRule of_c1;
      of_c1.users = {"*"};
      of_c1.clusters = {"c1"};
      of_c1.namespaces = of_c1.api_groups = of_c1.resources = of_c1.verbs = {"*"};
      handler_.use(std::make_shared<const api::BearerTokens>(api::BearerTokens::parse("t").value()));
      handler_.use(std::make_shared<const api::AuthorizationPolicy>(std::vector{of_c1}));
    }
    for (const auto* cluster : {"c1", "c1-a", "c2"}) {
      FleetCluster known;
      known.name = cluster;
      known.present = known.name != "c2";
      known.offer = {offer("", "v1", "pods", "Pod", true), offer("", "v1", "nodes", "Node", false),
                     offer("", "v1", "events", "Event", true),
                     offer("example.com", known.present ? "v1" : "v1beta1", "widgets", "Widget", true)};
      demand(time_.await(store_.put_cluster(known)).has_value(), "a cluster is known");
      for (const auto& info : known.offer) {
        Scope scope;
        scope.resource = info.resource;
        copies_.push_back(store_.open(cluster, scope).value());
        Snapshot all{{object(info, "a", "{\"app\":\"web\"}"), object(info, "b\\u0026", "{}")}, ResourceVersion("7")};
        demand(time_.await(copies_.back()->replace(std::move(all))).has_value(), "a copy is filled");
      }
    }
  }

  void send(ApiRequest request) {
    if (is_restricted_) request.authorization = "Bearer t";
    const auto before = store_.version();
    const auto response = time_.await(handler_.handle(request));
    check(request, response);
    demand(store_.version() == before, "a fleet is read", request.target);
    if (is_restricted_) check_hidden(request, response);
    if (is_review(request)) return;
    const auto path = api::Target::parse(request.target).path;
    const bool writes = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
    demand(!writes || response.status >= 400, "who writes is refused", request.target);
    if (request.method != "GET" || response.status != 200 || response.stream != nullptr || !request.accept.empty())
      return;
    const auto tree = parse_json(response.body);
    const auto* items = tree ? json_at(*tree, {"items"}) : nullptr;
    if (items == nullptr || !items->is_array()) return;
    std::set<std::string> keys;
    for (const auto& item : items->get_array()) {
      const auto read = Object::parse(json_text(item));
      demand(read.has_value(), "a list is of objects", response.body);
      demand(keys.insert((*read)->key().to_string()).second, "a list has each object once", response.body);
      demand(path.starts_with("/clusters/") || api::fleet_place((*read)->key()), "a key names its cluster", path);
    }
  }

 private:
  static bool is_review(const ApiRequest& request) {
    return request.method == "POST" && request.target.find("selfsubject") != std::string::npos;
  }
  // What the caller did not name is not named: the clusters c1-a and c2, and the version of an API that c2 alone has.
  static void check_hidden(const ApiRequest& request, const ApiResponse& response) {
    std::string told = response.body;
    for (const auto& warning : response.warnings) told += "\n" + warning;
    const std::string said = request.target + "\n" + request.body;
    for (const std::string hidden : {"c1-a", "c2", "v1beta1"}) {
      const bool was_named = said.find(hidden) != std::string::npos || said.find_first_of("%\\") != std::string::npos;
      demand(was_named || told.find(hidden) == std::string::npos, "what is hidden is not told of", told);
    }
  }

  static ResourceInfo offer(std::string group, std::string version, std::string name, std::string kind,
                            bool in_namespace) {
    ResourceInfo info;
    info.resource = Resource{std::move(group), std::move(version), std::move(name)};
    info.kind = std::move(kind);
    info.namespaced = in_namespace;
    return info;
  }
  static ObjectPtr object(const ResourceInfo& info, const std::string& name, const std::string& labels) {
    return Object::parse(R"({"kind":")" + info.kind + R"(","apiVersion":")" + info.resource.api_version() +
                         R"(","metadata":{"name":")" + name + "\"" +
                         (info.namespaced ? R"(,"namespace":"default")" : "") + R"(,"resourceVersion":"3","labels":)" +
                         labels + R"(},"involvedObject":{"kind":"Node","name":"a"},"spec":{"size":5}})")
        .value();
  }

  testing::VirtualTime time_;
  FleetMemoryStore store_{time_};
  static api::HandlerOptions options(bool is_restricted) {
    api::HandlerOptions options;
    options.authentication.tokens = is_restricted;
    options.audit = [](const std::string& line) { (void)tree_of(line, "a line of the audit log"); };
    return options;
  }

  const bool is_restricted_;
  std::vector<std::unique_ptr<Store>> copies_;
  api::ApiHandler handler_{time_.runtime(), store_, options(is_restricted_)};
};

void play_fleet(std::string_view input, bool is_restricted) {
  Fleet fleet(is_restricted);
  for (const auto& request : requests_of(input)) fleet.send(request);
}

void play_form(std::string_view input) {
  const Exact exact(input);
  for (const auto naming : {api::Naming::Native, api::Naming::Fleet}) {
    const auto text = api::fleet_text(exact.view(), "c1", 42, naming, "involvedObject");
    const auto object = Object::parse(input, ParseOptions{true, "", ""});
    if (!object) continue;
    demand(text.has_value(), "every object has a form", input);
    const auto form = api::fleet_form(**object, "c1", 42, naming, "involvedObject");
    demand(form != nullptr, "a form is an object", *text);
    const FleetPlace place{"c1", (*object)->key()};
    demand(form->key() == (naming == api::Naming::Native ? place.key : api::fleet_key(place)), "it has its key", *text);
    demand(form->resource_version() == "42" && form->uid() == (*object)->uid(), "it has its version", *text);
    const auto has = [&](const auto& map, std::string_view key, std::string_view value) {
      return std::count(map.begin(), map.end(), std::pair(std::string(key), std::string(value))) == 1;
    };
    demand(has(form->labels(), api::kClusterLabel, "c1"), "its label names the cluster", *text);
    const auto own = (*object)->resource_version();
    demand(own.empty() || has(form->annotations(), api::kClusterVersionAnnotation, own), "and its own version", *text);
  }
}

void play_table(std::string_view input) {
  api::ResourceType type;
  type.collection = take(input);
  const auto path = take(input);
  const auto object = parse_json(input);
  if (!object) return;
  const auto definitions = tree_of(api::column_definitions(type), "columns");
  const auto row = tree_of(json_text(api::cells(type, *object, WallTime(1'800'000'000s))), "a row");
  demand(definitions.as_array().size() == row.as_array().size(), "a row has a cell for each column", type.collection);
  (void)tree_of(json_text(api::row_conditions(type, *object)), "a row's conditions");
  const Exact exact(path);
  const auto* found = api::first_at(*object, exact.view());
  demand(found == nullptr || tree_of(json_text(*found), "what is found") == *found, "what is found can be shown");
}

// Fields one after the other, each as long as it says.
bool is_message(std::string_view bytes) {
  const auto varint = [&]() -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
      const auto byte = static_cast<std::uint8_t>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  };
  while (!bytes.empty()) {
    const auto head = varint();
    const auto length = head && (*head & 7) == 2 ? varint() : std::nullopt;
    if (!length || *length > bytes.size()) return false;
    bytes.remove_prefix(*length);
  }
  return true;
}

void play_schema(std::string_view input) {
  api::ResourceType type;
  type.info.resource = Resource{"example.com", "v1", "widgets"};
  type.info.kind = "Widget";
  api::Components components;
  components.add(type, input);
  demand(components.by_name().contains("com.example.v1.Widget"), "every kind has a schema", input);
  for (const auto& [name, schema] : components.by_name()) {
    const auto tree = parse_json(schema);
    demand(tree && tree->is_object(), "a schema is a JSON object", schema);
    const auto of_v2 = api::schema_of_v2(tree->get_object());
    demand(parse_json(json_text(of_v2)).has_value(), "so it is in version 2", schema);
    demand(is_message(api::definition_of_v2(name, of_v2)), "and it is a message", schema);
  }
}

void play_protobuf(std::string_view input) {
  const std::string body = body_of_protobuf(input);
  const Exact exact(body);
  const auto tree = api::tree_of_protobuf(exact.view());
  if (!tree) {
    demand(tree.error().code == 400 || tree.error().code == 415, "a body is refused as what it is");
    (void)tree_of(tree.error().to_json(), "a refused body");
    return;
  }
  demand(tree->is_object() && json_at(*tree, {"kind"}) != nullptr, "a body is an object with its kind");
  const auto again = parse_json(json_text(*tree));
  const bool ascii = std::all_of(body.begin(), body.end(), [](char c) { return (c & 0x80) == 0; });
  demand(again || !ascii, "a body becomes JSON", json_text(*tree));
  demand(!again || *again == *tree, "and says the same in it", json_text(*tree));
}

void play_patch(std::string_view input) {
  const auto object = parse_json(take(input));
  const auto patch = parse_json(input);
  if (!object || !patch) return;
  const auto result = [](const json::value& tree) {
    const std::string text = json_text(tree);
    demand(text.size() < 16 << 20, "a patch makes no giants");
    const auto again = parse_json(text);
    demand(again.has_value(), "what was patched is JSON in bounds", text.substr(0, 256));
    return text;
  };
  json::value merged = *object;
  apply_merge_patch(merged, *patch);
  const std::string once = result(merged);
  apply_merge_patch(merged, *patch);
  demand(result(merged) == once, "to merge twice is to merge once", once);

  json::value patched = *object;
  if (const auto done = apply_json_patch(patched, *patch)) {
    (void)result(patched);
  } else {
    demand(done.error().code == Code::Invalid, "a patch is refused as Invalid");
  }
  json::value strategic = *object;
  if (const auto done = apply_strategic_merge_patch(strategic, *patch)) {
    (void)result(strategic);
  } else {
    demand(done.error().code == Code::Invalid, "a patch is refused as Invalid");
  }
}

}  // namespace
}  // namespace tinf::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  if (input.starts_with('r')) tinf::fuzz::play_requests(input.substr(1));
  if (input.starts_with('f')) tinf::fuzz::play_fleet(input.substr(1), false);
  if (input.starts_with('a')) tinf::fuzz::play_fleet(input.substr(1), true);
  if (input.starts_with('n')) tinf::fuzz::play_form(input.substr(1));
  if (input.starts_with('t')) tinf::fuzz::play_table(input.substr(1));
  if (input.starts_with('s')) tinf::fuzz::play_schema(input.substr(1));
  if (input.starts_with('p')) tinf::fuzz::play_protobuf(input.substr(1));
  if (input.starts_with('m')) tinf::fuzz::play_patch(input.substr(1));
  return 0;
}
