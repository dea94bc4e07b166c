// A TCP proxy on a loopback port that can be cut and restored, to lose connections while sessions
// live on.
#ifndef LINE_H
#define LINE_H

struct line;

// Listens on a free port and forwards to `address` (HOST:PORT). Exits the program on failure.
struct line *line_open(const char *address);
// The proxy's own HOST:PORT.
const char *line_address(const struct line *line);
// Drops every connection; new ones are closed as soon as they are made.
void line_cut(struct line *line);
void line_restore(struct line *line);

#endif
