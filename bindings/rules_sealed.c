/* rules_sealed.c: see rules_sealed.h. Leans on runtime/json.h and the keys of util.h. */
#include "bindings/rules_sealed.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"

enum { TEXT_MAX = 64 * 1024, NAME_MAX_BYTES = 512 };

static const char head[] = "fastr signed pack 1\n";

bool fastr_sealed_needed(void) {
    return strcmp(fastr_setting("rules.signed", "false"), "true") == 0;
}

/* ---- the text --------------------------------------------------------------------------------------------*/

struct sealed {
    char key[17];
    unsigned char signature[64];
    const char *statement;
    size_t length;
};

/* The rest of the line at *at if it begins with `word`; *at moves past it. NULL if it does not, or has no end. */
static const char *take_line(const char **at, const char *end, const char *word, size_t *length) {
    size_t skip = strlen(word);
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    if (!stop || (size_t)(stop - *at) < skip || memcmp(*at, word, skip) != 0)
        return NULL;
    const char *rest = *at + skip;
    *length = (size_t)(stop - rest);
    *at = stop + 1;
    return rest;
}

static bool take_signature(struct sealed *sealed, const char *text, size_t length) {
    struct fastr_buffer bytes = {0};
    bool good = text && fastr_unbase64url(&bytes, text, length) == 0 && bytes.length == sizeof sealed->signature;
    if (good)
        memcpy(sealed->signature, bytes.data, sizeof sealed->signature);
    fastr_buffer_free(&bytes);
    return good;
}

static int parse(struct sealed *sealed, const char *text, size_t length, struct fastr_err *err) {
    const char *at = text, *end = text + length;
    size_t size = 0;
    if (length < sizeof head - 1 || memcmp(text, head, sizeof head - 1) != 0)
        return fastr_fail(err, "pack_unsigned", "no statement of a signed pack");
    at += sizeof head - 1;
    const char *key = take_line(&at, end, "key ", &size);
    if (!key || size != 16)
        return fastr_fail(err, "pack_unsigned", "the statement names no key");
    memcpy(sealed->key, key, 16);
    sealed->key[16] = 0;
    const char *signature = take_line(&at, end, "signature ", &size);
    if (!take_signature(sealed, signature, size))
        return fastr_fail(err, "pack_signature_wrong", "the signature is no 64 bytes of base64url");
    sealed->statement = take_line(&at, end, "", &sealed->length);
    if (!sealed->statement || at != end)
        return fastr_fail(err, "pack_signature_wrong", "the statement is not one line");
    return 0;
}

/* ---- the keys --------------------------------------------------------------------------------------------*/

/* Is the line "ed25519 BASE64URL NAME", and all of it? What `fastr rules key list` does not show is not trusted either. */
static bool read_key(const char *line, char text[64]) {
    char name[NAME_MAX_BYTES], more;
    return strchr(line, '\n') && sscanf(line, " ed25519 %63s %511s %c", text, name, &more) == 2;
}

/* The key of a line if its id is `id`; NULL. */
static struct evp_pkey_st *key_of_line(const char *line, const char *id) {
    char text[64], hex[65];
    unsigned char digest[32];
    struct fastr_buffer raw = {0};
    struct evp_pkey_st *key = NULL;
    if (read_key(line, text) && fastr_unbase64url(&raw, text, strlen(text)) == 0) {
        fastr_sha256(digest, raw.data, raw.length, "", 0);
        fastr_hex(hex, digest, sizeof digest);
        if (memcmp(hex, id, 16) == 0)
            key = fastr_key_raw(FASTR_KEY_ED25519, (const unsigned char *)raw.data, raw.length);
    }
    fastr_buffer_free(&raw);
    return key;
}

/* The trusted key of this id; NULL with `err`. */
static struct evp_pkey_st *trusted(const char *id, struct fastr_err *err) {
    char *path = fastr_format("%s/secrets/rules_trusted", fastr_setting("var", "var")), *line = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "re");
    struct evp_pkey_st *key = NULL;
    int reason = errno;
    while (file && !key && getline(&line, &room, file) > 0) /* however long: the end of one is no line of its own */
        key = key_of_line(line, id);
    if (!key && !file && reason != ENOENT)
        fastr_fail(err, "unavailable", "cannot read %s: %s", path, strerror(reason));
    else if (!key)
        fastr_fail(err, "pack_key_unknown",
                   "signed with the key %s, which this host does not trust (fastr rules key trust)", id);
    if (file)
        fclose(file);
    free(line);
    free(path);
    return key;
}

/* ---- the statement -----------------------------------------------------------------------------------------*/

static const struct fastr_json_token *past(const struct fastr_json_token *token) {
    const struct fastr_json_token *next = token + 1;
    bool is_list = token->kind == FASTR_JSON_LIST, is_object = token->kind == FASTR_JSON_OBJECT;
    uint32_t members = is_object ? 2 * token->count : is_list ? token->count : 0;
    for (uint32_t i = 0; i < members; i++)
        next = past(next);
    return next;
}

static bool is_text(const struct fastr_json_token *token, const char *text, size_t length) {
    return token->kind == FASTR_JSON_STRING && token->count == length && memcmp(token->text, text, length) == 0;
}

/* The member `name` of an object, or NULL. */
static const struct fastr_json_token *member(const struct fastr_json_token *object, const char *name) {
    const struct fastr_json_token *at = object + 1;
    for (uint32_t i = 0; object->kind == FASTR_JSON_OBJECT && i < object->count; i++) {
        if (is_text(at, name, strlen(name)))
            return at + 1;
        at = past(at + 1);
    }
    return NULL;
}

static bool holds(const struct fastr_json_token *list, const char *text, size_t length) {
    const struct fastr_json_token *at = list + 1;
    for (uint32_t i = 0; list->kind == FASTR_JSON_LIST && i < list->count; i++, at = past(at))
        if (is_text(at, text, length))
            return true;
    return false;
}

/* Every decision point that this installation asks must be in the list. */
static int check_points(const struct fastr_json_token *points, struct fastr_err *err) {
    const char *at = fastr_setting("rules.points", "");
    while (*at) {
        size_t length = strcspn(at, ";");
        if (!points || !holds(points, at, length))
            return fastr_fail(err, "pack_unfit", "made for other decision points: %.*s is not among them", (int)length,
                              at);
        at += length + (at[length] == ';');
    }
    return 0;
}

static int check_statement(const struct sealed *sealed, const char *hash, struct fastr_err *err) {
    struct fastr_err why;
    const struct fastr_json_token *tape = fastr_json_tape(sealed->statement, sealed->length, NULL, &why);
    if (!tape)
        return fastr_fail(err, "pack_unfit", "the statement is no JSON: %s", why.text);
    const struct fastr_json_token *pack = member(tape, "pack"), *abi = member(tape, "abi");
    if (!pack || !is_text(pack, hash, strlen(hash)))
        return fastr_fail(err, "pack_unfit", "the statement is about another pack");
    if (!abi || abi->kind != FASTR_JSON_NUMBER || abi->number != FASTR_RULES_ABI)
        return fastr_fail(err, "pack_unfit", "made for version %.0f of the arithmetic; this host has version %d",
                          abi && abi->kind == FASTR_JSON_NUMBER ? abi->number : 0.0, FASTR_RULES_ABI);
    return check_points(member(tape, "points"), err);
}

/* ---- both --------------------------------------------------------------------------------------------------*/

int fastr_sealed_check(const char *text, size_t length, const char *hash, char key[17], struct fastr_err *err) {
    struct sealed sealed;
    if (parse(&sealed, text, length, err) != 0)
        return -1;
    struct evp_pkey_st *public_key = trusted(sealed.key, err);
    if (!public_key)
        return -1;
    bool right = fastr_key_verify(public_key, sealed.statement, sealed.length, sealed.signature,
                                  sizeof sealed.signature);
    EVP_PKEY_free(public_key);
    if (!right)
        return fastr_fail(err, "pack_signature_wrong", "the signature of the key %s is not of this statement",
                          sealed.key);
    memcpy(key, sealed.key, sizeof sealed.key);
    return check_statement(&sealed, hash, err);
}

char *fastr_sealed_read(const char *folder, const char *hash, size_t *length, struct fastr_err *err) {
    char *path = fastr_format("%s/%s.sig", folder, hash), *text = NULL;
    FILE *file = fopen(path, "re");
    if (file) {
        text = fastr_alloc(TEXT_MAX);
        *length = fread(text, 1, TEXT_MAX, file);
        fclose(file);
    } else if (errno == ENOENT) {
        fastr_fail(err, "pack_unsigned", "the pack %.12s is not signed: there is no %s (fastr rules publish signs)", hash,
                   path);
    } else {
        fastr_fail(err, "unavailable", "cannot read %s: %s", path, strerror(errno));
    }
    free(path);
    return text;
}

int fastr_sealed_check_file(const char *folder, const char *hash, char key[17], struct fastr_err *err) {
    size_t length;
    struct fastr_err why;
    char *text = fastr_sealed_read(folder, hash, &length, err);
    if (!text)
        return -1;
    int rc = fastr_sealed_check(text, length, hash, key, &why);
    free(text);
    return rc == 0 ? 0 : fastr_fail(err, why.code, "%s/%.64s.sig: %.300s", folder, hash, why.text);
}
