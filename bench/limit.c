/* limit.c: the speed limit. A bare epoll server that answers every request with the same JSON: one process, one thread,
 * no parsing beyond the end of the head, no time-outs, no limits. What fastr reaches is measured against it; it is
 * nothing to put in front of a client.
 *
 *   limit PORT        listens on 127.0.0.1 until it is ended by a signal */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, INPUT = 65536, REPLIES = 256 };

/* As many bytes as fastr sends for the same reply, Date included. */
static const char REPLY[] = "HTTP/1.1 200 OK\r\n"
                            "Date: Mon, 23 Nov 2026 00:00:00 GMT\r\n"
                            "content-type: application/json\r\n"
                            "Content-Length: 27\r\n"
                            "\r\n"
                            "{\"message\":\"Hello, World!\"}";

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024))
        die("limit: cannot listen");
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        die("limit: epoll_ctl");
}

static void accept_all(int epoll, int listener)
{
    for (int fd, yes = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(epoll, fd);
    }
}

/* Requests without bodies that arrive whole: what wrk sends. */
static int count_requests(const char *input, size_t length)
{
    int count = 0;
    const char *end = input + length;
    for (const char *p = input; (p = memmem(p, (size_t)(end - p), "\r\n\r\n", 4)) && count < REPLIES; p += 4)
        count++;
    return count;
}

static void serve(int fd)
{
    static char input[INPUT], output[REPLIES * sizeof REPLY];
    ssize_t got = read(fd, input, sizeof input);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        close(fd);
        return;
    }
    int count = count_requests(input, (size_t)got);
    for (int i = 0; i < count; i++)
        memcpy(output + (size_t)i * (sizeof REPLY - 1), REPLY, sizeof REPLY - 1);
    if (count > 0 && write(fd, output, (size_t)count * (sizeof REPLY - 1)) < 0)
        close(fd);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    int port = argc == 2 ? atoi(argv[1]) : 0;
    if (port < 1 || port > 65535)
        return fprintf(stderr, "usage: limit PORT\n"), 2;
    int listener = listen_on(port), epoll = epoll_create1(0);
    watch(epoll, listener);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                serve(events[i].data.fd);
    }
}
