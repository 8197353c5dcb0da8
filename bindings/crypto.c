/* crypto.c: fastr.crypto, over OpenSSL. Keys, passwords and plain texts never reach a log or an error's text. */
#include <errno.h>
#include <event2/event.h>
#include <lauxlib.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bindings/util.h"

static const char *check_text(lua_State *L, int index, size_t *length)
{
    luaL_checktype(L, index, LUA_TSTRING);
    return lua_tolstring(L, index, length);
}

static void random_bytes(void *to, size_t length)
{
    if (RAND_bytes(to, (int)length) != 1)
        abort(); /* no randomness, no safety */
}

/* ---- digests and random -------------------------------------------------------------------------------------- */

static int push_hex(lua_State *L, const unsigned char *bytes, size_t length)
{
    char text[2 * EVP_MAX_MD_SIZE + 1];
    fastr_hex(text, bytes, length);
    lua_pushlstring(L, text, 2 * length);
    return 1;
}

/* crypto.sha256(text): 64 hexadecimal digits. */
static int crypto_sha256(lua_State *L)
{
    unsigned char digest[32];
    size_t length;
    const char *text = check_text(L, 1, &length);
    fastr_sha256(digest, text, length, "", 0);
    return push_hex(L, digest, sizeof digest);
}

/* crypto.hmac(key, text): HMAC-SHA-256 (RFC 2104) as 64 hexadecimal digits. */
static int crypto_hmac(lua_State *L)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    size_t key_length, length;
    const char *key = check_text(L, 1, &key_length), *text = check_text(L, 2, &length);
    if (!HMAC(EVP_sha256(), key, (int)key_length, (const unsigned char *)text, length, digest, &size))
        return luaL_error(L, "crypto.hmac: OpenSSL refused");
    return push_hex(L, digest, size);
}

/* crypto.random(n): n random bytes, 1 to 65,536, fit for keys. */
static int crypto_random(lua_State *L)
{
    size_t count = (size_t)fastr_check_int(L, 1, 1, 65536);
    void *bytes = lua_newuserdata(L, count);
    random_bytes(bytes, count);
    lua_pushlstring(L, bytes, count);
    OPENSSL_cleanse(bytes, count);
    return 1;
}

/* The next moment in 1/4096 ms: that of the clock, or one after the last if the clock has not moved on. */
static uint64_t next_moment(void)
{
    static uint64_t last;
    uint64_t us = (uint64_t)fastr_wall_us();
    uint64_t moment = us / 1000 << 12 | us % 1000 * 4096 / 1000;
    last = moment > last ? moment : last + 1;
    return last;
}

/* crypto.uuid7(): RFC 9562, section 5.7: 48 bits of milliseconds, 12 bits of their fraction (section 6.2, method 3),
 * 62 random bits. Each is greater than the one before in this process, also when the clock steps back. */
static int crypto_uuid7(lua_State *L)
{
    unsigned char id[16];
    char hex[33], text[37];
    uint64_t moment = next_moment(), ms = moment >> 12;
    random_bytes(id, sizeof id);
    for (int i = 0; i < 6; i++)
        id[i] = (unsigned char)(ms >> (40 - 8 * i));
    id[6] = (unsigned char)(0x70 | (moment >> 8 & 0x0F));
    id[7] = (unsigned char)moment;
    id[8] = (unsigned char)(0x80 | (id[8] & 0x3F));
    fastr_hex(hex, id, sizeof id);
    static const unsigned char parts[][2] = {{0, 8}, {8, 4}, {12, 4}, {16, 4}, {20, 12}};
    char *to = text;
    for (int i = 0; i < 5; i++) {
        memcpy(to, hex + parts[i][0], parts[i][1]);
        to += parts[i][1];
        *to++ = '-';
    }
    lua_pushlstring(L, text, 36);
    return 1;
}

/* crypto.equal(a, b): true if the texts are equal; the time taken tells nothing but their lengths. */
static int crypto_equal(lua_State *L)
{
    size_t a_length, b_length;
    const char *a = check_text(L, 1, &a_length), *b = check_text(L, 2, &b_length);
    lua_pushboolean(L, a_length == b_length && CRYPTO_memcmp(a, b, a_length) == 0);
    return 1;
}

/* ---- texts of bytes ------------------------------------------------------------------------------------------- */

static int push_buffer(lua_State *L, struct fastr_buffer *buffer)
{
    lua_pushlstring(L, buffer->data ? buffer->data : "", buffer->length);
    fastr_buffer_free(buffer);
    return 1;
}

/* crypto.base64url(text): RFC 4648, section 5, without padding. */
static int crypto_base64url(lua_State *L)
{
    struct fastr_buffer out = {0};
    size_t length;
    const char *text = check_text(L, 1, &length);
    fastr_base64url(&out, text, length);
    return push_buffer(L, &out);
}

/* crypto.unbase64url(text): the bytes; nil, message, "invalid" for padding, foreign characters, an impossible length,
 * or spare bits that are not zero. */
static int crypto_unbase64url(lua_State *L)
{
    struct fastr_buffer out = {0};
    size_t length;
    const char *text = check_text(L, 1, &length);
    if (fastr_unbase64url(&out, text, length) == 0)
        return push_buffer(L, &out);
    fastr_buffer_free(&out);
    return fastr_push_error(L, "invalid", "not base64url without padding");
}

/* crypto.hex(bytes): two lower-case digits for each byte. */
static int crypto_hex(lua_State *L)
{
    size_t length;
    const char *bytes = check_text(L, 1, &length);
    char *text = lua_newuserdata(L, 2 * length + 1);
    fastr_hex(text, bytes, length);
    lua_pushlstring(L, text, 2 * length);
    return 1;
}

/* crypto.unhex(text): the bytes; nil, message, "invalid" for an odd length or other characters than digits. */
static int crypto_unhex(lua_State *L)
{
    size_t length;
    const char *text = check_text(L, 1, &length);
    char *bytes = lua_newuserdata(L, length / 2 + 1);
    if (fastr_unhex(bytes, text, length) != 0)
        return fastr_push_error(L, "invalid", "not pairs of hexadecimal digits");
    lua_pushlstring(L, bytes, length / 2);
    return 1;
}

/* ---- AES-256-GCM (NIST SP 800-38D) ------------------------------------------------------------------------------ */

enum { KEY = 32, NONCE = 12, TAG = 16, MOST_PLAIN = 1 << 20 };

static const unsigned char *check_key(lua_State *L, int index)
{
    size_t length;
    const char *key = check_text(L, index, &length);
    if (length != KEY)
        luaL_argerror(L, index, "a key of 32 bytes expected");
    return (const unsigned char *)key;
}

static const unsigned char *optional_text(lua_State *L, int index, size_t *length)
{
    *length = 0;
    return lua_isnoneornil(L, index) ? (const unsigned char *)"" : (const unsigned char *)check_text(L, index, length);
}

/* `to` gets nonce, cipher text, tag. */
static bool encrypt(const unsigned char *key, const char *plain, size_t length, const unsigned char *aad,
                    size_t aad_length, unsigned char *to)
{
    int done = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    random_bytes(to, NONCE);
    bool ok = context && EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, to) == 1 &&
              EVP_EncryptUpdate(context, NULL, &done, aad, (int)aad_length) == 1 &&
              EVP_EncryptUpdate(context, to + NONCE, &done, (const unsigned char *)plain, (int)length) == 1 &&
              EVP_EncryptFinal_ex(context, to + NONCE + length, &done) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG, to + NONCE + length) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok;
}

static bool decrypt(const unsigned char *key, const unsigned char *sealed, size_t length, const unsigned char *aad,
                    size_t aad_length, unsigned char *to)
{
    int done = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool ok = context && EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, sealed) == 1 &&
              EVP_DecryptUpdate(context, NULL, &done, aad, (int)aad_length) == 1 &&
              EVP_DecryptUpdate(context, to, &done, sealed + NONCE, (int)length) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG, (void *)(sealed + NONCE + length)) == 1 &&
              EVP_DecryptFinal_ex(context, to + length, &done) == 1;
    EVP_CIPHER_CTX_free(context);
    ERR_clear_error();
    return ok;
}

/* crypto.seal(key, plain, aad): `plain` (up to 1 MiB) encrypted and authenticated together with `aad` (may be nil),
 * as nonce (12 random bytes), cipher text, tag (16 bytes). Raises unless the key has 32 bytes. A key is good for 2^32
 * seals. */
static int crypto_seal(lua_State *L)
{
    size_t length, aad_length;
    const unsigned char *key = check_key(L, 1);
    const char *plain = check_text(L, 2, &length);
    const unsigned char *aad = optional_text(L, 3, &aad_length);
    luaL_argcheck(L, length <= MOST_PLAIN, 2, "at most 1 MiB can be sealed");
    unsigned char *sealed = lua_newuserdata(L, NONCE + length + TAG);
    if (!encrypt(key, plain, length, aad, aad_length, sealed))
        return luaL_error(L, "crypto.seal: OpenSSL refused");
    lua_pushlstring(L, (const char *)sealed, NONCE + length + TAG);
    return 1;
}

/* crypto.open(key, sealed, aad): the plain text; nil, message, "invalid" if key, aad or any byte differs. */
static int crypto_open(lua_State *L)
{
    size_t length, aad_length;
    const unsigned char *key = check_key(L, 1);
    const char *sealed = check_text(L, 2, &length);
    const unsigned char *aad = optional_text(L, 3, &aad_length);
    if (length < NONCE + TAG || length > MOST_PLAIN + NONCE + TAG)
        return fastr_push_error(L, "invalid", "not a sealed text");
    length -= NONCE + TAG;
    unsigned char *plain = lua_newuserdata(L, length + 1);
    bool ok = decrypt(key, (const unsigned char *)sealed, length, aad, aad_length, plain);
    if (ok)
        lua_pushlstring(L, (const char *)plain, length);
    OPENSSL_cleanse(plain, length);
    return ok ? 1 : fastr_push_error(L, "invalid", "the sealed text is damaged, or of another key or context");
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static void push_pem(lua_State *L, EVP_PKEY *key, bool private)
{
    BIO *out = BIO_new(private ? BIO_s_secmem() : BIO_s_mem());
    char *text;
    int ok = private ? PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL)
                     : PEM_write_bio_PUBKEY(out, key);
    long length = ok ? BIO_get_mem_data(out, &text) : 0;
    lua_pushlstring(L, length ? text : "", (size_t)length);
    BIO_free(out);
}

/* crypto.keypair("ed25519" | "es256"): a new key as {private = PEM (PKCS #8), public = PEM}. Raises for other names. */
static int crypto_keypair(lua_State *L)
{
    static const char *const names[] = {"ed25519", "es256", NULL};
    bool ed25519 = luaL_checkoption(L, 1, NULL, names) == 0;
    EVP_PKEY *key = ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen("P-256");
    if (!key)
        return luaL_error(L, "crypto.keypair: OpenSSL refused");
    lua_createtable(L, 0, 2);
    push_pem(L, key, true);
    lua_setfield(L, -2, "private");
    push_pem(L, key, false);
    lua_setfield(L, -2, "public");
    EVP_PKEY_free(key);
    return 1;
}

/* crypto.sign(private, text): 64 bytes: Ed25519's signature, or r||s of ES256, by the key's type. nil, message,
 * "invalid" if `private` is no PEM of such a key. */
static int crypto_sign(lua_State *L)
{
    struct fastr_err err;
    unsigned char signature[64];
    size_t pem_length, length;
    const char *pem = check_text(L, 1, &pem_length), *text = check_text(L, 2, &length);
    EVP_PKEY *key = fastr_key_private(pem, pem_length, &err);
    if (!key)
        return fastr_push_err(L, &err);
    int result = fastr_key_sign(key, text, length, signature, &err);
    EVP_PKEY_free(key);
    if (result != 0)
        return fastr_push_err(L, &err);
    lua_pushlstring(L, (const char *)signature, sizeof signature);
    return 1;
}

/* crypto.verify(public, text, signature): true or false; nil, message, "invalid" if `public` is no PEM of a key of
 * these types. */
static int crypto_verify(lua_State *L)
{
    struct fastr_err err;
    size_t pem_length, length, signature_length;
    const char *pem = check_text(L, 1, &pem_length), *text = check_text(L, 2, &length);
    const char *signature = check_text(L, 3, &signature_length);
    EVP_PKEY *key = fastr_key_public(pem, pem_length, &err);
    if (!key)
        return fastr_push_err(L, &err);
    lua_pushboolean(L, fastr_key_verify(key, text, length, (const unsigned char *)signature, signature_length));
    EVP_PKEY_free(key);
    return 1;
}

/* ---- scrypt in threads (RFC 7914) --------------------------------------------------------------------------------
 *
 *     loop: crypto.scrypt --> queue --> thread: EVP_PBE_scrypt --> done --eventfd--> loop: fastr_wake
 *
 * A job belongs to the loop while it waits in `done`, to a thread while it runs. A cancelled one is marked: taken out
 * of the queue at once, or dropped when it comes back. Threads are made at the first use, after the worker's fork. */

enum { THREADS = 2, QUEUE = 32, NICE = 10, MOST_OUTPUT = 64 };

struct job {
    struct fastr_wait wait;
    struct job *next;
    bool cancelled; /* the loop's own mark */
    bool ok;
    uint64_t n, r, p;
    char *password, *salt;
    size_t password_length, salt_length, length;
    unsigned char output[MOST_OUTPUT];
};

static struct {
    pthread_mutex_t mutex; /* guards the five fields below, and nothing else */
    pthread_cond_t more;
    struct job *queue, **queue_end, *done;
    int waiting; /* in the queue */
    bool ending;
    int notice; /* the eventfd */
    struct event *event;
    pthread_t threads[THREADS];
    int thread_count;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .queue_end = &pool.queue};

static void free_job(struct job *job)
{
    OPENSSL_cleanse(job->password, job->password_length);
    OPENSSL_cleanse(job->output, sizeof job->output);
    free(job->password);
    free(job->salt);
    free(job);
}

/* What OpenSSL would need, and a little: its own limit of 32 MiB refuses N = 2^15 with r = 8. */
static uint64_t memory_needed(const struct job *job)
{
    return 128 * job->r * (job->n + job->p + 2) + (1 << 20);
}

static void run_job(struct job *job)
{
    job->ok = EVP_PBE_scrypt(job->password, job->password_length, (const unsigned char *)job->salt, job->salt_length,
                             job->n, job->r, job->p, memory_needed(job), job->output, job->length) == 1;
    ERR_clear_error();
}

/* The next job, waited for; NULL when the pool ends. Called with the mutex held. */
static struct job *take_job(void)
{
    while (!pool.queue && !pool.ending)
        pthread_cond_wait(&pool.more, &pool.mutex);
    struct job *job = pool.ending ? NULL : pool.queue;
    if (job) {
        pool.queue = job->next;
        if (!pool.queue)
            pool.queue_end = &pool.queue;
        pool.waiting--;
    }
    return job;
}

static void *thread_main(void *unused)
{
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    pthread_mutex_lock(&pool.mutex);
    for (struct job *job; (job = take_job());) {
        pthread_mutex_unlock(&pool.mutex);
        run_job(job);
        pthread_mutex_lock(&pool.mutex);
        job->next = pool.done;
        pool.done = job;
        eventfd_write(pool.notice, 1);
    }
    pthread_mutex_unlock(&pool.mutex);
    return NULL;
}

static struct job *take_done(void)
{
    pthread_mutex_lock(&pool.mutex);
    struct job *done = pool.done;
    pool.done = NULL;
    pthread_mutex_unlock(&pool.mutex);
    return done;
}

static void on_done(evutil_socket_t notice, short events, void *data)
{
    eventfd_t count;
    eventfd_read(notice, &count);
    for (struct job *job = take_done(), *next; job; job = next) {
        next = job->next;
        if (job->cancelled)
            free_job(job);
        else
            fastr_wake(&job->wait);
    }
}

/* Signals stay with the loop's thread: a new thread inherits the mask that is set around its making. */
static int start_threads(struct fastr_err *err)
{
    sigset_t all, before;
    if (pool.thread_count > 0)
        return 0;
    pool.notice = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pool.notice < 0)
        return fastr_fail(err, "unavailable", "no eventfd: %s", strerror(errno));
    pool.event = event_new(fastr_loop(), pool.notice, EV_READ | EV_PERSIST, on_done, NULL);
    event_add(pool.event, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (pool.thread_count < THREADS &&
           pthread_create(&pool.threads[pool.thread_count], NULL, thread_main, NULL) == 0)
        pool.thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool.thread_count > 0 ? 0 : fastr_fail(err, "unavailable", "no thread can be made");
}

/* Ends the threads; waits for a hash that runs (OpenSSL must not be cleaned up under it). Tasks are gone by now. */
static void stop_threads(void)
{
    pthread_mutex_lock(&pool.mutex);
    pool.ending = true;
    pthread_cond_broadcast(&pool.more);
    pthread_mutex_unlock(&pool.mutex);
    for (int i = 0; i < pool.thread_count; i++)
        pthread_join(pool.threads[i], NULL);
    for (struct job *job = take_done(), *next; job; job = next) {
        next = job->next;
        free_job(job);
    }
    if (pool.event) {
        event_free(pool.event);
        close(pool.notice);
    }
    pool.event = NULL;
    pool.thread_count = 0;
    pool.ending = false;
}

/* L is NULL when the task went away after the wake. */
static int finish_scrypt(lua_State *L, struct fastr_wait *wait)
{
    struct job *job = (struct job *)wait;
    int results = 1;
    if (L && job->ok)
        lua_pushlstring(L, (const char *)job->output, job->length);
    else if (L)
        results = fastr_push_error(L, "invalid", "scrypt: OpenSSL refused these parameters");
    free_job(job);
    return results;
}

/* Takes the job out of the queue if it is still there. */
static bool unqueue(struct job *job)
{
    struct job **link = &pool.queue;
    while (*link && *link != job)
        link = &(*link)->next;
    if (!*link)
        return false;
    *link = job->next;
    if (!*link)
        pool.queue_end = link;
    pool.waiting--;
    return true;
}

static void cancel_scrypt(struct fastr_wait *wait)
{
    struct job *job = (struct job *)wait;
    pthread_mutex_lock(&pool.mutex);
    bool mine = unqueue(job);
    pthread_mutex_unlock(&pool.mutex);
    job->cancelled = true;
    if (mine)
        free_job(job);
}

static int enqueue(struct job *job, struct fastr_err *err)
{
    if (start_threads(err) != 0)
        return -1;
    pthread_mutex_lock(&pool.mutex);
    bool room = pool.waiting < QUEUE;
    if (room) {
        *pool.queue_end = job;
        pool.queue_end = &job->next;
        pool.waiting++;
        pthread_cond_signal(&pool.more);
    }
    pthread_mutex_unlock(&pool.mutex);
    return room ? 0 : fastr_fail(err, "busy", "%d passwords are waiting to be hashed", QUEUE);
}

/* N, r, p and length from the option table at 3, which may be missing. */
static struct job check_parameters(lua_State *L)
{
    if (lua_isnoneornil(L, 3)) {
        lua_settop(L, 2);
        lua_newtable(L);
    }
    luaL_checktype(L, 3, LUA_TTABLE);
    struct job job = {
        .n = (uint64_t)fastr_field_int(L, 3, "n", 131072, 2, 1 << 20),
        .r = (uint64_t)fastr_field_int(L, 3, "r", 8, 1, 32),
        .p = (uint64_t)fastr_field_int(L, 3, "p", 1, 1, 16),
        .length = (size_t)fastr_field_int(L, 3, "length", 32, 16, MOST_OUTPUT),
    };
    if ((job.n & (job.n - 1)) != 0)
        luaL_error(L, "field 'n': a power of two expected");
    if (memory_needed(&job) > (256u << 20))
        luaL_error(L, "scrypt: these parameters need more than 256 MiB");
    return job;
}

/* crypto.scrypt(password, salt, {n = 131072, r = 8, p = 1, length = 32}): `length` bytes (16 to 64). Waits: the work is
 * done in two threads of low priority. n: a power of two, up to 2^20, with at most 256 MiB (128 * n * r).
 * Returns nil, message, "busy" when 32 are waiting already. Raises for other parameters, a password of more than 1,024
 * bytes, and where waiting is illegal. */
static int crypto_scrypt(lua_State *L)
{
    struct fastr_err err;
    size_t password_length, salt_length;
    const char *password = check_text(L, 1, &password_length), *salt = check_text(L, 2, &salt_length);
    luaL_argcheck(L, password_length <= 1024, 1, "a password of at most 1,024 bytes expected");
    luaL_argcheck(L, salt_length <= 1024, 2, "a salt of at most 1,024 bytes expected");
    struct job parameters = check_parameters(L);
    fastr_check_wait(L, "crypto.scrypt");
    struct job *job = fastr_alloc(sizeof *job);
    *job = parameters;
    job->wait.finish = finish_scrypt;
    job->wait.cancel = cancel_scrypt;
    job->password = fastr_strndup(password, password_length);
    job->password_length = password_length;
    job->salt = fastr_strndup(salt, salt_length);
    job->salt_length = salt_length;
    if (enqueue(job, &err) != 0) {
        free_job(job);
        return fastr_push_err(L, &err);
    }
    return fastr_suspend(L, &job->wait);
}

static const luaL_Reg functions[] = {
    {"sha256", crypto_sha256},       {"hmac", crypto_hmac},
    {"random", crypto_random},       {"uuid7", crypto_uuid7},
    {"base64url", crypto_base64url}, {"unbase64url", crypto_unbase64url},
    {"hex", crypto_hex},             {"unhex", crypto_unhex},
    {"equal", crypto_equal},         {"scrypt", crypto_scrypt},
    {"seal", crypto_seal},           {"open", crypto_open},
    {"keypair", crypto_keypair},     {"sign", crypto_sign},
    {"verify", crypto_verify},       {NULL, NULL},
};

static int open_module(lua_State *L)
{
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    return 1;
}

const struct fastr_binding fastr_binding_crypto = {.name = "crypto", .open = open_module, .stop = stop_threads};
