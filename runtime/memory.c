/* memory.c: allocation that never fails, texts, arenas that die with a task, growing buffers, and the error struct. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fastr.h"

static void *or_die(void *memory, size_t size)
{
    if (!memory) {
        fprintf(stderr, "fastr: out of memory (%zu bytes)\n", size);
        abort();
    }
    return memory;
}

void *fastr_alloc(size_t size)
{
    return or_die(malloc(size ? size : 1), size);
}

void *fastr_zalloc(size_t size)
{
    return or_die(calloc(1, size ? size : 1), size);
}

void *fastr_realloc(void *old, size_t size)
{
    return or_die(realloc(old, size ? size : 1), size);
}

char *fastr_strndup(const char *text, size_t length)
{
    char *copy = fastr_alloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *fastr_strdup(const char *text)
{
    return fastr_strndup(text, strlen(text));
}

char *fastr_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    va_end(args);
    return length < 0 ? or_die(NULL, 0) : text;
}

void fastr_hex(char *to, const void *bytes, size_t length)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < length; i++) {
        *to++ = "0123456789abcdef"[from[i] >> 4];
        *to++ = "0123456789abcdef"[from[i] & 15];
    }
    *to = '\0';
}

uint64_t fastr_hash(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

/* ---- arenas ---- */

enum { FIRST_BLOCK = 4096, ALIGN = 16, SPARE_ARENAS = 16 };

struct block {
    struct block *next; /* older */
    size_t size, used;
    _Alignas(ALIGN) char bytes[];
};

struct fastr_arena {
    struct block *block; /* newest first; the last in the chain is the first block */
    size_t size;         /* of all blocks */
};

static struct block *block_new(size_t size, struct block *next)
{
    struct block *block = fastr_alloc(sizeof *block + size);
    block->next = next;
    block->size = size;
    block->used = 0;
    return block;
}

/* A few that were freed wait for the next task: nearly every one needs one, for a moment. */
static _Thread_local struct {
    struct fastr_arena *list[SPARE_ARENAS];
    int count;
} spare;

struct fastr_arena *fastr_arena_new(void)
{
    if (spare.count > 0)
        return spare.list[--spare.count];
    struct fastr_arena *arena = fastr_alloc(sizeof *arena);
    arena->block = block_new(FIRST_BLOCK, NULL);
    arena->size = sizeof *arena->block + FIRST_BLOCK;
    return arena;
}

void fastr_arena_reset(struct fastr_arena *arena)
{
    while (arena->block->next) {
        struct block *old = arena->block;
        arena->block = old->next;
        arena->size -= sizeof *old + old->size;
        free(old);
    }
    arena->block->used = 0;
}

void fastr_arena_free(struct fastr_arena *arena)
{
    if (!arena)
        return;
    fastr_arena_reset(arena);
#ifndef __SANITIZE_ADDRESS__ /* which finds who still uses one */
    if (spare.count < SPARE_ARENAS) {
        spare.list[spare.count++] = arena;
        return;
    }
#endif
    free(arena->block);
    free(arena);
}

size_t fastr_arena_size(const struct fastr_arena *arena)
{
    return arena->size;
}

void *fastr_arena_alloc(struct fastr_arena *arena, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size > arena->block->size - arena->block->used) {
        size_t wanted = arena->block->size * 2;
        arena->block = block_new(wanted > size ? wanted : size, arena->block);
        arena->size += sizeof *arena->block + arena->block->size;
    }
    void *memory = arena->block->bytes + arena->block->used;
    arena->block->used += size;
    return memory;
}

/* ---- buffers ---- */

char *fastr_buffer_reserve(struct fastr_buffer *buffer, size_t more)
{
    size_t needed = buffer->length + more + 1;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity * 2 : 256;
        buffer->capacity = capacity > needed ? capacity : needed;
        buffer->data = fastr_realloc(buffer->data, buffer->capacity);
    }
    return buffer->data + buffer->length;
}

void fastr_buffer_add(struct fastr_buffer *buffer, const void *bytes, size_t length)
{
    memcpy(fastr_buffer_reserve(buffer, length), bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void fastr_buffer_text(struct fastr_buffer *buffer, const char *text)
{
    fastr_buffer_add(buffer, text, strlen(text));
}

void fastr_buffer_format(struct fastr_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        or_die(NULL, 0);
    fastr_buffer_add(buffer, text, (size_t)length);
    free(text);
}

void fastr_buffer_free(struct fastr_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct fastr_buffer){0};
}

/* ---- errors ---- */

int fastr_fail(struct fastr_err *err, const char *code, const char *format, ...)
{
    if (!err)
        return -1;
    /* `format` may quote err->text itself ("could not x: %s"), so it is formatted aside. */
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(err->text, text, sizeof text);
    snprintf(err->code, sizeof err->code, "%s", code);
    return -1;
}

int fastr_push_error(lua_State *L, const char *code, const char *format, ...)
{
    lua_pushnil(L);
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        or_die(NULL, 0);
    lua_pushlstring(L, text, (size_t)length);
    free(text);
    lua_pushstring(L, code);
    return 3;
}
