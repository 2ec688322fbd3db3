/* The reference: an AudioSocket to WebSocket relay with one message per frame and nothing else.
 *
 * No gateway that forwards each frame at once can cost much less: what is left is the system calls. It checks
 * nothing, survives nothing, and is here only to be compared with.
 *
 * relay PORT AGENT_PORT
 */

#define _GNU_SOURCE
#include "wire.h"

enum { SLOTS = 4, MAX_CALLS = 4096, QUEUE_BYTES = 1 << 18 };

struct call {
    int caller, agent, open;
    struct inbox from_caller, from_agent;
    size_t head, tail;
    uint8_t queue[QUEUE_BYTES]; /* agent audio: filled from 0 on again whenever it is empty */
};

static struct call *calls[MAX_CALLS];
static int call_count, epoll, agent_port;
static const uint8_t KEY[4] = {0x5a, 0x17, 0xc3, 0x88};

static void put(int fd, const void *data, size_t size) {
    if (fd >= 0 && write(fd, data, size) < 0 && errno == EAGAIN) die("a peer doesn't read");
}

static void say(struct call *call, int opcode, uint8_t *text, size_t size) {
    uint8_t frame[1024];
    size_t header = put_websocket_header(frame, opcode, size, KEY);
    memcpy(frame + header, text, size);
    mask(frame + header, size, KEY);
    put(call->agent, frame, header + size);
}

static void caller_frame(struct call *call, const uint8_t *frame, size_t size) {
    static const char PREFIX[] = "{\"user_audio_chunk\":\"";
    char text[1024];
    if (frame[0] != SLIN || !call->open) return;
    size_t length = strlen(strcpy(text, PREFIX));
    length += base64_encode(text + length, frame + HEADER_BYTES, size - HEADER_BYTES);
    memcpy(text + length, "\"}", 2);
    say(call, TEXT, (uint8_t *)text, length + 2);
}

static void agent_message(struct call *call, struct message message) {
    size_t length;
    char pong[64];
    const char *audio = text_after(message.data, message.size, "\"audio_base_64\":\"", &length);
    if (audio) {
        if (call->tail + length > QUEUE_BYTES) errno = 0, die("the queue is full");
        call->tail += base64_decode(call->queue + call->tail, audio, length);
    } else if (memmem(message.data, message.size, "\"interruption\"", 14)) {
        call->head = call->tail = 0;
    } else if (memmem(message.data, message.size, "\"ping\"", 6)) {
        const char *id = text_after(message.data, message.size, "\"event_id\":", &length);
        say(call, TEXT, (uint8_t *)pong, sprintf(pong, "{\"type\":\"pong\",\"event_id\":%d}", atoi(id)));
    }
}

static void hang_up(struct call *call) {
    close(call->caller);
    close(call->agent);
    call->caller = call->agent = -1;
}

static int fill(int fd, struct inbox *inbox) {
    ssize_t size = recv(fd, inbox->data + inbox->used, sizeof inbox->data - inbox->used, 0);
    if (size > 0) inbox->used += size;
    return size > 0 || (size < 0 && errno == EAGAIN);
}

static void read_caller(struct call *call) {
    struct inbox *inbox = &call->from_caller;
    if (!fill(call->caller, inbox)) return hang_up(call);
    size_t start = 0, size;
    while ((size = whole_frame(inbox->data + start, inbox->used - start))) {
        caller_frame(call, inbox->data + start, size);
        start += size;
    }
    drop_front(inbox, start);
}

static size_t upgraded(struct call *call) {
    static uint8_t initiation[] = "{\"type\":\"conversation_initiation_client_data\"}";
    struct inbox *inbox = &call->from_agent;
    uint8_t *end = memmem(inbox->data, inbox->used, "\r\n\r\n", 4);
    if (!end) return 0;
    call->open = 1;
    say(call, TEXT, initiation, sizeof initiation - 1);
    return end + 4 - inbox->data;
}

static void read_agent(struct call *call) {
    struct inbox *inbox = &call->from_agent;
    if (!fill(call->agent, inbox)) return hang_up(call);
    size_t start = call->open ? 0 : upgraded(call), size;
    struct message message;
    while (call->open && (size = take_message(inbox->data + start, inbox->used - start, &message))) {
        agent_message(call, message);
        start += size;
    }
    drop_front(inbox, start);
}

static void accept_call(int listener) {
    static const char REQUEST[] = "GET /v1/convai/conversation HTTP/1.1\r\nHost: localhost\r\n"
                                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    struct call *call = calloc(1, sizeof *call);
    call->caller = accept(listener, NULL, NULL);
    if (call->caller < 0 || call_count == MAX_CALLS) die("accept");
    prepare(call->caller);
    call->agent = dial(agent_port);
    put(call->agent, REQUEST, sizeof REQUEST - 1);
    watch(epoll, call->caller, 2 * call_count);
    watch(epoll, call->agent, 2 * call_count + 1);
    calls[call_count++] = call;
}

static void tick(struct call *call) {
    uint8_t frame[WIRE_BYTES] = {0};
    put_audio_header(frame);
    if (call->head < call->tail) {
        memcpy(frame + HEADER_BYTES, call->queue + call->head, FRAME_BYTES);
        call->head += FRAME_BYTES;
        if (call->head >= call->tail) call->head = call->tail = 0;
    }
    put(call->caller, frame, sizeof frame);
}

int main(int argc, char **argv) {
    if (argc != 3) errno = 0, die("relay PORT AGENT_PORT");
    int listener = listen_at(atoi(argv[1]));
    agent_port = atoi(argv[2]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener, UINT64_MAX);
    int64_t deadline = now_ns();
    for (int slot = 0;;) {
        struct epoll_event events[256];
        int count = wait_events(epoll, events, 256, deadline);
        for (int i = 0; i < count; i++) {
            uint64_t name = events[i].data.u64;
            if (name == UINT64_MAX)
                accept_call(listener);
            else if (calls[name / 2]->caller >= 0)
                (name % 2 ? read_agent : read_caller)(calls[name / 2]);
        }
        if (now_ns() < deadline) continue;
        for (int i = slot; i < call_count; i += SLOTS) tick(calls[i]);
        slot = (slot + 1) % SLOTS;
        deadline += FRAME_NS / SLOTS;
    }
}
