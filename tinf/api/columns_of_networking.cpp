// Services, what leads to them, and where they lead.
#include <set>

#include "tinf/api/column.h"

namespace tinf::api {
namespace json = boost::json;
namespace {

constexpr std::size_t kFew = 3;  // That are shown of a list.

// Addresses of a load balancer, each once.
std::vector<std::string> balancer_addresses(const Tree& o) {
  std::set<std::string> addresses;
  for (const auto& ingress : list_at(o, {"status", "loadBalancer", "ingress"})) {
    const std::string ip = string_at(ingress, {"ip"});
    addresses.insert(ip.empty() ? string_at(ingress, {"hostname"}) : ip);
  }
  return {addresses.begin(), addresses.end()};
}

json::value service_cluster_ip(const Tree& o, WallTime) {
  const auto& ips = list_at(o, {"spec", "clusterIPs"});
  if (ips.empty() || !ips.front().is_string()) return text_or(json_string_at(o, {"spec", "clusterIP"}), "<none>");
  return text(ips.front().get_string());
}

json::value service_external_ip(const Tree& o, WallTime) {
  const auto type = json_string_at(o, {"spec", "type"});
  if (type == "ExternalName") return text(json_string_at(o, {"spec", "externalName"}));
  std::string ips = joined(strings_at(o, {"spec", "externalIPs"}));
  if (type == "LoadBalancer") return text_or(joined({joined(balancer_addresses(o)), ips}), "<pending>");
  return text_or(ips, "<none>");
}

json::value service_ports(const Tree& o, WallTime) {
  const auto ports = each(list_at(o, {"spec", "ports"}), [](const Tree& port) {
    std::string one = std::to_string(json_integer_at(port, {"port"}));
    if (const auto node = json_integer_at(port, {"nodePort"}); node > 0) one += ":" + std::to_string(node);
    const auto protocol = json_string_at(port, {"protocol"});
    return one + "/" + std::string(protocol.empty() ? "TCP" : protocol);
  });
  return text_or(joined(ports), "<none>");
}

json::value ingress_hosts(const Tree& o, WallTime) {
  const auto& rules = list_at(o, {"spec", "rules"});
  std::vector<std::string> hosts;
  for (const auto& rule : rules) {
    if (hosts.size() == kFew) return text(joined(hosts) + " + " + std::to_string(rules.size() - kFew) + " more...");
    if (auto host = string_at(rule, {"host"}); !host.empty()) hosts.push_back(std::move(host));
  }
  return text_or(joined(hosts), "*");
}

json::value ingress_address(const Tree& o, WallTime) {
  return text(joined(balancer_addresses(o)));
}

json::value ingress_ports(const Tree& o, WallTime) {
  return list_at(o, {"spec", "tls"}).empty() ? "80" : "80, 443";
}

json::value ingress_class_parameters(const Tree& o, WallTime) {
  if (!is_at(o, {"spec", "parameters"})) return "<none>";
  const std::string group = string_at(o, {"spec", "parameters", "apiGroup"});
  return text(string_at(o, {"spec", "parameters", "kind"}) + (group.empty() ? "" : "." + group) + "/" +
              string_at(o, {"spec", "parameters", "name"}));
}

json::value endpoints(const Tree& o, WallTime) {
  std::vector<std::string> all;
  for (const auto& subset : list_at(o, {"subsets"})) {
    const auto& ports = list_at(subset, {"ports"});
    const auto ips =
        each(list_at(subset, {"addresses"}), [](const Tree& address) { return string_at(address, {"ip"}); });
    if (ports.empty()) all.insert(all.end(), ips.begin(), ips.end());
    for (const auto& port : ports) {
      for (const auto& ip : ips) {
        const std::string host = ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
        all.push_back(host + ":" + std::to_string(json_integer_at(port, {"port"})));
      }
    }
  }
  if (list_at(o, {"subsets"}).empty()) return "<none>";
  return text(first_few(std::move(all), kFew, ""));
}

json::value slice_ports(const Tree& o, WallTime) {
  auto ports = each(list_at(o, {"ports"}), [](const Tree& port) {
    if (is_at(port, {"port"})) return scalar_at(port, {"port"});
    return is_at(port, {"name"}) ? string_at(port, {"name"}) : std::string("*");
  });
  return text(first_few(std::move(ports), kFew, "<unset>"));
}

json::value slice_endpoints(const Tree& o, WallTime) {
  std::vector<std::string> all;
  for (const auto& endpoint : list_at(o, {"endpoints"})) {
    const auto addresses = strings_at(endpoint, {"addresses"});
    all.insert(all.end(), addresses.begin(), addresses.end());
  }
  return text(first_few(std::move(all), kFew, "<unset>"));
}

json::value cidrs(const Tree& o, WallTime) {
  return text(joined(strings_at(o, {"spec", "cidrs"})));
}

json::value address_parent(const Tree& o, WallTime) {
  const Tree* parent = json_at(o, {"spec", "parentRef"});
  if (parent == nullptr || !parent->is_object()) return "<none>";
  const std::string group = string_at(*parent, {"group"});
  const std::string space = string_at(*parent, {"namespace"});
  return text(lower_case(string_at(*parent, {"resource"}) + (group.empty() ? "" : "." + group)) +
              (space.empty() ? "" : "/" + space) + "/" + string_at(*parent, {"name"}));
}

}  // namespace

const ColumnTable& columns_of_networking() {
  static const ColumnTable columns{
      {"services",
       {kName,
        {"Type", "string", 0, text_cell_or<"ClusterIP", "spec", "type">},
        {"Cluster-IP", "string", 0, service_cluster_ip},
        {"External-IP", "string", 0, service_external_ip},
        {"Port(s)", "string", 0, service_ports},
        kAge,
        {"Selector", "string", 1, map_cell<"spec", "selector">}}},
      {"endpoints", {kName, {"Endpoints", "string", 0, endpoints}, kAge}},
      {"endpointslices.discovery.k8s.io",
       {kName,
        {"AddressType", "string", 0, text_cell<"addressType">},
        {"Ports", "string", 0, slice_ports},
        {"Endpoints", "string", 0, slice_endpoints},
        kAge}},
      {"ingresses.networking.k8s.io",
       {kName,
        {"Class", "string", 0, text_cell_or<"<none>", "spec", "ingressClassName">},
        {"Hosts", "string", 0, ingress_hosts},
        {"Address", "string", 0, ingress_address},
        {"Ports", "string", 0, ingress_ports},
        kAge}},
      {"ingressclasses.networking.k8s.io",
       {kName,
        {"Controller", "string", 0, text_cell<"spec", "controller">},
        {"Parameters", "string", 0, ingress_class_parameters},
        kAge}},
      {"networkpolicies.networking.k8s.io",
       {kName, {"Pod-Selector", "string", 0, selector_cell<"spec", "podSelector">}, kAge}},
      {"servicecidrs.networking.k8s.io", {kName, {"CIDRs", "string", 0, cidrs}, kAge}},
      // The age that kube-apiserver sends here, too, has no column of its own.
      {"ipaddresses.networking.k8s.io", {kName, {"ParentRef", "string", 0, address_parent}}},
  };
  return columns;
}

}  // namespace tinf::api
