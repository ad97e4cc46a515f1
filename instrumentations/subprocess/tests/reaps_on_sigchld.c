/* A handler of SIGCHLD that reaps every child, installed by C code: Python knows nothing of it. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static struct sigaction before;

static void reap(int number)
{
    int saved = errno;
    (void)number;
    while (waitpid(-1, 0, WNOHANG) > 0)
        continue;
    errno = saved;
}

int install(void)
{
    struct sigaction action = {.sa_handler = reap, .sa_flags = SA_RESTART};
    return sigaction(SIGCHLD, &action, &before);
}

int restore(void)
{
    return sigaction(SIGCHLD, &before, 0);
}
