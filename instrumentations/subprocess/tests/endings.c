/* Children that end in one way each; the first argument says which. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/seccomp.h>

static void limit(int resource, long soft, long hard) {
    struct rlimit value = {soft, hard};
    if (setrlimit(resource, &value) != 0) exit(99);
}

static void fill(void) {
    char *block;
    while ((block = malloc(1 << 20)) != NULL) memset(block, 1, 1 << 20);
}

static void spin(void) {
    volatile unsigned long turns = 0;
    for (;;) turns++;
}

int main(int count, char **arguments) {
    const char *ending = count > 1 ? arguments[1] : "";
    long size = count > 2 ? atol(arguments[2]) : 0;
    volatile int zero = 0;
    int *volatile nowhere = NULL;

    if (!strcmp(ending, "exit")) return 3;
    if (!strcmp(ending, "segv")) *nowhere = 1;
    if (!strcmp(ending, "abort")) abort();
    if (!strcmp(ending, "fpe")) return (count + 5) / zero;
    if (!strcmp(ending, "ill")) __builtin_trap();
    if (!strcmp(ending, "pipe")) {
        int ends[2];
        signal(SIGPIPE, SIG_DFL);
        if (pipe(ends) == 0) close(ends[0]);
        return write(ends[1], "x", 1) == 1;
    }
    if (!strcmp(ending, "memory, abort")) { limit(RLIMIT_AS, size, size); fill(); usleep(1200000); abort(); }
    if (!strcmp(ending, "memory, exit")) { limit(RLIMIT_AS, size, size); fill(); usleep(1200000); return 1; }
    if (!strcmp(ending, "memory of others")) { fill(); return 1; }
    if (!strcmp(ending, "data")) { limit(RLIMIT_DATA, size, size); fill(); usleep(1200000); return 1; }
    if (!strcmp(ending, "cpu")) { limit(RLIMIT_CPU, 1, 5); spin(); }
    if (!strcmp(ending, "cpu, hard")) { signal(SIGXCPU, SIG_IGN); limit(RLIMIT_CPU, 1, 1); spin(); }
    if (!strcmp(ending, "cpu, ignored")) { signal(SIGXCPU, SIG_IGN); limit(RLIMIT_CPU, 1, 60); spin(); }
    if (!strcmp(ending, "spin")) spin();
    if (!strcmp(ending, "output")) {
        int file = open(arguments[3], O_WRONLY | O_CREAT, 0600);
        signal(SIGXFSZ, SIG_DFL);
        limit(RLIMIT_FSIZE, size, size);
        for (;;) if (write(file, arguments, 64) < 0) return 1;
    }
    if (!strcmp(ending, "processes")) {
        limit(RLIMIT_NPROC, 1, 1);
        if (setuid(65534) != 0) return 98;
        return fork() < 0 ? 1 : 0;
    }
    if (!strcmp(ending, "descriptors")) {
        limit(RLIMIT_NOFILE, 16, 16);
        while (dup(0) >= 0) {}
        return 1;
    }
    if (!strcmp(ending, "seccomp")) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        getppid();
    }
    if (!strcmp(ending, "write")) {
        static char block[1 << 20];
        int file = open(arguments[3], O_WRONLY | O_CREAT, 0600);
        memset(block, 1, sizeof block);
        return write(file, block, sizeof block) == sizeof block ? 0 : 1;
    }
    return 0;
}
