// The suite of all transports, over a real broker.
#include "tinf/contract/transport_contract.h"
#include "tinf/testing/mosquitto_broker.h"
#include "tinf/testing/real_time.h"
#include "tinf/transport/mqtt/mqtt_transport.h"

namespace tinf {
namespace {

// Mosquitto's access file cannot deny a subscription; this plug-in of its own can.
constexpr const char* kAccessRules = R"({
  "defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true},
  "groups": [{"groupname": "everybody", "roles": [{"rolename": "limited"}]}],
  "anonymousGroup": "everybody",
  "roles": [{"rolename": "limited", "acls": [
    {"acltype": "publishClientSend", "topic": "forbidden/#", "priority": 1, "allow": false},
    {"acltype": "subscribePattern", "topic": "forbidden/#", "priority": 1, "allow": false}]}]
})";

template <int qos>
struct MqttHarness {
  static constexpr std::size_t kMaximumMessageBytes = 64 * 1024;

  MqttHarness() {
    broker.write_file("access.json", kAccessRules);
    broker.start();
  }

  std::unique_ptr<Transport> connect(std::string client_id, std::optional<Message> last_will) {
    MqttOptions options;
    options.host = "127.0.0.1";
    options.port = broker.port();
    options.client_id = std::move(client_id);
    options.qos = qos;
    options.last_will = std::move(last_will);
    options.maximum_message_bytes = kMaximumMessageBytes;
    return std::move(*MqttTransport::open(time.runtime(), std::move(options)));
  }
  void stop_broker() { broker.kill(); }
  void start_broker() { broker.start(); }
  template <class T>
  T await(Task<T> task) {
    return time.await(std::move(task));
  }

  testing::MosquittoBroker broker{"plugin " + testing::dynamic_security_plugin() +
                                  "\nplugin_opt_config_file @FOLDER@/access.json"};
  testing::RealTime time;
};

INSTANTIATE_TYPED_TEST_SUITE_P(MqttQos1, TransportContract, MqttHarness<1>);
INSTANTIATE_TYPED_TEST_SUITE_P(MqttQos2, TransportContract, MqttHarness<2>);

}  // namespace
}  // namespace tinf
