/* jwt.c: fastr.jwt: JSON Web Tokens (RFC 7519) as signed compact JWS (RFC 7515), keys as JWKS (RFC 7517, RFC 8037).
 *
 * Two algorithms, EdDSA (Ed25519) and ES256, each only with a key of its own type: a token cannot choose how it is
 * checked (RFC 8725, section 3.1). Headers that name keys or addresses (jwk, jku, x5c) are not looked at; one with
 * `crit` is refused. What costs is the signature: a right one is remembered for token and key until the token expires.
 * All else (key still in the set, issuer, audience, times) is checked every time. */
#include <lauxlib.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "bindings/util.h"
#include "runtime/json.h"

#define MOST_TOKEN 8192
#define MOST_LEEWAY 300

static const struct fastr_json_limits limits = {.depth = 16, .bytes = MOST_TOKEN};

static const char *algorithm_of(enum fastr_key_type type)
{
    return type == FASTR_KEY_ED25519 ? "EdDSA" : type == FASTR_KEY_ES256 ? "ES256" : NULL;
}

/* The text field `name` of the table on top of the stack, NULL if missing or no text; the table keeps it alive. */
static const char *text_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1);
    return text;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* ---- signatures that were right ---------------------------------------------------------------------------------- */

enum { SETS = 1024, WAYS = 4 };

/* By the SHA-256 of the token; valid for one key (the SHA-256 of its coordinates) until the token expires. */
static struct seen {
    unsigned char token[32], key[32], id[32];
    int64_t until; /* Unix seconds; 0: free */
} seen[SETS][WAYS];

static struct seen *set_of(const unsigned char token[32])
{
    uint32_t number;
    memcpy(&number, token, sizeof number);
    return seen[number % SETS];
}

static bool was_seen(const unsigned char token[32], const unsigned char key[32])
{
    struct seen *set = set_of(token);
    for (int i = 0; i < WAYS; i++)
        if (set[i].until && memcmp(set[i].token, token, 32) == 0 && memcmp(set[i].key, key, 32) == 0)
            return true;
    return false;
}

/* Takes the place of the entry that would go first. */
static void add_seen(const unsigned char token[32], const unsigned char key[32], const char *id, int64_t until)
{
    struct seen *set = set_of(token), *place = set;
    for (int i = 1; i < WAYS; i++)
        if (set[i].until < place->until)
            place = &set[i];
    memcpy(place->token, token, 32);
    memcpy(place->key, key, 32);
    fastr_sha256(place->id, id ? id : "", id ? strlen(id) : 0, "", 0);
    place->until = until;
}

/* jwt.forget(token_or_jti): lets go of what is remembered of a token, given whole or by its `jti`, in this worker; its
 * next use checks the signature again. Returns whether there was something. Whether a session still holds is for the
 * caller to know: a token stays valid until it expires. */
static int jwt_forget(lua_State *L)
{
    unsigned char digest[32];
    size_t length;
    bool found = false;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *text = lua_tolstring(L, 1, &length);
    fastr_sha256(digest, text, length, "", 0);
    for (struct seen *at = seen[0]; at < seen[0] + SETS * WAYS; at++) {
        if (at->until && (memcmp(at->token, digest, 32) == 0 || (length && memcmp(at->id, digest, 32) == 0))) {
            at->until = 0;
            found = true;
        }
    }
    lua_pushboolean(L, found);
    return 1;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* Appends {"alg":...,"kid":...,"typ":"JWT"} "." claims, both base64url; -1 if the claims have no JSON. */
static int build_input(lua_State *L, const char *algorithm, const char *kid, size_t kid_length,
                       struct fastr_buffer *token, struct fastr_err *err)
{
    struct fastr_buffer json = {0};
    fastr_buffer_format(&json, "{\"alg\":\"%s\",\"kid\":", algorithm);
    fastr_json_string(&json, kid, kid_length);
    fastr_buffer_text(&json, ",\"typ\":\"JWT\"}");
    fastr_base64url(token, json.data, json.length);
    fastr_buffer_text(token, ".");
    json.length = 0;
    int result = fastr_json_encode(L, 1, true, &json, err);
    if (result == 0)
        fastr_base64url(token, json.data, json.length);
    fastr_buffer_free(&json);
    return result;
}

/* jwt.sign(claims, {alg = "EdDSA" | "ES256", kid = text, key = private PEM}): the token.
 * Returns nil, message, "invalid" if the key is no PEM of the algorithm's type, if the claims have no form in JSON, or
 * if the token would have more than 8 kB. Raises for missing or other arguments. */
static int jwt_sign(lua_State *L)
{
    struct fastr_err err;
    struct fastr_buffer token = {0};
    unsigned char signature[64];
    size_t pem_length, kid_length;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    const char *algorithm = fastr_field_required(L, 2, "alg", NULL);
    const char *kid = fastr_field_required(L, 2, "kid", &kid_length);
    const char *pem = fastr_field_required(L, 2, "key", &pem_length);
    if (!same(algorithm, "EdDSA") && !same(algorithm, "ES256"))
        return luaL_error(L, "field 'alg': 'EdDSA' or 'ES256' expected");
    EVP_PKEY *key = fastr_key_private(pem, pem_length, &err);
    int result = key ? 0 : -1;
    if (key && !same(algorithm, algorithm_of(fastr_key_type(key))))
        result = fastr_fail(&err, "invalid", "the key is not one for %s", algorithm);
    if (result == 0)
        result = build_input(L, algorithm, kid, kid_length, &token, &err);
    if (result == 0)
        result = fastr_key_sign(key, token.data, token.length, signature, &err);
    if (result == 0) {
        fastr_buffer_text(&token, ".");
        fastr_base64url(&token, signature, sizeof signature);
        if (token.length > MOST_TOKEN)
            result = fastr_fail(&err, "invalid", "a token of %zu bytes; at most 8,192 are taken", token.length);
    }
    EVP_PKEY_free(key);
    if (result == 0)
        lua_pushlstring(L, token.data, token.length);
    fastr_buffer_free(&token);
    return result == 0 ? 1 : fastr_push_err(L, &err);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_coordinate(lua_State *L, const char *name, const unsigned char *bytes)
{
    struct fastr_buffer text = {0};
    fastr_base64url(&text, bytes, 32);
    set_text(L, name, text.data);
    fastr_buffer_free(&text);
}

/* The key's coordinates: 32 bytes x, or 64 bytes x||y. */
static bool raw_public(EVP_PKEY *key, enum fastr_key_type type, unsigned char raw[64])
{
    unsigned char point[65];
    size_t size = 64;
    if (type == FASTR_KEY_ED25519)
        return EVP_PKEY_get_raw_public_key(key, raw, &size) == 1;
    if (EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof point, &size) != 1 || size != 65 ||
        point[0] != 0x04)
        return false;
    memcpy(raw, point + 1, 64);
    return true;
}

/* jwt.jwk(public PEM, kid): the key as a JWK table, for a set {keys = {...}}. nil, message, "invalid" if the PEM holds
 * no Ed25519 or P-256 key. */
static int jwt_jwk(lua_State *L)
{
    struct fastr_err err;
    unsigned char raw[64];
    size_t length;
    luaL_checktype(L, 1, LUA_TSTRING);
    luaL_checktype(L, 2, LUA_TSTRING);
    const char *pem = lua_tolstring(L, 1, &length);
    EVP_PKEY *key = fastr_key_public(pem, length, &err);
    if (!key)
        return fastr_push_err(L, &err);
    enum fastr_key_type type = fastr_key_type(key);
    bool ok = raw_public(key, type, raw);
    EVP_PKEY_free(key);
    if (!ok)
        return fastr_push_error(L, "invalid", "the public key's point is compressed");
    lua_createtable(L, 0, 7);
    set_text(L, "kty", type == FASTR_KEY_ED25519 ? "OKP" : "EC");
    set_text(L, "crv", type == FASTR_KEY_ED25519 ? "Ed25519" : "P-256");
    set_coordinate(L, "x", raw);
    if (type == FASTR_KEY_ES256)
        set_coordinate(L, "y", raw + 32);
    set_text(L, "kid", lua_tostring(L, 2));
    set_text(L, "alg", algorithm_of(type));
    set_text(L, "use", "sig");
    return 1;
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

struct token {
    const char *text;
    size_t length;
    size_t input; /* bytes that are signed: header "." claims */
    struct fastr_buffer header, claims, signature;
    enum fastr_key_type type; /* of the key that fits */
    unsigned char raw[64];    /* its coordinates */
    size_t raw_length;
};

static void free_token(struct token *token)
{
    fastr_buffer_free(&token->header);
    fastr_buffer_free(&token->claims);
    fastr_buffer_free(&token->signature);
}

static int malformed(struct fastr_err *err, const char *what)
{
    return fastr_fail(err, "malformed", "malformed token: %s", what);
}

/* Three parts of strict base64url. */
static int split(struct token *token, struct fastr_err *err)
{
    if (token->length > MOST_TOKEN)
        return malformed(err, "more than 8,192 bytes");
    const char *end = token->text + token->length;
    const char *first = memchr(token->text, '.', token->length);
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return malformed(err, "not three parts");
    token->input = (size_t)(second - token->text);
    if (fastr_unbase64url(&token->header, token->text, (size_t)(first - token->text)) != 0 ||
        fastr_unbase64url(&token->claims, first + 1, (size_t)(second - first - 1)) != 0 ||
        fastr_unbase64url(&token->signature, second + 1, (size_t)(end - second - 1)) != 0)
        return malformed(err, "not base64url");
    return 0;
}

/* Pushes the object that `json` holds. */
static int push_object(lua_State *L, const struct fastr_buffer *json, const char *what, struct fastr_err *err)
{
    struct fastr_err inner;
    if (fastr_json_push(L, json->data, json->length, &limits, &inner) != 0)
        return fastr_fail(err, "malformed", "malformed token: %s: %s", what, inner.text);
    if (lua_type(L, -1) == LUA_TTABLE && !lua_getmetatable(L, -1))
        return 0;
    return fastr_fail(err, "malformed", "malformed token: %s: no object", what);
}

static int read_coordinate(lua_State *L, const char *name, unsigned char raw[32])
{
    struct fastr_buffer bytes = {0};
    const char *text = text_field(L, name);
    int result = text && fastr_unbase64url(&bytes, text, strlen(text)) == 0 && bytes.length == 32 ? 0 : -1;
    if (result == 0)
        memcpy(raw, bytes.data, 32);
    fastr_buffer_free(&bytes);
    return result;
}

/* Type and coordinates of the JWK on top of the stack. */
static int read_jwk(lua_State *L, struct token *token)
{
    if (same(text_field(L, "kty"), "OKP") && same(text_field(L, "crv"), "Ed25519")) {
        token->type = FASTR_KEY_ED25519;
        token->raw_length = 32;
        return read_coordinate(L, "x", token->raw);
    }
    if (same(text_field(L, "kty"), "EC") && same(text_field(L, "crv"), "P-256")) {
        token->type = FASTR_KEY_ES256;
        token->raw_length = 64;
        return read_coordinate(L, "x", token->raw) == 0 ? read_coordinate(L, "y", token->raw + 32) : -1;
    }
    return -1;
}

/* Pushes the key called `kid` of the set options.keys.keys (options at index 2); false, nothing pushed, without it. */
static bool push_jwk(lua_State *L, const char *kid)
{
    int top = lua_gettop(L);
    lua_getfield(L, 2, "keys");
    lua_getfield(L, -1, "keys");
    for (int i = 1; lua_type(L, -1) == LUA_TTABLE; i++) {
        lua_rawgeti(L, top + 2, i);
        if (lua_type(L, -1) == LUA_TTABLE && same(text_field(L, "kid"), kid)) {
            lua_replace(L, top + 1);
            lua_settop(L, top + 1);
            return true;
        }
        if (lua_type(L, -1) != LUA_TTABLE)
            break;
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    return false;
}

/* Algorithm and key, from the header on top of the stack. */
static int choose_key(lua_State *L, struct token *token, struct fastr_err *err)
{
    const char *algorithm = text_field(L, "alg"), *kid = text_field(L, "kid");
    lua_getfield(L, -1, "crit");
    bool critical = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (!algorithm)
        return malformed(err, "header: no alg");
    if (!same(algorithm, "EdDSA") && !same(algorithm, "ES256"))
        return fastr_fail(err, "algorithm", "the token's algorithm is not EdDSA or ES256");
    if (critical)
        return malformed(err, "header: crit is not supported");
    if (!kid || !push_jwk(L, kid))
        return fastr_fail(err, "unknown_key", "the token's key is not in the set");
    const char *declared = text_field(L, "alg"), *use = text_field(L, "use");
    if (read_jwk(L, token) != 0 || (use && !same(use, "sig")))
        return fastr_fail(err, "unknown_key", "the token's key in the set is not one for signatures of these types");
    if (!same(algorithm, algorithm_of(token->type)) || (declared && !same(declared, algorithm)))
        return fastr_fail(err, "algorithm", "the token's algorithm is not its key's");
    return 0;
}

static bool check_signature(const struct token *token)
{
    EVP_PKEY *key = fastr_key_raw(token->type, token->raw, token->raw_length);
    bool right = key && fastr_key_verify(key, token->text, token->input,
                                         (const unsigned char *)token->signature.data, token->signature.length);
    EVP_PKEY_free(key);
    return right;
}

/* ---- claims (on top of the stack; options at index 2) ------------------------------------------------------------ */

/* True if the value on top is `text`, or a list that holds it. */
static bool holds(lua_State *L, const char *text)
{
    if (lua_type(L, -1) == LUA_TSTRING)
        return same(lua_tostring(L, -1), text);
    bool found = false;
    for (size_t i = 1; lua_type(L, -1) == LUA_TTABLE && i <= lua_objlen(L, -1) && !found; i++) {
        lua_rawgeti(L, -1, (int)i);
        found = lua_type(L, -1) == LUA_TSTRING && same(lua_tostring(L, -1), text);
        lua_pop(L, 1);
    }
    return found;
}

static bool claim_holds(lua_State *L, const char *name, const char *text)
{
    lua_getfield(L, -1, name);
    bool found = holds(L, text);
    lua_pop(L, 1);
    return found;
}

/* Is one of the expected audiences (options.aud: text or list) one of the token's? */
static bool audience_fits(lua_State *L)
{
    bool fits = false;
    lua_getfield(L, 2, "aud");
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *expected = lua_tostring(L, -1);
        lua_pop(L, 1);
        return claim_holds(L, "aud", expected);
    }
    for (size_t i = 1; i <= lua_objlen(L, -1) && !fits; i++) {
        lua_rawgeti(L, -1, (int)i);
        const char *expected = lua_tostring(L, -1);
        lua_pushvalue(L, -3);
        fits = expected && claim_holds(L, "aud", expected);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    return fits;
}

/* A time claim in seconds, NAN if it is missing; -1 if it is no number. */
static int read_seconds(lua_State *L, const char *name, double *seconds, struct fastr_err *err)
{
    lua_getfield(L, -1, name);
    bool missing = lua_isnil(L, -1), number = lua_type(L, -1) == LUA_TNUMBER;
    *seconds = number ? lua_tonumber(L, -1) : NAN;
    lua_pop(L, 1);
    return missing || number ? 0 : fastr_fail(err, "malformed", "malformed token: %s is no number", name);
}

static int check_claims(lua_State *L, double leeway, int64_t *until, struct fastr_err *err)
{
    double now = (double)fastr_wall_us() / 1e6, expires, begins;
    if (read_seconds(L, "exp", &expires, err) != 0 || read_seconds(L, "nbf", &begins, err) != 0)
        return -1;
    if (isnan(expires))
        return malformed(err, "no exp");
    if (now >= expires + leeway)
        return fastr_fail(err, "expired", "the token has expired");
    if (!isnan(begins) && now < begins - leeway)
        return fastr_fail(err, "not_yet", "the token is not valid yet");
    if (!same(text_field(L, "iss"), fastr_field_required(L, 2, "iss", NULL)))
        return fastr_fail(err, "issuer", "the token is of another issuer");
    if (!audience_fits(L))
        return fastr_fail(err, "audience", "the token is for another audience");
    double end = expires + leeway;
    *until = end < 253402300800.0 ? (int64_t)end + 1 : 253402300800;
    return 0;
}

/* Leaves the claims on top of the stack. */
static int verify(lua_State *L, struct token *token, double leeway, struct fastr_err *err)
{
    unsigned char text_digest[32], key_digest[32];
    int64_t until = 0;
    if (split(token, err) != 0 || push_object(L, &token->header, "header", err) != 0 ||
        choose_key(L, token, err) != 0)
        return -1;
    fastr_sha256(text_digest, token->text, token->length, "", 0);
    fastr_sha256(key_digest, token->raw, token->raw_length, "", 0);
    bool known = was_seen(text_digest, key_digest);
    if (!known && !check_signature(token))
        return fastr_fail(err, "signature", "the token's signature is wrong");
    if (push_object(L, &token->claims, "claims", err) != 0 || check_claims(L, leeway, &until, err) != 0)
        return -1;
    if (!known)
        add_seen(text_digest, key_digest, text_field(L, "jti"), until);
    return 0;
}

static void check_options(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    fastr_field_required(L, 2, "iss", NULL);
    lua_getfield(L, 2, "keys");
    if (lua_type(L, -1) != LUA_TTABLE)
        luaL_error(L, "field 'keys': a key set {keys = {...}} expected");
    lua_getfield(L, 2, "aud");
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TTABLE)
        luaL_error(L, "field 'aud': text or a list of texts expected");
    lua_settop(L, 2);
}

/* jwt.verify(token, {keys = key set, iss = text, aud = text or list, leeway = 0}): the claims.
 * The set is a decoded JWKS, {keys = {jwk, ...}}; one of the expected audiences must be among the token's; `leeway` is
 * in seconds, 0 to 300. The token must carry kid and exp. Returns nil, message and one of the codes
 *   malformed    not three parts of base64url and strict JSON, over 8,192 bytes, `crit`, no exp
 *   algorithm    neither EdDSA nor ES256 (so also "none"), or not the key's own
 *   unknown_key  no kid, or no such key for signatures in the set
 *   signature, expired, not_yet, issuer, audience
 * Raises for missing or other options. */
static int jwt_verify(lua_State *L)
{
    struct fastr_err err;
    struct token token = {0};
    luaL_checktype(L, 1, LUA_TSTRING);
    check_options(L);
    double leeway = (double)fastr_field_int(L, 2, "leeway", 0, 0, MOST_LEEWAY);
    token.text = lua_tolstring(L, 1, &token.length);
    int result = verify(L, &token, leeway, &err);
    free_token(&token);
    return result == 0 ? 1 : fastr_push_err(L, &err);
}

static const luaL_Reg functions[] = {
    {"sign", jwt_sign}, {"jwk", jwt_jwk}, {"verify", jwt_verify}, {"forget", jwt_forget}, {NULL, NULL},
};

static int open_jwt(lua_State *L)
{
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    return 1;
}

const struct fastr_binding fastr_binding_jwt = {.name = "jwt", .open = open_jwt};
