package checks;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;

/** Checks that report what they found, a line of JSON each, in the file that CHECK_RESULTS names. */
public final class Report {
    private final String client;
    private int passed;
    private int failed;

    public Report(String client) {
        this.client = client;
    }

    @FunctionalInterface
    public interface Work {
        void run() throws Exception;
    }

    /** Who the client is; `info` is its line of CLIENT INFO, which tells the protocol that it speaks. */
    public void who(String group, String artifact, String info) throws IOException {
        String path = "/META-INF/maven/" + group + "/" + artifact + "/pom.properties";
        Properties facts = new Properties();
        try (InputStream file = Report.class.getResourceAsStream(path)) {
            facts.load(file);
        }
        String protocol = info.contains("resp=3") ? "RESP3" : "RESP2";
        say("version", facts.getProperty("version"), "runtime", "Java " + Runtime.version().feature(),
                "protocol", protocol);
    }

    public void check(String name, Work work) {
        try {
            work.run();
            passed++;
            System.out.println("ok: " + name);
            say("check", name, "result", "yes");
        } catch (Throwable error) {
            failed++;
            System.out.println("FAILED: " + name);
            error.printStackTrace(System.out);
            say("check", name, "result", "failed", "why", error.toString());
        }
    }

    public void impossible(String name, String why) {
        say("check", name, "result", "impossible", "why", why);
    }

    /** Ends the program: with 0 if all checks passed. */
    public void end() {
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    private void say(String... pairs) {
        StringBuilder line = new StringBuilder("{\"client\":" + quoted(client));
        for (int i = 0; i < pairs.length; i += 2) {
            line.append(',').append(quoted(pairs[i])).append(':').append(quoted(pairs[i + 1]));
        }
        try {
            Files.writeString(Path.of(System.getenv("CHECK_RESULTS")), line.append("}\n"),
                    StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static String quoted(String text) {
        String escaped = text.replace("\\", "\\\\").replace("\"", "\\\"");
        return '"' + escaped.replaceAll("\\p{Cntrl}", " ") + '"';
    }

    public static void equal(Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError("found " + found + ", expected " + expected);
        }
    }

    public static void that(boolean condition, String claim) {
        if (!condition) {
            throw new AssertionError("not so: " + claim);
        }
    }

    /** The error must be of that class, its words begin so. */
    public static void fails(Class<? extends Throwable> kind, String words, Work work) throws Exception {
        try {
            work.run();
        } catch (Throwable error) {
            boolean same = kind == error.getClass() && error.getMessage().startsWith(words);
            if (!same) {
                throw new AssertionError("expected " + kind.getName() + ": " + words, error);
            }
            return;
        }
        throw new AssertionError("expected " + words + ", nothing failed");
    }

    /** Waits until the condition holds, for at most a minute. */
    public static void eventually(String claim, Callable<Boolean> holds) throws Exception {
        for (int i = 0; i < 6000; i++) {
            if (holds.call()) {
                return;
            }
            Thread.sleep(10);
        }
        throw new AssertionError("not within a minute: " + claim);
    }

    public static List<String> texts(Object... values) {
        return Arrays.stream(values).map(String::valueOf).toList();
    }
}
