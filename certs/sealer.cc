#include "certs/sealer.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "certs/digest.h"
#include "core/base/bytes.h"
#include "core/base/id.h"
#include "core/base/log.h"

namespace certs {
namespace {

constexpr std::size_t kKeyOctets = 32;
constexpr std::size_t kNonceOctets = 12;
constexpr std::size_t kTagOctets = 16;
constexpr char kVersion = 1;
constexpr std::size_t kOverhead = 1 + kNonceOctets + kTagOctets;
// 32 bytes in base64 and a line end; more is not a key.
constexpr std::size_t kFileOctetsMax = 64;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

base::Error failed(const std::string& path, const char* step, int number) {
  return base::error("master key " + path + ": " + step + ": " +
                     std::generic_category().message(number));
}

base::Result<std::string> read_key(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return failed(path, "stat", errno);
  if (!S_ISREG(status.st_mode)) return base::error("master key " + path + " is not a file");
  if ((status.st_mode & 077) != 0) {
    return base::error("master key " + path +
                       " can be read or written by others: set its mode to 0600, and change the "
                       "secrets under it if somebody may have read it");
  }
  if (status.st_uid != ::geteuid() && ::geteuid() != 0) {
    return base::error("master key " + path + " belongs to another user");
  }
  std::string text(kFileOctetsMax + 1, '\0');
  std::size_t used = 0;
  while (used < text.size()) {
    const ssize_t n = ::read(fd, text.data() + used, text.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(path, "read", errno);
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  text.resize(used);
  auto key = base::base64_decode(base::trim(text));
  OPENSSL_cleanse(text.data(), text.size());
  if (!key || key->size() != kKeyOctets) {
    return base::error("master key " + path +
                       " does not hold 32 bytes in base64: restore it from a copy; without it the "
                       "stored secrets cannot be read");
  }
  return std::move(*key);
}

base::Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(path, "write", errno);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fsync(fd) != 0) return failed(path, "fsync", errno);
  return base::Ok{};
}

// Written whole under another name and then linked: a crash leaves no half a key behind, and of two
// processes that start at once both end up with the key of the first.
base::Status make_key(int directory, const std::string& path) {
  const std::string name = "master.key." + base::hex_encode(base::random_bytes(8));
  const Fd file(::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return failed(path, "create", errno);
  base::Status written =
      write_all(file.get(), base::base64_encode(base::random_bytes(kKeyOctets)) + "\n", path);
  if (written.ok() && ::linkat(directory, name.c_str(), directory, "master.key", 0) != 0 &&
      errno != EEXIST) {
    written = failed(path, "link", errno);
  }
  ::unlinkat(directory, name.c_str(), 0);
  if (!written) return written;
  if (::fsync(directory) != 0) return failed(path, "fsync of the folder", errno);
  return base::Ok{};
}

// What OpenSSL refuses below is lack of memory or a broken installation: nothing to go on with.
void require(bool done, const char* step) {
  if (done) return;
  base::log_error("cryptography failed", {{"step", step}});
  std::abort();
}

struct CipherFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, CipherFree>;

const unsigned char* octets(std::string_view text) {
  static constexpr unsigned char kNothing = 0;
  return text.data() == nullptr ? &kNothing : reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* octets(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
int length(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

base::Result<Sealer> Sealer::open(const std::string& directory) {
  const std::string path = directory + "/master.key";
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return failed(path, "making the folder", errno);
  }
  const Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return failed(path, "opening the folder", errno);
  for (bool made = false;; made = true) {
    const Fd file(
        ::openat(folder.get(), "master.key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (file.get() >= 0) {
      auto key = read_key(file.get(), path);
      if (!key) return key.error();
      return Sealer(key.take());
    }
    if (errno != ENOENT || made) return failed(path, "open", errno);
    if (auto done = make_key(folder.get(), path); !done) return done.error();
  }
}

std::string Sealer::seal(std::string_view secret, std::string_view context) const {
  std::string sealed(1, kVersion);
  sealed += base::random_bytes(kNonceOctets);
  sealed.resize(1 + kNonceOctets + secret.size() + kTagOctets);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  require(cipher != nullptr, "cipher");
  EVP_CIPHER_CTX* c = cipher.get();
  unsigned char* const out = octets(sealed);
  int n = 0;
  require(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), nullptr, octets(key_), out + 1) == 1, "key");
  // The version is authenticated with the context, or a later format could be passed off as this
  // one.
  require(EVP_EncryptUpdate(c, nullptr, &n, out, 1) == 1, "version");
  require(EVP_EncryptUpdate(c, nullptr, &n, octets(context), length(context)) == 1, "context");
  unsigned char* const text = out + 1 + kNonceOctets;
  require(EVP_EncryptUpdate(c, text, &n, octets(secret), length(secret)) == 1, "encrypt");
  require(EVP_EncryptFinal_ex(c, text + n, &n) == 1, "final");
  require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagOctets),
                              text + secret.size()) == 1,
          "tag");
  return sealed;
}

base::Result<std::string> Sealer::unseal(std::string_view sealed, std::string_view context) const {
  if (sealed.size() < kOverhead || sealed.front() != kVersion) {
    return base::error("not a sealed secret of version 1");
  }
  std::string secret(sealed.size() - kOverhead, '\0');
  std::string tag(sealed.substr(sealed.size() - kTagOctets));
  const std::string_view text = sealed.substr(1 + kNonceOctets, secret.size());
  const Cipher cipher(EVP_CIPHER_CTX_new());
  require(cipher != nullptr, "cipher");
  EVP_CIPHER_CTX* c = cipher.get();
  int n = 0;
  require(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), nullptr, octets(key_), octets(sealed) + 1) == 1,
          "key");
  require(EVP_DecryptUpdate(c, nullptr, &n, octets(sealed), 1) == 1, "version");
  require(EVP_DecryptUpdate(c, nullptr, &n, octets(context), length(context)) == 1, "context");
  require(EVP_DecryptUpdate(c, octets(secret), &n, octets(text), length(text)) == 1, "decrypt");
  require(
      EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagOctets), octets(tag)) == 1,
      "tag");
  if (EVP_DecryptFinal_ex(c, octets(secret) + n, &n) != 1) {
    // What has been decrypted is not proven to be ours.
    OPENSSL_cleanse(secret.data(), secret.size());
    return base::error("a sealed secret does not open for '" + base::printable(context) +
                       "': it was changed, belongs to another record, or master.key is not the one "
                       "it was sealed with");
  }
  return secret;
}

std::string Sealer::derive(std::string_view purpose) const {
  return hmac_sha256(key_, "derive/" + std::string(purpose));
}

}  // namespace certs
