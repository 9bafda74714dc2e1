/* What the load generator and the upstream share: a clock, sockets, and a growing buffer. */
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK '~' /* before and after the 16 hex digits of the moment at which a chunk was sent */
#define EVENTS 512

typedef struct {
    char *data;
    size_t size, room;
} buffer;

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void *must(void *pointer) {
    if (!pointer) die("memory");
    return pointer;
}

static inline void reserve(buffer *b, size_t more) {
    if (b->size + more <= b->room) return;
    b->room = (b->size + more) * 2;
    b->data = must(realloc(b->data, b->room));
}

static inline void prepare(int fd) {
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl");
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to;
}

static inline void watch(int epoll, int how, int fd, uint32_t events, void *what) {
    struct epoll_event event = {.events = events, .data.ptr = what};
    if (epoll_ctl(epoll, how, fd, &event) < 0) die("epoll_ctl");
}

/* Return what stands behind a header's name (given with its colon, in lower case), or NULL. */
static inline const char *header(const char *head, size_t size, const char *name) {
    size_t length = strlen(name);
    for (const char *at = head; (at = memchr(at, '\n', (size_t)(head + size - at))); ) {
        at++;
        if ((size_t)(head + size - at) > length && !strncasecmp(at, name, length)) {
            for (at += length; *at == ' '; at++) {}
            return at;
        }
    }
    return NULL;
}
