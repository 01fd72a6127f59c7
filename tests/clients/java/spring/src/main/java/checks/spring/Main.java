package checks.spring;

import static checks.Report.equal;
import static checks.Report.eventually;
import static checks.Report.texts;
import static checks.Report.that;

import checks.Broker;
import checks.Report;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.core.NestedExceptionUtils;
import org.springframework.dao.DataAccessException;
import org.springframework.data.domain.Range;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.RedisStreamCommands.TrimOptions;
import org.springframework.data.redis.connection.RedisStreamCommands.XAddOptions;
import org.springframework.data.redis.connection.RedisStreamCommands.XClaimOptions;
import org.springframework.data.redis.connection.RedisStreamCommands.XTrimOptions;
import org.springframework.data.redis.connection.stream.Consumer;
import org.springframework.data.redis.connection.stream.MapRecord;
import org.springframework.data.redis.connection.stream.ReadOffset;
import org.springframework.data.redis.connection.stream.RecordId;
import org.springframework.data.redis.connection.stream.StreamOffset;
import org.springframework.data.redis.connection.stream.StreamReadOptions;
import org.springframework.data.redis.connection.stream.StreamRecords;
import org.springframework.data.redis.core.RedisCallback;
import org.springframework.data.redis.core.RedisOperations;
import org.springframework.data.redis.core.SessionCallback;
import org.springframework.data.redis.core.StreamOperations;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.data.redis.listener.ChannelTopic;
import org.springframework.data.redis.listener.PatternTopic;
import org.springframework.data.redis.listener.RedisMessageListenerContainer;

/** Spring Data Redis, as Spring Boot configures it (with Lettuce), does its ordinary stream work against the broker. */
public final class Main {
    private static final Consumer ONE = Consumer.from("g", "one");
    private static final Consumer TWO = Consumer.from("g", "two");

    private final Broker broker;
    private final StringRedisTemplate template;
    private final StreamOperations<String, String, String> streams;

    private Main(Broker broker, StringRedisTemplate template) {
        this.broker = broker;
        this.template = template;
        this.streams = template.opsForStream();
    }

    /** What Spring Boot configures by itself; the chat servers are an application of their own. */
    @SpringBootApplication
    static class Application {}

    public static void main(String[] arguments) throws Exception {
        Report report = new Report("Spring Data Redis");
        try (Broker broker = new Broker(); ConfigurableApplicationContext context = start(broker.port)) {
            Main it = new Main(broker, context.getBean(StringRedisTemplate.class));
            it.template.hasKey("s");
            report.who("org.springframework.data", "spring-data-redis", broker.ask("CLIENT LIST TYPE normal"));
            it.check(report, "connect", it::connect);
            it.check(report, "produce", it::produce);
            it.check(report, "fan-out", it::fanOut);
            it.check(report, "group-read", it::groupRead);
            it.check(report, "ack", it::ack);
            it.check(report, "pending", it::pending);
            it.check(report, "claim", it::claim);
            report.impossible("autoclaim", "its interface has no XAUTOCLAIM; XPENDING and XCLAIM do that work");
            it.check(report, "trim", it::trim);
            it.check(report, "info", it::info);
            it.check(report, "transaction", it::transaction);
            it.check(report, "watch", it::watch);
            it.check(report, "pub-sub", it::pubSub);
            it.check(report, "reconnect", it::reconnect);
            it.check(report, "errors", it::errors);
            ChatCheck chat = new ChatCheck(broker, it.template);
            it.check(report, ChatCheck.CLAIM, chat::run);
        }
        report.end();
    }

    private static ConfigurableApplicationContext start(int port) {
        return new SpringApplicationBuilder(Application.class)
                .properties("spring.data.redis.port=" + port, "spring.data.redis.client-name=check",
                        "spring.main.banner-mode=off", "logging.level.root=error")
                .run();
    }

    private void check(Report report, String name, Report.Work work) {
        template.execute((RedisCallback<Object>) connection -> {
            connection.serverCommands().flushAll();
            return null;
        });
        report.check(name, work);
    }

    private String add(String id, int n) {
        return streams.add(StreamRecords.string(Map.of("n", String.valueOf(n))).withStreamKey("s")
                .withId(RecordId.of(id))).getValue();
    }

    private static List<String> ids(List<MapRecord<String, String, String>> entries) {
        return entries.stream().map(entry -> entry.getId().getValue()).toList();
    }

    private List<String> read(Consumer consumer, ReadOffset from, int count) {
        StreamReadOptions options = StreamReadOptions.empty().count(count).block(Duration.ofMillis(10));
        return ids(streams.read(consumer, options, StreamOffset.create("s", from)));
    }

    /** A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1. */
    private void held() {
        streams.createGroup("s", ReadOffset.from("0"), "g");
        for (int i = 1; i <= 4; i++) {
            add(i + "-1", i);
        }
        read(ONE, ReadOffset.lastConsumed(), 10);
    }

    private void connect() {
        equal(template.execute((RedisCallback<String>) connection -> connection.ping()), "PONG");
        var facts = template.execute((RedisCallback<Object>) connection -> connection.serverCommands().info("server"));
        that(facts.toString().contains("redis_version"), "INFO has the version");
        that(broker.ask("CLIENT LIST").contains(" name=check "), "the connection has its name");
    }

    private void produce() {
        RecordId id = streams.add("s", Map.of("user-id", "jake"));
        equal(streams.size("s"), 1L);
        var entry = streams.range("s", Range.unbounded()).get(0);
        equal(List.of(entry.getId(), entry.getValue()), List.of(id, Map.of("user-id", "jake")));
        equal(ids(streams.read(StreamOffset.fromStart("s"))), texts(id));
        byte[] payload = new byte[256];
        for (int i = 0; i < 256; i++) {
            payload[i] = (byte) i;
        }
        var found = template.execute((RedisCallback<byte[]>) connection -> {
            var commands = connection.streamCommands();
            commands.xAdd("b".getBytes(), Map.of("data".getBytes(), payload));
            var body = commands.xRange("b".getBytes(), Range.unbounded()).get(0).getValue();
            return body.values().iterator().next();
        });
        that(Arrays.equals(found, payload), "binary values come back");
    }

    private void fanOut() throws Exception {
        var options = StreamReadOptions.empty().block(Duration.ofSeconds(5));
        List<CompletableFuture<List<String>>> waiting = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            waiting.add(CompletableFuture.supplyAsync(() -> ids(streams.read(options, StreamOffset.latest("s"))),
                    task -> new Thread(task).start()));
        }
        eventually("three wait", () -> broker.ask("INFO clients").contains("blocked_clients:3"));
        String id = add("7-1", 7);
        for (var heard : waiting) {
            equal(heard.get(), List.of(id));
        }
        equal(streams.read(options.block(Duration.ofMillis(50)), StreamOffset.latest("s")), List.of());
    }

    private void groupRead() {
        streams.createGroup("s", ReadOffset.latest(), "g");
        for (int i = 1; i <= 6; i++) {
            add(i + "-1", i);
        }
        equal(read(ONE, ReadOffset.lastConsumed(), 2), List.of("1-1", "2-1"));
        equal(read(TWO, ReadOffset.lastConsumed(), 10), List.of("3-1", "4-1", "5-1", "6-1"));
        equal(read(ONE, ReadOffset.from("0"), 10), List.of("1-1", "2-1"));
    }

    private void ack() {
        held();
        equal(streams.acknowledge("s", "g", "1-1", "3-1"), 2L);
        equal(streams.acknowledge("s", "g", "1-1"), 0L);
        equal(streams.pending("s", "g").getTotalPendingMessages(), 2L);
    }

    private void pending() {
        held();
        var summary = streams.pending("s", "g");
        equal(texts(summary.getTotalPendingMessages(), summary.minMessageId(), summary.maxMessageId()),
                List.of("4", "1-1", "4-1"));
        equal(summary.getPendingMessagesPerConsumer(), Map.of("one", 4L));
        var row = streams.pending("s", "g", Range.rightOpen("2-1", "9-1"), 1).get(0);
        equal(texts(row.getIdAsString(), row.getConsumerName(), row.getTotalDeliveryCount()), List.of("2-1", "one", "1"));
        equal(streams.pending("s", "g", Range.unbounded(), 10, Duration.ofMinutes(1)).size(), 0);
    }

    private void claim() {
        held();
        var claimed = streams.claim("s", "g", "two", Duration.ZERO, RecordId.of("1-1"));
        equal(claimed.get(0).getValue(), Map.of("n", "1"));
        var justIds = template.execute((RedisCallback<List<RecordId>>) connection -> connection.streamCommands()
                .xClaimJustId("s".getBytes(), "g", "two", XClaimOptions.minIdleMs(0).ids("2-1")));
        equal(texts(justIds.toArray()), List.of("2-1"));
        equal(streams.claim("s", "g", "two", Duration.ofMinutes(1), RecordId.of("3-1")), List.of());
    }

    private void trim() {
        for (int i = 1; i <= 20; i++) {
            var entry = StreamRecords.string(Map.of("n", "x")).withStreamKey("s").withId(RecordId.of(i + "-1"));
            streams.add(entry, XAddOptions.maxlen(15));
        }
        equal(streams.trim("s", XTrimOptions.trim(TrimOptions.minId(RecordId.of("10-1")).exact())), 4L);
        equal(streams.delete("s", "20-1"), 1L);
        equal(streams.trim("s", 7), 3L);
        equal(streams.size("s"), 7L);
    }

    private void info() {
        held();
        var stream = streams.info("s");
        equal(texts(stream.streamLength(), stream.lastGeneratedId(), stream.groupCount()), List.of("4", "4-1", "1"));
        equal(stream.getRaw().get("entries-added"), 4L);
        var group = streams.groups("s").get(0);
        equal(texts(group.groupName(), group.pendingCount(), group.getRaw().get("lag")), List.of("g", "4", "0"));
        var consumer = streams.consumers("s", "g").get(0);
        equal(texts(consumer.consumerName(), consumer.pendingCount()), List.of("one", "4"));
    }

    private interface InSession extends SessionCallback<List<Object>> {
        List<Object> run(RedisOperations<String, String> session);

        @Override
        @SuppressWarnings("unchecked")
        default <K, V> List<Object> execute(RedisOperations<K, V> session) {
            return run((RedisOperations<String, String>) session);
        }
    }

    private void transaction() {
        List<Object> replies = template.execute((InSession) session -> {
            session.multi();
            session.opsForStream().add("s", Map.of("n", "1"));
            session.opsForStream().size("s");
            return session.exec();
        });
        equal(replies.size(), 2);
        equal(replies.get(1), 1L);
    }

    private void watch() {
        List<Object> replies = template.execute((InSession) session -> {
            session.watch("s");
            add("1-1", 1);
            session.multi();
            session.opsForStream().size("s");
            return session.exec();
        });
        equal(replies, List.of());
    }

    private void pubSub() throws Exception {
        List<String> heard = Collections.synchronizedList(new ArrayList<>());
        RedisConnectionFactory connections = template.getRequiredConnectionFactory();
        RedisMessageListenerContainer container = new RedisMessageListenerContainer();
        container.setConnectionFactory(connections);
        container.addMessageListener((message, pattern) -> heard.add("channel " + message), ChannelTopic.of("news"));
        container.addMessageListener((message, pattern) -> heard.add("pattern " + message), PatternTopic.of("ne*"));
        container.afterPropertiesSet();
        container.start();
        eventually("both are heard", () -> template.convertAndSend("news", "hello") == 2);
        eventually("both arrive", () -> heard.contains("channel hello") && heard.contains("pattern hello"));
        container.destroy();
    }

    private List<String> state() {
        var summary = streams.pending("s", "g");
        return texts(streams.range("s", Range.unbounded()), summary.getTotalPendingMessages(), summary.minMessageId());
    }

    private void reconnect() throws Exception {
        held();
        List<String> before = state();
        broker.kill();
        broker.start();
        equal(state(), before);
        add("5-1", 5);
        equal(read(ONE, ReadOffset.lastConsumed(), 10), List.of("5-1"));
    }

    private static void refused(String words, Runnable work) {
        try {
            work.run();
        } catch (DataAccessException error) {
            String message = NestedExceptionUtils.getMostSpecificCause(error).getMessage();
            that(message.startsWith(words), message);
            return;
        }
        throw new AssertionError("expected " + words + ", nothing failed");
    }

    private void errors() {
        held();
        refused("BUSYGROUP Consumer Group name already exists",
                () -> streams.createGroup("s", ReadOffset.latest(), "g"));
        refused("NOGROUP No such key 's'", () -> streams.pending("s", "none"));
        refused("ERR The ID specified in XADD is equal or smaller", () -> add("3-1", 3));
        refused("WRONGTYPE", () -> template.opsForValue().get("s"));
    }
}
