/* What the load and the reference relay share: time, sockets, base64, AudioSocket and WebSocket frames. */

#ifndef WIRE_H
#define WIRE_H

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

enum { FRAME_BYTES = 320, HEADER_BYTES = 3, WIRE_BYTES = HEADER_BYTES + FRAME_BYTES };
enum { HANGUP = 0x00, UUID = 0x01, SLIN = 0x10 };
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

#define MS 1000000LL /* nanoseconds */
#define FRAME_NS (20 * MS)

static inline void die(const char *what) {
    fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

/* The clock of the kernel's receive timestamps. */
static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* Sockets */

static inline struct sockaddr_in local(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int stream_socket(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    return fd;
}

/* Send all of it. A peer that has gone is noticed where it is read. */
static inline void send_whole(int fd, const void *data, size_t size) {
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0 ? (size_t)sent < size : errno == EAGAIN) errno = 0, die("the gateway doesn't read");
}

/* Send at once, and never wait for a peer that doesn't read. */
static inline void prepare(int fd) {
    int on = 1, room = 1 << 20;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

static inline int listen_at(int port) {
    int fd = stream_socket(), on = 1;
    struct sockaddr_in address = local(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) die("listen");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline int dial(int port) {
    int fd = stream_socket();
    struct sockaddr_in address = local(port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    prepare(fd);
    return fd;
}

static inline void watch(int epoll, int fd, uint64_t name) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = name};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

/* Wait until something arrives, or until the time `until`. */
static inline int wait_events(int epoll, struct epoll_event *events, int size, int64_t until) {
    int64_t left = until - now_ns();
    if (left < 0) left = 0;
    struct timespec timeout = {left / (1000 * MS), left % (1000 * MS)};
    int count = epoll_pwait2(epoll, events, size, &timeout, NULL);
    if (count < 0 && errno != EINTR) die("epoll_pwait2");
    return count < 0 ? 0 : count;
}

/* What has arrived on a connection and is not a whole frame or message yet. */
struct inbox {
    size_t used;
    uint8_t data[32768];
};

static inline void drop_front(struct inbox *inbox, size_t size) {
    inbox->used -= size;
    memmove(inbox->data, inbox->data + size, inbox->used);
}

/* AudioSocket */

static inline void put_audio_header(uint8_t *to) {
    to[0] = SLIN;
    to[1] = FRAME_BYTES >> 8;
    to[2] = FRAME_BYTES & 0xff;
}

/* The size of the first frame, header included, or 0 when it is not whole. */
static inline size_t whole_frame(const uint8_t *data, size_t size) {
    size_t whole = size < HEADER_BYTES ? SIZE_MAX : HEADER_BYTES + ((size_t)data[1] << 8 | data[2]);
    return whole <= size ? whole : 0;
}

/* Base64 */

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static inline size_t base64_encode(char *to, const uint8_t *from, size_t size) {
    char *start = to;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = from[i] << 16 | (i + 1 < size ? from[i + 1] << 8 : 0) | (i + 2 < size ? from[i + 2] : 0);
        *to++ = BASE64[three >> 18];
        *to++ = BASE64[three >> 12 & 63];
        *to++ = i + 1 < size ? BASE64[three >> 6 & 63] : '=';
        *to++ = i + 2 < size ? BASE64[three & 63] : '=';
    }
    return to - start;
}

static inline size_t base64_decode(uint8_t *to, const char *from, size_t size) {
    static uint8_t value[256];
    if (!value['B'])
        for (int i = 0; i < 64; i++) value[(uint8_t)BASE64[i]] = i;
    uint8_t *start = to;
    for (size_t i = 0; i + 4 <= size; i += 4) {
        const uint8_t *c = (const uint8_t *)from + i;
        uint32_t three = value[c[0]] << 18 | value[c[1]] << 12 | value[c[2]] << 6 | value[c[3]];
        *to++ = three >> 16;
        *to++ = three >> 8;
        *to++ = three;
    }
    size_t padding = size && from[size - 1] == '=' ? 1 + (from[size - 2] == '=') : 0;
    return to - start - padding;
}

/* JSON: the text of the string after `key`, which includes the quotation marks and the colon. */
static inline const char *text_after(const uint8_t *json, size_t size, const char *key, size_t *length) {
    const char *found = memmem(json, size, key, strlen(key));
    if (!found) return NULL;
    const char *start = found + strlen(key);
    const char *end = memchr(start, '"', (const char *)json + size - start);
    *length = end ? (size_t)(end - start) : 0;
    return start;
}

/* WebSocket (RFC 6455) */

struct message {
    int opcode;
    uint8_t *data;
    size_t size;
};

/* Write a frame's header; `key`: 4 bytes, from a client, else NULL. Return its size. */
static inline size_t put_websocket_header(uint8_t *to, int opcode, size_t size, const uint8_t *key) {
    uint8_t *start = to, masked = key ? 0x80 : 0;
    *to++ = 0x80 | opcode;
    if (size < 126) {
        *to++ = masked | size;
    } else {
        *to++ = masked | 126;
        *to++ = size >> 8;
        *to++ = size & 0xff;
    }
    if (key) memcpy(to, key, 4), to += 4;
    return to - start;
}

static inline void mask(uint8_t *data, size_t size, const uint8_t *key) {
    for (size_t i = 0; i < size; i++) data[i] ^= key[i & 3];
}

/* Read the first message; return how many bytes it takes, or 0 when it is not whole. */
static inline size_t take_message(uint8_t *data, size_t size, struct message *message) {
    if (size < 2) return 0;
    size_t header = 2, length = data[1] & 0x7f;
    if (length == 127 || !(data[0] & 0x80)) errno = 0, die("a fragmented, or a very long, message");
    if (length == 126) {
        if (size < 4) return 0;
        length = data[2] << 8 | data[3];
        header = 4;
    }
    const uint8_t *key = data[1] & 0x80 ? data + header : NULL;
    if (key) header += 4;
    if (size < header + length) return 0;
    *message = (struct message){data[0] & 0x0f, data + header, length};
    if (key) mask(message->data, length, key);
    return header + length;
}

#endif
