// Bodies: how the bytes of objects stand in a database: as they are, or compressed with words that others of their
// collection have as well. Alone, an object of 3 KiB compresses to two fifths; with such words to a fifth.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace tinf::database {

enum class BodyFormat { Json, Zstd };

struct BodyOptions {
  BodyFormat format = BodyFormat::Json;    // Of what is written; both are read.
  std::size_t learn_from_bytes = 1 << 20;  // Of the first objects of a collection, which are left as they are.

  BodyOptions() = default;
};

// What a frame needs to be read. It stands in the database beside the frames, and stays as long as they may.
struct Dictionary {
  std::uint32_t id = 0;  // Which its frames name.
  std::string collection;
  std::string content;
};

// One for a database. pack() and what speaks of dictionaries are the writing thread's; unpack() is thread-safe.
class Bodies {
 public:
  explicit Bodies(BodyOptions options = BodyOptions());
  ~Bodies();
  Bodies(const Bodies&) = delete;
  Bodies& operator=(const Bodies&) = delete;

  // One that the database holds.
  void add(const Dictionary& stored);

  // The frame to be written instead of the body; nothing: the body as it is. Lives until the next call. Every frame
  // needs what unstored() says to be written with it.
  std::optional<std::string_view> pack(const std::string& collection, std::string_view body);

  // Made since, and not stored yet: to be written in each transaction until stored() says that one of them was.
  const std::vector<Dictionary>& unstored() const { return unstored_; }
  void stored() { unstored_.clear(); }

  // Into `room`. False: it is no frame, it was altered, or its dictionary is not known.
  bool unpack(std::string_view frame, std::string& room) const;

 private:
  struct Reading;
  struct Collection;

  void learn(const std::string& name, Collection& collection, std::string_view body);
  bool use(const Dictionary& dictionary);

  const BodyOptions options_;
  std::map<std::string, Collection> collections_;
  std::vector<Dictionary> unstored_;
  std::string room_;

  mutable std::shared_mutex mutex_;
  std::map<std::uint32_t, std::unique_ptr<Reading>> dictionaries_;  // By id, under mutex_. Never taken away.
};

}  // namespace tinf::database
