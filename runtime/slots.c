/* slots.c: see slots.h. */
#include "runtime/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/json.h"

static struct fastr_slot *slots, *mine;

void fastr_slots_create(int workers)
{
    slots = mmap(NULL, sizeof *slots * (size_t)workers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) {
        perror("fastr: cannot map the workers' slots");
        exit(1);
    }
}

struct fastr_slot *fastr_slot_at(int worker)
{
    return &slots[worker];
}

void fastr_slot_take(int worker)
{
    mine = &slots[worker];
    memset(mine->health, 0, sizeof mine->health);
    memset(mine->versions, 0, sizeof mine->versions);
    mine->ready = 0;
    mine->deciding_us = 0;
    memset(mine->point, 0, sizeof mine->point);
    memset(mine->pack, 0, sizeof mine->pack);
    mine->pulse_us = mine->started_us = fastr_clock_us();
    mine->pid = (int)getpid();
}

struct fastr_slot *fastr_slot_mine(void)
{
    return mine;
}

void fastr_slot_decides(const char *point, const char *hash)
{
    if (!mine)
        return;
    strncpy(mine->point, point, sizeof mine->point - 1);
    memcpy(mine->pack, hash, 12);
    mine->deciding_us = fastr_clock_us();
}

void fastr_slot_decided(void)
{
    if (mine)
        mine->deciding_us = 0;
}

void fastr_health(const char *name, bool ok, bool required, const char *detail)
{
    if (!mine)
        return;
    size_t most = sizeof mine->health / sizeof *mine->health, i = 0;
    while (i < most && mine->health[i].name[0] && strcmp(mine->health[i].name, name))
        i++;
    if (i == most)
        return;
    if (mine->health[i].name[0] && mine->health[i].ok != ok)
        fastr_log(ok ? FASTR_INFO : FASTR_WARN, "%s is %s: %s", name, ok ? "well again" : "unwell", detail);
    snprintf(mine->health[i].detail, sizeof mine->health[i].detail, "%s", detail ? detail : "");
    mine->health[i].ok = ok;
    mine->health[i].required = required;
    snprintf(mine->health[i].name, sizeof mine->health[i].name, "%s", name);
}

bool fastr_slot_ready(const struct fastr_slot *slot)
{
    bool ok = slot->ready != 0;
    for (size_t i = 0; i < sizeof slot->health / sizeof *slot->health; i++)
        ok = ok && (!slot->health[i].name[0] || slot->health[i].ok || !slot->health[i].required);
    return ok;
}

static void describe_health(const struct fastr_slot *slot, struct fastr_buffer *out)
{
    fastr_buffer_text(out, "\"health\":[");
    for (size_t i = 0; i < sizeof slot->health / sizeof *slot->health && slot->health[i].name[0]; i++) {
        fastr_buffer_format(out, "%s{\"name\":\"%s\",\"ok\":%s,\"required\":%s,\"detail\":", i ? "," : "",
                            slot->health[i].name, slot->health[i].ok ? "true" : "false",
                            slot->health[i].required ? "true" : "false");
        fastr_json_string(out, slot->health[i].detail, strnlen(slot->health[i].detail, 64));
        fastr_buffer_text(out, "}");
    }
    fastr_buffer_text(out, "]");
}

static void describe_versions(const struct fastr_slot *slot, struct fastr_buffer *out)
{
    fastr_buffer_text(out, "\"versions\":{");
    for (int i = 0; i < 4 && slot->versions[i][0]; i++) {
        const char *blank = strchr(slot->versions[i], ' ');
        if (blank)
            fastr_buffer_format(out, "%s\"%.*s\":\"%s\"", i ? "," : "", (int)(blank - slot->versions[i]),
                                slot->versions[i], blank + 1);
    }
    fastr_buffer_text(out, "},");
}

void fastr_slot_describe(int worker, struct fastr_buffer *out)
{
    const struct fastr_slot *slot = &slots[worker];
    uint64_t now = fastr_clock_us();
    fastr_buffer_format(out, "{\"worker\":%d,\"pid\":%d,\"ready\":%s,\"restarts\":%llu,\"pulse_ms\":%llu,"
                        "\"up_s\":%llu,\"tasks\":%d,\"connections\":%d,",
                        worker, slot->pid, fastr_slot_ready(slot) ? "true" : "false",
                        (unsigned long long)slot->restarts, (unsigned long long)((now - slot->pulse_us) / 1000),
                        (unsigned long long)((now - slot->started_us) / 1000000), slot->tasks, slot->connections);
    describe_versions(slot, out);
    describe_health(slot, out);
    fastr_buffer_text(out, "}");
}
