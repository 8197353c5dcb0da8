/* files.c: fastr.files, reading small files of the installation (migrations, templates) into Lua.
 *
 * For trusted scripts at start and in tools: reading blocks, so it is not for requests. Paths are relative to where the
 * process was started; one with a ".." segment is refused. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/fastr.h"

enum { FILE_MAX = 4 << 20 };

/* Is one segment of the path ".."? */
static bool climbs(const char *path)
{
    for (; *path; path += strcspn(path, "/"), path += *path == '/')
        if (strcspn(path, "/") == 2 && !strncmp(path, "..", 2))
            return true;
    return false;
}

static const char *check_path(lua_State *L)
{
    size_t length;
    const char *path = luaL_checklstring(L, 1, &length);
    luaL_argcheck(L, length && strlen(path) == length && !climbs(path), 1, "a path without '..' is needed");
    return path;
}

static int push_errno(lua_State *L, const char *path)
{
    return fastr_push_error(L, errno == ENOENT ? "not_found" : "unavailable", "%s: %s", path, strerror(errno));
}

/* Reads the whole file; -1 with errno (EFBIG beyond FILE_MAX, EISDIR for what is no regular file). */
static int read_all(int fd, struct fastr_buffer *out)
{
    struct stat about;
    if (fstat(fd, &about))
        return -1;
    errno = !S_ISREG(about.st_mode) ? EISDIR : about.st_size > FILE_MAX ? EFBIG : 0;
    if (errno)
        return -1;
    for (;;) {
        ssize_t n = read(fd, fastr_buffer_reserve(out, 65536), 65536);
        if (n <= 0)
            return n ? -1 : 0;
        out->length += (size_t)n;
    }
}

/* files.read(path) -> text of at most 4 MiB.
 * Raises: a path with "..". Returns nil, message, code: "not_found", "unavailable". */
static int files_read(lua_State *L)
{
    const char *path = check_path(L);
    struct fastr_buffer out = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return push_errno(L, path);
    int count = read_all(fd, &out) ? push_errno(L, path) : (lua_pushlstring(L, out.data, out.length), 1);
    close(fd);
    fastr_buffer_free(&out);
    return count;
}

static int visible(const struct dirent *entry)
{
    return *entry->d_name != '.';
}

/* By bytes, not by the locale: the order of migrations must not depend on it. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* files.list(folder) -> the names in it, sorted by bytes, without hidden ones.
 * Raises: a path with "..". Returns nil, message, code: "not_found", "unavailable". */
static int files_list(lua_State *L)
{
    const char *path = check_path(L);
    struct dirent **entries;
    int count = scandir(path, &entries, visible, by_name);
    if (count < 0)
        return push_errno(L, path);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, entries[i]->d_name);
        lua_rawseti(L, -2, i + 1);
        free(entries[i]);
    }
    free(entries);
    return 1;
}

static const luaL_Reg MODULE[] = {{"read", files_read}, {"list", files_list}, {NULL, NULL}};

static int open_module(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, MODULE);
    return 1;
}

const struct fastr_binding fastr_binding_files = {.name = "files", .open = open_module};
