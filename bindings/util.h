/* util.h: C that bindings share: run-time errors, option tables, base64url and hexadecimal, keys and signatures.
 * A binding includes runtime/fastr.h, this header and its library; never another binding. */
#ifndef FASTR_UTIL_H
#define FASTR_UTIL_H

#include "runtime/fastr.h"

/* ---- Lua ------------------------------------------------------------------------------------------------------ */

/* Pushes nil, err->text, err->code; returns 3. */
int fastr_push_err(lua_State *L, const struct fastr_err *err);

/* Fields of the table at `index`, for option tables. A missing field gives `otherwise`; one of another type, or out of
 * range, raises "field 'NAME': ...". Texts live as long as the table keeps them. `length` may be NULL. */
const char *fastr_field_text(lua_State *L, int index, const char *name, const char *otherwise, size_t *length);
/* As above, but a missing field raises too. */
const char *fastr_field_required(lua_State *L, int index, const char *name, size_t *length);
int64_t fastr_field_int(lua_State *L, int index, const char *name, int64_t otherwise, int64_t least, int64_t most);
bool fastr_field_bool(lua_State *L, int index, const char *name, bool otherwise);
/* The argument `index` as an integer from least to most; raises otherwise. */
int64_t fastr_check_int(lua_State *L, int index, int64_t least, int64_t most);

/* ---- settings ------------------------------------------------------------------------------------------------- */

/* The first line of the file that the setting `path` names, as a text that the caller frees; *secret is NULL when the
 * setting is empty. -1 with `err` if the file cannot be read or is over 511 bytes. The text is in no error. */
int fastr_secret_setting(const char *path, char **secret, struct fastr_err *err);

/* ---- texts of bytes ------------------------------------------------------------------------------------------- */

/* Appends base64url without padding (RFC 4648, section 5). */
void fastr_base64url(struct fastr_buffer *out, const void *bytes, size_t length);
/* Appends the bytes; -1 (buffer unchanged) for padding, other characters, an impossible length, or spare bits that are
 * not zero: every value has one form. */
int fastr_unbase64url(struct fastr_buffer *out, const char *text, size_t length);
/* Writes length / 2 bytes; -1 if the length is odd or a character is no digit. Takes both cases. */
int fastr_unhex(void *to, const char *text, size_t length);

/* The SHA-256 of a followed by b. */
void fastr_sha256(unsigned char digest[32], const void *a, size_t a_length, const void *b, size_t b_length);

/* ---- keys and signatures (Ed25519: RFC 8032; ES256, ECDSA over P-256 with SHA-256: RFC 7518, section 3.4) ---------- */

enum fastr_key_type { FASTR_KEY_OTHER, FASTR_KEY_ED25519, FASTR_KEY_ES256 };
struct evp_pkey_st; /* OpenSSL's EVP_PKEY; the caller frees it with EVP_PKEY_free */

/* The last 32 keys are remembered in this process, so that a key is parsed once.
 * A key from PEM (PKCS #8 or SubjectPublicKeyInfo, never encrypted); NULL with code "invalid" if it is not one, or of
 * another type than Ed25519 and P-256. The text of an error holds nothing of the key. */
struct evp_pkey_st *fastr_key_private(const char *pem, size_t length, struct fastr_err *err);
struct evp_pkey_st *fastr_key_public(const char *pem, size_t length, struct fastr_err *err);
/* A public key from its raw coordinates: Ed25519 32 bytes x; ES256 64 bytes x||y. NULL if it is no point. */
struct evp_pkey_st *fastr_key_raw(enum fastr_key_type type, const unsigned char *raw, size_t length);
enum fastr_key_type fastr_key_type(const struct evp_pkey_st *key);
/* Writes 64 bytes of signature: Ed25519's own, or r||s for ES256 (the JOSE form). -1 with `err` if OpenSSL cannot. */
int fastr_key_sign(struct evp_pkey_st *key, const void *text, size_t length, unsigned char signature[64],
                   struct fastr_err *err);
/* True if `signature` is 64 bytes and right. */
bool fastr_key_verify(struct evp_pkey_st *key, const void *text, size_t length, const unsigned char *signature,
                      size_t signature_length);

/* ---- transfers (util_transfer.c): one libcurl multi handle on the loop, for fastr.http and fastr.smtp ---------- */

/* Embedded in the operation of its owner. `easy` is a CURL *, from fastr_transfer_prepare until fastr_transfer_end. */
struct fastr_transfer {
    void *easy;
    /* Called once from the loop, outside libcurl's callbacks, with a CURLcode. The handle has left the multi handle:
     * the owner may read its CURLINFOs, then calls fastr_transfer_end. */
    void (*done)(struct fastr_transfer *transfer, int result);
    char problem[256]; /* libcurl's own words when `result` is not 0 */
    bool running;
};

/* Makes the multi handle; the first caller's call counts, later ones return 0. */
int fastr_transfers_start(struct fastr_err *err);
/* Ends what runs (no `done` is called) and frees the multi handle; later calls do nothing. */
void fastr_transfers_stop(void);
/* Gives the transfer a handle with the options that all share: no signals, no proxy from the environment, certificates
 * checked (http.ca_file, if set, instead of the system's), a limit of `timeout_ms` in all, never a blocking look-up. */
void fastr_transfer_prepare(struct fastr_transfer *transfer, int64_t timeout_ms);
void fastr_transfer_begin(struct fastr_transfer *transfer);
/* Takes the handle back, whether running or not. Not from within a libcurl callback. */
void fastr_transfer_end(struct fastr_transfer *transfer);

#endif
