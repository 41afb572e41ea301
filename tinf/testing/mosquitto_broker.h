// MosquittoBroker: a real mosquitto for one test: free port, temporary folder, stopped by its process id.
// If it cannot be started the test fails; nothing is skipped.
#pragma once

#include <sys/types.h>

#include <string>

namespace tinf::testing {

class MosquittoBroker {
 public:
  // `configuration`: lines added to a listener on a free port of 127.0.0.1; "@FOLDER@" in it becomes folder().
  // Without "allow_anonymous" in it everybody may connect. Nothing is kept on disk: a restart forgets everything.
  explicit MosquittoBroker(std::string configuration = "");
  ~MosquittoBroker();
  MosquittoBroker(const MosquittoBroker&) = delete;
  MosquittoBroker& operator=(const MosquittoBroker&) = delete;

  // Returns when connections are accepted; throws std::runtime_error with the broker's own words if that does not come.
  void start();
  // Ends it in good order (Stop) or at once (Kill); returns when it is gone. It may be started again on the same port.
  void stop();
  void kill();
  // Frozen: connections stay and nothing answers.
  void freeze();
  void thaw();

  int port() const { return port_; }
  pid_t process_id() const { return process_; }
  const std::string& folder() const { return folder_; }
  // Writes a file into folder(), before start().
  void write_file(const std::string& name, const std::string& text) const;

 private:
  void end(int signal);
  bool accepts_connections() const;

  const std::string configuration_;
  std::string folder_;
  int port_ = 0;
  pid_t process_ = 0;
};

// Mosquitto's own plug-in for access rules; throws if it is not installed.
std::string dynamic_security_plugin();

// A port that nobody listens on now.
int free_port();

}  // namespace tinf::testing
