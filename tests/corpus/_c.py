"""Submissions in C: each is the body of a function that returns the exit code."""

from __future__ import annotations

from corpus._submission import (
    CPU,
    FAULT,
    MEMORY,
    MIB,
    OK,
    OUTPUT,
    RE,
    SECCOMP,
    UNKNOWN,
    WALL,
    Submission,
)

_LIMIT = 64 * MIB

# Memory is sampled: a program that ends at once at its limit is not seen there.
_FILL = """
size_t n = 0;
char *p, *last = 0;
while ((p = malloc(65536))) { memset(p, 1, 65536); last = p; n++; }
pause_ms(500);
"""

C = (
    # -- correct
    Submission("returns 0", "return 0;", OK),
    Submission("prints", 'puts("42"); return 0;', OK),
    Submission("returns 256, which is 0", "exit(256);", OK),
    Submission("touches memory without a limit", "memset(malloc(32 << 20), 1, 32 << 20); return 0;", OK),
    Submission("handles a refused allocation", "return malloc(1ul << 40) != NULL;", OK, memory=_LIMIT),
    Submission("computes within its limit", "volatile long n; for (n = 0; n < 1000000; n++); return 0;", OK, cpu=5),
    Submission("closes its streams", "close(0); close(1); close(2); return 0;", OK),
    Submission("executes another program", 'execl("/bin/true", "true", NULL); return 9;', OK),
    Submission("leaves zombies", "for (int i = 0; i < 5; i++) if (!fork()) _exit(1); pause_ms(100); return 0;", OK),
    Submission("leaves a daemon", "if (!fork()) { setsid(); if (!fork()) { alarm(2); pause(); } } return 0;", OK),
    Submission("its child crashes", "if (!fork()) abort(); wait(NULL); return 0;", OK),
    Submission("stops at SIGTERM in time", "signal(SIGTERM, leave_0); for (;;) pause();", OK, wall=2, stop="term"),
    # -- wrong
    Submission("returns 1", "return 1;", RE),
    Submission("returns 2", "return 2;", RE),
    Submission("returns 255", "return -1;", RE),
    Submission("exits with 137 itself", "return 137;", RE),
    Submission("exits with 124 itself", "return 124;", RE),
    Submission("executes a program that fails", 'execl("/bin/false", "false", NULL); return 0;', RE),
    Submission("passes its child's failure on", "int s; if (!fork()) _exit(7); wait(&s); return WEXITSTATUS(s);", RE),
    Submission("cannot write to a closed stdout", 'close(1); return write(1, "x", 1) < 0;', RE),
    Submission("cannot open a file", 'return open("/no/such/file", O_RDONLY) < 0;', RE),
    Submission("exits after a handled fault", "signal(SIGSEGV, leave_3); *(volatile int *)0 = 1;", RE),
    Submission("runs out of descriptors", "while (dup(0) >= 0); return 1;", RE, files=20),
    Submission("ignores SIGXFSZ", 'signal(SIGXFSZ, SIG_IGN); return write_file(9000);', RE, output=4096),
    Submission("handles SIGXCPU", "signal(SIGXCPU, leave_3); for (;;);", RE, cpu=1),
    Submission("one refused allocation", "return malloc(1ul << 40) == NULL;", RE, memory=_LIMIT),
    Submission("fork fails", "return fork_until_refused();", RE, processes=10),
    Submission("a fork bomb that fails", "return fork_until_refused() ? 2 : 0;", RE, processes=25),
    # -- faults
    Submission("null pointer", "*(volatile int *)0 = 1;", FAULT),
    Submission("stack overflow", "return recurse(1);", FAULT),
    Submission("abort", "abort();", FAULT),
    Submission("assertion", "assert(0);", FAULT),
    Submission("double free", "char *volatile p = malloc(2000); free(p); free(p); return 0;", FAULT),
    Submission("division by zero", "raise(SIGFPE);", FAULT),
    Submission("illegal instruction", "raise(SIGILL);", FAULT),
    Submission("trap", "raise(SIGTRAP);", FAULT),
    Submission("beyond the end of a mapped file", "return read_beyond_file();", FAULT),
    Submission("writes to a closed pipe", "int p[2]; pipe(p); close(p[0]); write(p[1], p, 1);", FAULT),
    Submission("output that nobody reads", 'while (write(1, "xxxxxxxx", 8) > 0);', FAULT, stdout="closed"),
    Submission("writes to read-only memory", 'char *volatile p = (char *)"x"; *p = 1;', FAULT),
    Submission("jumps to nowhere", "((void (*)(void))8)();", FAULT),
    # -- signals from an unknown sender
    Submission("SIGKILL to itself", "kill(getpid(), SIGKILL);", UNKNOWN),
    Submission("SIGTERM to itself", "raise(SIGTERM);", UNKNOWN),
    Submission("SIGINT to itself", "raise(SIGINT);", UNKNOWN),
    Submission("SIGHUP to itself", "raise(SIGHUP);", UNKNOWN),
    Submission("SIGUSR1 to itself", "raise(SIGUSR1);", UNKNOWN),
    Submission("an alarm", "ualarm(1000, 0); pause();", UNKNOWN),
    Submission("a real-time signal", "raise(SIGRTMIN);", UNKNOWN),
    Submission("SIGXCPU without a limit", "raise(SIGXCPU);", UNKNOWN),
    Submission("SIGXCPU before its limit", "raise(SIGXCPU);", UNKNOWN, cpu=10),
    Submission("SIGXFSZ without a limit", "raise(SIGXFSZ);", UNKNOWN),
    Submission("SIGSYS without seccomp", "raise(SIGSYS);", UNKNOWN),
    Submission("killed by its child", "if (!fork()) { kill(getppid(), SIGKILL); _exit(0); } pause();", UNKNOWN),
    # -- time
    Submission("endless loop", "for (;;);", CPU, cpu=1),
    Submission("ignores SIGXCPU", "signal(SIGXCPU, SIG_IGN); for (;;);", CPU, cpu=1),
    Submission("endless system calls", "for (;;) getppid();", CPU, cpu=1),
    Submission("limits itself", "struct rlimit r = {1, 2}; setrlimit(RLIMIT_CPU, &r); for (;;);", CPU),
    Submission("sleeps", "for (;;) pause();", WALL, wall=0.5),
    Submission("endless loop, limited by the judge", "for (;;);", WALL, wall=0.5),
    Submission("reads what never comes", "char c; return read(0, &c, 1) != 0;", WALL, wall=0.5, stdin="open"),
    Submission("ignores SIGTERM", "signal(SIGTERM, SIG_IGN); for (;;) pause();", WALL, wall=1, stop="term"),
    Submission("dies of SIGTERM", "for (;;) pause();", WALL, wall=0.5, stop="term"),
    Submission("fails at SIGTERM", "signal(SIGTERM, leave_3); for (;;) pause();", WALL, wall=2, stop="term"),
    Submission("stops itself", "raise(SIGSTOP); return 0;", WALL, wall=0.5),
    Submission("blocks all signals", "sigset_t s; sigfillset(&s); sigprocmask(0, &s, 0); pause();", WALL, wall=0.5),
    Submission("waits for a child that sleeps", "if (!fork()) { alarm(5); pause(); } wait(0);", WALL, wall=0.5),
    Submission("writes what nobody reads", 'for (;;) write(1, "xxxxxxxx", 8);', WALL, wall=0.5, stdout="unread"),
    # -- memory
    Submission("exits when memory is used up", f"{_FILL} return 1;", MEMORY, memory=_LIMIT),
    Submission("aborts when memory is used up", f"{_FILL} abort();", MEMORY, memory=_LIMIT),
    Submission("uses memory that was refused", f"{_FILL} *p = 1; return *last;", MEMORY, memory=_LIMIT),
    Submission("survives with its memory used up", f"{_FILL} return 0;", OK, memory=_LIMIT),
    # -- output
    Submission("writes a large file", "return write_file(1 << 20);", OUTPUT, output=4096),
    Submission("makes a sparse file", 'return ftruncate(fileno(tmpfile()), 1 << 20);', OUTPUT, output=4096),
    Submission("writes a file within its limit", "return write_file(4096);", OK, output=4096),
    # -- seccomp
    Submission("a forbidden system call", "forbid(SECCOMP_RET_KILL_PROCESS); getppid(); return 0;", SECCOMP),
    Submission("a forbidden call kills the thread", "forbid(SECCOMP_RET_KILL); getppid(); return 0;", SECCOMP),
    Submission("strict mode", "prctl(PR_SET_SECCOMP, 1); getppid(); return 0;", SECCOMP),
    Submission("a refused system call", "forbid(SECCOMP_RET_ERRNO | 1); return getppid() < 0;", RE),
    Submission("a trapped system call, handled", "signal(SIGSYS, leave_3); forbid(SECCOMP_RET_TRAP); getppid();", RE),
)  # fmt: skip
