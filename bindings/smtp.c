/* smtp.c: fastr.smtp, mail to the server of `smtp.url` over libcurl (RFC 5321), on the pooled connections of
 * util_transfer.c. One message per call, answered when the server has taken or refused it. Mail cannot be exactly
 * once: who sends again after a lost answer must use the same Message-ID. */
#include "bindings/util.h"
#include "runtime/fastr.h"

#include <curl/curl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS_MOST = 254, RECIPIENTS_MOST = 100, MESSAGE_MOST = 10 << 20, RUNNING_MOST = 256 };

struct mail {
    struct fastr_wait wait;
    struct fastr_transfer transfer;
    struct curl_slist *recipients;
    struct fastr_buffer message; /* with CRLF line ends */
    size_t sent;
    struct fastr_err failure;
};

static struct {
    const char *url, *user;
    char *password;
    int running;
    struct fastr_metric *mails, *failures;
} smtp;

/* ---- the transfer ------------------------------------------------------------------------------------------------ */

static size_t read_message(char *to, size_t size, size_t count, void *data)
{
    struct mail *mail = data;
    size_t left = mail->message.length - mail->sent;
    size_t length = size * count < left ? size * count : left;
    memcpy(to, mail->message.data + mail->sent, length);
    mail->sent += length;
    return length;
}

/* A 5xx to the sender, the recipient or the message will not change (RFC 5321 section 4.2.1). Anything else may, also a
 * 5xx to the connection or to our password: that is no fault of the mail. */
static bool is_final(const struct mail *mail, CURLcode result, long reply)
{
    bool is_told_last = result == CURLE_WEIRD_SERVER_REPLY && mail->sent == mail->message.length;
    return reply >= 500 && (result == CURLE_SEND_ERROR || is_told_last);
}

static void describe_failure(struct mail *mail, CURLcode result)
{
    long reply = 0;
    curl_easy_getinfo(mail->transfer.easy, CURLINFO_RESPONSE_CODE, &reply);
    const char *problem = *mail->transfer.problem ? mail->transfer.problem : curl_easy_strerror(result);
    const char *code = result == CURLE_OPERATION_TIMEDOUT          ? "timeout"
                       : is_final(mail, result, reply) ? "refused"
                                                              : "unavailable";
    fastr_fail(&mail->failure, code, "%s (last reply %ld)", problem, reply);
    fastr_metric_add(smtp.failures, 1);
    if (strcmp(code, "refused") != 0)
        fastr_health("smtp", false, false, problem);
}

static void on_done(struct fastr_transfer *transfer, int result)
{
    struct mail *mail = (struct mail *)((char *)transfer - offsetof(struct mail, transfer));
    if (result == CURLE_OK)
        fastr_health("smtp", true, false, smtp.url);
    else
        describe_failure(mail, (CURLcode)result);
    fastr_transfer_end(transfer);
    fastr_wake(&mail->wait);
}

static void begin(struct mail *mail, const char *from, int64_t timeout_ms)
{
    mail->transfer.done = on_done;
    fastr_transfer_prepare(&mail->transfer, timeout_ms);
    CURL *easy = mail->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_URL, smtp.url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, mail->recipients);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_message);
    curl_easy_setopt(easy, CURLOPT_READDATA, mail);
    if (smtp.password) { /* a password never travels in the clear */
        curl_easy_setopt(easy, CURLOPT_USERNAME, smtp.user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, smtp.password);
        curl_easy_setopt(easy, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL);
    }
    fastr_transfer_begin(&mail->transfer);
}

static void mail_free(struct mail *mail)
{
    fastr_transfer_end(&mail->transfer);
    curl_slist_free_all(mail->recipients);
    fastr_buffer_free(&mail->message);
    smtp.running--;
    free(mail);
}

static int finish(lua_State *L, struct fastr_wait *wait)
{
    struct mail *mail = (struct mail *)wait;
    int pushed = 1;
    if (L && mail->failure.code[0])
        pushed = fastr_push_error(L, mail->failure.code, "smtp: %s", mail->failure.text);
    else if (L)
        lua_pushboolean(L, 1);
    mail_free(mail);
    return L ? pushed : 0;
}

static void cancel(struct fastr_wait *wait)
{
    mail_free((struct mail *)wait);
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* An address goes into a command line of the protocol: one with a line end, space or bracket could add commands. */
static const char *check_address(lua_State *L, int index, const char *what)
{
    size_t length;
    if (lua_type(L, index) != LUA_TSTRING)
        luaL_error(L, "smtp.send: %s is a %s, not an address", what, luaL_typename(L, index));
    const char *address = lua_tolstring(L, index, &length);
    const char *at = strrchr(address, '@');
    if (length > ADDRESS_MOST || at == NULL || at == address || at[1] == 0)
        luaL_error(L, "smtp.send: %s is not an address (name@host, at most %d bytes)", what, ADDRESS_MOST);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)address[i] <= ' ' || address[i] == 0x7f || strchr("<>,;:\\\"()[]", address[i]))
            luaL_error(L, "smtp.send: %s has a character that no address may have, at byte %d", what, (int)i + 1);
    return address;
}

/* Leaves the list on the stack, all of it checked. */
static int check_recipients(lua_State *L)
{
    lua_getfield(L, 1, "to");
    luaL_argcheck(L, lua_istable(L, -1), 1, "to is not a list of addresses");
    int count = (int)lua_objlen(L, -1);
    luaL_argcheck(L, count >= 1 && count <= RECIPIENTS_MOST, 1, "to must have 1 to 100 addresses");
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        check_address(L, -1, "an address in to");
        lua_pop(L, 1);
    }
    return count;
}

/* A bare CR or LF in the message becomes CRLF (RFC 5321 section 2.3.8); libcurl doubles leading dots. */
static void add_message(struct fastr_buffer *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        size_t run = strcspn(text + i, "\r\n");
        if (run > length - i)
            run = length - i;
        fastr_buffer_add(out, text + i, run);
        i += run;
        if (i >= length)
            return;
        fastr_buffer_add(out, "\r\n", 2);
        if (text[i] == '\r' && i + 1 < length && text[i + 1] == '\n')
            i++;
    }
}

static const char *check_message(lua_State *L, size_t *length)
{
    const char *message = fastr_field_required(L, 1, "message", length);
    luaL_argcheck(L, *length > 0 && *length <= MESSAGE_MOST, 1, "message must have 1 byte to 10 MiB");
    luaL_argcheck(L, strlen(message) == *length, 1, "message contains a NUL");
    return message;
}

/** smtp.send{from=, to=, message=, timeout_ms=} hands one message to the mail server and waits for its answer.
 * @param from        the envelope's sender, name@host
 * @param to          list of 1 to 100 recipients; the message's own To header is the caller's
 * @param message     RFC 5322 text, headers and body, at most 10 MiB; any line ends
 * @param timeout_ms  1 to 600,000, 10,000 if absent; never past the task's deadline
 * @return  true when the server has taken it for every recipient
 * Errors (nil, message, code): "refused" (the server said 5xx to this mail: sending it again will not help),
 *   "unavailable" (no connection, no sign-in, 4xx), "timeout" (it may have been sent), "busy" (256 mails are on their way).
 * Raises: an option of another type or range, a character in an address that no address may have (so no one can add
 *   commands), waiting where that is illegal. */
static int lua_send(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    int64_t timeout_ms = fastr_field_int(L, 1, "timeout_ms", 10000, 1, 600000);
    lua_getfield(L, 1, "from");
    const char *from = check_address(L, 2, "from");
    size_t length;
    const char *message = check_message(L, &length);
    int count = check_recipients(L);
    fastr_check_wait(L, "smtp.send");
    if (fastr_task_ms_left(fastr_task_current()) < timeout_ms)
        timeout_ms = fastr_task_ms_left(fastr_task_current());
    if (*smtp.url == 0)
        return fastr_push_error(L, "unavailable", "smtp: the setting smtp.url is missing");
    if (timeout_ms == 0)
        return fastr_push_error(L, "timeout", "smtp: no time is left");
    if (smtp.running >= RUNNING_MOST)
        return fastr_push_error(L, "busy", "smtp: %d mails are on their way", smtp.running);
    struct mail *mail = fastr_zalloc(sizeof *mail);
    mail->wait.finish = finish;
    mail->wait.cancel = cancel;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        mail->recipients = curl_slist_append(mail->recipients, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    add_message(&mail->message, message, length);
    smtp.running++;
    fastr_metric_add(smtp.mails, 1);
    begin(mail, from, timeout_ms);
    return fastr_suspend(L, &mail->wait);
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static int start(struct fastr_err *err)
{
    smtp.url = fastr_setting("smtp.url", "");
    if (*smtp.url && strncmp(smtp.url, "smtp://", 7) && strncmp(smtp.url, "smtps://", 8))
        return fastr_fail(err, "invalid", "setting smtp.url: \"%s\" is neither smtp:// nor smtps://", smtp.url);
    smtp.mails = fastr_counter("fastr_smtp_mails_total", "", "Mails given to the server");
    smtp.failures = fastr_counter("fastr_smtp_failures_total", "", "Mails refused, timed out or not delivered");
    smtp.user = fastr_setting("smtp.user", "");
    return fastr_secret_setting("smtp.password_file", &smtp.password, err) ? -1 : fastr_transfers_start(err);
}

static void stop(void)
{
    fastr_transfers_stop();
    free(smtp.password);
    smtp.password = NULL;
}

static const luaL_Reg functions[] = {{"send", lua_send}, {NULL, NULL}};

static int open_module(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

extern const struct fastr_binding fastr_binding_smtp;
const struct fastr_binding fastr_binding_smtp = {.name = "smtp", .open = open_module, .start = start, .stop = stop};
