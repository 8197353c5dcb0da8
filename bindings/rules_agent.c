/* rules_agent.c: a host that was away catches up before it serves. Where the setting rules.agent says that one process
 * of the host follows what is activated elsewhere, every worker is unready from its start until that process has said,
 * in its file VAR/run/rules-agent.lead, where the host stands; or until none has appeared for ten seconds. */
#include "bindings/rules_agent.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LOOK_MS = 50, WAIT_US = 10 * 1000000 };

static struct event *timer;
static uint64_t began_us;

/* What the process that leads has said: false while there is none, or it has said nothing. */
static bool read_word(char word[64]) {
    char *path = fastr_format("%s/run/rules-agent.lead", fastr_setting("var", "var"));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0)
        return false;
    bool is_led = flock(fd, LOCK_SH | LOCK_NB) != 0;
    ssize_t n = is_led ? read(fd, word, 63) : 0;
    close(fd);
    if (n <= 0)
        return false;
    word[n] = 0;
    return true;
}

static void on_look(evutil_socket_t fd, short what, void *data) {
    char word[64];
    bool is_told = read_word(word);
    if (!is_told && fastr_clock_us() - began_us < WAIT_US)
        return;
    event_del(timer);
    if (!is_told)
        fastr_log(FASTR_WARN, "no process of this host follows the activations of rules (is rules served here?): "
                              "what was last live is served");
    fastr_health("rules.agent", true, false, is_told ? word : "nobody follows activations");
}

void fastr_rules_agent_start(void) {
    if (strcmp(fastr_setting("rules.agent", "false"), "true") != 0 || !fastr_loop())
        return;
    fastr_health("rules.agent", false, true, "catching up with what was activated");
    began_us = fastr_clock_us();
    timer = event_new(fastr_loop(), -1, EV_PERSIST, on_look, NULL);
    event_add(timer, &(struct timeval){0, LOOK_MS * 1000});
}

void fastr_rules_agent_stop(void) {
    if (timer)
        event_free(timer);
    timer = NULL;
}
