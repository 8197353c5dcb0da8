/* kept.c: see kept.h. */
#include "runtime/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    const char *path;
    char *memory, *copy;
    size_t size;
    dev_t device;
    ino_t inode;
    volatile sig_atomic_t lost; /* the memory is this process's own */
} kept;

/* The instruction that found its page gone is run again, on memory that is there. */
static void on_bus(int signal_number, siginfo_t *info, void *context)
{
    char *at = info->si_addr;
    int error = errno, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (at < kept.memory || at >= kept.memory + kept.size ||
        mmap(kept.memory, kept.size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) {
        signal(SIGBUS, SIG_DFL);
        return;
    }
    memcpy(kept.memory, kept.copy, kept.size);
    kept.lost = 1;
    errno = error;
}

void *fastr_kept_guard(const char *path, int fd, void *memory, size_t size)
{
    struct stat st;
    struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    kept.path = fastr_strdup(path);
    kept.memory = memory;
    kept.size = size;
    kept.copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (kept.copy == MAP_FAILED)
        return NULL;
    if (fstat(fd, &st) == 0) {
        kept.device = st.st_dev;
        kept.inode = st.st_ino;
    }
    sigaction(SIGBUS, &action, NULL);
    return kept.copy;
}

bool fastr_kept_is_whole(void)
{
    struct stat st;
    return !kept.lost && stat(kept.path, &st) == 0 && st.st_ino == kept.inode && st.st_dev == kept.device &&
           st.st_size >= (off_t)kept.size;
}

static int map_over(int fd, const struct stat *st)
{
    if (mmap(kept.memory, kept.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return -1;
    kept.lost = 0;
    kept.device = st->st_dev;
    kept.inode = st->st_ino;
    return 0;
}

int fastr_kept_map_again(bool heals)
{
    struct stat st;
    int fd = open(kept.path, O_RDWR | O_CLOEXEC | (heals ? O_CREAT : 0), 0644);
    if (fd >= 0 && (!heals || flock(fd, LOCK_EX) == 0) && fstat(fd, &st) == 0 &&
        (st.st_size >= (off_t)kept.size || (heals && ftruncate(fd, (off_t)kept.size) == 0)) && map_over(fd, &st) == 0 &&
        heals)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
