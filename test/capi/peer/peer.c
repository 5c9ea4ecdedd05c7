/*
 * A program that uses Microsoft's CryptoAPI as the article "Manual Session Key Exchanges"
 * describes, with one command for each step. `npm run test:capi` has p11seal exchange messages with
 * it, under Wine. It is a plain Windows program, and should run on Windows too.
 *
 *   peer new      --container C --bits N
 *   peer export   --container C --spec exchange|signature --out PUB
 *   peer send     --to PUB --blob F [--to PUB --blob F]... --alg A [--bits N] [cipher options]
 *                 --in F --cipher F
 *   peer receive  --container C [cipher options] --blob F --cipher F --out F
 *   peer sign     --container C --spec S --hash H [--description T] [--no-oid] --in F --sig F
 *   peer verify   --pub PUB --hash H [--description T] [--no-oid] --in F --sig F
 *   peer hash     --container C --hash H [--little-endian] --part key:BLOB|text:T...
 *   peer remove   --container C
 *
 * Cipher options: --mode cbc|ecb|cfb|ofb, --iv HEX, --oaep, --no-salt, --effective-bits N.
 * Exit status: 0 done, 1 a call of CryptoAPI failed (its name and NTE code on stderr), 2 wrong use.
 */
#include <windows.h>
#include <wincrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 4096 /* a multiple of every block */

typedef struct {
  BYTE *data;
  DWORD size;
} bytes;

typedef struct {
  const char *name;
  ALG_ID id;
} algorithm;

static const algorithm ALGORITHMS[] = {
    {"aes128", CALG_AES_128}, {"aes192", CALG_AES_192}, {"aes256", CALG_AES_256},
    {"3des", CALG_3DES},      {"3des112", CALG_3DES_112}, {"des", CALG_DES},
    {"rc2", CALG_RC2},        {"rc4", CALG_RC4},        {"md5", CALG_MD5},
    {"sha1", CALG_SHA1},      {"sha256", CALG_SHA_256}, {"sha384", CALG_SHA_384},
    {"sha512", CALG_SHA_512}};

static int arg_count;
static char **args;

static void wrong(const char *what) {
  fprintf(stderr, "peer: %s\n", what);
  exit(2);
}

static void must(BOOL done, const char *call) {
  if (done) return;
  fprintf(stderr, "%s 0x%08lx\n", call, (unsigned long)GetLastError());
  exit(1);
}

/* ── Arguments, files ── */

static BOOL has(const char *name) {
  for (int i = 2; i < arg_count; i++)
    if (strcmp(args[i], name) == 0) return TRUE;
  return FALSE;
}

/* The value of the option's nth occurrence, or NULL. */
static const char *nth(const char *name, int n) {
  for (int i = 2; i + 1 < arg_count; i++)
    if (strcmp(args[i], name) == 0 && n-- == 0) return args[i + 1];
  return NULL;
}

static const char *option(const char *name, const char *otherwise) {
  const char *found = nth(name, 0);
  if (found == NULL && otherwise == NULL) wrong(name);
  return found == NULL ? otherwise : found;
}

static ALG_ID algorithm_of(const char *name) {
  for (size_t i = 0; i < sizeof ALGORITHMS / sizeof *ALGORITHMS; i++)
    if (strcmp(ALGORITHMS[i].name, name) == 0) return ALGORITHMS[i].id;
  wrong(name);
  return 0;
}

static DWORD spec_of(void) {
  return strcmp(option("--spec", "exchange"), "signature") == 0 ? AT_SIGNATURE : AT_KEYEXCHANGE;
}

static bytes new_bytes(size_t size) {
  bytes made = {calloc(size + 1, 1), (DWORD)size};
  if (made.data == NULL) wrong("no memory");
  return made;
}

static bytes from_hex(const char *text) {
  bytes made = new_bytes(strlen(text) / 2);
  for (DWORD i = 0; i < made.size; i++) {
    unsigned value;
    if (sscanf(text + 2 * i, "%2x", &value) != 1) wrong("not hexadecimal");
    made.data[i] = (BYTE)value;
  }
  return made;
}

static void print_hex(const char *name, const BYTE *data, DWORD size) {
  printf("%s ", name);
  for (DWORD i = 0; i < size; i++) printf("%02x", data[i]);
  printf("\n");
}

/* Leaves room for a block of padding at the end. */
static bytes read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) wrong(path);
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  bytes made = new_bytes((size_t)size + 64);
  made.size = (DWORD)size;
  if (fread(made.data, 1, made.size, file) != made.size) wrong(path);
  fclose(file);
  return made;
}

static void write_file(const char *path, bytes content) {
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(content.data, 1, content.size, file) != content.size) wrong(path);
  fclose(file);
}

/* ── Providers, keys ── */

static HCRYPTPROV provider(const char *container, DWORD flags) {
  HCRYPTPROV found;
  must(CryptAcquireContextA(&found, container, MS_ENH_RSA_AES_PROV_A, PROV_RSA_AES, flags),
       "CryptAcquireContext");
  return found;
}

static HCRYPTKEY import_key(HCRYPTPROV prov, const char *path, HCRYPTKEY with, DWORD flags) {
  bytes blob = read_file(path);
  HCRYPTKEY key;
  must(CryptImportKey(prov, blob.data, blob.size, with, flags, &key), "CryptImportKey");
  return key;
}

static bytes export_key(HCRYPTKEY key, HCRYPTKEY with, DWORD type, DWORD flags) {
  DWORD size = 0;
  must(CryptExportKey(key, with, type, flags, NULL, &size), "CryptExportKey");
  bytes blob = new_bytes(size);
  must(CryptExportKey(key, with, type, flags, blob.data, &size), "CryptExportKey");
  blob.size = size;
  return blob;
}

/* What both sides must agree on, since no blob says it. */
static void set_parameters(HCRYPTKEY key) {
  const char *mode = option("--mode", "");
  DWORD value = strcmp(mode, "cbc") == 0   ? CRYPT_MODE_CBC
                : strcmp(mode, "ecb") == 0 ? CRYPT_MODE_ECB
                : strcmp(mode, "ofb") == 0 ? CRYPT_MODE_OFB
                : strcmp(mode, "cfb") == 0 ? CRYPT_MODE_CFB
                                           : 0;
  if (value != 0) must(CryptSetKeyParam(key, KP_MODE, (BYTE *)&value, 0), "CryptSetKeyParam KP_MODE");
  if (has("--iv"))
    must(CryptSetKeyParam(key, KP_IV, from_hex(option("--iv", NULL)).data, 0), "CryptSetKeyParam KP_IV");
  if (has("--effective-bits")) {
    value = (DWORD)atoi(option("--effective-bits", NULL));
    must(CryptSetKeyParam(key, KP_EFFECTIVE_KEYLEN, (BYTE *)&value, 0),
         "CryptSetKeyParam KP_EFFECTIVE_KEYLEN");
  }
  if (has("--no-salt")) {
    /* Not CRYPT_NO_SALT when the key is made or imported: Wine ignores that. */
    BYTE none;
    CRYPT_DATA_BLOB salt = {0, &none};
    must(CryptSetKeyParam(key, KP_SALT_EX, (BYTE *)&salt, 0), "CryptSetKeyParam KP_SALT_EX");
  }
}

static void print_salt(HCRYPTKEY key) {
  BYTE salt[32];
  DWORD size = sizeof salt;
  if (CryptGetKeyParam(key, KP_SALT, salt, &size, 0)) print_hex("salt", salt, size);
}

/* ── The article's steps ── */

static void new_container(void) {
  HCRYPTPROV prov = provider(option("--container", NULL), CRYPT_NEWKEYSET);
  DWORD bits = (DWORD)atoi(option("--bits", "2048"));
  HCRYPTKEY key;
  must(CryptGenKey(prov, AT_KEYEXCHANGE, bits << 16, &key), "CryptGenKey AT_KEYEXCHANGE");
  CryptDestroyKey(key);
  must(CryptGenKey(prov, AT_SIGNATURE, bits << 16, &key), "CryptGenKey AT_SIGNATURE");
  CryptDestroyKey(key);
  /* Wine stores them only now. */
  must(CryptReleaseContext(prov, 0), "CryptReleaseContext");
}

static void remove_container(void) {
  HCRYPTPROV none;
  must(CryptAcquireContextA(&none, option("--container", NULL), MS_ENH_RSA_AES_PROV_A, PROV_RSA_AES,
                            CRYPT_DELETEKEYSET),
       "CryptAcquireContext CRYPT_DELETEKEYSET");
}

static void export_public(void) {
  HCRYPTKEY key;
  must(CryptGetUserKey(provider(option("--container", NULL), 0), spec_of(), &key), "CryptGetUserKey");
  write_file(option("--out", NULL), export_key(key, 0, PUBLICKEYBLOB, 0));
}

static void send_message(void) {
  HCRYPTPROV prov = provider(NULL, CRYPT_VERIFYCONTEXT);
  DWORD bits = (DWORD)atoi(option("--bits", "0"));
  HCRYPTKEY key;
  must(CryptGenKey(prov, algorithm_of(option("--alg", NULL)), (bits << 16) | CRYPT_EXPORTABLE, &key),
       "CryptGenKey");
  set_parameters(key);
  print_salt(key);

  for (int i = 0; nth("--to", i) != NULL; i++) {
    HCRYPTKEY recipient = import_key(prov, nth("--to", i), 0, 0);
    if (nth("--blob", i) == NULL) wrong("--blob");
    write_file(nth("--blob", i), export_key(key, recipient, SIMPLEBLOB, has("--oaep") ? CRYPT_OAEP : 0));
  }

  bytes message = read_file(option("--in", NULL));
  bytes cipher = new_bytes((size_t)message.size + 64);
  DWORD done = 0, written = 0;
  BOOL final;
  do {
    DWORD size = message.size - done > CHUNK ? CHUNK : message.size - done;
    final = done + size == message.size;
    BYTE chunk[CHUNK + 64];
    memcpy(chunk, message.data + done, size);
    done += size;
    must(CryptEncrypt(key, 0, final, 0, chunk, &size, sizeof chunk), "CryptEncrypt");
    memcpy(cipher.data + written, chunk, size);
    written += size;
  } while (!final);
  cipher.size = written;
  write_file(option("--cipher", NULL), cipher);
}

static HCRYPTKEY own_session_key(HCRYPTPROV prov, const char *blob) {
  HCRYPTKEY own;
  must(CryptGetUserKey(prov, AT_KEYEXCHANGE, &own), "CryptGetUserKey");
  return import_key(prov, blob, own, has("--oaep") ? CRYPT_OAEP : 0);
}

static void receive_message(void) {
  HCRYPTKEY key = own_session_key(provider(option("--container", NULL), 0), option("--blob", NULL));
  set_parameters(key);
  bytes cipher = read_file(option("--cipher", NULL));
  /* In Wine, CryptDecrypt of zero bytes reads before the start of its buffer. */
  if (cipher.size == 0) wrong("no ciphertext");
  DWORD done = 0, written = 0;
  BOOL final;
  do {
    DWORD size = cipher.size - done > CHUNK ? CHUNK : cipher.size - done;
    DWORD start = done;
    done += size;
    final = done == cipher.size;
    must(CryptDecrypt(key, 0, final, 0, cipher.data + start, &size), "CryptDecrypt");
    memmove(cipher.data + written, cipher.data + start, size);
    written += size;
  } while (!final);
  cipher.size = written;
  write_file(option("--out", NULL), cipher);
}

/* ── Hashes and signatures ── */

static HCRYPTHASH hash_file(HCRYPTPROV prov) {
  HCRYPTHASH hash;
  must(CryptCreateHash(prov, algorithm_of(option("--hash", NULL)), 0, 0, &hash), "CryptCreateHash");
  bytes content = read_file(option("--in", NULL));
  must(CryptHashData(hash, content.data, content.size, 0), "CryptHashData");
  return hash;
}

static const char *description(void) { return has("--description") ? option("--description", NULL) : NULL; }

static void sign_file(void) {
  HCRYPTPROV prov = provider(option("--container", NULL), 0);
  HCRYPTHASH hash = hash_file(prov);
  DWORD flags = has("--no-oid") ? CRYPT_NOHASHOID : 0, size = 0;
  must(CryptSignHashA(hash, spec_of(), description(), flags, NULL, &size), "CryptSignHash");
  bytes signature = new_bytes(size);
  must(CryptSignHashA(hash, spec_of(), description(), flags, signature.data, &size), "CryptSignHash");
  signature.size = size;
  write_file(option("--sig", NULL), signature);
}

static void verify_file(void) {
  HCRYPTPROV prov = provider(NULL, CRYPT_VERIFYCONTEXT);
  HCRYPTKEY signer = import_key(prov, option("--pub", NULL), 0, 0);
  bytes signature = read_file(option("--sig", NULL));
  must(CryptVerifySignatureA(hash_file(prov), signature.data, signature.size, signer, description(),
                             has("--no-oid") ? CRYPT_NOHASHOID : 0),
       "CryptVerifySignature");
}

/* What the three-phase exchange hashes: session keys, names, the number of the phase. */
static void hash_parts(void) {
  HCRYPTPROV prov = provider(option("--container", NULL), 0);
  HCRYPTHASH hash;
  must(CryptCreateHash(prov, algorithm_of(option("--hash", NULL)), 0, 0, &hash), "CryptCreateHash");
  for (int i = 0; nth("--part", i) != NULL; i++) {
    const char *part = nth("--part", i);
    if (strncmp(part, "key:", 4) == 0)
      must(CryptHashSessionKey(hash, own_session_key(prov, part + 4),
                               has("--little-endian") ? CRYPT_LITTLE_ENDIAN : 0),
           "CryptHashSessionKey");
    else if (strncmp(part, "text:", 5) == 0)
      must(CryptHashData(hash, (const BYTE *)part + 5, (DWORD)strlen(part + 5), 0), "CryptHashData");
    else wrong(part);
  }
  BYTE value[64];
  DWORD size = sizeof value;
  must(CryptGetHashParam(hash, HP_HASHVAL, value, &size, 0), "CryptGetHashParam");
  print_hex("hash", value, size);
}

int main(int argc, char **argv) {
  arg_count = argc;
  args = argv;
  const char *command = argc < 2 ? "" : argv[1];
  if (strcmp(command, "new") == 0) new_container();
  else if (strcmp(command, "export") == 0) export_public();
  else if (strcmp(command, "send") == 0) send_message();
  else if (strcmp(command, "receive") == 0) receive_message();
  else if (strcmp(command, "sign") == 0) sign_file();
  else if (strcmp(command, "verify") == 0) verify_file();
  else if (strcmp(command, "hash") == 0) hash_parts();
  else if (strcmp(command, "remove") == 0) remove_container();
  else wrong("no such command");
  return 0;
}
