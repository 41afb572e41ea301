#include "tinf/api/body_filter.h"

#include <zlib.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cassert>

#include "tinf/api/request.h"

namespace tinf::api {
namespace {

constexpr std::size_t kSliceBytes = 256 * 1024;  // Takes some 3 ms to compress.

constexpr std::size_t kDeepest =
    32;  // What is nested deeper is indented as this: brackets alone would grow without end.

class PrettyJson final : public BodyFilter {
 public:
  void add(std::string_view piece, std::string& out) override {
    for (const char c : piece) add(c, out);
  }
  void finish(std::string&) override {}

 private:
  void add(char c, std::string& out) {
    if (in_text_) {
      out += c;
      in_text_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
      return;
    }
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') return;
    const bool closes = c == '}' || c == ']';
    if (closes && depth_ > 0) --depth_;
    if (std::exchange(opened_, false) != closes) new_line(out);  // "{}" stays together.
    out += c;
    if (c == '{' || c == '[') {
      ++depth_;
      opened_ = true;
    }
    if (c == ',') new_line(out);
    if (c == ':') out += ' ';
    in_text_ = c == '"';
  }
  void new_line(std::string& out) const { out.append(1, '\n').append(2 * std::min(depth_, kDeepest), ' '); }

  std::size_t depth_ = 0;
  bool opened_ = false;  // Nothing has come since the last bracket.
  bool in_text_ = false;
  bool escaped_ = false;
};

class Gzip final : public BodyFilter {
 public:
  Gzip() {
    constexpr int kWindowBits = 15 + 16;  // 16 asks for gzip's head and tail.
    constexpr int kMemoryLevel = 8;
    [[maybe_unused]] const int made =
        deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, kWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY);
    assert(made == Z_OK);
  }
  ~Gzip() override { deflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;

  void add(std::string_view piece, std::string& out) override { run(piece, Z_NO_FLUSH, out); }
  void finish(std::string& out) override { run({}, Z_FINISH, out); }

 private:
  void run(std::string_view piece, int flush, std::string& out) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));  // zlib only reads it.
    stream_.avail_in = static_cast<uInt>(piece.size());
    do {
      char room[16 * 1024];
      stream_.next_out = reinterpret_cast<Bytef*>(room);
      stream_.avail_out = sizeof room;
      deflate(&stream_, flush);
      out.append(room, sizeof room - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

  z_stream stream_{};
};

// Appends `piece`, which may be large, filtered.
Task<void> add_in_slices(BodyFilter& filter, std::string_view piece, std::string& out) {
  while (!piece.empty()) {
    const auto slice = piece.substr(0, kSliceBytes);
    piece.remove_prefix(slice.size());
    filter.add(slice, out);
    if (!piece.empty()) co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
}

class FilteredStream final : public ResponseStream {
 public:
  FilteredStream(std::unique_ptr<ResponseStream> source, std::unique_ptr<BodyFilter> filter)
      : source_(std::move(source)), filter_(std::move(filter)) {}

  Task<std::optional<std::string>> next() override {
    std::string out;
    while (out.empty() && !ended_) {
      const auto piece = co_await source_->next();
      ended_ = !piece;
      if (piece) co_await add_in_slices(*filter_, *piece, out);
      if (ended_ && !source_->failed()) filter_->finish(out);
    }
    if (out.empty()) co_return std::nullopt;
    co_return out;
  }
  bool failed() const override { return source_->failed(); }
  bool ends_by_itself() const override { return source_->ends_by_itself(); }
  void cut() override { source_->cut(); }

 private:
  const std::unique_ptr<ResponseStream> source_;
  const std::unique_ptr<BodyFilter> filter_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<BodyFilter> pretty_json() {
  return std::make_unique<PrettyJson>();
}

std::unique_ptr<BodyFilter> gzip() {
  return std::make_unique<Gzip>();
}

Task<ApiResponse> filtered(ApiResponse response, std::unique_ptr<BodyFilter> filter) {
  if (response.stream != nullptr) {
    response.stream = std::make_unique<FilteredStream>(std::move(response.stream), std::move(filter));
    co_return response;
  }
  std::string out;
  co_await add_in_slices(*filter, response.body, out);
  filter->finish(out);
  response.body = std::move(out);
  co_return response;
}

bool wants_pretty(const ApiRequest& request) {
  if (const auto target = Target::parse(request.target); !target.query.get("pretty").empty()) {
    const auto& asked = target.query.get("pretty");
    return asked == "1" || asked == "t" || asked == "T" || asked == "true" || asked == "TRUE" || asked == "True";
  }
  for (const auto& media : media_types(request.accept)) {
    const auto pretty = media.parameters.find("pretty");
    if (pretty != media.parameters.end()) return pretty->second == "1" || pretty->second == "true";
  }
  for (const std::string_view agent : {"curl", "Wget", "Mozilla/5.0"}) {
    if (request.user_agent.starts_with(agent)) return true;
  }
  return false;
}

bool takes_gzip(std::string_view accept_encoding) {
  for (const auto& coding : media_types(accept_encoding)) {
    const auto quality = coding.parameters.find("q");
    if (coding.type == "gzip") return quality == coding.parameters.end() || quality->second != "0";
  }
  return false;
}

}  // namespace tinf::api
