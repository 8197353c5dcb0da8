/* version.c: see version.h. */
#include "runtime/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/json.h"
#include "runtime/kept.h"

enum { LINES = 128, SLOTS = 8, LOCAL_LINES = 8, WARM = 3, TRIAL_ROOM = 4096 };
enum { DRAIN_US = 60 * 1000000 };
enum { UNDONE = 1, QUARANTINED = 2 };

/* ---- the activation file ---- */

struct slot {
    char hash[72]; /* 64 hex digits and a NUL */
    char by[48];
    int64_t at_us;
    uint64_t sequence; /* when it became live for the first time; 0: never used */
    uint32_t undone;   /* 1: rolled back, never the target of a rollback; 2: nor activated, until it is pardoned */
    uint32_t admitted; /* the builder looked at it when it became live */
};

struct entry {
    char name[64];
    _Atomic uint64_t live; /* sequence << 8 | slot; 0: nothing is live */
    struct slot slots[SLOTS];
};

/* Fields are only ever added at the end: who was built before reads what it knows, who is newer finds zeros. */
struct file {
    char magic[16];
    struct entry entries[LINES];
    union {
        struct fastr_trial trial;
        char room[TRIAL_ROOM];
    } trials[LINES]; /* of the entry of the same place */
};
_Static_assert(sizeof(((struct file *)0)->trials[0]) == TRIAL_ROOM, "a trial has its room, or builds would mix lines up");

static const char magic[16] = "fastr active 1";
static struct file *file, *known; /* known: what the master saw of it last, and it was sound */
static int file_fd = -1;
static char *store;

static int make_folder(const char *path, struct fastr_err *err)
{
    if (mkdir(path, 0755) && errno != EEXIST)
        return fastr_fail(err, "unavailable", "cannot make the folder %s: %s", path, strerror(errno));
    return 0;
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

/* What a crash of the machine may have left must not be followed to where it points. */
static bool is_sound(const struct entry *entry)
{
    uint64_t live = atomic_load(&entry->live);
    const struct slot *slot = &entry->slots[live & 0xff];
    bool sound = ends(entry->name, sizeof entry->name);
    for (int i = 0; i < SLOTS; i++)
        sound = sound && ends(entry->slots[i].hash, sizeof slot->hash) && ends(entry->slots[i].by, sizeof slot->by);
    return sound && (!live || ((live & 0xff) < SLOTS && slot->sequence && slot->hash[0]));
}

static int check_file(const char *path, struct fastr_err *err)
{
    if (memcmp(file->magic, magic, sizeof magic))
        return fastr_fail(err, "invalid", "%s is not an activation file of this version of fastr", path);
    for (int i = 0; i < LINES; i++)
        if (!is_sound(&file->entries[i]))
            return fastr_fail(err, "invalid", "%s is damaged: move it away, and what is in the folders becomes live", path);
    for (int i = 0; i < LINES; i++) /* a trial is no more than a trial: what is live goes on without */
        if (!fastr_trial_is_sound(&file->trials[i].trial))
            memset(&file->trials[i], 0, sizeof file->trials[i]);
    return 0;
}

/* Fills a file up that is new, cut, or of an older layout; never shortens what others may have mapped. */
static int fill_up(int fd)
{
    struct stat st;
    return fstat(fd, &st) || (st.st_size < (off_t)sizeof *file && ftruncate(fd, sizeof *file));
}

static int map_file(const char *path, struct fastr_err *err)
{
    file_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file_fd < 0 || flock(file_fd, LOCK_EX) || fill_up(file_fd))
        return fastr_fail(err, "unavailable", "cannot open %s: %s", path, strerror(errno));
    void *memory = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, file_fd, 0);
    if (memory == MAP_FAILED)
        return fastr_fail(err, "unavailable", "cannot map %s: %s", path, strerror(errno));
    known = fastr_kept_guard(path, file_fd, memory, sizeof *file); /* from here on it may be cut, also while it is read */
    if (!known)
        return fastr_fail(err, "unavailable", "no memory to keep a copy of %s", path);
    file = memory;
    if (!file->magic[0])
        memcpy(file->magic, magic, sizeof magic);
    int rc = check_file(path, err);
    memcpy(known, file, sizeof *file);
    flock(file_fd, LOCK_UN);
    return rc;
}

/* Sequences only grow: a smaller one, or none, is not what was stored last. */
static bool is_behind(const struct entry *entry, const struct entry *before)
{
    return before->name[0] && (strcmp(entry->name, before->name) || !is_sound(entry) ||
                               atomic_load(&entry->live) >> 8 < atomic_load(&before->live) >> 8);
}

/* Under the lock: what is behind becomes again what this process knows, the live words last. True if anything was. */
static bool restore(void)
{
    bool restored = false;
    memcpy(file->magic, magic, sizeof magic);
    for (int i = 0; i < LINES; i++) {
        struct entry *entry = &file->entries[i];
        if (!is_behind(entry, &known->entries[i]))
            continue;
        restored = true;
        memcpy(entry->name, known->entries[i].name, sizeof entry->name);
        memcpy(entry->slots, known->entries[i].slots, sizeof entry->slots);
        file->trials[i] = known->trials[i];
        atomic_store(&entry->live, atomic_load(&known->entries[i].live));
    }
    return restored;
}

static bool any_behind(void)
{
    for (int i = 0; i < LINES && known->entries[i].name[0]; i++)
        if (is_behind(&file->entries[i], &known->entries[i]))
            return true;
    return false;
}

static void remember(void)
{
    for (int i = 0; i < LINES && (file->entries[i].name[0] || known->entries[i].name[0]); i++) {
        if (is_behind(&file->entries[i], &known->entries[i]) || !is_sound(&file->entries[i]))
            continue;
        known->entries[i] = file->entries[i];
        known->trials[i] = file->trials[i];
    }
}

static void heal(void)
{
    bool whole = fastr_kept_is_whole();
    remember(); /* what was written while there was no file */
    int fd = whole ? -1 : fastr_kept_map_again(true);
    if (fd >= 0) {
        close(file_fd);
        file_fd = fd;
    }
    flock(file_fd, LOCK_EX);
    if (restore() || !whole)
        fastr_log(FASTR_WARN, "run/active was cut, removed or overwritten: it is again as this process knew it");
    msync(file, sizeof *file, MS_ASYNC);
    flock(file_fd, LOCK_UN);
}

void fastr_versions_look(bool heals)
{
    if (!file)
        return;
    if (!heals && !fastr_kept_is_whole())
        fastr_kept_map_again(false);
    if (!heals)
        return;
    if (!fastr_kept_is_whole() || any_behind())
        heal();
    remember();
}

static void lock_file(void)
{
    fastr_versions_look(true);
    flock(file_fd, LOCK_EX);
}

static void unlock_file(void)
{
    remember();
    flock(file_fd, LOCK_UN);
}

int fastr_versions_open(const char *var, struct fastr_err *err)
{
    char *run = fastr_format("%s/run", var), *path = fastr_format("%s/run/active", var);
    store = fastr_format("%s/packs", var);
    int rc = make_folder(var, err) || make_folder(run, err) || make_folder(store, err) ? -1 : map_file(path, err);
    free(run);
    free(path);
    return rc;
}

void fastr_versions_release(void)
{
    close(file_fd);
    file_fd = -1;
}

const char *fastr_versions_store(void)
{
    return store;
}

static struct entry *find_entry(const char *name, struct fastr_err *err)
{
    struct entry *found = NULL;
    if (strlen(name) >= sizeof found->name) { /* cut, it would be found nowhere, and take every place */
        fastr_fail(err, "invalid", "the name %.40s... is longer than %zu bytes", name, sizeof found->name - 1);
        return NULL;
    }
    flock(file_fd, LOCK_EX);
    for (int i = 0; i < LINES && !found; i++) {
        struct entry *entry = &file->entries[i];
        if (!entry->name[0])
            snprintf(entry->name, sizeof entry->name, "%s", name);
        if (!strcmp(entry->name, name))
            found = entry;
    }
    flock(file_fd, LOCK_UN);
    if (!found)
        fastr_fail(err, "busy", "the activation file has no room for %s", name);
    return found;
}

/* ---- lines and versions of this process ---- */

struct fastr_version {
    struct fastr_line *line;
    struct fastr_version *next; /* most recently live first */
    struct fastr_bundle *bundle;
    void *built;
    int refs;
    uint64_t left_us; /* when it ceased to be live; 0 while live or a candidate */
};

struct fastr_line {
    struct entry *entry;
    const struct fastr_builder *builder;
    struct fastr_version *versions;
    uint64_t seen;                  /* the entry's live word for which `current` was looked up */
    struct fastr_version *current;
    struct fastr_bundle *kept[2];   /* what is live and what a rollback leads to: see fastr_versions_keep */
    uint64_t kept_word;             /* the live word at which these were looked up */
    struct fastr_trial *trial;      /* NULL for a line of this process alone */
    uint64_t trial_seen, against;   /* the trial's word for which `candidate` was looked up, and its plan's */
    struct fastr_version *candidate;
};

static struct fastr_line lines[LOCAL_LINES];
static int line_count;

struct fastr_line *fastr_line_open(const char *name, const struct fastr_builder *builder, struct fastr_err *err)
{
    struct entry *entry = line_count < LOCAL_LINES ? find_entry(name, err) : NULL;
    if (!entry)
        return NULL;
    struct fastr_line *line = &lines[line_count++];
    *line = (struct fastr_line){.entry = entry, .builder = builder, .trial = &file->trials[entry - file->entries].trial};
    return line;
}

static struct fastr_version *build_from(struct fastr_line *line, struct fastr_bundle *bundle, struct fastr_err *err);

struct fastr_line *fastr_line_private(const char *name, const struct fastr_builder *builder,
                                      struct fastr_bundle *bundle, struct fastr_err *err)
{
    struct fastr_line *line = &lines[line_count++];
    *line = (struct fastr_line){.entry = fastr_zalloc(sizeof *line->entry), .builder = builder};
    snprintf(line->entry->name, sizeof line->entry->name, "%s", name);
    line->current = build_from(line, bundle, err);
    if (!line->current)
        return NULL;
    snprintf(line->entry->slots[0].hash, sizeof line->entry->slots[0].hash, "%s", fastr_bundle_hash(bundle));
    line->entry->slots[0].sequence = 1;
    line->seen = 1 << 8;
    atomic_store(&line->entry->live, line->seen);
    return line;
}

int fastr_line_count(void)
{
    return line_count;
}

struct fastr_line *fastr_line_at(int index)
{
    return &lines[index];
}

const char *fastr_line_name(const struct fastr_line *line)
{
    return line->entry->name;
}

struct fastr_line *fastr_line_find(const char *name)
{
    for (int i = 0; i < line_count; i++)
        if (!strcmp(lines[i].entry->name, name) || !strcmp(lines[i].builder->line, name))
            return &lines[i];
    return NULL;
}

uint64_t fastr_line_live(const struct fastr_line *line, char hash[65])
{
    uint64_t live;
    do { /* a slot is only ever rewritten after `live` has moved on, so an unmoved word means an unmixed hash */
        live = atomic_load(&line->entry->live);
        snprintf(hash, 65, "%.64s", live ? line->entry->slots[live & 0xff].hash : "");
        atomic_thread_fence(memory_order_acquire);
    } while (live != atomic_load(&line->entry->live));
    return live >> 8;
}

struct fastr_version *fastr_line_warm(struct fastr_line *line, const char *hash)
{
    for (struct fastr_version *version = line->versions; version; version = version->next)
        if (!strcmp(fastr_bundle_hash(version->bundle), hash))
            return version;
    return NULL;
}

static struct fastr_version *build_from(struct fastr_line *line, struct fastr_bundle *bundle, struct fastr_err *err)
{
    void *built = line->builder->build(bundle, err);
    if (!built) {
        fastr_bundle_free(bundle);
        return NULL;
    }
    struct fastr_version *version = fastr_zalloc(sizeof *version);
    *version = (struct fastr_version){.line = line, .next = line->versions, .bundle = bundle, .built = built};
    line->versions = version;
    return version;
}

static int slot_of_hash(const struct entry *entry, const char *hash);

static int ask_builder(struct fastr_line *line, const char *hash, struct fastr_err *err)
{
    return line->builder->admit ? line->builder->admit(store, hash, err) : 0;
}

/* As ask_builder, but what was admitted before is not asked about again. */
static int admit(struct fastr_line *line, const char *hash, struct fastr_err *err)
{
    int slot = slot_of_hash(line->entry, hash);
    return slot >= 0 && line->entry->slots[slot].admitted ? 1 : ask_builder(line, hash, err);
}

int fastr_line_admitted(struct fastr_line *line, struct fastr_err *err)
{
    char hash[65];
    return fastr_line_live(line, hash) && admit(line, hash, err) < 0 ? -1 : 0;
}

static struct fastr_bundle *load(const char *hash, struct fastr_err *err)
{
    char *path = fastr_format("%s/%s", store, hash);
    struct fastr_err why;
    struct fastr_bundle *bundle = fastr_bundle_load(path, hash, &why);
    if (!bundle)
        fastr_fail(err, why.code, "version %.12s as it is stored here: %s", hash, why.text);
    free(path);
    return bundle;
}

static struct fastr_bundle *kept_bundle(const struct fastr_line *line, const char *hash)
{
    for (int i = 0; i < 2; i++)
        if (line->kept[i] && !strcmp(fastr_bundle_hash(line->kept[i]), hash))
            return fastr_bundle_share(line->kept[i]);
    return NULL;
}

static struct fastr_version *build(struct fastr_line *line, const char *hash, struct fastr_err *err)
{
    if (admit(line, hash, err) < 0)
        return NULL;
    struct fastr_bundle *bundle = kept_bundle(line, hash);
    if (!bundle)
        bundle = load(hash, err);
    return bundle ? build_from(line, bundle, err) : NULL;
}

static void move_to_front(struct fastr_line *line, struct fastr_version *version)
{
    struct fastr_version **at = &line->versions;
    while (*at != version)
        at = &(*at)->next;
    *at = version->next;
    version->next = line->versions;
    line->versions = version;
}

static void become_current(struct fastr_line *line, struct fastr_version *version)
{
    if (line->current && line->current != version)
        line->current->left_us = fastr_clock_us();
    line->current = version;
    version->left_us = 0;
    move_to_front(line, version);
}

/* The slow path of a pin: the live word has moved. */
static void catch_up(struct fastr_line *line, uint64_t live, struct fastr_err *err)
{
    char hash[65];
    if (live >> 8 < line->seen >> 8 || !is_sound(line->entry)) /* overwritten, and about to be healed: see kept.h */
        return;
    fastr_line_live(line, hash);
    struct fastr_version *version = fastr_line_warm(line, hash);
    if (!version)
        version = build(line, hash, err);
    if (version)
        become_current(line, version);
    else
        fastr_log(FASTR_ERROR, "the live version %.12s of %s does not build here: %s", hash, line->entry->name,
                  err->text);
    line->seen = live;
}

struct fastr_version *fastr_line_pin(struct fastr_line *line, struct fastr_err *err)
{
    struct fastr_err spare;
    uint64_t live = atomic_load(&line->entry->live);
    if (!live && !line->seen) {
        fastr_fail(err, "unavailable", "no version of %s is live", line->entry->name);
        return NULL;
    }
    if (live != line->seen)
        catch_up(line, live, err ? err : &spare);
    return line->current ? fastr_version_share(line->current) : NULL;
}

/* The slow path of a candidate's pin: the trial's word has moved. */
static void meet_candidate(struct fastr_line *line)
{
    struct fastr_trial_plan plan;
    struct fastr_err err;
    line->trial_seen = fastr_trial_read(line->trial, &plan);
    line->against = plan.against;
    line->candidate = NULL;
    if (!line->trial_seen || !fastr_trial_is_sound(line->trial)) /* overwritten, and about to be healed: see kept.h */
        return;
    line->candidate = fastr_line_warm(line, plan.hash);
    if (!line->candidate)
        line->candidate = build(line, plan.hash, &err);
    if (line->candidate)
        return;
    fastr_log(FASTR_ERROR, "the candidate %.12s of %s does not build here: %s", plan.hash, line->entry->name, err.text);
    fastr_trial_failed(line->trial, line->trial_seen, false, err.text);
}

struct fastr_version *fastr_line_pin_candidate(struct fastr_line *line, uint64_t *word)
{
    if (!line->trial || (!atomic_load(&line->trial->word) && !line->trial_seen))
        return NULL;
    if (atomic_load(&line->trial->word) != line->trial_seen)
        meet_candidate(line);
    *word = line->trial_seen;
    if (!line->candidate || line->against != line->seen >> 8)
        return NULL;
    return fastr_version_share(line->candidate);
}

struct fastr_trial *fastr_line_trial(const struct fastr_line *line)
{
    return line->trial;
}

struct fastr_version *fastr_version_share(struct fastr_version *version)
{
    version->refs++;
    return version;
}

void fastr_version_unpin(struct fastr_version *version)
{
    if (version)
        version->refs--;
}

bool fastr_version_of(const struct fastr_version *version, const struct fastr_line *line)
{
    return version->line == line;
}

void *fastr_version_built(const struct fastr_version *version)
{
    return version->built;
}

const char *fastr_version_hash(const struct fastr_version *version)
{
    return fastr_bundle_hash(version->bundle);
}

static void destroy(struct fastr_version *version)
{
    version->line->builder->free(version->built);
    fastr_bundle_free(version->bundle);
    free(version);
}

static void tidy_line(struct fastr_line *line, void (*cancel)(struct fastr_version *version))
{
    uint64_t now = fastr_clock_us();
    int kept = 0;
    for (struct fastr_version **at = &line->versions; *at;) {
        struct fastr_version *version = *at;
        if (version->refs && version->left_us && now - version->left_us > DRAIN_US) {
            fastr_log(FASTR_WARN, "%d tasks still use version %.12s of %s after 60 s: cancelled", version->refs,
                      fastr_version_hash(version), line->entry->name);
            cancel(version); /* whose replies may let others begin, and they catch up: then the list is another */
            if (*at != version)
                return; /* the rest is tidied the next time */
        }
        if (kept >= WARM && version != line->current && version != line->candidate && version->refs == 0) {
            *at = version->next;
            destroy(version);
            continue;
        }
        kept++;
        at = &version->next;
    }
}

void fastr_versions_tidy(void (*cancel)(struct fastr_version *version))
{
    for (int i = 0; i < line_count; i++)
        tidy_line(&lines[i], cancel);
}

void fastr_versions_close(void)
{
    for (int i = 0; i < line_count; i++) {
        while (lines[i].versions) {
            struct fastr_version *version = lines[i].versions;
            lines[i].versions = version->next;
            destroy(version);
        }
        for (int k = 0; k < 2; k++) {
            fastr_bundle_free(lines[i].kept[k]);
            lines[i].kept[k] = NULL;
        }
        lines[i].current = lines[i].candidate = NULL;
        lines[i].seen = lines[i].trial_seen = 0;
    }
}

/* ---- activation ---- */

int fastr_line_prepare(struct fastr_line *line, const char *hash, struct fastr_err *err)
{
    return fastr_line_warm(line, hash) || build(line, hash, err) ? 0 : -1;
}

static int slot_of_hash(const struct entry *entry, const char *hash)
{
    for (int i = 0; i < SLOTS; i++)
        if (entry->slots[i].sequence && !strcmp(entry->slots[i].hash, hash))
            return i;
    return -1;
}

/* A slot to overwrite: an unused one, else the one that became live longest ago, never the live one. */
static int spare_slot(const struct entry *entry, int live)
{
    int oldest = -1;
    for (int i = 0; i < SLOTS; i++)
        if (i != live && (oldest < 0 || entry->slots[i].sequence < entry->slots[oldest].sequence))
            oldest = i;
    return oldest;
}

static int check_stored(const struct fastr_line *line, const char *hash, struct fastr_err *err)
{
    char *path = fastr_format("%s/%s", store, hash);
    int missing = access(path, R_OK);
    free(path);
    if (missing)
        return fastr_fail(err, "invalid", "version %.12s of %s is not stored on this host", hash, line->entry->name);
    return 0;
}

/* The store of `live` has ended the trial, which was against another sequence; this says why. */
static void tell_trial(struct fastr_trial *trial, const char *hash, const char *by, const char *how)
{
    struct fastr_trial_plan plan;
    char reason[sizeof trial->reason];
    uint64_t word = fastr_trial_read(trial, &plan);
    if (!strcmp(plan.hash, hash))
        snprintf(reason, sizeof reason, "promoted by %s", by);
    else
        snprintf(reason, sizeof reason, "%.12s was %s by %s", hash, how, by);
    fastr_trial_end(trial, word, reason, false);
}

static void make_live(struct entry *entry, int slot)
{
    uint64_t sequence = (atomic_load(&entry->live) >> 8) + 1;
    entry->slots[slot].sequence = sequence;
    msync(file, sizeof *file, MS_SYNC);
    atomic_store(&entry->live, sequence << 8 | (uint64_t)slot);
    msync(file, sizeof *file, MS_ASYNC);
}

static bool is_quarantined(const struct entry *entry, const char *hash)
{
    int slot = slot_of_hash(entry, hash);
    return slot >= 0 && entry->slots[slot].undone == QUARANTINED;
}

static int refuse_quarantined(const struct entry *entry, const char *hash, struct fastr_err *err)
{
    if (!is_quarantined(entry, hash))
        return 0;
    return fastr_fail(err, "invalid", "version %.12s of %s is in quarantine, as it got workers stuck: activate it with --force",
                      hash, entry->name);
}

static int keep_next(struct fastr_line *line, const char *hash, struct fastr_err *err)
{
    fastr_bundle_free(line->kept[1]);
    line->kept[1] = line->kept[0];
    line->kept[0] = load(hash, err);
    return line->kept[0] ? 0 : -1;
}

/* Under the lock: the version has a slot, and is live; nothing is done if it is. */
static void write_live(struct fastr_line *line, const char *hash, const char *by, bool admitted)
{
    struct entry *entry = line->entry;
    uint64_t live = atomic_load(&entry->live);
    int now = live ? (int)(live & 0xff) : -1, at = slot_of_hash(entry, hash);
    if (now >= 0 && !strcmp(entry->slots[now].hash, hash))
        return;
    if (at < 0)
        at = spare_slot(entry, now);
    struct slot *slot = &entry->slots[at];
    *slot = (struct slot){.at_us = fastr_wall_us(), .admitted = admitted};
    snprintf(slot->hash, sizeof slot->hash, "%s", hash);
    snprintf(slot->by, sizeof slot->by, "%s", by);
    make_live(entry, at);
    tell_trial(line->trial, hash, by, "made live");
}

int fastr_line_activate(struct fastr_line *line, const char *hash, const char *by, struct fastr_err *err)
{
    char is[65];
    if (refuse_quarantined(line->entry, hash, err) || check_stored(line, hash, err))
        return -1;
    int admitted = ask_builder(line, hash, err);
    if (admitted < 0 || keep_next(line, hash, err))
        return -1;
    lock_file();
    int rc = refuse_quarantined(line->entry, hash, err); /* another master may have seen it get workers stuck meanwhile */
    if (rc == 0)
        write_live(line, hash, by, admitted > 0);
    unlock_file();
    if (rc)
        return -1;
    fastr_line_live(line, is);
    return strcmp(is, hash) ? fastr_fail(err, "unavailable", "run/active was overwritten meanwhile: try again") : 0;
}

static int slot_before(const struct entry *entry, uint64_t live)
{
    int now = (int)(live & 0xff), best = -1;
    for (int i = 0; i < SLOTS; i++) {
        const struct slot *slot = &entry->slots[i];
        if (i != now && slot->sequence && !slot->undone && slot->sequence < entry->slots[now].sequence &&
            (best < 0 || slot->sequence > entry->slots[best].sequence))
            best = i;
    }
    return best;
}

static int roll_back(struct fastr_line *line, const char *by, uint32_t undone, char hash[65], struct fastr_err *err)
{
    struct entry *entry = line->entry;
    lock_file();
    uint64_t live = atomic_load(&entry->live);
    int back = live ? slot_before(entry, live) : -1;
    if (back >= 0 && admit(line, entry->slots[back].hash, err) < 0) {
        unlock_file();
        return -1;
    }
    if (back >= 0) {
        /* The older slot keeps its own place in the sequence, so that a second rollback goes further back. */
        entry->slots[live & 0xff].undone = undone;
        atomic_store(&entry->live, ((live >> 8) + 1) << 8 | (uint64_t)back);
        snprintf(entry->slots[back].by, sizeof entry->slots[back].by, "%s (rollback)", by);
        entry->slots[back].at_us = fastr_wall_us();
        snprintf(hash, 65, "%.64s", entry->slots[back].hash);
        tell_trial(line->trial, hash, by, "rolled back to");
        msync(file, sizeof *file, MS_ASYNC);
    }
    unlock_file();
    return back >= 0 ? 0 : fastr_fail(err, "invalid", "there is no earlier version of %s to go back to", entry->name);
}

int fastr_line_rollback(struct fastr_line *line, const char *by, char hash[65], struct fastr_err *err)
{
    return roll_back(line, by, UNDONE, hash, err);
}

int fastr_line_quarantine(struct fastr_line *line, const char *by, char hash[65], struct fastr_err *err)
{
    return roll_back(line, by, QUARANTINED, hash, err);
}

int fastr_line_pardon(struct fastr_line *line, const char *hash, struct fastr_err *err)
{
    lock_file();
    bool pardoned = is_quarantined(line->entry, hash);
    if (pardoned)
        line->entry->slots[slot_of_hash(line->entry, hash)].undone = UNDONE;
    unlock_file();
    return pardoned ? 0 : fastr_fail(err, "invalid", "version %.12s of %s is not in quarantine", hash, line->entry->name);
}

struct fastr_version *fastr_line_before(struct fastr_line *line)
{
    struct fastr_err err;
    char hash[65]; /* of its own: the slot is shared with who may write it */
    uint64_t live = atomic_load(&line->entry->live);
    int back = live && is_sound(line->entry) ? slot_before(line->entry, live) : -1;
    if (back < 0)
        return NULL;
    snprintf(hash, sizeof hash, "%.64s", line->entry->slots[back].hash);
    struct fastr_version *version = fastr_line_warm(line, hash);
    return version ? version : build(line, hash, &err);
}

/* Under the lock: may this trial begin beside what is live? */
static int check_trial(const struct fastr_line *line, const struct fastr_trial_plan *plan, struct fastr_err *err)
{
    struct fastr_trial_plan other;
    char live[65];
    if (!fastr_line_live(line, live))
        return fastr_fail(err, "invalid", "no version of %s is live, to try another beside", line->entry->name);
    if (!strcmp(live, plan->hash))
        return fastr_fail(err, "invalid", "%.12s of %s is what is live", live, line->entry->name);
    if (fastr_trial_read(line->trial, &other) && strcmp(other.hash, plan->hash))
        return fastr_fail(err, "busy", "a trial of %.12s runs, begun by %s: stop it first", other.hash, other.by);
    return 0;
}

int fastr_line_try(struct fastr_line *line, struct fastr_trial_plan *plan, struct fastr_err *err)
{
    if (check_stored(line, plan->hash, err) || ask_builder(line, plan->hash, err) < 0)
        return -1;
    lock_file();
    int rc = check_trial(line, plan, err);
    if (rc == 0) {
        plan->against = atomic_load(&line->entry->live) >> 8;
        fastr_trial_begin(line->trial, plan);
        msync(file, sizeof *file, MS_ASYNC);
    }
    unlock_file();
    return rc;
}

int fastr_line_stop(struct fastr_line *line, const char *by, const char *reason, struct fastr_err *err)
{
    char text[sizeof line->trial->reason];
    snprintf(text, sizeof text, "stopped by %s: %s", by, reason);
    lock_file();
    bool is_ended = fastr_trial_end(line->trial, atomic_load(&line->trial->word), text, false);
    msync(file, sizeof *file, MS_SYNC); /* or a crash of the machine would bring it back */
    unlock_file();
    return is_ended ? 0 : fastr_fail(err, "invalid", "no trial of %s runs", line->entry->name);
}

/* ---- bundles in memory ---- */

/* Is the stored form there; `whole`: and unharmed? */
static bool is_stored(const char *hash, bool whole)
{
    struct fastr_err err;
    char *path = fastr_format("%s/%s", store, hash);
    struct fastr_bundle *bundle = whole ? fastr_bundle_load(path, hash, &err) : NULL;
    bool is = whole ? bundle != NULL : access(path, R_OK) == 0;
    if (whole && !is)
        unlink(path);
    fastr_bundle_free(bundle);
    free(path);
    return is;
}

static void store_again(const struct fastr_bundle *bundle)
{
    struct fastr_err err;
    if (make_folder(store, &err) || fastr_bundle_store(bundle, store, &err))
        fastr_log(FASTR_ERROR, "a version in use is no longer stored, and cannot be: %s", err.text);
    else
        fastr_log(FASTR_WARN, "version %.12s was gone or broken in packs: stored again from memory", fastr_bundle_hash(bundle));
}

static void keep(struct fastr_line *line, int at, const char *hash, bool whole)
{
    struct fastr_err err;
    struct fastr_bundle *bundle = kept_bundle(line, hash);
    if (!bundle)
        bundle = load(hash, &err);
    else if (!is_stored(hash, whole))
        store_again(bundle);
    fastr_bundle_free(line->kept[at]);
    line->kept[at] = bundle;
}

void fastr_versions_keep(bool whole)
{
    static uint64_t looked_us;
    uint64_t now = fastr_clock_us();
    bool all = whole || now - looked_us > 1000000;
    looked_us = all ? now : looked_us;
    for (int i = 0; i < line_count; i++) {
        const struct entry *entry = lines[i].entry;
        uint64_t live = atomic_load(&entry->live);
        if (!all && lines[i].kept_word == live)
            continue;
        lines[i].kept_word = live;
        int back = live ? slot_before(entry, live) : -1;
        if (back >= 0)
            keep(&lines[i], 1, entry->slots[back].hash, whole);
        if (live)
            keep(&lines[i], 0, entry->slots[live & 0xff].hash, whole);
    }
}

void fastr_line_describe(const struct fastr_line *line, struct fastr_buffer *out)
{
    const struct entry *entry = line->entry;
    uint64_t live = atomic_load(&entry->live);
    const struct slot *slot = live ? &entry->slots[live & 0xff] : NULL;
    int back = live ? slot_before(entry, live) : -1;
    fastr_buffer_format(out, "{\"line\":\"%s\",\"live\":\"%s\",\"sequence\":%llu,\"by\":", entry->name,
                        slot ? slot->hash : "", (unsigned long long)(live >> 8));
    fastr_json_string(out, slot ? slot->by : "", slot ? strlen(slot->by) : 0);
    fastr_buffer_format(out, ",\"at_ms\":%lld,\"previous\":\"%s\",\"trial\":",
                        slot ? (long long)(slot->at_us / 1000) : 0, back >= 0 ? entry->slots[back].hash : "");
    fastr_trial_describe(line->trial, live >> 8, out);
    fastr_buffer_text(out, ",\"quarantined\":[");
    const char *comma = "";
    for (int i = 0; i < SLOTS; i++) {
        if (entry->slots[i].undone != QUARANTINED)
            continue;
        fastr_buffer_format(out, "%s\"%s\"", comma, entry->slots[i].hash);
        comma = ",";
    }
    fastr_buffer_text(out, "]}");
}
