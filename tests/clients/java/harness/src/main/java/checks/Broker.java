package checks;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;

/** A broker of its own on a free port: killed with -9 and brought back on request, removed when closed. */
public final class Broker implements AutoCloseable {
    public final int port;
    private final Path directory;
    private Process process;

    public Broker() throws Exception {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = probe.getLocalPort();
        }
        directory = Files.createTempDirectory("alluvium-java-");
        start();
    }

    public void start() throws Exception {
        process = new ProcessBuilder(System.getenv("ALLUVIUM_BIN"), "--port", String.valueOf(port),
                "--bind", "127.0.0.1", "--dir", directory.toString(), "--appendfsync", "always")
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        for (int i = 0; i < 500; i++) {
            if (answers()) {
                return;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("the broker did not start");
    }

    private boolean answers() {
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            socket.setSoTimeout(1000);
            socket.getOutputStream().write("PING\r\n".getBytes(StandardCharsets.US_ASCII));
            byte[] reply = socket.getInputStream().readNBytes(7);
            return new String(reply, StandardCharsets.US_ASCII).equals("+PONG\r\n");
        } catch (IOException error) {
            return false;
        }
    }

    /** The text that the broker answers to a command, over a connection of its own. */
    public String ask(String command) {
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            socket.getOutputStream().write((command + "\r\n").getBytes(StandardCharsets.US_ASCII));
            var reply = new DataInputStream(socket.getInputStream());
            StringBuilder header = new StringBuilder();
            while (header.indexOf("\n") < 0) {
                header.append((char) reply.readByte());
            }
            int length = Integer.parseInt(header.substring(1).trim());
            return new String(reply.readNBytes(length), StandardCharsets.UTF_8);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Ends the broker with -9. */
    public void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    @Override
    public void close() throws Exception {
        kill();
        try (var paths = Files.walk(directory)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
