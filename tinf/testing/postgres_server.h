// PostgresServer: a real PostgreSQL for tests: free port of 127.0.0.1, temporary folder, stopped by its process id.
// If it cannot be started the test fails; nothing is skipped.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace tinf::testing {

// Nothing is synced to the disk, as no test survives a power cut. It sorts text as people do, not by bytes. Who comes
// from outside needs a password; the superuser "postgres" needs none. Blocks the calling thread; throws
// std::runtime_error with the server's own words if something fails.
class PostgresServer {
 public:
  // `configuration`: lines added to postgresql.conf, as "max_connections = 20".
  explicit PostgresServer(std::string configuration = "");
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // One that runs, made by the first call and kept until the process ends: for tests that leave it as it is.
  static PostgresServer& shared();

  // Returns when connections are accepted. After stop() or kill() it has the same port and the same databases.
  void start();
  // Ends it in good order, connections are closed; or at once, as a power cut would. Returns when all of it is gone.
  void stop();
  void kill();
  // Frozen: connections stay and nothing answers, not even to new ones.
  void freeze();
  void thaw();

  // An empty database of a new name, which is returned.
  std::string create_database();
  // A role that may log in and nothing else.
  void create_role(const std::string& name, const std::string& password);

  // postgresql://postgres@127.0.0.1:PORT/DATABASE, or of another role with its password.
  std::string uri(const std::string& database) const;
  std::string uri(const std::string& database, const std::string& role, const std::string& password) const;

  // Runs SQL as the superuser, from outside of what is tested. The rows, a line each, columns parted by '|'.
  std::vector<std::string> query(const std::string& database, const std::string& sql) const;

  int port() const { return port_; }
  pid_t process_id() const { return process_; }
  // Where its data and its log are; both belong to the user that it runs as.
  const std::string& folder() const { return folder_; }
  // What it has logged so far.
  std::string log() const;

 private:
  void initialize();
  void write_configuration() const;
  bool start_on_port();
  bool accepts_connections() const;
  void end(int signal);

  const std::string configuration_;
  const std::string programs_;  // The folder of initdb, postgres and psql.
  std::string folder_;
  int port_ = 0;  // Zero until the first start.
  pid_t process_ = 0;
  int databases_ = 0;
};

}  // namespace tinf::testing
