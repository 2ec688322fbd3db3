/* The load: many callers on one side of the gateway, their agents on the other, in one process with one clock.
 *
 * Each frame carries a mark: who says it, which one it is, and when it was sent. So whatever is lost, repeated,
 * out of order or late shows where it arrives. Arrival is the kernel's receive timestamp: how late this program
 * itself is doesn't count.
 *
 * A caller says a frame every 20 ms; the callers' moments are spread over the 20 ms. An agent says 3 s every 6 s,
 * in pieces of 260 to 500 ms at four times real time, and interrupts itself a third of the time; pings every 2 s.
 *
 * load GATEWAY_PORT AGENT_PORT CALLS SECONDS [NAME=VALUE ...]
 *
 *   pem=FILE       the agents speak TLS; certificate and key
 *   settle=S       after the last call came up; 1
 *   rise=N         from N calls on, measure, and add calls slowly until a fifth more were tried than could be had
 *   speech=S       an agent says this much at once, 200 times as fast as it is heard, and nothing else
 *   windows=stdin  measure as often, and for as long, as the lines of standard input say: SECONDS at most
 *
 * Prints "steady" when the measured time begins, "over" when it ends, and then the figures as a line of JSON;
 * so for each window.
 */

#define _GNU_SOURCE
#include "sha1.h"
#include "tls.h"
#include "wire.h"

enum { MAX_CALLS = 4096, DIALLED_AT_ONCE = 16, RISE_PER_S = 10 };
enum { MIN_PIECE = 13, MAX_PIECE = 25, SPEECH_SPEED = 200 };

static const int64_t CYCLE_NS = 6000 * MS, PING_NS = 2000 * MS, ACT_NS = MS;
static const int64_t SET_UP_NS = 30000 * MS, HANG_UP_NS = 1000 * MS;

static const uint8_t SILENCE[FRAME_BYTES];
static uint8_t voice[FRAME_BYTES];
static const uint32_t CALLER = 0xca11e400, AGENT = 0xa9e47000;

struct mark {
    uint32_t speaker, who, reply, frame;
    int64_t sent_at;
};

struct samples {
    size_t count, room;
    double *ms;
};

struct caller {
    int fd, up, was_up; /* was_up: when the measured time began */
    uint32_t index, said;
    struct agent *agent; /* known from its first mark on */
    size_t heard;
    int64_t *arrivals; /* of the frames in the measured time */
    struct inbox inbox;
};

struct agent {
    int fd, open, hears;
    SSL *tls;
    uint32_t index, caller, expected; /* the caller, and its next frame */
    uint32_t reply, frames, spoken; /* the reply that is being said */
    int64_t reply_at, piece_at, ping_at, interrupt_at;
    uint32_t heard_reply, heard_next, heard_frames; /* what the caller has heard, by marks */
    uint32_t cut_reply;
    int64_t cut_at, stale_ns;
    struct inbox inbox;
};

static struct caller *callers[MAX_CALLS];
static struct agent *agents[MAX_CALLS];
static int calls, capacity, agent_count, dialled, up, refused, fallen, open_agents, epoll, listener, tls;
static int64_t window_start = INT64_MAX, window_end = INT64_MAX;
static size_t room_per_caller;
static uint32_t reply_frames = 150;
static int speed = 4, is_monologue;

static struct samples lateness, gap, to_agent, onset, flush_time, own_lateness;
static long up_lost, up_repeated, up_unmarked, down_lost, down_repeated, underruns, pings, pongs, gaps_40, gaps_60;

static int measured(int64_t at) { return at >= window_start && at < window_end; }

static double uniform(void) { return drand48(); }

static void add(struct samples *samples, int64_t ns) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 4096;
        samples->ms = realloc(samples->ms, samples->room * sizeof *samples->ms);
        if (!samples->ms) die("realloc");
    }
    samples->ms[samples->count++] = (double)ns / MS;
}

/* Receive into `to`; `*at` becomes the kernel's time of arrival. 0: the end; -1: nothing. */
static ssize_t receive(int fd, uint8_t *to, size_t room, int64_t *at) {
    union {
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr align;
    } control;
    struct iovec part = {to, room};
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(fd, &header, 0);
    if (size < 0) return errno == EAGAIN ? -1 : 0;
    *at = now_ns();
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec *t = (struct timespec *)CMSG_DATA(c);
            *at = t->tv_sec * 1000 * MS + t->tv_nsec;
        }
    return size;
}

static void stamp_arrivals(int fd) {
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

/* The callers */

static void call_up(uint32_t index, int port) {
    struct caller *caller = callers[index] = calloc(1, sizeof *caller);
    uint8_t uuid[HEADER_BYTES + 16] = {UUID, 0, 16};
    pid_t run = getpid(); /* the calls of the run before may not all be forgotten */
    memcpy(uuid + HEADER_BYTES + 8, &run, sizeof run);
    memcpy(uuid + HEADER_BYTES + 12, &index, sizeof index);
    caller->index = index;
    caller->fd = dial(port);
    caller->arrivals = malloc(room_per_caller * sizeof *caller->arrivals);
    stamp_arrivals(caller->fd);
    watch(epoll, caller->fd, 2 * index);
    if (write(caller->fd, uuid, sizeof uuid) != sizeof uuid) die("the UUID can't be sent");
}

/* Audio that looks like audio, for a gateway that makes sure: a triangle of 200 Hz. */
static void prepare_voice(void) {
    for (int i = 0; i < FRAME_BYTES / 2; i++) {
        int16_t sample = 800 * (abs(i % 40 - 20) - 10);
        memcpy(voice + 2 * i, &sample, 2);
    }
}

static void say_frame(struct caller *caller, int64_t due) {
    uint8_t frame[WIRE_BYTES];
    if (!caller || caller->fd < 0) return;
    struct mark mark = {CALLER, caller->index, 0, caller->said++, now_ns()};
    put_audio_header(frame);
    memcpy(frame + HEADER_BYTES, voice, FRAME_BYTES);
    memcpy(frame + HEADER_BYTES, &mark, sizeof mark);
    if (measured(mark.sent_at)) add(&own_lateness, mark.sent_at - due);
    send_whole(caller->fd, frame, sizeof frame);
}

static void caller_ended(struct caller *caller) {
    if (caller->fd < 0) return;
    close(caller->fd);
    caller->fd = -1;
    if (window_end < now_ns()) return;
    if (caller->up)
        fallen++;
    else
        refused++;
}

static void heard_reply(struct agent *agent, const struct mark *mark, int64_t at) {
    if (mark->reply != agent->heard_reply) {
        if (agent->heard_next < agent->heard_frames) down_lost += agent->heard_frames - agent->heard_next;
        agent->heard_reply = mark->reply;
        agent->heard_frames = agent->frames;
        agent->heard_next = 0;
        if (mark->frame == 0 && measured(mark->sent_at)) add(&onset, at - mark->sent_at);
    }
    if (mark->frame < agent->heard_next) {
        down_repeated++;
        return;
    }
    down_lost += mark->frame - agent->heard_next;
    agent->heard_next = mark->frame + 1;
    if (mark->reply == agent->cut_reply && at > agent->cut_at) {
        agent->stale_ns = at - agent->cut_at;
        agent->heard_frames = agent->heard_next;
    }
}

static void heard_frame(struct caller *caller, const uint8_t *audio, int64_t at) {
    struct agent *agent = caller->agent;
    struct mark mark;
    memcpy(&mark, audio, sizeof mark);
    if (measured(at) && caller->heard < room_per_caller) caller->arrivals[caller->heard++] = at;
    if (mark.speaker == AGENT && mark.who < (uint32_t)agent_count) {
        caller->agent = agents[mark.who];
        heard_reply(caller->agent, &mark, at);
    } else if (agent && agent->cut_reply && memcmp(audio, SILENCE, FRAME_BYTES)) {
        agent->stale_ns = at - agent->cut_at; /* a faded end has lost its mark */
    } else if (agent && agent->heard_next < agent->heard_frames) {
        underruns++;
    }
}

static void read_caller(struct caller *caller) {
    struct inbox *inbox = &caller->inbox;
    int64_t at;
    ssize_t size = receive(caller->fd, inbox->data + inbox->used, sizeof inbox->data - inbox->used, &at);
    if (size == 0) return caller_ended(caller);
    if (size > 0) inbox->used += size;
    size_t start = 0, whole;
    while ((whole = whole_frame(inbox->data + start, inbox->used - start))) {
        uint8_t *frame = inbox->data + start;
        if (frame[0] == HANGUP) return caller_ended(caller);
        if (frame[0] == SLIN && whole == WIRE_BYTES) heard_frame(caller, frame + HEADER_BYTES, at);
        start += whole;
    }
    drop_front(inbox, start);
}

/* The agents */

static void put(struct agent *agent, const void *data, size_t size) {
    if (agent->tls)
        tls_send(agent->tls, agent->fd, data, size);
    else
        send_whole(agent->fd, data, size);
}

static void tell(struct agent *agent, const char *text, size_t size) {
    uint8_t frame[32768];
    size_t header = put_websocket_header(frame, TEXT, size, NULL);
    memcpy(frame + header, text, size);
    put(agent, frame, header + size);
}

static void say_piece(struct agent *agent, int64_t now) {
    uint8_t audio[MAX_PIECE * FRAME_BYTES];
    char text[2 * sizeof audio];
    uint32_t frames = MIN_PIECE + (uint32_t)(uniform() * (MAX_PIECE - MIN_PIECE + 1));
    if (frames > agent->frames - agent->spoken) frames = agent->frames - agent->spoken;
    memset(audio, 0x22, sizeof audio);
    for (uint32_t i = 0; i < frames; i++) {
        struct mark mark = {AGENT, agent->index, agent->reply, agent->spoken + i, now};
        memcpy(audio + i * FRAME_BYTES, &mark, sizeof mark);
    }
    size_t size = sprintf(text, "{\"type\":\"audio\",\"audio_event\":{\"audio_base_64\":\"");
    size += base64_encode(text + size, audio, frames * FRAME_BYTES);
    size += sprintf(text + size, "\",\"event_id\":%u}}", agent->reply);
    tell(agent, text, size);
    agent->spoken += frames;
    agent->piece_at = now + frames * FRAME_NS / speed;
}

static void note_flush(struct agent *agent) {
    if (agent->cut_reply && measured(agent->cut_at)) add(&flush_time, agent->stale_ns);
    agent->cut_reply = 0;
}

static void begin_reply(struct agent *agent, uint32_t frames, int64_t now) {
    note_flush(agent);
    agent->reply++;
    agent->frames = frames;
    agent->spoken = 0;
    agent->piece_at = now;
    agent->reply_at = is_monologue ? INT64_MAX : agent->reply_at + CYCLE_NS;
    agent->interrupt_at = frames == reply_frames && !is_monologue && uniform() < 1 / 3.
                              ? now + (int64_t)((1000 + uniform() * 1000) * MS)
                              : INT64_MAX;
}

static void interrupt(struct agent *agent, int64_t now) {
    char text[128];
    tell(agent, text,
         sprintf(text, "{\"type\":\"interruption\",\"interruption_event\":{\"event_id\":%u}}", agent->reply));
    agent->cut_reply = agent->reply;
    agent->cut_at = now;
    agent->stale_ns = 0;
    agent->spoken = agent->frames;
    agent->heard_frames = agent->heard_next; /* no more is owed */
    agent->interrupt_at = INT64_MAX;
}

static void ping(struct agent *agent) {
    char text[128];
    tell(agent, text, sprintf(text, "{\"type\":\"ping\",\"ping_event\":{\"event_id\":%ld,\"ping_ms\":null}}", pings++));
    agent->ping_at += PING_NS;
}

static void act(struct agent *agent, int64_t now) {
    if (!agent->hears || agent->fd < 0) return;
    if (now >= agent->reply_at) begin_reply(agent, reply_frames, now);
    if (now >= agent->interrupt_at) interrupt(agent, now);
    if (agent->spoken < agent->frames && now >= agent->piece_at) say_piece(agent, now);
    if (now >= agent->ping_at) ping(agent);
}

/* Enter the cycle of 6 s somewhere: the rest of a reply, or of the silence after it. */
static void begin_cycle(struct agent *agent, int64_t now) {
    double into = is_monologue ? 0 : uniform();
    agent->reply_at = now - (int64_t)(into * CYCLE_NS);
    agent->ping_at = now + (int64_t)(uniform() * PING_NS);
    agent->interrupt_at = INT64_MAX;
    if (into < 0.5)
        begin_reply(agent, (uint32_t)((1 - 2 * into) * (reply_frames - 1)) + 1, now);
    else
        agent->reply_at += CYCLE_NS;
}

static size_t upgrade(struct agent *agent) {
    static const char KEY[] = "Sec-WebSocket-Key: ", GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t *request = agent->inbox.data, *end = memmem(request, agent->inbox.used, "\r\n\r\n", 4), digest[20];
    char text[64], accept[32] = {0}, response[256];
    if (!end) return 0;
    *end = 0;
    char *key = strcasestr((char *)request, KEY);
    if (!key) errno = 0, die("a request without Sec-WebSocket-Key");
    memcpy(text, key + strlen(KEY), 24);
    strcpy(text + 24, GUID);
    sha1(digest, text, strlen(text));
    base64_encode(accept, digest, sizeof digest);
    put(agent, response,
        sprintf(response,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Accept: %s\r\n\r\n",
                accept));
    agent->open = 1;
    return end + 4 - request;
}

static void heard_caller(struct agent *agent, const struct mark *mark, int64_t at) {
    if (!agent->hears) {
        agent->hears = 1;
        agent->caller = mark->who;
        callers[mark->who]->up = 1;
        up++;
        begin_cycle(agent, at);
    }
    if (mark->frame < agent->expected || mark->who != agent->caller) {
        up_repeated++;
        return;
    }
    up_lost += mark->frame - agent->expected;
    agent->expected = mark->frame + 1;
    if (measured(mark->sent_at)) add(&to_agent, at - mark->sent_at);
}

static void hear(struct agent *agent, const char *text, size_t length, int64_t at) {
    static uint8_t audio[32768];
    size_t size = base64_decode(audio, text, length);
    for (size_t start = 0; start + FRAME_BYTES <= size; start += FRAME_BYTES) {
        struct mark mark;
        memcpy(&mark, audio + start, sizeof mark);
        if (mark.speaker == CALLER && mark.who < (uint32_t)dialled)
            heard_caller(agent, &mark, at);
        else
            up_unmarked++;
    }
}

static void handle(struct agent *agent, struct message message, int64_t at) {
    static const char METADATA[] =
        "{\"type\":\"conversation_initiation_metadata\",\"conversation_initiation_metadata_event\":{"
        "\"conversation_id\":\"benchmark\",\"agent_output_audio_format\":\"pcm_8000\","
        "\"user_input_audio_format\":\"pcm_8000\"}}";
    static const uint8_t GOODBYE[] = {0x80 | CLOSE, 2, 1000 >> 8, 1000 & 0xff};
    size_t length;
    const char *text;
    if (message.opcode == CLOSE) {
        put(agent, GOODBYE, sizeof GOODBYE);
        if (!agent->tls) shutdown(agent->fd, SHUT_WR); /* RFC 6455, 7.1.1: the server closes first */
    } else if ((text = text_after(message.data, message.size, "{\"user_audio_chunk\":\"", &length)) ||
             (text = text_after(message.data, message.size, "{\"user_audio_chunk\": \"", &length)))
        hear(agent, text, length, at);
    else if (memmem(message.data, message.size, "conversation_initiation_client_data", 35))
        tell(agent, METADATA, sizeof METADATA - 1);
    else if (memmem(message.data, message.size, "\"pong\"", 6))
        pongs++;
}

static void agent_ended(struct agent *agent) {
    close(agent->fd);
    SSL_free(agent->tls);
    agent->fd = -1;
    open_agents--;
}

static ssize_t receive_opened(struct agent *agent, int64_t *at) {
    static uint8_t sealed[1 << 16];
    struct inbox *inbox = &agent->inbox;
    if (agent->tls) {
        ssize_t size = receive(agent->fd, sealed, sizeof sealed, at);
        if (size > 0) tls_receive(agent->tls, agent->fd, sealed, size, inbox);
        return size;
    }
    ssize_t size = receive(agent->fd, inbox->data + inbox->used, sizeof inbox->data - inbox->used, at);
    if (size > 0) inbox->used += size;
    return size;
}

static void read_agent(struct agent *agent) {
    struct inbox *inbox = &agent->inbox;
    int64_t at;
    if (receive_opened(agent, &at) == 0) return agent_ended(agent);
    size_t start = agent->open ? 0 : upgrade(agent), size;
    struct message message;
    while (agent->open && (size = take_message(inbox->data + start, inbox->used - start, &message))) {
        handle(agent, message, at);
        start += size;
    }
    drop_front(inbox, start);
}

static void accept_agent(void) {
    struct agent *agent = calloc(1, sizeof *agent);
    agent->fd = accept(listener, NULL, NULL);
    if (agent->fd < 0 || agent_count == MAX_CALLS) die("accept");
    prepare(agent->fd);
    stamp_arrivals(agent->fd);
    agent->tls = tls ? tls_open() : NULL;
    watch(epoll, agent->fd, 2 * agent_count + 1);
    agent->index = agent_count;
    agents[agent_count++] = agent;
    open_agents++;
}

/* The loop */

static void handle_events(int64_t until) {
    struct epoll_event events[256];
    int count = wait_events(epoll, events, 256, until);
    for (int i = 0; i < count; i++) {
        uint64_t name = events[i].data.u64;
        if (name == UINT64_MAX)
            accept_agent();
        else if (name % 2 && agents[name / 2]->fd >= 0)
            read_agent(agents[name / 2]);
        else if (name % 2 == 0 && callers[name / 2]->fd >= 0)
            read_caller(callers[name / 2]);
    }
}

/* One turn of the loop: everybody speaks and hears. Frame number i is said by caller i % calls. */
static void turn(void) {
    static int64_t first, said, act_at;
    int64_t now = now_ns(), due;
    if (!first) first = now;
    while ((due = first + said * FRAME_NS / calls) <= now) {
        say_frame(callers[said % calls], due);
        said++;
    }
    if (now >= act_at) {
        for (int i = 0; i < agent_count; i++) act(agents[i], now);
        act_at = now + ACT_NS;
    }
    handle_events(due < act_at ? due : act_at);
}

static double set_up(int port, int wanted) {
    int64_t start = now_ns();
    while (up + refused < wanted) {
        if (dialled < wanted && dialled - up - refused < DIALLED_AT_ONCE) call_up(dialled++, port);
        turn();
        if (now_ns() > start + SET_UP_NS) errno = 0, die("the calls were not set up in 30 s");
    }
    return (double)(now_ns() - start) / (1000 * MS);
}

static void go_on_for(int64_t ns) {
    for (int64_t end = now_ns() + ns; now_ns() < end;) turn();
}

/* Add calls until a fifth more were tried than came up before the first was refused. */
static void rise(int port) {
    int64_t start = now_ns();
    int first = dialled;
    while (dialled < calls) {
        if (now_ns() >= start + (dialled - first) * 1000 * MS / RISE_PER_S) call_up(dialled++, port);
        turn();
        if (refused && !capacity) capacity = up;
        if (capacity && dialled >= capacity * 6 / 5) break;
    }
}

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void hang_up(void) {
    int64_t limit = now_ns() + HANG_UP_NS;
    for (int i = 0; i < dialled; i++)
        if (callers[i]->fd >= 0) shutdown(callers[i]->fd, SHUT_WR);
    while (open_agents && now_ns() < limit) handle_events(now_ns() + 10 * MS);
}

/* The figures */

static void note_gap(int64_t ns) {
    add(&gap, ns);
    gaps_40 += ns > 40 * MS;
    gaps_60 += ns > 60 * MS;
}

/* The times between the frames; also before the first one and after the last one, while the call was up. */
static void note_gaps(const struct caller *caller) {
    int64_t last = caller->was_up ? window_start : 0;
    for (size_t k = 0; k < caller->heard; k++) {
        if (last) note_gap(caller->arrivals[k] - last);
        last = caller->arrivals[k];
    }
    if (last && caller->fd >= 0) note_gap(window_end - last);
}

/* How late each frame was against the grid of 20 ms on which the earliest of them lies; so drift counts. */
static void judge(const struct caller *caller, struct samples *rates) {
    int64_t grid = INT64_MAX;
    for (size_t k = 0; k < caller->heard; k++) {
        int64_t origin = caller->arrivals[k] - (int64_t)k * FRAME_NS;
        if (origin < grid) grid = origin;
    }
    for (size_t k = 0; k < caller->heard; k++) add(&lateness, caller->arrivals[k] - (int64_t)k * FRAME_NS - grid);
    note_gaps(caller);
    if (caller->heard > 1)
        add(rates, (int64_t)((double)(caller->heard - 1) * 1000 * MS * MS /
                             (double)(caller->arrivals[caller->heard - 1] - caller->arrivals[0])));
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_samples(const char *name, struct samples *s) {
    if (s->count) qsort(s->ms, s->count, sizeof *s->ms, by_size);
    printf("\"%s\": {\"count\": %zu", name, s->count);
    if (s->count)
        printf(", \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f", s->ms[s->count / 2], s->ms[s->count * 99 / 100],
               s->ms[s->count - 1]);
    printf("}, ");
}

static void print_figures(double set_up_s, double load) {
    struct samples rates = {0};
    for (int i = 0; i < dialled; i++)
        if (callers[i]->up) judge(callers[i], &rates);
    for (int i = 0; i < agent_count; i++) note_flush(agents[i]);
    printf("{");
    print_samples("lateness_ms", &lateness);
    print_samples("gap_ms", &gap);
    print_samples("caller_to_agent_ms", &to_agent);
    print_samples("onset_ms", &onset);
    print_samples("flush_ms", &flush_time);
    print_samples("load_lateness_ms", &own_lateness);
    print_samples("frames_per_s", &rates);
    printf("\"set_up_s\": %.3f, \"load_cpu\": %.3f, ", set_up_s, load);
    printf("\"seconds\": %.3f, \"tried\": %d, \"capacity\": %d, ", (double)(window_end - window_start) / (1000 * MS),
           dialled, capacity);
    printf("\"calls\": %d, \"refused\": %d, \"fallen\": %d, ", up, refused, fallen);
    printf("\"gaps_over_40_ms\": %ld, \"gaps_over_60_ms\": %ld, \"underruns\": %ld, ", gaps_40, gaps_60, underruns);
    printf("\"up_lost\": %ld, \"up_repeated\": %ld, \"up_unmarked\": %ld, ", up_lost, up_repeated, up_unmarked);
    printf("\"down_lost\": %ld, \"down_repeated\": %ld, ", down_lost, down_repeated);
    printf("\"pings\": %ld, \"pongs\": %ld}\n", pings, pongs);
    fflush(stdout);
}

/* Forget what was measured, but not how many calls are up and have fallen. */
static void reset(void) {
    struct samples *all[] = {&lateness, &gap, &to_agent, &onset, &flush_time, &own_lateness};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) all[i]->count = 0;
    up_lost = up_repeated = up_unmarked = down_lost = down_repeated = underruns = gaps_40 = gaps_60 = 0;
    for (int i = 0; i < dialled; i++) callers[i]->heard = 0;
}

static void announce(const char *moment) {
    puts(moment);
    fflush(stdout);
}

static const char *option(int argc, char **argv, const char *name) {
    size_t length = strlen(name);
    for (int i = 5; i < argc; i++)
        if (!strncmp(argv[i], name, length) && argv[i][length] == '=') return argv[i] + length + 1;
    return NULL;
}

static void measure(int port, int rises, double seconds) {
    for (int i = 0; i < dialled; i++) callers[i]->was_up = callers[i]->up;
    window_start = now_ns();
    announce("steady");
    if (rises)
        rise(port);
    else
        go_on_for((int64_t)(seconds * 1000 * MS));
    window_end = now_ns();
    announce("over");
}

static double load_during(int port, int rises, double seconds) {
    double cpu = cpu_s();
    measure(port, rises, seconds);
    return (cpu_s() - cpu) * 1000 * MS / (double)(window_end - window_start);
}

/* Measure each window that standard input asks for; until its end. Between two, a call that ends has fallen. */
static void measure_on_demand(int port, double set_up_s) {
    char line[64];
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    for (ssize_t size; (size = read(STDIN_FILENO, line, sizeof line - 1)) != 0;) {
        if (size < 0) {
            go_on_for(ACT_NS);
            continue;
        }
        line[size] = 0;
        double load = load_during(port, 0, atof(line));
        print_figures(set_up_s, load);
        reset();
        window_start = window_end = INT64_MAX;
    }
    window_end = now_ns();
}

int main(int argc, char **argv) {
    if (argc < 5) errno = 0, die("load GATEWAY_PORT AGENT_PORT CALLS SECONDS [NAME=VALUE ...]");
    const char *pem = option(argc, argv, "pem"), *settle = option(argc, argv, "settle");
    const char *from = option(argc, argv, "rise"), *speech = option(argc, argv, "speech");
    int port = atoi(argv[1]);
    double seconds = atof(argv[4]);
    calls = atoi(argv[3]);
    if (calls < 1 || calls > MAX_CALLS) errno = 0, die("CALLS is 1 to 4096");
    if (speech) is_monologue = 1, reply_frames = atoi(speech) * 50, speed = SPEECH_SPEED;
    room_per_caller = (size_t)((from ? (double)calls / RISE_PER_S : seconds) * 50 * 3) + 100;
    tls = pem != NULL;
    if (tls) tls_prepare(pem);
    prepare_voice();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    listener = listen_at(atoi(argv[2]));
    watch(epoll, listener, UINT64_MAX);

    double set_up_s = set_up(port, from ? atoi(from) : calls);
    go_on_for((int64_t)((settle ? atof(settle) : 1) * 1000 * MS));
    if (option(argc, argv, "windows")) {
        announce("up");
        measure_on_demand(port, set_up_s);
        hang_up();
        return 0;
    }
    double load = load_during(port, from != NULL, seconds);
    hang_up();
    print_figures(set_up_s, load);
}
