// The service proxy and DNS with many services, in a network namespace of its own (as root): how
// long it takes to load them into nftables, one change among them, and how many names are answered.
//   bench_services [SERVICES [ENDPOINTS]]   (default: 10,000 of 10)

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../unit/net/services.h"
#include "base/buf.h"
#include "net/dns.h"
#include "net/dns_message.h"
#include "net/proxy.h"

enum { CHANGES = 200, SENDERS = 64, SECONDS = 2 };

typedef struct Bench {
    Loop *loop;
    ServiceTable *table;
    Proxy *proxy;
    Dns *dns;
    LoopTimer timer;
    int services, endpoints;
} Bench;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NSEC_PER_SEC + time.tv_nsec;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void enter_namespace(void) {
    struct ifreq lo = {.ifr_name = "lo"};
    if (unshare(CLONE_NEWNET) < 0) {
        perror("bench_services: a network namespace");
        exit(1);
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ioctl(fd, SIOCGIFFLAGS, &lo);
    lo.ifr_flags |= IFF_UP;
    ioctl(fd, SIOCSIFFLAGS, &lo);
    close(fd);
}

// ---- objects

static char *service(int number) {
    char *text;
    if (asprintf(&text,
                 "{\"metadata\":{\"name\":\"s%d\",\"namespace\":\"default\"},\"spec\":{\"type\":"
                 "\"ClusterIP\",\"clusterIP\":\"10.43.%d.%d\",\"ports\":[{\"name\":\"http\","
                 "\"port\":80,\"protocol\":\"TCP\"}]}}",
                 number, number / 250 + 1, number % 250 + 1) < 0)
        abort();
    return text;
}

static char *slice(int number, int first, int n) {
    Buf out = BUF_INIT(1 << 20);
    buf_printf(&out,
               "{\"metadata\":{\"name\":\"s%d-x\",\"namespace\":\"default\",\"labels\":{"
               "\"kubernetes.io/service-name\":\"s%d\"}},\"addressType\":\"IPv4\",\"ports\":[{"
               "\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080}],\"endpoints\":[",
               number, number);
    for (int i = first; i < first + n; i++)
        buf_printf(&out, "%s{\"addresses\":[\"10.42.%d.%d\"],\"conditions\":{\"ready\":true}}",
                   i == first ? "" : ",", (number * 7 + i) / 250 % 256, (number * 7 + i) % 250 + 1);
    buf_printf(&out, "]}");
    char *text = strndup(buf_view(&out).ptr, out.len);
    buf_deinit(&out);
    return text;
}

static void add(Bench *b, int number) {
    char name[32], *object = service(number), *endpoints = slice(number, 0, b->endpoints);
    snprintf(name, sizeof name, "s%d", number);
    feed(b->table, false, name, NULL, object);
    snprintf(name, sizeof name, "s%d-x", number);
    feed(b->table, true, name, NULL, endpoints);
    free(object);
    free(endpoints);
}

// ---- the proxy

static void look(void *user) {
    Bench *b = user;
    if (proxy_is_idle(b->proxy))
        loop_stop(b->loop);
    else
        loop_timer_start(&b->timer, 20000);
}

static int64_t settle(Bench *b) {
    int64_t began = now();
    loop_timer_start(&b->timer, 0);
    if (loop_run(b->loop) != 0)
        abort();
    return now() - began;
}

static void one_by_one(Bench *b) {
    static int64_t took[CHANGES];
    for (int i = 0; i < CHANGES; i++) { // an endpoint goes, or comes back
        int number = (i / 2 * 37) % b->services;
        char name[32], *all = slice(number, 0, b->endpoints),
                       *fewer = slice(number, 1, b->endpoints - 1);
        snprintf(name, sizeof name, "s%d-x", number);
        int64_t began = now();
        feed(b->table, true, name, i % 2 ? fewer : all, i % 2 ? all : fewer);
        settle(b);
        took[i] = now() - began;
        free(all);
        free(fewer);
    }
    qsort(took, CHANGES, sizeof *took, compare);
    printf("one change among them                 %8.2f ms p50, %.2f ms p99\n",
           (double)took[CHANGES / 2] / 1e6, (double)took[CHANGES * 99 / 100] / 1e6);
}

// A proxy as it starts: told of everything, then that this is all. Returns the time from there on.
static int64_t start_proxy(Bench *b) {
    char *message;
    b->table = service_table_new(NULL, STR("node"));
    const ProxyConfig config = {.loop = b->loop,
                                .services = b->table,
                                .table = "bench-services",
                                .service_range = "10.43.0.0/16",
                                .pod_range = "10.42.0.0/16"};
    if (proxy_new(&config, &b->proxy, &message) != 0) {
        fprintf(stderr, "bench_services: %s\n", message);
        exit(1);
    }
    int64_t began = now();
    for (int i = 0; i < b->services; i++)
        add(b, i);
    printf("%d services of %d: objects read     %8.0f ms\n", b->services, b->endpoints,
           (double)(now() - began) / 1e6);
    service_table_feed_synced(b->table);
    return settle(b);
}

static void stop_proxy(Bench *b) {
    proxy_free(b->proxy);
    service_table_free(b->table);
}

static void measure_proxy(Bench *b) {
    struct rusage usage;
    printf("loaded into nftables                  %8.0f ms\n", (double)start_proxy(b) / 1e6);
    one_by_one(b);
    stop_proxy(b);
    printf("compared with the kernel at a restart %8.0f ms\n", (double)start_proxy(b) / 1e6);
    stop_proxy(b);
    getrusage(RUSAGE_SELF, &usage);
    printf("most memory                           %8.1f MiB\n", (double)usage.ru_maxrss / 1024);
}

// ---- DNS

typedef struct Client {
    Bench *bench;
    uint16_t port;
    atomic_long answered;
    atomic_bool stop;
    int64_t took[200000];
    size_t n_took;
} Client;

static void *ask_all(void *user) {
    Client *client = user;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(client->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval wait = {.tv_usec = 200000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    connect(fd, (struct sockaddr *)&address, sizeof address);
    static uint8_t questions[SENDERS][DNS_UDP_PLAIN], answers[SENDERS][DNS_UDP_MAX];
    struct mmsghdr out[SENDERS] = {0}, in[SENDERS] = {0};
    struct iovec out_data[SENDERS], in_data[SENDERS];
    for (unsigned i = 0; i < SENDERS; i++) {
        char name[64];
        snprintf(name, sizeof name, "s%d.default.svc.cluster.local",
                 (int)(i * 131) % client->bench->services);
        out_data[i] = (struct iovec){
            questions[i], dns_question(questions[i], (uint16_t)i, str_from(name), DNS_A, false)};
        in_data[i] = (struct iovec){answers[i], DNS_UDP_MAX};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &out_data[i], .msg_iovlen = 1};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &in_data[i], .msg_iovlen = 1};
    }
    while (!atomic_load(&client->stop)) {
        int64_t began = now();
        int sent = sendmmsg(fd, out, SENDERS, 0), got = 0;
        while (got < sent) {
            int n = recvmmsg(fd, in, (unsigned)(sent - got), MSG_WAITFORONE, NULL);
            if (n <= 0)
                break;
            got += n;
        }
        atomic_fetch_add(&client->answered, got);
        if (client->n_took < sizeof client->took / sizeof *client->took)
            client->took[client->n_took++] = now() - began;
    }
    close(fd);
    return NULL;
}

static void stop_loop(void *user) {
    loop_stop(((Bench *)user)->loop);
}

static double cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void measure_dns(Bench *b) {
    static Client client;
    char *message;
    LoopTimer end = {0};
    b->table = service_table_new(NULL, STR("node"));
    const DnsConfig config = {.loop = b->loop,
                              .services = b->table,
                              .address = "127.0.0.1",
                              .domain = "cluster.local",
                              .service_range = "10.43.0.0/16",
                              .pod_range = "10.42.0.0/16"};
    if (dns_new(&config, &b->dns, &message) != 0) {
        fprintf(stderr, "bench_services: %s\n", message);
        exit(1);
    }
    for (int i = 0; i < b->services; i++)
        add(b, i);
    pthread_t thread;
    client.bench = b;
    client.port = dns_port(b->dns);
    pthread_create(&thread, NULL, ask_all, &client);
    loop_timer_init(&end, b->loop, stop_loop, b);
    loop_timer_start(&end, SECONDS * NSEC_PER_SEC);
    double cpu = cpu_seconds();
    int64_t began = now();
    if (loop_run(b->loop) != 0)
        abort();
    double seconds = (double)(now() - began) / 1e9;
    cpu = cpu_seconds() - cpu;
    atomic_store(&client.stop, true);
    pthread_join(thread, NULL);
    long n = atomic_load(&client.answered);
    qsort(client.took, client.n_took, sizeof *client.took, compare);
    printf("DNS answers                           %8.0f a second, %.0f per second of the server's "
           "CPU\n",
           (double)n / seconds, (double)n / cpu);
    printf("%d questions at once, all answered    %8.2f ms p50, %.2f ms p99\n", SENDERS,
           (double)client.took[client.n_took / 2] / 1e6,
           (double)client.took[client.n_took * 99 / 100] / 1e6);
}

int main(int argc, char **argv) {
    Bench bench = {.services = argc > 1 ? atoi(argv[1]) : 10000,
                   .endpoints = argc > 2 ? atoi(argv[2]) : 10};
    enter_namespace();
    bench.loop = loop_new();
    loop_timer_init(&bench.timer, bench.loop, look, &bench);
    measure_proxy(&bench);
    measure_dns(&bench);
    return 0;
}
