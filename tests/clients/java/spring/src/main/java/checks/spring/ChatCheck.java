package checks.spring;

import static checks.Report.equal;
import static checks.Report.eventually;
import static checks.Report.that;

import chat.ChatServer;
import checks.Broker;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.springframework.data.domain.Range;
import org.springframework.data.redis.core.StreamOperations;
import org.springframework.data.redis.core.StringRedisTemplate;

/**
 * The back office and its chat servers: three instances in processes of their own; one is killed with -9 in the middle
 * of its work, then the broker too. Every notification reaches its inbox, and nothing stays pending.
 */
final class ChatCheck {
    static final String CLAIM = "chat servers in three processes hand on every notification, "
            + "though one of them and the broker are killed with -9";
    private static final int NOTIFICATIONS = 300;
    private static final List<String> USERS = List.of("ann", "bob", "eve");

    private final Broker broker;
    private final StringRedisTemplate template;
    private final StreamOperations<String, String, String> streams;

    ChatCheck(Broker broker, StringRedisTemplate template) {
        this.broker = broker;
        this.template = template;
        this.streams = template.opsForStream();
    }

    void run() throws Exception {
        Map<String, Process> instances = new TreeMap<>();
        try {
            for (String name : List.of("chat-1", "chat-2", "chat-3")) {
                instances.put(name, start(name));
            }
            eventually("all instances read", () -> "[chat-1, chat-2, chat-3]".equals(consumers()));
            Set<String> sent = new HashSet<>();
            for (int i = 0; i < NOTIFICATIONS; i++) {
                sent.add(notifyUser(i));
            }
            eventually("chat-1 holds some", () -> held("chat-1") >= 5);
            instances.get("chat-1").destroyForcibly().waitFor();
            that(held("chat-1") > 0, "chat-1 died with notifications in its hands");
            broker.kill();
            broker.start();
            eventually("nothing is pending", () -> handedOn().size() == NOTIFICATIONS && pending() == 0);
            equal(handedOn(), sent);
            that(handedOnBy("chat-2") > 0 && handedOnBy("chat-3") > 0, "the others share the work");
        } finally {
            for (Process process : instances.values()) {
                process.destroyForcibly().waitFor();
            }
        }
    }

    /** An instance of the application, as a process that can die. */
    private Process start(String name) throws Exception {
        return new ProcessBuilder(ProcessHandle.current().info().command().orElseThrow(),
                "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", System.getProperty("java.class.path"), ChatServer.class.getName(),
                "--spring.data.redis.port=" + broker.port, "--chat.instance=" + name, "--chat.claim-after=500ms",
                "--chat.claim-every=100ms", "--chat.handling=10ms", "--spring.main.banner-mode=off",
                "--logging.level.root=error")
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
    }

    /** What the back office does. */
    private String notifyUser(int n) {
        String user = USERS.get(n % USERS.size());
        return streams.add("notifications", Map.of("user", user, "text", "order " + n)).getValue();
    }

    private String consumers() {
        if (!template.hasKey("notifications")) {
            return "none";
        }
        var found = streams.consumers("notifications", "chat-servers");
        return found.stream().map(it -> it.consumerName()).sorted().toList().toString();
    }

    private long pending() {
        return streams.pending("notifications", "chat-servers").getTotalPendingMessages();
    }

    private long held(String name) {
        return streams.pending("notifications", "chat-servers").getPendingMessagesPerConsumer().getOrDefault(name, 0L);
    }

    private Set<String> handedOn() {
        Set<String> found = new HashSet<>();
        for (String user : USERS) {
            streams.range("inbox:" + user, Range.unbounded()).forEach(it -> found.add(it.getValue().get("notification")));
        }
        return found;
    }

    private long handedOnBy(String instance) {
        return USERS.stream().flatMap(user -> streams.range("inbox:" + user, Range.unbounded()).stream())
                .filter(it -> it.getValue().get("by").equals(instance)).count();
    }
}
