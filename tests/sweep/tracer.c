/* Runs a program and ends it at its k-th persistence call of one kind, whichever thread makes it: by SIGKILL alone, or
 * by a power cut, which first shuts file systems down without flushing their logs.
 *
 *   tracer -l LOG -b FOLDER... [-a KIND:K [-c MOUNT...]] -- PROGRAM ARGUMENT...
 *
 * Counted are calls on files below the folders, and whatever is sent on a socket. KIND is one of the names in CALLS.
 * LOG gets a line for each: kind, number, path. The exit code is 99 when the call was reached.
 *
 * strace can inject signals too, but it counts for each thread alone: the second fsync of a thread pool is then out of
 * reach. A seccomp filter stops the program at the listed calls only, so the rest runs at full speed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define REACHED 99
/* A disk takes its time: the other threads run on for so long while a thread waits for its fsync. An answer that does
 * not wait for it gets out in that time. */
#define FSYNC_MICROSECONDS 25000
#define LIST_MAX 8
/* Same number for ext4 and XFS; the flag says that the log is not flushed. */
#define SHUT_DOWN _IOR('X', 125, unsigned int)
#define WITHOUT_LOG 2U

enum how { ON_FD, ON_PATH, ON_PATH_AT, ON_SOCKET };

static const struct call {
    long number;
    const char *kind;
    enum how how;
    /* Which argument is the file descriptor, or the path; for ON_PATH_AT the folder's descriptor comes before it. */
    int at;
} CALLS[] = {
    {SYS_openat, "open", ON_PATH_AT, 1},       {SYS_write, "write", ON_FD, 0},
    {SYS_writev, "write", ON_FD, 0},           {SYS_pwrite64, "write", ON_FD, 0},
    {SYS_pwritev, "write", ON_FD, 0},          {SYS_fsync, "fsync", ON_FD, 0},
    {SYS_fdatasync, "fdatasync", ON_FD, 0},    {SYS_ftruncate, "truncate", ON_FD, 0},
    {SYS_truncate, "truncate", ON_PATH, 0},    {SYS_renameat, "rename", ON_PATH_AT, 1},
    {SYS_renameat2, "rename", ON_PATH_AT, 1},  {SYS_linkat, "link", ON_PATH_AT, 1},
    {SYS_unlinkat, "unlink", ON_PATH_AT, 1},   {SYS_mkdirat, "mkdir", ON_PATH_AT, 1},
    {SYS_sendto, "send", ON_SOCKET, 0},        {SYS_sendmsg, "send", ON_SOCKET, 0},
    {SYS_sendmmsg, "send", ON_SOCKET, 0},
#ifdef SYS_open
    {SYS_open, "open", ON_PATH, 0},            {SYS_rename, "rename", ON_PATH, 0},
    {SYS_link, "link", ON_PATH, 0},            {SYS_unlink, "unlink", ON_PATH, 0},
    {SYS_mkdir, "mkdir", ON_PATH, 0},
#endif
};
#define N_CALLS (sizeof CALLS / sizeof *CALLS)

static const char *folders[LIST_MAX], *mounts[LIST_MAX];
static int n_folders, n_mounts;
static const char *wanted_kind;
static long wanted_number, counts[N_CALLS];
static volatile pid_t program;
static volatile sig_atomic_t is_time;
static FILE *call_log;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void install_filter(void) {
    struct sock_filter filter[N_CALLS + 3];
    size_t n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < N_CALLS; i++)
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS[i].number, N_CALLS - i, 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program_of_filter = {.len = n, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program_of_filter))
        fail("seccomp");
}

static void path_of_fd(pid_t thread, int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", thread, fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
}

/* A path in the program's memory; pages after its end may not be readable, so it is read in pieces. */
static void path_in_memory(pid_t thread, unsigned long address, char *path) {
    size_t n = 0;
    path[0] = 0;
    while (n < PATH_MAX - 1) {
        size_t piece = 256 - (address + n) % 256;
        if (piece > PATH_MAX - 1 - n)
            piece = PATH_MAX - 1 - n;
        struct iovec here = {path + n, piece}, there = {(void *)(address + n), piece};
        ssize_t got = process_vm_readv(thread, &here, 1, &there, 1, 0);
        if (got <= 0)
            break;
        if (memchr(path + n, 0, got))
            return;
        n += got;
    }
    path[n] = 0;
}

static int is_below(const char *path) {
    for (int i = 0; i < n_folders; i++)
        if (!strncmp(path, folders[i], strlen(folders[i])))
            return 1;
    return 0;
}

/* The kind's place in CALLS when the call counts, with the path it is on; -1 for any other call. */
static int judge(pid_t thread, const struct __ptrace_syscall_info *info, char *path) {
    for (size_t i = 0; i < N_CALLS; i++) {
        const struct call *call = &CALLS[i];
        if (call->number != (long)info->seccomp.nr)
            continue;
        unsigned long argument = info->seccomp.args[call->at];
        const char *kind = call->kind;
        if (call->how == ON_FD || call->how == ON_SOCKET) {
            path_of_fd(thread, (int)argument, path);
            int is_socket = !strncmp(path, "socket:", 7);
            if (call->how == ON_FD && !is_socket && !is_below(path))
                return -1;
            if (is_socket)
                kind = "send";
        } else {
            path_in_memory(thread, argument, path);
            if (path[0] != '/' && call->how == ON_PATH_AT) {
                char folder[PATH_MAX], whole[2 * PATH_MAX];
                path_of_fd(thread, (int)info->seccomp.args[0], folder);
                snprintf(whole, sizeof whole, "%s/%s", folder, path);
                memcpy(path, whole, PATH_MAX);
                path[PATH_MAX - 1] = 0;
            }
            if (!is_below(path))
                return -1;
            unsigned long flags = info->seccomp.args[call->at + 1];
            if (!strcmp(kind, "open") && (flags & O_ACCMODE) == O_RDONLY)
                return -1;
        }
        for (size_t first = 0; first < N_CALLS; first++)
            if (!strcmp(CALLS[first].kind, kind))
                return (int)first;
    }
    return -1;
}

static void cut_power(void) {
    for (int i = 0; i < n_mounts; i++) {
        unsigned int flag = WITHOUT_LOG;
        int fd = open(mounts[i], O_RDONLY | O_DIRECTORY);
        if (fd < 0 || ioctl(fd, SHUT_DOWN, &flag))
            fail(mounts[i]);
        close(fd);
    }
}

static void end_now(void) {
    cut_power();
    kill(program, SIGKILL);
}

/* Whether this is the call at which the program ends. */
static int at_call(pid_t thread) {
    struct __ptrace_syscall_info info;
    char path[PATH_MAX];
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0)
        return 0;
    int kind = judge(thread, &info, path);
    if (kind < 0)
        return 0;
    long number = ++counts[kind];
    fprintf(call_log, "%s\t%ld\t%s\n", CALLS[kind].kind, number, path);
    if (!wanted_kind || strcmp(CALLS[kind].kind, wanted_kind) || number != wanted_number)
        return 0;
    if (!strcmp(wanted_kind, "fsync") || !strcmp(wanted_kind, "fdatasync")) {
        struct itimerval once = {.it_value = {.tv_usec = FSYNC_MICROSECONDS}};
        setitimer(ITIMER_REAL, &once, NULL);
    } else {
        end_now();
    }
    return 1;
}

static void at_time(int signal) {
    (void)signal;
    is_time = 1;
}

static void end_program(int signal) {
    (void)signal;
    if (program)
        kill(program, SIGKILL);
}

static int follow(void) {
    int status, reached = 0, code = 1;
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (is_time) {
            is_time = 0;
            end_now();
        }
        if (thread < 0 && errno == EINTR)
            continue;
        if (thread < 0)
            break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread == program)
                code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_SECCOMP && !reached && at_call(thread)) {
            /* This thread goes no further: it waits here for its end. */
            reached = 1;
            continue;
        }
        ptrace(PTRACE_CONT, thread, 0, event ? 0 : signal);
    }
    return reached ? REACHED : code;
}

int main(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "+l:b:a:c:")) != -1) {
        char *colon;
        switch (option) {
        case 'l':
            if (!(call_log = fopen(optarg, "we")))
                fail(optarg);
            break;
        case 'b':
            if (n_folders < LIST_MAX)
                folders[n_folders++] = optarg;
            break;
        case 'c':
            if (n_mounts < LIST_MAX)
                mounts[n_mounts++] = optarg;
            break;
        case 'a':
            if (!(colon = strchr(optarg, ':')))
                return 2;
            *colon = 0;
            wanted_kind = optarg;
            wanted_number = atol(colon + 1);
            break;
        default:
            return 2;
        }
    }
    int ready[2];
    if (!call_log || optind >= argc || pipe2(ready, O_CLOEXEC))
        return 2;
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        char go;
        close(ready[1]);
        if (read(ready[0], &go, 1) != 1)
            _exit(1);
        install_filter();
        execv(argv[optind], argv + optind);
        fail(argv[optind]);
    }
    program = child;
    signal(SIGTERM, end_program);
    signal(SIGINT, end_program);
    /* Without SA_RESTART, so that it ends the wait for the program's threads. */
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = at_time}, NULL);
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, child, 0, options)) {
        int error = errno;
        kill(child, SIGKILL);
        errno = error;
        fail("ptrace");
    }
    close(ready[0]);
    if (write(ready[1], "", 1) != 1)
        fail("starting the program");
    close(ready[1]);
    int code = follow();
    fclose(call_log);
    return code;
}
