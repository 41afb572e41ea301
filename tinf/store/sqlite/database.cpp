#include "tinf/store/sqlite/database.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "tinf/store/sqlite/schema.h"

namespace tinf::sqlite {
namespace {

constexpr std::size_t kRowsTogether = 2000;
constexpr std::size_t kIdleReaders = 4;

constexpr unsigned kTidyAfter = 64;        // Transactions.
constexpr std::int64_t kFreePages = 1024;  // 16 MiB that the next changes will need again.
constexpr std::int64_t kFreeShare = 8;     // More than an eighth of the file.
constexpr int kVacuumPages = 256;
constexpr std::uint64_t kAheadBytes = 64 << 20;
constexpr std::chrono::seconds kHoldBackAgain(60);  // Where somebody else stayed in a transaction.
constexpr const char* kReadCache = "PRAGMA cache_size = -16384; PRAGMA query_only = 1";

}  // namespace

// One process writes a file at a time. A file beside it, because SQLite's own locks come and go. It also says in which
// life of the file it was last open: a file whose own word is another one was put back, or comes from elsewhere.
class Database::FileLock {
 public:
  static Result<std::unique_ptr<FileLock>> of(const std::string& file) {
    const std::string name = file + "-lock";
    const int descriptor = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) {
      const std::string why = std::strerror(errno);
      return Error(Code::Invalid, "database " + file + ": " + name + " cannot be made (" + why +
                                      "): the folder must exist, have room, and this user may write in it");
    }
    auto lock = std::unique_ptr<FileLock>(new FileLock(descriptor));
    char text[128] = {};
    const auto length = pread(descriptor, text, sizeof text - 1, 0);
    std::istringstream words(std::string(text, length > 0 ? static_cast<std::size_t>(length) : 0));
    std::string pid;
    words >> pid >> lock->life_;
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      return Error(Code::AlreadyExists, "database " + file + ": another process" +
                                            (pid.empty() ? "" : " (pid " + pid + ")") +
                                            " writes to it: stop that one, or use another file");
    }
    return lock;
  }
  ~FileLock() { ::close(descriptor_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  const std::string& last_life() const { return life_; }
  void say(const std::string& life) {
    const std::string text = std::to_string(getpid()) + " " + life + "\n";
    // Where it cannot be said, the next life begins as after a loss.
    if (ftruncate(descriptor_, 0) == 0) (void)!pwrite(descriptor_, text.data(), text.size(), 0);
  }

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  const int descriptor_;
  std::string life_;
};

Result<std::unique_ptr<Database>> Database::open(const std::string& name, database::Bodies& bodies, const Load& load,
                                                 std::function<void()> committed) {
  // One name for one file, whichever way it is written, and none that SQLite would take for more than a name.
  std::error_code failed;
  const std::string file = std::filesystem::weakly_canonical(name, failed).string();
  if (failed) return Error(Code::Invalid, "database " + name + ": " + failed.message());
  auto lock = FileLock::of(file);
  if (!lock) return lock.error();
  auto database = std::unique_ptr<Database>(new Database(file, bodies, std::move(*lock), std::move(committed)));
  // What it holds may be secret: nobody else is to read what SQLite would make for all. Its other files follow this
  // one.
  const int made = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (made >= 0) ::close(made);
  try {
    database->writing_ = std::make_unique<Connection>(file, Connection::Mode::ReadWrite);
    database->writing_->use(bodies);
    database->writing_->wait_for_locks_until(database->writer_.closing());
    database->writing_->run("PRAGMA cache_size = -65536");
    prepare_schema(*database->writing_, file);
    database->begin_life(*database->writing_, load);
  } catch (const Failure& failure) {
    return failure.error;
  }
  database->writer_.start();
  return database;
}

Database::Database(std::string file, database::Bodies& bodies, std::unique_ptr<FileLock> lock,
                   std::function<void()> committed)
    : file_(std::move(file)),
      bodies_(bodies),
      lock_(std::move(lock)),
      writer_(kRowsTogether, [this](const std::vector<Work*>& together) { carry_out(together); },
              {std::move(committed), [this] { tidy(); }}) {}

void Database::begin_life(Connection& connection, const Load& load) {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::string last;
  {
    Query query = connection.query("SELECT value FROM meta WHERE name = 'life'");
    if (query.step()) last = query.text(0);
  }
  const bool goes_on = !boot.empty() && last.starts_with(boot) && last == lock_->last_life();
  const std::string life = boot + "/" + std::to_string(std::random_device()()) + std::to_string(std::random_device()());
  // On the disk before anything is told: two losses in a row must not begin at the same place.
  connection.run("PRAGMA synchronous = FULL");
  Transaction first(connection, "BEGIN IMMEDIATE");
  load(connection, goes_on);
  connection.query("INSERT OR REPLACE INTO meta VALUES('life', ?)").bind(life).run();
  first.commit();
  lock_->say(life);
  // From here on what a crash of the machine takes comes back from the clusters: no need to wait for the disk.
  connection.run("PRAGMA synchronous = NORMAL");
}

Database::~Database() {
  writer_.stop();
  reading_.join();
}

// A file that is written for years while somebody always reads must neither grow nor stop. Each step is short.
void Database::tidy() {
  if (++untidied_ < kTidyAfter) return;
  untidied_ = 0;
  try {
    moved_ = writing_->has_moved();
    const auto free = writing_->number("PRAGMA freelist_count");
    if (free > kFreePages && free > writing_->number("PRAGMA page_count") / kFreeShare)
      writing_->run(("PRAGMA incremental_vacuum(" + std::to_string(kVacuumPages) + ")").c_str());
    // Readers that follow each other without a gap keep SQLite from beginning its log anew: then writing waits for
    // those of now to end, while those that come read the file itself.
    const auto now = std::chrono::steady_clock::now();
    if (sizes().ahead > kAheadBytes && now >= hold_back_until_) {
      const bool in_vain = writing_->number("PRAGMA wal_checkpoint(TRUNCATE)") != 0;
      if (in_vain) hold_back_until_ = std::chrono::steady_clock::now() + kHoldBackAgain;
    }
  } catch (const Failure&) {  // Whoever writes next is told what is the matter.
  }
}

Database::Sizes Database::sizes() const {
  const auto size = [](const std::string& name) {
    std::error_code none;
    const auto bytes = std::filesystem::file_size(name, none);
    return none ? std::uint64_t(0) : std::uint64_t(bytes);
  };
  return Sizes{size(file_), size(file_ + "-wal")};
}

void Database::carry_out(const std::vector<Work*>& together) {
  if (moved_) {
    throw Failure{Error(Code::Unavailable, "database " + file_ +
                                               ": the file was moved, replaced or deleted while it was open: put it "
                                               "back, or start this program again on the one that is there now")};
  }
  Transaction transaction(*writing_, "BEGIN IMMEDIATE");
  for (const Work* one : together) one->write(*writing_);
  writing_->keep_dictionaries();  // Whichever work they were made for, also one that has failed: frames name them.
  transaction.commit();
  bodies_.stored();
}

std::unique_ptr<Connection> Database::borrow() const {
  {
    const std::lock_guard guard(readers_mutex_);
    if (!readers_.empty()) {
      auto connection = std::move(readers_.back());
      readers_.pop_back();
      return connection;
    }
  }
  auto connection = std::make_unique<Connection>(file_, Connection::Mode::ReadOnly);
  connection->use(bodies_);
  connection->run(kReadCache);
  return connection;
}

void Database::give_back(std::unique_ptr<Connection> connection) const {
  const std::lock_guard guard(readers_mutex_);
  if (readers_.size() < kIdleReaders) readers_.push_back(std::move(connection));
}

}  // namespace tinf::sqlite
