/* bundle.c: see bundle.h. */
#include "runtime/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 256 * 1024, FILES_MAX = 4096, TOTAL_MAX = 16 * 1024 * 1024, NAME_MAX_BYTES = 255 };
static const char magic[] = "fastr bundle 1\n";

struct file {
    char *name, *data;
    size_t length;
};

struct fastr_bundle {
    struct file *files;
    int count;
    size_t total;
    char hash[65];
    int shares; /* beside the first owner */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

struct fastr_buffer fastr_bundle_text(const struct fastr_bundle *bundle)
{
    struct fastr_buffer out = {0};
    fastr_buffer_text(&out, magic);
    for (int i = 0; i < bundle->count; i++) {
        const struct file *file = &bundle->files[i];
        fastr_buffer_format(&out, "%s %zu\n", file->name, file->length);
        fastr_buffer_add(&out, file->data, file->length);
        fastr_buffer_text(&out, "\n");
    }
    return out;
}

static void hash_bytes(const void *bytes, size_t length, char hex[65])
{
    unsigned char digest[32];
    EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL);
    fastr_hex(hex, digest, sizeof digest);
}

static void seal(struct fastr_bundle *bundle)
{
    qsort(bundle->files, (size_t)bundle->count, sizeof *bundle->files, by_name);
    struct fastr_buffer bytes = fastr_bundle_text(bundle);
    hash_bytes(bytes.data, bytes.length, bundle->hash);
    fastr_buffer_free(&bytes);
}

/* Names are shown on terminals and become parts of paths: no part is empty or of dots alone, nothing is invisible. */
static bool is_name(const char *name)
{
    for (const char *part = name;; part++) {
        size_t length = strcspn(part, "/");
        if (strspn(part, ".") >= length)
            return false;
        for (const char *at = part; at < part + length; at++)
            if ((unsigned char)*at <= ' ' || *at == 127)
                return false;
        part += length;
        if (!*part)
            return true;
    }
}

static int add_file(struct fastr_bundle *bundle, const char *name, const char *data, size_t length,
                    struct fastr_err *err)
{
    if (bundle->count == FILES_MAX || (bundle->total += length) > TOTAL_MAX)
        return fastr_fail(err, "invalid", "too much in one bundle, at %s", name);
    if (length > FILE_MAX_BYTES)
        return fastr_fail(err, "invalid", "%s is larger than %d bytes", name, FILE_MAX_BYTES);
    if (strlen(name) > NAME_MAX_BYTES)
        return fastr_fail(err, "invalid", "file name '%.40s...' is longer than %d bytes", name, NAME_MAX_BYTES);
    if (strpbrk(name, " \t\n"))
        return fastr_fail(err, "invalid", "file name '%s' has a blank in it", name);
    if (!is_name(name))
        return fastr_fail(err, "invalid", "file name '%s' is empty in part, leads elsewhere, or has a control character", name);
    bundle->files = fastr_realloc(bundle->files, sizeof *bundle->files * (size_t)(bundle->count + 1));
    bundle->files[bundle->count++] = (struct file){fastr_strdup(name), fastr_strndup(data, length), length};
    return 0;
}

/* Reads a whole file of at most `most` bytes; the caller frees. NULL on failure. */
static char *slurp(const char *path, size_t most, size_t *length, struct fastr_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        fastr_fail(err, "unavailable", "cannot read %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct fastr_buffer bytes = {0};
    ssize_t n = 0;
    do {
        bytes.length += (size_t)n;
        n = read(fd, fastr_buffer_reserve(&bytes, 65536), 65536);
    } while (n > 0 && bytes.length <= most);
    close(fd);
    if (n < 0 || bytes.length > most) {
        fastr_fail(err, n < 0 ? "unavailable" : "invalid", n < 0 ? "cannot read %s: %s" : "%s is larger than allowed%s",
                   path, n < 0 ? strerror(errno) : "");
        fastr_buffer_free(&bytes);
        return NULL;
    }
    bytes.data[bytes.length] = '\0';
    *length = bytes.length;
    return bytes.data;
}

static int read_folder(struct fastr_bundle *bundle, const char *dir, const char *prefix, const char *skip,
                       struct fastr_err *err);

static int read_entry(struct fastr_bundle *bundle, const char *path, const char *name, const char *skip,
                      struct fastr_err *err)
{
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT ? 0 : fastr_fail(err, "unavailable", "cannot read %s: %s", path, strerror(errno));
    if (S_ISLNK(st.st_mode)) /* it may lead in circles, or to a secret that would be published */
        return fastr_fail(err, "invalid", "%s is a symbolic link: a version is made of files", path);
    if (S_ISDIR(st.st_mode))
        return skip && !strcmp(name, skip) ? 0 : read_folder(bundle, path, name, skip, err);
    if (!S_ISREG(st.st_mode))
        return 0;
    size_t length;
    char *data = slurp(path, FILE_MAX_BYTES, &length, err);
    if (!data)
        return -1;
    int rc = add_file(bundle, name, data, length, err);
    free(data);
    return rc;
}

static int read_folder(struct fastr_bundle *bundle, const char *dir, const char *prefix, const char *skip,
                       struct fastr_err *err)
{
    DIR *handle = opendir(dir);
    if (!handle)
        return fastr_fail(err, "unavailable", "cannot read %s: %s", dir, strerror(errno));
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(handle));) {
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || entry->d_name[length - 1] == '~')
            continue; /* hidden files and editors' copies */
        char *path = fastr_format("%s/%s", dir, entry->d_name);
        char *name = fastr_format("%s%s%s", prefix, *prefix ? "/" : "", entry->d_name);
        rc = read_entry(bundle, path, name, skip, err);
        free(path);
        free(name);
    }
    closedir(handle);
    return rc;
}

struct fastr_bundle *fastr_bundle_read_without(const char *dir, const char *skip, struct fastr_err *err)
{
    struct fastr_bundle *bundle = fastr_zalloc(sizeof *bundle);
    if (read_folder(bundle, dir, "", skip, err)) {
        fastr_bundle_free(bundle);
        return NULL;
    }
    seal(bundle);
    return bundle;
}

struct fastr_bundle *fastr_bundle_read(const char *dir, struct fastr_err *err)
{
    return fastr_bundle_read_without(dir, NULL, err);
}

int fastr_bundle_add(struct fastr_bundle *bundle, const char *dir, const char *prefix, struct fastr_err *err)
{
    int rc = read_folder(bundle, dir, prefix, NULL, err);
    seal(bundle);
    return rc;
}

struct fastr_bundle *fastr_bundle_with(const struct fastr_bundle *bundle, const char *name, const char *text, size_t length,
                                       struct fastr_err *err)
{
    struct fastr_bundle *copy = fastr_zalloc(sizeof *copy);
    int rc = 0;
    for (int i = 0; rc == 0 && i < bundle->count; i++)
        if (strcmp(bundle->files[i].name, name))
            rc = add_file(copy, bundle->files[i].name, bundle->files[i].data, bundle->files[i].length, err);
    if (rc == 0)
        rc = add_file(copy, name, text, length, err);
    if (rc == 0)
        seal(copy);
    else
        fastr_bundle_free(copy);
    return rc == 0 ? copy : NULL;
}

/* Parses the canonical form; `at` walks through `bytes`. */
static int parse(struct fastr_bundle *bundle, const char *bytes, size_t length, struct fastr_err *err)
{
    const char *at = bytes + sizeof magic - 1, *end = bytes + length;
    if (length < sizeof magic - 1 || memcmp(bytes, magic, sizeof magic - 1))
        return fastr_fail(err, "invalid", "not a bundle");
    while (at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        char *after = NULL;
        size_t size = blank ? strtoull(blank + 1, &after, 10) : 0;
        if (!blank || *after != '\n' || end - after < 2 || size > (size_t)(end - after) - 2 || after[1 + size] != '\n')
            return fastr_fail(err, "invalid", "a broken bundle, at byte %zu", (size_t)(at - bytes));
        char *name = fastr_strndup(at, (size_t)(blank - at));
        bool in_order = bundle->count == 0 || strcmp(bundle->files[bundle->count - 1].name, name) < 0;
        int rc = strlen(name) != (size_t)(blank - at) || !in_order
                     ? fastr_fail(err, "invalid", "a broken bundle: the name at byte %zu is out of order, or has a zero byte in it",
                                  (size_t)(at - bytes))
                     : add_file(bundle, name, after + 1, size, err);
        free(name);
        if (rc)
            return rc;
        at = after + 1 + size + 1;
    }
    return 0;
}

struct fastr_bundle *fastr_bundle_parse(const char *bytes, size_t length, const char *what, const char *hash,
                                        struct fastr_err *err)
{
    struct fastr_bundle *bundle = fastr_zalloc(sizeof *bundle);
    int rc = parse(bundle, bytes, length, err);
    hash_bytes(bytes, length, bundle->hash);
    if (rc == 0 && hash && strcmp(hash, bundle->hash))
        rc = fastr_fail(err, "invalid", "%s has the hash %.12s, not %.12s", what, bundle->hash, hash);
    if (rc == 0)
        return bundle;
    fastr_bundle_free(bundle);
    return NULL;
}

struct fastr_bundle *fastr_bundle_load(const char *path, const char *hash, struct fastr_err *err)
{
    size_t length;
    char *bytes = slurp(path, 2 * (size_t)TOTAL_MAX, &length, err);
    struct fastr_bundle *bundle = bytes ? fastr_bundle_parse(bytes, length, path, hash, err) : NULL;
    free(bytes);
    return bundle;
}

static int write_whole(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
    }
    return fsync(fd);
}

int fastr_bundle_store_bytes(const char *dir, const char *name, const char *bytes, size_t length, struct fastr_err *err)
{
    char *path = fastr_format("%s/%s", dir, name), *temporary = fastr_format("%s.%d", path, (int)getpid());
    int rc = 0, fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write_whole(fd, bytes, length) || rename(temporary, path))
        rc = fastr_fail(err, "unavailable", "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (rc != 0)
        unlink(temporary); /* or a full disk would stay full */
    free(path);
    free(temporary);
    return rc;
}

int fastr_bundle_store(const struct fastr_bundle *bundle, const char *dir, struct fastr_err *err)
{
    char *path = fastr_format("%s/%s", dir, bundle->hash);
    int there = access(path, R_OK) == 0;
    free(path);
    if (there)
        return 0;
    struct fastr_buffer bytes = fastr_bundle_text(bundle);
    int rc = fastr_bundle_store_bytes(dir, bundle->hash, bytes.data, bytes.length, err);
    fastr_buffer_free(&bytes);
    return rc;
}

struct fastr_bundle *fastr_bundle_share(struct fastr_bundle *bundle)
{
    bundle->shares++;
    return bundle;
}

void fastr_bundle_free(struct fastr_bundle *bundle)
{
    if (!bundle || bundle->shares-- > 0)
        return;
    for (int i = 0; i < bundle->count; i++) {
        free(bundle->files[i].name);
        free(bundle->files[i].data);
    }
    free(bundle->files);
    free(bundle);
}

const char *fastr_bundle_hash(const struct fastr_bundle *bundle)
{
    return bundle->hash;
}

int fastr_bundle_count(const struct fastr_bundle *bundle)
{
    return bundle->count;
}

const char *fastr_bundle_name(const struct fastr_bundle *bundle, int index)
{
    return bundle->files[index].name;
}

const char *fastr_bundle_data(const struct fastr_bundle *bundle, int index)
{
    return bundle->files[index].data;
}

size_t fastr_bundle_length(const struct fastr_bundle *bundle, int index)
{
    return bundle->files[index].length;
}

int fastr_bundle_find(const struct fastr_bundle *bundle, const char *name)
{
    struct file key = {.name = (char *)name};
    struct file *found = bsearch(&key, bundle->files, (size_t)bundle->count, sizeof key, by_name);
    return found ? (int)(found - bundle->files) : -1;
}
