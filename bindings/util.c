/* util.c: see util.h. Not for other threads than the loop's: kept keys and the digest's context are shared. */
#include "bindings/util.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Lua ------------------------------------------------------------------------------------------------------ */

int fastr_push_err(lua_State *L, const struct fastr_err *err)
{
    return fastr_push_error(L, err->code, "%s", err->text);
}

/* Pushes the field; false (and pops it) if it is absent. */
static bool push_field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    if (!lua_isnil(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

const char *fastr_field_text(lua_State *L, int index, const char *name, const char *otherwise, size_t *length)
{
    if (!push_field(L, index, name)) {
        if (length)
            *length = otherwise ? strlen(otherwise) : 0;
        return otherwise;
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "field '%s': text expected, got %s", name, luaL_typename(L, -1));
    const char *text = lua_tolstring(L, -1, length);
    lua_pop(L, 1);
    return text;
}

const char *fastr_field_required(lua_State *L, int index, const char *name, size_t *length)
{
    const char *text = fastr_field_text(L, index, name, NULL, length);
    if (!text)
        luaL_error(L, "field '%s' is missing", name);
    return text;
}

int64_t fastr_field_int(lua_State *L, int index, const char *name, int64_t otherwise, int64_t least, int64_t most)
{
    if (!push_field(L, index, name))
        return otherwise;
    if (lua_type(L, -1) != LUA_TNUMBER)
        luaL_error(L, "field '%s': integer expected, got %s", name, luaL_typename(L, -1));
    double value = lua_tonumber(L, -1);
    if (!(value >= (double)least && value <= (double)most) || value != floor(value))
        luaL_error(L, "field '%s': an integer from %f to %f expected, got %f", name, (double)least, (double)most,
                   value);
    lua_pop(L, 1);
    return (int64_t)value;
}

bool fastr_field_bool(lua_State *L, int index, const char *name, bool otherwise)
{
    if (!push_field(L, index, name))
        return otherwise;
    if (!lua_isboolean(L, -1))
        luaL_error(L, "field '%s': true or false expected, got %s", name, luaL_typename(L, -1));
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

int64_t fastr_check_int(lua_State *L, int index, int64_t least, int64_t most)
{
    luaL_checktype(L, index, LUA_TNUMBER);
    double value = lua_tonumber(L, index);
    if (!(value >= (double)least && value <= (double)most) || value != floor(value))
        luaL_argerror(L, index, lua_pushfstring(L, "an integer from %f to %f expected, got %f", (double)least,
                                                (double)most, value));
    return (int64_t)value;
}

/* ---- texts of bytes ------------------------------------------------------------------------------------------- */

void fastr_base64url(struct fastr_buffer *out, const void *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *from = bytes;
    char *to = fastr_buffer_reserve(out, (length + 2) / 3 * 4);
    uint32_t held = 0;
    int bits = 0;
    for (size_t i = 0; i < length; i++) {
        held = held << 8 | from[i];
        for (bits += 8; bits >= 6; bits -= 6)
            *to++ = digits[held >> (bits - 6) & 63];
    }
    if (bits > 0)
        *to++ = digits[held << (6 - bits) & 63];
    *to = '\0';
    out->length = (size_t)(to - out->data);
}

static int base64url_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int fastr_unbase64url(struct fastr_buffer *out, const char *text, size_t length)
{
    char *to = fastr_buffer_reserve(out, length);
    uint32_t held = 0;
    int bits = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = base64url_digit(text[i]);
        if (digit < 0)
            return -1;
        held = held << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *to++ = (char)(held >> bits);
        }
    }
    if (bits == 6 || (held & ((1u << bits) - 1)) != 0)
        return -1;
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int fastr_unhex(void *to, const char *text, size_t length)
{
    unsigned char *bytes = to;
    if (length % 2 != 0)
        return -1;
    for (size_t i = 0; i < length; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return -1;
        *bytes++ = (unsigned char)(high << 4 | low);
    }
    return 0;
}

void fastr_sha256(unsigned char digest[32], const void *a, size_t a_length, const void *b, size_t b_length)
{
    static EVP_MD_CTX *context;
    static EVP_MD *sha256; /* fetched once: a fetch costs more than the hash of a token */
    if (!context) {
        context = EVP_MD_CTX_new();
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    }
    if (!context || !sha256 || EVP_DigestInit_ex2(context, sha256, NULL) != 1 ||
        EVP_DigestUpdate(context, a, a_length) != 1 || EVP_DigestUpdate(context, b, b_length) != 1 ||
        EVP_DigestFinal_ex(context, digest, NULL) != 1)
        abort(); /* an OpenSSL without SHA-256 */
}

/* ---- keys and signatures -------------------------------------------------------------------------------------- */

enum fastr_key_type fastr_key_type(const struct evp_pkey_st *key)
{
    char group[32] = "";
    if (EVP_PKEY_is_a(key, "ED25519"))
        return FASTR_KEY_ED25519;
    if (!EVP_PKEY_is_a(key, "EC") ||
        !EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL))
        return FASTR_KEY_OTHER;
    return strcmp(group, "prime256v1") == 0 ? FASTR_KEY_ES256 : FASTR_KEY_OTHER;
}

/* Encrypted keys are refused instead of asked for on the terminal. */
static int no_password(char *buffer, int size, int writing, void *data)
{
    return -1;
}

enum key_kind { PRIVATE, PUBLIC, RAW };

/* Keys by the SHA-256 of kind and text; the oldest gives way. */
static struct kept_key {
    unsigned char digest[32];
    EVP_PKEY *key;
} kept[32];
static size_t next_kept;

static EVP_PKEY *recall(const unsigned char digest[32])
{
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (kept[i].key && memcmp(kept[i].digest, digest, 32) == 0) {
            EVP_PKEY_up_ref(kept[i].key);
            return kept[i].key;
        }
    }
    return NULL;
}

static void remember(const unsigned char digest[32], EVP_PKEY *key)
{
    struct kept_key *slot = &kept[next_kept++ % (sizeof kept / sizeof *kept)];
    EVP_PKEY_free(slot->key);
    EVP_PKEY_up_ref(key);
    memcpy(slot->digest, digest, 32);
    slot->key = key;
}

static EVP_PKEY *parse_key(enum key_kind kind, const char *pem, size_t length)
{
    BIO *in = BIO_new_mem_buf(pem, (int)length);
    EVP_PKEY *key = kind == PRIVATE ? PEM_read_bio_PrivateKey(in, NULL, no_password, NULL)
                                    : PEM_read_bio_PUBKEY(in, NULL, no_password, NULL);
    BIO_free(in);
    ERR_clear_error();
    return key;
}

static struct evp_pkey_st *key_from_pem(enum key_kind kind, const char *pem, size_t length, struct fastr_err *err)
{
    const char *what = kind == PRIVATE ? "private" : "public", tag = (char)kind;
    unsigned char digest[32];
    fastr_sha256(digest, &tag, 1, pem, length);
    EVP_PKEY *key = recall(digest);
    if (key)
        return key;
    key = length < 16384 ? parse_key(kind, pem, length) : NULL;
    if (!key)
        return fastr_fail(err, "invalid", "the %s key is no unencrypted PEM", what), NULL;
    if (fastr_key_type(key) == FASTR_KEY_OTHER) {
        EVP_PKEY_free(key);
        return fastr_fail(err, "invalid", "the %s key is neither Ed25519 nor P-256", what), NULL;
    }
    remember(digest, key);
    return key;
}

struct evp_pkey_st *fastr_key_private(const char *pem, size_t length, struct fastr_err *err)
{
    return key_from_pem(PRIVATE, pem, length, err);
}

struct evp_pkey_st *fastr_key_public(const char *pem, size_t length, struct fastr_err *err)
{
    return key_from_pem(PUBLIC, pem, length, err);
}

static EVP_PKEY *p256_from_point(const unsigned char *xy)
{
    unsigned char point[65] = {0x04}; /* uncompressed */
    EVP_PKEY *key = NULL;
    memcpy(point + 1, xy, 64);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"prime256v1", 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    return key;
}

struct evp_pkey_st *fastr_key_raw(enum fastr_key_type type, const unsigned char *raw, size_t length)
{
    unsigned char digest[32];
    char tag = (char)RAW;
    if (length != (type == FASTR_KEY_ED25519 ? 32 : type == FASTR_KEY_ES256 ? 64 : 0) || length == 0)
        return NULL;
    fastr_sha256(digest, &tag, 1, raw, length);
    EVP_PKEY *key = recall(digest);
    if (key)
        return key;
    key = type == FASTR_KEY_ED25519 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, length)
                                    : p256_from_point(raw);
    ERR_clear_error();
    if (key)
        remember(digest, key);
    return key;
}

/* ECDSA: DER's two integers to r||s of 32 bytes each. */
static int der_to_raw(const unsigned char *der, size_t length, unsigned char raw[64])
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);
    int result = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32) == 32 &&
                 BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32) == 32 ? 0 : -1;
    ECDSA_SIG_free(pair);
    return result;
}

/* r||s to DER; the caller frees it with OPENSSL_free. */
static unsigned char *raw_to_der(const unsigned char *raw, size_t *length)
{
    unsigned char *der = NULL;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    if (pair && ECDSA_SIG_set0(pair, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL))) {
        int size = i2d_ECDSA_SIG(pair, &der);
        *length = size > 0 ? (size_t)size : 0;
    }
    ECDSA_SIG_free(pair);
    return der;
}

int fastr_key_sign(struct evp_pkey_st *key, const void *text, size_t length, unsigned char signature[64],
                   struct fastr_err *err)
{
    unsigned char made[128];
    size_t size = sizeof made;
    bool ed25519 = fastr_key_type(key) == FASTR_KEY_ED25519;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestSignInit(context, NULL, ed25519 ? NULL : EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(context, made, &size, text, length) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    if (ok && ed25519)
        memcpy(signature, made, 64);
    else if (ok)
        ok = der_to_raw(made, size, signature) == 0;
    return ok ? 0 : fastr_fail(err, "invalid", "OpenSSL could not sign with this key");
}

bool fastr_key_verify(struct evp_pkey_st *key, const void *text, size_t length, const unsigned char *signature,
                      size_t signature_length)
{
    bool ed25519 = fastr_key_type(key) == FASTR_KEY_ED25519;
    unsigned char *der = NULL;
    if (signature_length != 64)
        return false;
    if (!ed25519)
        signature = der = raw_to_der(signature, &signature_length);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = signature && context &&
              EVP_DigestVerifyInit(context, NULL, ed25519 ? NULL : EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(context, signature, signature_length, text, length) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    ERR_clear_error();
    return ok;
}

/* ---- settings ------------------------------------------------------------------------------------------------- */

int fastr_secret_setting(const char *path, char **secret, struct fastr_err *err)
{
    char text[512];
    const char *name = fastr_setting(path, "");
    *secret = NULL;
    if (*name == 0)
        return 0;
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return fastr_fail(err, "invalid", "setting %s: cannot read %s: %s", path, name, strerror(errno));
    size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    if (length == sizeof text)
        return fastr_fail(err, "invalid", "setting %s: %s is longer than 511 bytes", path, name);
    text[length] = 0;
    *secret = fastr_strndup(text, strcspn(text, "\r\n"));
    return 0;
}
