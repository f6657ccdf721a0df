#include "relayd/admin/exchange.h"

#include <event2/buffer.h>
#include <event2/http.h>

#include <optional>
#include <utility>

#include "core/base/bytes.h"

namespace admin {
namespace {

std::string method_name(evhttp_cmd_type type) {
  switch (type) {
    case EVHTTP_REQ_GET:
      return "GET";
    case EVHTTP_REQ_POST:
      return "POST";
    case EVHTTP_REQ_HEAD:
      return "HEAD";
    case EVHTTP_REQ_PUT:
      return "PUT";
    case EVHTTP_REQ_DELETE:
      return "DELETE";
    default:
      return "OTHER";
  }
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const auto byte = text.size() - i > 2 ? base::hex_decode(text.substr(i + 1, 2)) : std::nullopt;
    if (!byte) return std::nullopt;
    out += *byte;
    i += 2;
  }
  if (!base::is_utf8(out)) return std::nullopt;
  return out;
}

}  // namespace

Exchange::Exchange(evhttp_request* request) : request_(request) {
  method = method_name(evhttp_request_get_command(request));
  const char* header =
      evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
  if (header != nullptr) authorization = header;

  const std::string_view uri = evhttp_request_get_uri(request);
  const std::size_t mark = uri.find('?');
  for (const std::string_view segment : base::parts(uri.substr(0, mark), '/')) {
    if (segment.empty()) continue;
    auto decoded = percent_decode(segment);
    well_formed = well_formed && decoded.has_value();
    path.push_back(std::move(decoded).value_or(""));
  }
  if (mark != std::string_view::npos) {
    for (const std::string_view pair : base::parts(uri.substr(mark + 1), '&')) {
      const std::size_t equals = pair.find('=');
      auto name = percent_decode(pair.substr(0, equals));
      auto value = percent_decode(equals == std::string_view::npos ? std::string_view()
                                                                   : pair.substr(equals + 1));
      well_formed = well_formed && name && value;
      if (name && value && !name->empty()) query.emplace(*name, *value);
    }
  }
  evbuffer* input = evhttp_request_get_input_buffer(request);
  body.resize(evbuffer_get_length(input));
  evbuffer_remove(input, body.data(), body.size());
}

void Exchange::reply(int status, const nlohmann::json& answer) {
  reply_text(status, "application/json",
             answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Exchange::reply_text(int status, std::string_view content_type, std::string_view text) {
  if (request_ == nullptr) return;
  evhttp_request* request = std::exchange(request_, nullptr);
  evkeyvalq* headers = evhttp_request_get_output_headers(request);
  evhttp_add_header(headers, "Content-Type", std::string(content_type).c_str());
  evhttp_add_header(headers, "Cache-Control", "no-store");
  evbuffer* output = evbuffer_new();
  if (output != nullptr) evbuffer_add(output, text.data(), text.size());
  // Where the client has gone, this only frees the request.
  evhttp_send_reply(request, status, nullptr, output);
  if (output != nullptr) evbuffer_free(output);
  if (on_answered) std::exchange(on_answered, nullptr)(status);
}

void Exchange::refuse(int status, std::string_view sentence) {
  reply(status, {{"error", base::to_utf8(sentence)}});
}

void Exchange::abandon() {
  evhttp_request* request = std::exchange(request_, nullptr);
  on_answered = nullptr;
  // A request that has lost its connection is nobody's but ours.
  if (request != nullptr && evhttp_request_get_connection(request) == nullptr) {
    evhttp_request_free(request);
  }
}

}  // namespace admin
