import static checks.Report.equal;
import static checks.Report.eventually;
import static checks.Report.fails;
import static checks.Report.texts;

import checks.Broker;
import checks.Report;
import io.lettuce.core.Consumer;
import io.lettuce.core.Limit;
import io.lettuce.core.Range;
import io.lettuce.core.RedisBusyException;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.StreamMessage;
import io.lettuce.core.XAddArgs;
import io.lettuce.core.XAutoClaimArgs;
import io.lettuce.core.XClaimArgs;
import io.lettuce.core.XGroupCreateArgs;
import io.lettuce.core.XPendingArgs;
import io.lettuce.core.XReadArgs;
import io.lettuce.core.XReadArgs.StreamOffset;
import io.lettuce.core.XTrimArgs;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Lettuce, with its default settings, does its ordinary stream work against the broker. */
public final class Main {
    private static final Range<String> ALL = Range.create("-", "+");
    private static final Consumer<String> ONE = Consumer.from("g", "one");
    private static final Consumer<String> TWO = Consumer.from("g", "two");

    private final Broker broker;
    private final RedisClient client;
    private final RedisCommands<String, String> r;

    private Main(Broker broker) {
        this.broker = broker;
        this.client = RedisClient.create(RedisURI.create("127.0.0.1", broker.port));
        this.r = client.connect().sync();
    }

    public static void main(String[] arguments) throws Exception {
        Report report = new Report("Lettuce");
        try (Broker broker = new Broker()) {
            Main it = new Main(broker);
            report.who("io.lettuce", "lettuce-core", it.r.clientInfo());
            it.check(report, "connect", it::connect);
            it.check(report, "produce", it::produce);
            it.check(report, "fan-out", it::fanOut);
            it.check(report, "group-read", it::groupRead);
            it.check(report, "ack", it::ack);
            it.check(report, "pending", it::pending);
            it.check(report, "claim", it::claim);
            it.check(report, "autoclaim", it::autoclaim);
            it.check(report, "trim", it::trim);
            it.check(report, "info", it::info);
            it.check(report, "transaction", it::transaction);
            it.check(report, "watch", it::watch);
            it.check(report, "pub-sub", it::pubSub);
            it.check(report, "reconnect", it::reconnect);
            it.check(report, "errors", it::errors);
            it.client.shutdown();
        }
        report.end();
    }

    private void check(Report report, String name, Report.Work work) {
        r.flushall();
        report.check(name, work);
    }

    private String add(String id, int n) {
        return r.xadd("s", new XAddArgs().id(id), Map.of("n", String.valueOf(n)));
    }

    private static List<String> ids(List<StreamMessage<String, String>> entries) {
        return entries.stream().map(StreamMessage::getId).toList();
    }

    private List<String> read(Consumer<String> consumer, StreamOffset<String> from, int count) {
        return ids(r.xreadgroup(consumer, XReadArgs.Builder.count(count).block(10), from));
    }

    /** A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1. */
    private void held() {
        r.xgroupCreate(StreamOffset.from("s", "0"), "g", XGroupCreateArgs.Builder.mkstream());
        for (int i = 1; i <= 4; i++) {
            add(i + "-1", i);
        }
        read(ONE, StreamOffset.lastConsumed("s"), 10);
    }

    private void connect() {
        RedisURI uri = RedisURI.create("127.0.0.1", broker.port);
        uri.setClientName("check");
        try (var connection = client.connect(uri)) {
            RedisCommands<String, String> named = connection.sync();
            equal(named.ping(), "PONG");
            equal(named.clientGetname(), "check");
            equal(named.clientInfo().contains(" resp=3 "), true);
            equal(named.clientInfo().contains(" lib-name=Lettuce "), true);
            equal(named.info("server").contains("redis_version:"), true);
        }
    }

    private void produce() {
        String id = r.xadd("s", Map.of("user-id", "jake"));
        equal(r.xlen("s"), 1L);
        var entry = r.xrange("s", ALL).get(0);
        equal(List.of(entry.getId(), entry.getBody()), List.of(id, Map.of("user-id", "jake")));
        equal(ids(r.xread(StreamOffset.from("s", "0"))), List.of(id));
        byte[] payload = new byte[256];
        for (int i = 0; i < 256; i++) {
            payload[i] = (byte) i;
        }
        try (var connection = client.connect(ByteArrayCodec.INSTANCE)) {
            var binary = connection.sync();
            binary.xadd("b".getBytes(), Map.of("data".getBytes(), payload));
            var body = binary.xrange("b".getBytes(), ALL).get(0).getBody();
            equal(Arrays.equals(body.values().iterator().next(), payload), true);
        }
        var async = r.getStatefulConnection().async();
        for (int i = 1; i <= 100; i++) {
            async.xadd("many", new XAddArgs().id(i + "-1"), Map.of("n", String.valueOf(i)));
        }
        equal(r.xrevrange("many", ALL, Limit.from(1)).get(0).getBody(), Map.of("n", "100"));
    }

    private void fanOut() throws Exception {
        var args = XReadArgs.Builder.block(5000);
        List<Future<List<StreamMessage<String, String>>>> waiting = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            waiting.add(client.connect().async().xread(args, StreamOffset.latest("s")));
        }
        eventually("three wait", () -> r.info("clients").contains("blocked_clients:3"));
        String id = add("7-1", 1);
        for (var heard : waiting) {
            equal(ids(heard.get(5, TimeUnit.SECONDS)), List.of(id));
        }
        equal(r.xread(XReadArgs.Builder.block(50), StreamOffset.latest("s")), List.of());
    }

    private void groupRead() {
        r.xgroupCreate(StreamOffset.latest("s"), "g", XGroupCreateArgs.Builder.mkstream());
        for (int i = 1; i <= 6; i++) {
            add(i + "-1", i);
        }
        equal(read(ONE, StreamOffset.lastConsumed("s"), 2), List.of("1-1", "2-1"));
        equal(read(TWO, StreamOffset.lastConsumed("s"), 10), List.of("3-1", "4-1", "5-1", "6-1"));
        equal(read(ONE, StreamOffset.from("s", "0"), 10), List.of("1-1", "2-1"));
    }

    private void ack() {
        held();
        equal(r.xack("s", "g", "1-1", "3-1"), 2L);
        equal(r.xack("s", "g", "1-1"), 0L);
        equal(r.xpending("s", "g").getCount(), 2L);
    }

    private void pending() {
        held();
        var summary = r.xpending("s", "g");
        equal(texts(summary.getCount(), summary.getMessageIds()), texts(4, Range.create("1-1", "4-1")));
        equal(summary.getConsumerMessageCount(), Map.of("one", 4L));
        var row = r.xpending("s", "g", Range.create("(1-1", "+"), Limit.from(1)).get(0);
        equal(texts(row.getId(), row.getConsumer(), row.getRedeliveryCount()), List.of("2-1", "one", "1"));
        var idle = new XPendingArgs<String>().group("g").range(ALL).limit(Limit.from(10)).idle(60_000);
        equal(r.xpending("s", idle), List.of());
    }

    private void claim() {
        held();
        equal(r.xclaim("s", TWO, 0, "1-1").get(0).getBody(), Map.of("n", "1"));
        equal(ids(r.xclaim("s", TWO, XClaimArgs.Builder.justid().minIdleTime(0), "2-1")), List.of("2-1"));
        equal(r.xclaim("s", TWO, 60_000, "3-1"), List.of());
    }

    private void autoclaim() {
        held();
        r.xdel("s", "2-1");
        var first = r.xautoclaim("s", XAutoClaimArgs.Builder.xautoclaim(TWO, 0, "0-0").count(3));
        equal(texts(first.getId(), ids(first.getMessages())), List.of("4-1", "[1-1, 3-1]"));
        var rest = r.xautoclaim("s", XAutoClaimArgs.Builder.justid(TWO, 0, first.getId()));
        equal(texts(rest.getId(), ids(rest.getMessages())), List.of("0-0", "[4-1]"));
        equal(r.xpending("s", "g").getCount(), 3L);
    }

    private void trim() {
        for (int i = 1; i <= 20; i++) {
            r.xadd("s", new XAddArgs().id(i + "-1").maxlen(15).exactTrimming(), Map.of("n", "x"));
        }
        equal(r.xtrim("s", XTrimArgs.Builder.minId("10-1").exactTrimming()), 4L);
        equal(r.xdel("s", "20-1"), 1L);
        equal(r.xtrim("s", 7), 3L);
        equal(r.xlen("s"), 7L);
    }

    /** The value behind a name in a reply of XINFO. */
    private static Object field(Object reply, String name) {
        List<?> pairs = (List<?>) reply;
        return pairs.get(pairs.indexOf(name) + 1);
    }

    private void info() {
        held();
        Object stream = r.xinfoStream("s");
        equal(texts(field(stream, "length"), field(stream, "last-generated-id")), List.of("4", "4-1"));
        equal(field(stream, "entries-added"), 4L);
        Object group = r.xinfoGroups("s").get(0);
        equal(texts(field(group, "name"), field(group, "pending"), field(group, "lag")), List.of("g", "4", "0"));
        Object consumer = r.xinfoConsumers("s", "g").get(0);
        equal(texts(field(consumer, "name"), field(consumer, "pending")), List.of("one", "4"));
    }

    private void transaction() {
        r.multi();
        add("1-1", 1);
        r.xlen("s");
        equal(r.exec().stream().toList(), List.of("1-1", 1L));
    }

    private void watch() {
        r.watch("s");
        try (var other = client.connect()) {
            other.sync().xadd("s", Map.of("n", "2"));
        }
        r.multi();
        r.xlen("s");
        equal(r.exec().wasDiscarded(), true);
    }

    private void pubSub() throws Exception {
        List<String> heard = Collections.synchronizedList(new ArrayList<>());
        try (var listener = client.connectPubSub()) {
            listener.addListener(new RedisPubSubAdapter<>() {
                @Override
                public void message(String channel, String message) {
                    heard.add(channel + " " + message);
                }

                @Override
                public void message(String pattern, String channel, String message) {
                    heard.add(pattern + " " + channel + " " + message);
                }
            });
            listener.sync().subscribe("news");
            listener.sync().psubscribe("ne*");
            equal(r.publish("news", "hello"), 2L);
            eventually("both arrive", () -> heard.equals(List.of("news hello", "ne* news hello")));
        }
    }

    private List<String> state() {
        return texts(r.xrange("s", ALL), r.xpending("s", "g").getCount(), r.xpending("s", "g").getMessageIds());
    }

    private void reconnect() throws Exception {
        held();
        List<String> before = state();
        broker.kill();
        broker.start();
        equal(state(), before);
        add("5-1", 5);
        equal(read(ONE, StreamOffset.lastConsumed("s"), 10), List.of("5-1"));
    }

    private void errors() throws Exception {
        held();
        fails(RedisBusyException.class, "BUSYGROUP Consumer Group name already exists",
                () -> r.xgroupCreate(StreamOffset.latest("s"), "g"));
        fails(RedisCommandExecutionException.class, "NOGROUP No such key 's'", () -> r.xpending("s", "none"));
        fails(RedisCommandExecutionException.class, "ERR The ID specified in XADD is equal or smaller",
                () -> add("3-1", 3));
        fails(RedisCommandExecutionException.class, "WRONGTYPE", () -> r.get("s"));
    }
}
