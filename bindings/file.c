/* file.c: fastr.file, small private files below the setting `var`: secrets, and what must outlive a restart while its
 * owner is away (keys, tokens). Not a store for data: names are few, texts at most 64 KiB, calls block for one small
 * file. What belongs to the installation (migrations) is read with fastr.files.
 *
 * A name is "secrets/NAME" or "run/NAME": letters, digits, and any of _ . - (not first); nothing else is reachable.
 * Files have mode 0600, and are whole at any time: written beside, then renamed or linked. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bindings/util.h"

enum { BYTES_MAX = 64 * 1024 };

static bool is_name(const char *name)
{
    const char *leaf = !strncmp(name, "secrets/", 8) ? name + 8 : !strncmp(name, "run/", 4) ? name + 4 : NULL;
    if (!leaf || !isalnum((unsigned char)*leaf) || strlen(leaf) > 100)
        return false;
    for (; *leaf; leaf++)
        if (!isalnum((unsigned char)*leaf) && !strchr("_.-", *leaf))
            return false;
    return true;
}

/* "VAR/NAME", which the caller frees; raises for a name that is not allowed. */
static char *path_of(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    if (!is_name(name))
        luaL_error(L, "fastr.file: \"%s\" is not a name of the form secrets/NAME or run/NAME", name);
    return fastr_format("%s/%s", fastr_setting("var", "var"), name);
}

/* file.read(name): the text, or nil, message, code: "missing", "unavailable" (cannot be read), "invalid" (too large). */
static int file_read(lua_State *L)
{
    char *path = path_of(L);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0)
        return fastr_push_error(L, errno == ENOENT ? "missing" : "unavailable", "cannot read %s: %s",
                                lua_tostring(L, 1), strerror(errno));
    struct fastr_buffer text = {0};
    ssize_t n;
    while ((n = read(fd, fastr_buffer_reserve(&text, 4096), 4096)) > 0 && text.length <= BYTES_MAX)
        text.length += (size_t)n;
    int failed = n < 0 ? errno : 0;
    close(fd);
    int results = 1;
    if (failed)
        results = fastr_push_error(L, "unavailable", "cannot read %s: %s", lua_tostring(L, 1), strerror(failed));
    else if (text.length > BYTES_MAX)
        results = fastr_push_error(L, "invalid", "%s has more than %d bytes", lua_tostring(L, 1), BYTES_MAX);
    else
        lua_pushlstring(L, text.data ? text.data : "", text.length);
    fastr_buffer_free(&text);
    return results;
}

static int write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, text, length);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

/* Makes the file `path` of mode 0600 with the text, on disk; 0, or an errno with no file left behind. */
static int write_file(const char *path, const char *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int failed = write_all(fd, text, length) || fsync(fd) ? errno : 0;
    close(fd);
    if (failed)
        unlink(path);
    return failed;
}

/* The folder of `path` is made if it is missing (one level; `var` itself exists). */
static void make_folder(const char *path)
{
    char *folder = fastr_strdup(path);
    *strrchr(folder, '/') = '\0';
    mkdir(folder, 0700);
    free(folder);
}

/* Writes the text beside its place and calls `place` (rename or link) to put it there; an errno or 0. */
static int put(lua_State *L, int (*place)(const char *from, const char *to))
{
    size_t length;
    const char *text = luaL_checklstring(L, 2, &length);
    if (length > BYTES_MAX)
        luaL_error(L, "fastr.file: %d bytes is too much for %s", (int)length, lua_tostring(L, 1));
    char *path = path_of(L);
    static unsigned count;
    char *beside = fastr_format("%s.%d.%u", path, (int)getpid(), ++count);
    make_folder(path);
    int failed = write_file(beside, text, length);
    if (!failed && place(beside, path))
        failed = errno;
    unlink(beside);
    free(beside);
    free(path);
    return failed;
}

/* file.write(name, text): replaces the file. Returns true, or nil, message, "unavailable". */
static int file_write(lua_State *L)
{
    int failed = put(L, rename);
    if (failed)
        return fastr_push_error(L, "unavailable", "cannot write %s: %s", lua_tostring(L, 1), strerror(failed));
    lua_pushboolean(L, 1);
    return 1;
}

/* file.create(name, text): makes the file unless there is one: of several processes one wins, and all read the same
 * afterwards. Returns true if this call made it, false if it was there, or nil, message, "unavailable". */
static int file_create(lua_State *L)
{
    int failed = put(L, link);
    if (failed && failed != EEXIST)
        return fastr_push_error(L, "unavailable", "cannot make %s: %s", lua_tostring(L, 1), strerror(failed));
    lua_pushboolean(L, !failed);
    return 1;
}

static int file_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"read", file_read},
        {"write", file_write},
        {"create", file_create},
        {NULL, NULL},
    };
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    return 1;
}

const struct fastr_binding fastr_binding_file = {.name = "file", .open = file_open};
