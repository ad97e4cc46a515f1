/* All submissions in C in one program: it runs the one whose number is its argument. */
#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void leave_0(int number) { _exit(0); }
static void leave_3(int number) { _exit(3); }

static void pause_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static int recurse(volatile int n) {
  volatile char frame[4096];
  frame[0] = n;
  return recurse(n + 1) + frame[0];
}

static int write_file(size_t size) {
  static char block[1 << 20];
  int file = open("output", O_CREAT | O_WRONLY, 0600);
  while (size > 0) {
    ssize_t written = write(file, block, size);
    if (written < 0) return 1;
    size -= written;
  }
  return 0;
}

static int read_beyond_file(void) {
  volatile char *page = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fileno(tmpfile()), 0);
  return page[4096];
}

/* Harmless: at most 100 children, which end with their parent. */
static int fork_until_refused(void) {
  pid_t parent = getpid();
  for (int n = 0; n < 100; n++) {
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == parent) { alarm(10); pause(); }
      _exit(0);
    }
  }
  return 0;
}

/* Have a filter answer getppid(). */
static void forbid(unsigned action) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(98);
}

/* SUBMISSIONS */

int main(int argc, char **argv) { return submissions[atoi(argv[1])](); }
