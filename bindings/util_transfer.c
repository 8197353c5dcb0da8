/* util_transfer.c: libcurl's multi interface on the worker's loop; see util.h. Connections are pooled in the multi
 * handle, so fastr.http and fastr.smtp share one. libcurl asks for a timer and for sockets to watch; events drive it,
 * and only after it has returned are finished transfers told to their owners. */
#include "bindings/util.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

enum { SPARE_MOST = 32, CONNECTIONS_MOST = 256, CONNECTIONS_PER_HOST = 64 };

static struct {
    CURLM *multi;
    struct event timer;
    CURL *spare[SPARE_MOST];
    int spares;
} curl;

static void tell_finished(void)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(curl.multi, &left)) != NULL;) {
        struct fastr_transfer *transfer;
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
        curl_multi_remove_handle(curl.multi, easy);
        transfer->running = false;
        transfer->done(transfer, (int)result);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
    int running;
    (void)fd, (void)what, (void)data;
    curl_multi_socket_action(curl.multi, CURL_SOCKET_TIMEOUT, 0, &running);
    tell_finished();
}

static void on_socket(evutil_socket_t fd, short what, void *data)
{
    int running;
    (void)data;
    int action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(curl.multi, fd, action, &running);
    tell_finished();
}

static int want_timer(CURLM *multi, long timeout_ms, void *data)
{
    (void)multi, (void)data;
    struct timeval delay = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (timeout_ms < 0)
        evtimer_del(&curl.timer);
    else
        evtimer_add(&curl.timer, &delay);
    return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct event *event = socket_data;
    (void)easy, (void)data;
    if (event)
        event_free(event);
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(curl.multi, fd, NULL);
        return 0;
    }
    short flags = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    event = event_new(fastr_loop(), fd, flags, on_socket, NULL);
    event_add(event, NULL);
    curl_multi_assign(curl.multi, fd, event);
    return 0;
}

int fastr_transfers_start(struct fastr_err *err)
{
    if (curl.multi)
        return 0;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (curl.multi = curl_multi_init()) == NULL)
        return fastr_fail(err, "unavailable", "libcurl does not start");
    evtimer_assign(&curl.timer, fastr_loop(), on_timer, NULL);
    curl_multi_setopt(curl.multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(curl.multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(curl.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MOST);
    curl_multi_setopt(curl.multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST);
    curl_multi_setopt(curl.multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_PER_HOST * 2);
    return 0;
}

void fastr_transfers_stop(void)
{
    if (curl.multi == NULL)
        return;
    evtimer_del(&curl.timer);
    while (curl.spares)
        curl_easy_cleanup(curl.spare[--curl.spares]);
    curl_multi_cleanup(curl.multi);
    curl.multi = NULL;
}

void fastr_transfer_prepare(struct fastr_transfer *transfer, int64_t timeout_ms)
{
    const char *authorities = fastr_setting("http.ca_file", "");
    int64_t connect_ms = fastr_setting_int("http.connect_ms", 1000, 1, 60000);
    CURL *easy = curl.spares ? curl.spare[--curl.spares] : curl_easy_init();
    if (easy == NULL)
        abort(); /* out of memory */
    transfer->easy = easy;
    transfer->problem[0] = 0;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->problem);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never join a look-up's thread on the loop */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ms < timeout_ms ? connect_ms : timeout_ms));
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (*authorities)
        curl_easy_setopt(easy, CURLOPT_CAINFO, authorities);
}

void fastr_transfer_begin(struct fastr_transfer *transfer)
{
    transfer->running = true;
    curl_multi_add_handle(curl.multi, transfer->easy);
}

void fastr_transfer_end(struct fastr_transfer *transfer)
{
    CURL *easy = transfer->easy;
    if (easy == NULL)
        return;
    if (transfer->running)
        curl_multi_remove_handle(curl.multi, easy);
    transfer->running = false;
    transfer->easy = NULL;
    if (curl.spares == SPARE_MOST) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    curl.spare[curl.spares++] = easy;
}
