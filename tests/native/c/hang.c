/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* For LD_PRELOAD: a read of a file named `stuck` never comes back, as from a hung driver. */

static int is_stuck(int fd)
{
    char link[64];
    char path[4096];
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof(path) - 1);
    if (length < 6)
        return 0;
    path[length] = '\0';
    return strcmp(path + length - 6, "/stuck") == 0;
}

ssize_t pread(int fd, void *buffer, size_t bytes, off_t at)
{
    ssize_t (*real)(int, void *, size_t, off_t) =
        (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");

    while (is_stuck(fd))
        pause();
    return real(fd, buffer, bytes, at);
}
