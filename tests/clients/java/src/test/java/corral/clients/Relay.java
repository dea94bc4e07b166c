package corral.clients;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.HashSet;
import java.util.Set;

/** A TCP relay in front of the server, so that a test can cut a client's connection and keep it from coming back. */
final class Relay implements Closeable {
    private final ServerSocket door;
    private final Set<Socket> sockets = new HashSet<>();
    private boolean shut;

    Relay() throws IOException {
        door = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        run("relay", this::acceptAll);
    }

    String address() {
        return "127.0.0.1:" + door.getLocalPort();
    }

    /** Cuts every connection; new ones are let through. */
    synchronized void cut() {
        for (Socket socket : sockets) {
            closeQuietly(socket);
        }
        sockets.clear();
    }

    /** Cuts every connection, and those that come later, until {@link #open}. */
    synchronized void shut() {
        shut = true;
        cut();
    }

    synchronized void open() {
        shut = false;
    }

    @Override
    public void close() throws IOException {
        door.close();
        shut();
    }

    private void acceptAll() throws IOException {
        while (true) {
            Socket client = door.accept();
            if (!relay(client)) {
                closeQuietly(client);
            }
        }
    }

    /** Whether the relay let this client through. */
    private synchronized boolean relay(Socket client) {
        if (shut) {
            return false;
        }
        int colon = ServerTest.SERVER.lastIndexOf(':');
        try {
            Socket server = new Socket(
                    ServerTest.SERVER.substring(0, colon), Integer.parseInt(ServerTest.SERVER.substring(colon + 1)));
            sockets.add(client);
            sockets.add(server);
            client.setTcpNoDelay(true);
            server.setTcpNoDelay(true);
            run("relay-to-server", () -> copy(client, server));
            run("relay-to-client", () -> copy(server, client));
            return true;
        } catch (IOException refused) {
            return false;
        }
    }

    private void copy(Socket from, Socket to) throws IOException {
        try (from; to) {
            InputStream input = from.getInputStream();
            OutputStream output = to.getOutputStream();
            byte[] buffer = new byte[64 * 1024];
            int read = input.read(buffer);
            while (read >= 0) {
                output.write(buffer, 0, read);
                read = input.read(buffer);
            }
        }
    }

    private interface Work {
        void run() throws IOException;
    }

    private static void run(String name, Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (IOException ended) {
                // A cut connection ends its threads this way, and closing the relay the one that accepts.
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException alreadyClosed) {
            // Closed is what it should be.
        }
    }
}
