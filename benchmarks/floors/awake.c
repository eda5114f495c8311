/* awake: keep one core from sleeping, at the lowest priority there is.
 *
 *   awake CORE
 *
 * A virtual core that goes idle is handed back to the host, and waking it costs tens of
 * microseconds.  With generator and server each on a core of their own, both then sleep half of the
 * time, and what is measured is the host's scheduler.  This spins under SCHED_IDLE, so any other
 * process on the core preempts it at once, and dies with its parent.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    cpu_set_t set;
    struct sched_param none = {0};

    if (argc != 2) {
        fprintf(stderr, "usage: awake CORE\n");
        return 2;
    }
    CPU_ZERO(&set);
    CPU_SET(atoi(argv[1]), &set);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || sched_setaffinity(0, sizeof set, &set)
        || nice(19) == -1 || sched_setscheduler(0, SCHED_IDLE, &none)) {
        perror("awake");
        return 1;
    }
    for (;;) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}
