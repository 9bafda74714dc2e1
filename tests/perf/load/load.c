/* Asks a gateway and measures; what it found goes to stdout as one JSON object.
 *
 *     load closed  PORT BODIES CONNECTIONS SECONDS|-REQUESTS [PAUSE_MS]
 *     load streams PORT BODIES CONNECTIONS SECONDS
 *     load idle    PORT BODIES CONNECTIONS        (asks once on each, then waits for stdin to end)
 *
 * BODIES holds whole requests, each after its size in bytes as a line of text. They are used in
 * turn, and COUNTER in each is replaced by a number that never comes again, so that no two requests
 * are equal. A closed loop sends the next request of a connection when the answer is complete.
 * Latency: from the first byte sent to the last one read. Delay: of a chunk, from its writing by
 * the upstream to its reading here. All times in microseconds.
 */
#include "common.h"

#define COUNTER "0000000000000000"
#define MOST_SAMPLES 8000000u
#define SILENCE_NS 15000000000u /* after so long without a byte nobody will answer any more */

typedef struct {
    char *data;
    size_t size, counter;
} request;

typedef struct {
    int fd;
    uint64_t began;
    request *asked;
    size_t sent;
    buffer in; /* head, or what of a chunk's frame is not yet complete */
    enum { HEAD, LENGTH, SIZE, DATA, UNTIL_CLOSE } state;
    size_t left;
    int last; /* the chunk of size 0 has begun */
    int ok;
    char partial[24]; /* the beginning of a mark whose rest is still to come */
    size_t held;
} talk;

static int epoll, port, streams, once, active;
static request *requests;
static size_t request_count;
static uint64_t next_request, until, wanted, pause_ns;
static uint64_t answered, failed, refused, bytes, chunk_count, heard;
static int refusal; /* status of the first answer that was not 200 */
static uint32_t *samples;
static size_t sample_count;

static void sample(uint64_t ns) {
    if (sample_count < MOST_SAMPLES) samples[sample_count++] = (uint32_t)(ns > 4000000000u ? 4000000000u : ns);
}

static void read_bodies(const char *path) {
    FILE *file = fopen(path, "r");
    size_t size;
    if (!file) die(path);
    while (fscanf(file, "%zu\n", &size) == 1) {
        requests = must(realloc(requests, (request_count + 1) * sizeof *requests));
        request *one = &requests[request_count++];
        one->size = size;
        one->data = must(malloc(size));
        if (fread(one->data, 1, size, file) != size) die("bodies");
        char *at = memmem(one->data, size, COUNTER, 16);
        one->counter = at ? (size_t)(at - one->data) : 0;
    }
    fclose(file);
    if (!request_count) die("no bodies");
}

static int connected(void) {
    struct sockaddr_in to = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    prepare(fd);
    return fd;
}

static void push(talk *t) {
    while (t->sent < t->asked->size) {
        ssize_t n = send(t->fd, t->asked->data + t->sent, t->asked->size - t->sent, MSG_NOSIGNAL);
        if (n < 0) break;
        t->sent += (size_t)n;
    }
    uint32_t events = t->sent < t->asked->size ? EPOLLIN | EPOLLOUT : EPOLLIN;
    watch(epoll, EPOLL_CTL_MOD, t->fd, events, t);
}

static void ask(talk *t) {
    t->asked = &requests[next_request % request_count];
    if (t->asked->counter) {
        char number[17];
        snprintf(number, sizeof number, "%016llx", (unsigned long long)(next_request + 1));
        memcpy(t->asked->data + t->asked->counter, number, 16);
    }
    next_request++;
    t->sent = 0;
    t->state = HEAD;
    t->in.size = 0;
    t->held = 0;
    t->last = 0;
    t->began = now_ns();
    push(t);
}

static void end(talk *t) {
    close(t->fd);
    t->fd = -1;
    active--;
}

static void again(talk *t, int reusable) {
    if (once) return;
    if ((until && now_ns() >= until) || (wanted && answered + failed >= wanted)) {
        end(t);
        return;
    }
    if (pause_ns) {
        struct timespec p = {(time_t)(pause_ns / 1000000000u), (long)(pause_ns % 1000000000u)};
        nanosleep(&p, NULL);
    }
    if (!reusable) {
        close(t->fd);
        t->fd = connected();
        watch(epoll, EPOLL_CTL_ADD, t->fd, EPOLLIN, t);
    }
    ask(t);
}

static void complete(talk *t) {
    if (t->ok) answered++;
    else refused++;
    if (!streams) sample(now_ns() - t->began);
    /* After an answer to half a request the other half would stand before the next one. */
    again(t, t->state != UNTIL_CLOSE && t->sent == t->asked->size);
}

/* Find the moments in a part of a body; one may be cut by the part's end. */
static void find_marks(talk *t, const char *data, size_t size, uint64_t now) {
    while (size) {
        if (!t->held) {
            const char *at = memchr(data, MARK, size);
            if (!at) return;
            size -= (size_t)(at - data);
            data = at;
        }
        size_t n = 18 - t->held < size ? 18 - t->held : size;
        memcpy(t->partial + t->held, data, n);
        t->held += n;
        data += n;
        size -= n;
        if (t->held < 18) return;
        t->held = 0;
        t->partial[17] = 0;
        chunk_count++;
        sample(now - strtoull(t->partial + 1, NULL, 16));
    }
}

static int read_head(talk *t, const char **data, size_t *size) {
    reserve(&t->in, *size + 1);
    memcpy(t->in.data + t->in.size, *data, *size);
    size_t before = t->in.size;
    t->in.size += *size;
    t->in.data[t->in.size] = 0;
    char *stop = memmem(t->in.data, t->in.size, "\r\n\r\n", 4);
    if (!stop) return 0;
    size_t head = (size_t)(stop - t->in.data) + 4;
    t->ok = !strncmp(t->in.data + 9, "200", 3);
    if (!t->ok && !refusal) {
        refusal = atoi(t->in.data + 9);
        fprintf(stderr, "first refusal: %.*s\n", 300, t->in.data);
    }
    const char *length = header(t->in.data, head, "content-length:");
    const char *coding = header(t->in.data, head, "transfer-encoding:");
    t->state = coding ? SIZE : length ? LENGTH : UNTIL_CLOSE;
    t->left = length ? strtoul(length, NULL, 10) : 0;
    *data += head - before;
    *size -= head - before;
    t->in.size = 0;
    return 1;
}

static int read_size(talk *t, const char **data, size_t *size) {
    while (*size) {
        char c = *(*data)++;
        (*size)--;
        reserve(&t->in, 2);
        if (c != '\n') {
            t->in.data[t->in.size++] = c;
            continue;
        }
        t->in.data[t->in.size] = 0;
        size_t length = t->in.size;
        t->in.size = 0;
        if (length <= 1 && !t->last) continue; /* the line end behind a chunk */
        if (t->last) return 1;
        t->left = strtoul(t->in.data, NULL, 16);
        if (!t->left) t->last = 1;
        else t->state = DATA;
        if (t->left) return 0;
    }
    return 0;
}

static void take(talk *t, const char *data, size_t size) {
    uint64_t now = streams ? now_ns() : 0;
    bytes += size;
    if (t->state == HEAD && !read_head(t, &data, &size)) return;
    if (t->state == LENGTH) {
        t->left -= size < t->left ? size : t->left;
        if (!t->left) complete(t);
        return;
    }
    while (size && t->state != UNTIL_CLOSE) {
        if (t->state == SIZE) {
            if (read_size(t, &data, &size)) {
                complete(t);
                return;
            }
            continue;
        }
        size_t n = size < t->left ? size : t->left;
        if (streams) find_marks(t, data, n, now);
        t->left -= n;
        data += n;
        size -= n;
        if (!t->left) t->state = SIZE;
    }
}

static void serve(talk *t, uint32_t events) {
    static char data[262144];
    if (t->fd < 0) return;
    if (events & EPOLLOUT) push(t);
    if (!(events & ~(uint32_t)EPOLLOUT)) return;
    ssize_t n = recv(t->fd, data, sizeof data, 0);
    if (n > 0) {
        take(t, data, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        if (t->state == UNTIL_CLOSE) {
            complete(t);
        } else {
            failed++;
            again(t, 0);
        }
    }
}

static void turn(int timeout_ms) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) serve(events[i].data.ptr, events[i].events);
    uint64_t now = now_ns();
    if (n || !heard) {
        heard = now;
    } else if (now - heard > SILENCE_NS && active) {
        fprintf(stderr, "nothing came for 15 s; %d answers are given up\n", active);
        failed += (uint64_t)active;
        active = 0;
    }
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double quantile(double q) {
    return sample_count ? samples[(size_t)(q * (double)(sample_count - 1))] / 1000.0 : 0;
}

static void report(double seconds) {
    qsort(samples, sample_count, sizeof *samples, ascending);
    printf("{\"seconds\": %.4f, \"answered\": %llu, \"refused\": %llu, \"failed\": %llu, "
           "\"refusal\": %d, \"bytes\": %llu, \"chunks\": %llu, \"samples\": %zu, \"p50_us\": %.1f, "
           "\"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
           seconds, (unsigned long long)answered, (unsigned long long)refused,
           (unsigned long long)failed, refusal, (unsigned long long)bytes, (unsigned long long)chunk_count,
           sample_count, quantile(0.5), quantile(0.9), quantile(0.99), quantile(0.999), quantile(1));
    fflush(stdout);
}

static void open_all(int connections, uint64_t apart_ns) {
    talk *all = must(calloc((size_t)connections, sizeof *all));
    for (int i = 0; i < connections; i++) {
        talk *t = &all[i];
        t->fd = connected();
        active++;
        watch(epoll, EPOLL_CTL_ADD, t->fd, EPOLLIN, t);
        ask(t);
        if (!apart_ns) turn(0);
        for (uint64_t next = now_ns() + apart_ns, now; (now = now_ns()) < next; )
            turn((int)((next - now + 999999u) / 1000000u)); /* asleep: the upstream is on this core */
    }
}

static int idle(int connections) {
    once = 1;
    for (int i = 1; i <= connections; i++) {
        talk *t = must(calloc(1, sizeof *t));
        t->fd = connected();
        watch(epoll, EPOLL_CTL_ADD, t->fd, EPOLLIN, t);
        ask(t);
        while (answered < (uint64_t)i) {
            turn(1000);
            if (refused + failed) die("an idle connection was refused or closed");
        }
    }
    printf("{\"open\": %d}\n", connections);
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}

int main(int count, char **words) {
    if (count < 5) {
        fprintf(stderr, "usage: load closed|streams|idle PORT BODIES CONNECTIONS [AMOUNT [PAUSE]]\n");
        return 2;
    }
    port = atoi(words[2]);
    read_bodies(words[3]);
    int connections = atoi(words[4]);
    double amount = count > 5 ? atof(words[5]) : 1;
    if (count > 6) pause_ns = strtoull(words[6], NULL, 10) * 1000000u;
    samples = must(malloc(MOST_SAMPLES * sizeof *samples));
    epoll = epoll_create1(0);
    next_request = (uint64_t)now_ns() << 4; /* another run's numbers are others, too */
    if (!strcmp(words[1], "idle")) return idle(connections);
    streams = !strcmp(words[1], "streams");
    uint64_t start = now_ns();
    if (amount < 0) wanted = (uint64_t)-amount;
    else until = start + (uint64_t)(amount * 1e9);
    open_all(connections, streams ? 4000000u : 0);
    while (active) turn(1000);
    report((double)(now_ns() - start) / 1e9);
    return 0;
}
