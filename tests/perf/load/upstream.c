/* An engine that costs nothing: answers chats at once, or as a paced stream of events.
 *
 *     upstream CHUNKS INTERVAL_US PORT...
 *
 * A body that asks for a stream gets CHUNKS events, one each INTERVAL_US microseconds; each carries
 * the moment at which it was written (CLOCK_MONOTONIC, ns, 16 hex digits between two MARKs). With
 * `return_token_ids` it carries token ids as vLLM writes them. Any GET gets the list of models.
 */
#include "common.h"
#include <sys/timerfd.h>

#define SMALL 8192 /* a body up to this size is searched for `stream`; larger ones are not streamed */

typedef struct talk {
    int fd, port; /* port: of a listener, else 0 */
    buffer in;
    size_t head, left; /* of the request: size of its head, bytes of its body still to come */
    buffer body;
    size_t length;
    int sent, ids, usage;
    uint64_t due;
    struct talk *next; /* in the queue of streams: their interval is the same, so it is in order */
    int queued, closed;
} talk;

static int epoll, timer, chunks;
static uint64_t interval;
static talk *first, *last;

static const char *const HEAD_OF_STREAM =
    "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
    "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
static const char *const STEM =
    "\"id\":\"chatcmpl-7f2c1d9e8b6a4f0d\",\"object\":\"chat.completion.chunk\","
    "\"created\":1767225600,\"model\":\"tiny\"";
static const char *const ANSWER =
    "{\"id\":\"chatcmpl-7f2c1d9e8b6a4f0d\",\"object\":\"chat.completion\",\"created\":1767225600,"
    "\"model\":\"tiny\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
    "\"The invoice 2026-0117 of 12 January comes to 1,280.40 EUR; it is due within 30 days, and "
    "the order that it belongs to is the one you asked about on Monday.\",\"refusal\":null,"
    "\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null}],"
    "\"usage\":{\"prompt_tokens\":231,\"total_tokens\":276,\"completion_tokens\":45,"
    "\"prompt_tokens_details\":null}}";
static const char *const MODELS =
    "{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"object\":\"model\",\"created\":1767225600,"
    "\"owned_by\":\"vllm\",\"root\":\"tiny\",\"max_model_len\":131072}]}";

static void put(talk *t, const char *data, size_t size) {
    while (size) { /* what a client does not read at once is waited for: clients here read */
        ssize_t n = send(t->fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) continue;
        if (n < 0) return; /* the end of the connection is found when it is read */
        data += n;
        size -= (size_t)n;
    }
}

static void put_json(talk *t, const char *json) {
    char out[2048];
    int n = snprintf(out, sizeof out,
                     "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
                     "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                     strlen(json), json);
    put(t, out, (size_t)n);
}

static int event(char *out, const char *rest) {
    char body[1024];
    int n = snprintf(body, sizeof body, "data: {%s,%s}\n\n", STEM, rest);
    return sprintf(out, "%x\r\n%s\r\n", n, body);
}

static void enqueue(talk *t) {
    t->next = NULL;
    t->queued = 1;
    if (last) last->next = t;
    else first = t;
    last = t;
}

static void arm(void) {
    struct itimerspec when = {0};
    if (first) {
        when.it_value.tv_sec = (time_t)(first->due / 1000000000u);
        when.it_value.tv_nsec = (long)(first->due % 1000000000u) + 1;
    }
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void start_stream(talk *t) {
    char out[2048];
    int n = sprintf(out, "%s", HEAD_OF_STREAM);
    n += event(out + n, "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"
                        "\"\"},\"logprobs\":null,\"finish_reason\":null}]");
    put(t, out, (size_t)n);
    t->sent = 0;
    t->due = now_ns() + interval;
    enqueue(t);
    if (first == t) arm();
}

static void send_chunk(talk *t) {
    char out[4096], rest[512], ids[64] = "";
    int n;
    t->sent++;
    if (t->ids) sprintf(ids, ",\"token_ids\":[%d]", 1000 + t->sent);
    const char *reason = t->sent == chunks ? "\"stop\"" : "null";
    sprintf(rest, "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" %c%016llx%c\"},"
                  "\"logprobs\":null,\"finish_reason\":%s%s}]",
            MARK, (unsigned long long)now_ns(), MARK, reason, ids);
    n = event(out, rest);
    if (t->sent == chunks) {
        if (t->usage)
            n += event(out + n, "\"choices\":[],\"usage\":{\"prompt_tokens\":231,"
                                "\"total_tokens\":295,\"completion_tokens\":64}");
        n += sprintf(out + n, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    }
    put(t, out, (size_t)n);
}

static void send_due(void) {
    uint64_t count;
    if (read(timer, &count, sizeof count) < 0) return;
    while (first && first->due <= now_ns()) {
        talk *t = first;
        first = t->next;
        if (!first) last = NULL;
        t->queued = 0;
        if (t->closed) {
            free(t);
            continue;
        }
        send_chunk(t);
        if (t->sent < chunks) {
            t->due += interval;
            enqueue(t);
        }
    }
    arm();
}

static void finish(talk *t) {
    close(t->fd);
    free(t->in.data);
    free(t->body.data);
    t->in.data = t->body.data = NULL;
    t->closed = 1;
    if (!t->queued) free(t);
}

static int has(const buffer *body, const char *word) {
    return memmem(body->data, body->size, word, strlen(word)) != NULL;
}

static void answer(talk *t) {
    int small = t->length <= SMALL;
    if (!strncmp(t->in.data, "GET", 3)) {
        put_json(t, MODELS);
    } else if (small && (has(&t->body, "\"stream\":true") || has(&t->body, "\"stream\": true"))) {
        t->ids = has(&t->body, "\"return_token_ids\":true");
        t->usage = has(&t->body, "\"include_usage\":true");
        start_stream(t);
    } else {
        put_json(t, ANSWER);
    }
    t->in.size = t->body.size = t->head = 0;
}

static void take_body(talk *t, const char *data, size_t size) {
    if (t->length <= SMALL) {
        reserve(&t->body, size);
        memcpy(t->body.data + t->body.size, data, size);
        t->body.size += size;
    }
    t->left -= size;
    if (!t->left) answer(t);
}

static void take(talk *t, const char *data, size_t size) {
    if (t->head) {
        take_body(t, data, size < t->left ? size : t->left);
        return;
    }
    reserve(&t->in, size + 1);
    memcpy(t->in.data + t->in.size, data, size);
    t->in.size += size;
    t->in.data[t->in.size] = 0;
    char *end = memmem(t->in.data, t->in.size, "\r\n\r\n", 4);
    if (!end) return;
    t->head = (size_t)(end - t->in.data) + 4;
    const char *length = header(t->in.data, t->head, "content-length:");
    t->left = t->length = length ? strtoul(length, NULL, 10) : 0;
    size_t rest = t->in.size - t->head;
    take_body(t, t->in.data + t->head, rest < t->left ? rest : t->left);
}

static void serve(talk *t) {
    static char data[262144];
    if (t->port) {
        int fd = accept(t->fd, NULL, NULL);
        if (fd < 0) return;
        prepare(fd);
        talk *one = must(calloc(1, sizeof *one));
        one->fd = fd;
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, one);
        return;
    }
    ssize_t n = recv(t->fd, data, sizeof data, 0);
    if (n > 0) take(t, data, (size_t)n);
    else if (n == 0 || errno != EAGAIN) finish(t);
}

static void listen_at(int port) {
    int yes = 1;
    struct sockaddr_in at = loopback(port);
    talk *t = must(calloc(1, sizeof *t));
    t->port = port;
    t->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(t->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(t->fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
    if (listen(t->fd, 4096) < 0) die("listen");
    prepare(t->fd);
    watch(epoll, EPOLL_CTL_ADD, t->fd, EPOLLIN, t);
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "usage: upstream CHUNKS INTERVAL_US PORT...\n");
        return 2;
    }
    struct epoll_event events[EVENTS];
    chunks = atoi(words[1]);
    interval = strtoull(words[2], NULL, 10) * 1000u;
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, timer, EPOLLIN, NULL);
    for (int i = 3; i < count; i++) listen_at(atoi(words[i]));
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr) serve(events[i].data.ptr);
            else send_due();
    }
}
