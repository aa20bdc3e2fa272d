/*
 * The whole userland of a lab guest: one static program as PID 1.
 *
 * Every second it counts one tick and publishes its heartbeat in xenstore, so that an observer
 * can tell from outside whether this very boot of the guest goes on:
 *
 *     data/beat = "BOOT_ID TICK DISK_WRITES DISK_ERRORS"
 *
 * data/cmd takes one order, which is emptied when it has been read:
 *     crash        panic (what on_crash then does is xl's affair)
 *     dirty MIB    keep rewriting so much memory for the rest of this boot: a longer migration
 *     still        stop rewriting memory
 *
 * It never forks per tick: a fork costs much under emulation.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { XS_READ = 2, XS_WRITE = 11, XS_ERROR = 16 };
enum { SECTOR = 512, SECTORS = 1000, REPLY_MAX = 4096 };

struct xs_header {
    uint32_t type, request, transaction, length;
};

static int xenstore = -1;

static int read_all(int fd, char *to, size_t length)
{
    while (length > 0) {
        ssize_t got = read(fd, to, length);
        if (got <= 0)
            return -1;
        to += got;
        length -= (size_t)got;
    }
    return 0;
}

/* One request, one reply. Returns the reply's length, or -1 (then the device is opened anew). */
static int xs_talk(uint32_t type, const char *payload, size_t length, char *reply)
{
    struct xs_header head = {type, 0, 0, (uint32_t)length};
    if (xenstore < 0)
        xenstore = open("/dev/xen/xenbus", O_RDWR);
    if (xenstore < 0)
        return -1;
    if (write(xenstore, &head, sizeof head) != sizeof head ||
        write(xenstore, payload, length) != (ssize_t)length ||
        read_all(xenstore, (char *)&head, sizeof head) != 0 || head.length >= REPLY_MAX ||
        read_all(xenstore, reply, head.length) != 0) {
        close(xenstore);
        xenstore = -1;
        return -1;
    }
    reply[head.length] = '\0';
    return head.type == XS_ERROR ? -1 : (int)head.length;
}

static void xs_write(const char *path, const char *value)
{
    char payload[512], reply[REPLY_MAX];
    size_t length = strlen(path) + 1;
    memcpy(payload, path, length);
    length += (size_t)snprintf(payload + length, sizeof payload - length, "%s", value);
    (void)xs_talk(XS_WRITE, payload, length, reply);
}

static int xs_read(const char *path, char *reply)
{
    return xs_talk(XS_READ, path, strlen(path) + 1, reply);
}

static void mounts(void)
{
    static const char *const folders[] = {"/proc", "/sys", "/dev"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        (void)mkdir(folders[i], 0755);
    (void)mount("proc", "/proc", "proc", 0, NULL);
    (void)mount("sysfs", "/sys", "sysfs", 0, NULL);
    (void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
}

static void console(void)
{
    int fd = open("/dev/hvc0", O_RDWR | O_NOCTTY);
    if (fd < 0)
        return;
    for (int target = 0; target <= 2; target++)
        (void)dup2(fd, target);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

static void bring_up(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        (void)ioctl(fd, SIOCSIFFLAGS, &request);
    }
    close(fd);
}

static void read_boot_id(char *boot, size_t size)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (file == NULL || fgets(boot, (int)size, file) == NULL)
        snprintf(boot, size, "unknown");
    if (file != NULL)
        fclose(file);
    boot[strcspn(boot, "\n")] = '\0';
}

/* Writes this tick to the disk and reads it back: 1 = as written, 0 = not. */
static int disk_keeps(int disk, char *sector, const char *boot, unsigned long tick)
{
    char wanted[SECTOR];
    off_t where = (off_t)(tick % SECTORS) * SECTOR;
    memset(sector, 0, SECTOR);
    snprintf(sector, SECTOR, "%s %lu", boot, tick);
    memcpy(wanted, sector, SECTOR);
    if (pwrite(disk, sector, SECTOR, where) != SECTOR)
        return 0;
    memset(sector, 0, SECTOR);
    return pread(disk, sector, SECTOR, where) == SECTOR && memcmp(sector, wanted, SECTOR) == 0;
}

static void crash(void)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY);
    printf("lab guest: crashing as ordered\n");
    if (fd >= 0)
        (void)!write(fd, "c", 1);
}

static pid_t dirty(size_t mib)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    size_t length = mib << 20;
    volatile char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        _exit(1);
    for (unsigned char value = 0;; value++) {
        for (size_t at = 0; at < length; at += 4096)
            memory[at] = (char)value;
        usleep(20000);
    }
}

static void obey(pid_t *dirtier)
{
    char order[REPLY_MAX];
    if (xs_read("data/cmd", order) <= 0)
        return;
    xs_write("data/cmd", "");
    if (*dirtier > 0) {
        kill(*dirtier, SIGKILL);
        (void)waitpid(*dirtier, NULL, 0);
        *dirtier = 0;
    }
    if (strcmp(order, "crash") == 0)
        crash();
    if (strncmp(order, "dirty ", 6) == 0)
        *dirtier = dirty(strtoul(order + 6, NULL, 10));
}

/* The next second; after a long stop from now on, so that no burst of ticks makes up for it. */
static void wait_from(struct timespec *next)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > next->tv_sec + 1)
        *next = now;
    next->tv_sec++;
}

static void beat_for_ever(void)
{
    char boot[64], beat[128];
    unsigned long tick = 0, writes = 0, errors = 0;
    pid_t dirtier = 0;
    char *sector = aligned_alloc(SECTOR, SECTOR);
    int disk = open("/dev/xvda", O_RDWR | O_DIRECT | O_SYNC);
    struct timespec next;
    read_boot_id(boot, sizeof boot);
    printf("lab guest: boot id %s, disk %s\n", boot, disk < 0 ? "none" : "xvda");
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (;;) {
        tick++;
        if (disk >= 0 && disk_keeps(disk, sector, boot, tick))
            writes++;
        else if (disk >= 0)
            errors++;
        snprintf(beat, sizeof beat, "%s %lu %lu %lu", boot, tick, writes, errors);
        xs_write("data/beat", beat);
        if (tick % 10 == 1)
            printf("lab guest: beat %s\n", beat);
        obey(&dirtier);
        wait_from(&next);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 ? basename(argv[0]) : "init";
    if (strcmp(name, "poweroff") == 0)
        return reboot(RB_POWER_OFF);
    if (strcmp(name, "reboot") == 0)
        return reboot(RB_AUTOBOOT);
    mounts();
    console();
    bring_up("lo");
    bring_up("eth0");
    beat_for_ever();
}
