"""A TCP proxy that can be cut and restored, to lose connections while sessions live on.

While it is cut, live connections are reset and new ones are closed as soon as they are accepted,
so the client neither reaches the server nor can it say goodbye to it.
"""

import socket
import struct
import threading


class Proxy:
    def __init__(self, server):
        host, _, port = server.rpartition(":")
        self._upstream = (host, int(port))
        self._lock = threading.Lock()
        self._open = True
        self._pairs = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # shutdown wakes the thread that is blocked in accept; close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self):
        """Drops every connection and refuses new ones until ``restore``."""
        with self._lock:
            self._open = False
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _shutdown(end)

    def restore(self):
        with self._lock:
            self._open = True

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._open:
                    _reset(client)
                    continue
                try:
                    upstream = socket.create_connection(self._upstream, timeout=5)
                except OSError:
                    _reset(client)
                    continue
                upstream.settimeout(None)
                for end in (client, upstream):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pairs.append((client, upstream))
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source, sink):
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    except OSError:
        pass
    _shutdown(source)
    _shutdown(sink)


def _shutdown(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _reset(end):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
