import static checks.Report.equal;
import static checks.Report.eventually;
import static checks.Report.fails;
import static checks.Report.texts;

import checks.Broker;
import checks.Report;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.Protocol.Command;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.params.XAddParams;
import redis.clients.jedis.params.XAutoClaimParams;
import redis.clients.jedis.params.XClaimParams;
import redis.clients.jedis.params.XPendingParams;
import redis.clients.jedis.params.XReadGroupParams;
import redis.clients.jedis.params.XReadParams;
import redis.clients.jedis.params.XTrimParams;
import redis.clients.jedis.resps.StreamEntry;

/** Jedis, with its default settings, does its ordinary stream work against the broker. */
public final class Main {
    private final Broker broker;
    private final RedisClient r;

    private Main(Broker broker) {
        this.broker = broker;
        this.r = RedisClient.create("127.0.0.1", broker.port);
    }

    public static void main(String[] arguments) throws Exception {
        Report report = new Report("Jedis");
        try (Broker broker = new Broker()) {
            Main it = new Main(broker);
            report.who("redis.clients", "jedis", it.clientInfo(it.r));
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
            it.r.close();
        }
        report.end();
    }

    private void check(Report report, String name, Report.Work work) {
        r.flushAll();
        report.check(name, work);
    }

    private String clientInfo(RedisClient client) {
        Object reply = client.sendCommand(Command.CLIENT, "INFO");
        return reply instanceof byte[] text ? new String(text, StandardCharsets.UTF_8) : reply.toString();
    }

    private StreamEntryID add(String id, int n) {
        return r.xadd("s", new StreamEntryID(id), Map.of("n", String.valueOf(n)));
    }

    private static List<String> ids(List<StreamEntry> entries) {
        return entries.stream().map(entry -> entry.getID().toString()).toList();
    }

    private List<String> read(String consumer, StreamEntryID from, int count) {
        XReadGroupParams params = XReadGroupParams.xReadGroupParams().count(count).block(10);
        return ids(r.xreadGroup("g", consumer, params, Map.of("s", from)).get(0).getValue());
    }

    /** A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1. */
    private void held() {
        r.xgroupCreate("s", "g", new StreamEntryID("0-0"), true);
        for (int i = 1; i <= 4; i++) {
            add(i + "-1", i);
        }
        read("one", StreamEntryID.XREADGROUP_UNDELIVERED_ENTRY, 10);
    }

    private void connect() {
        var config = DefaultJedisClientConfig.builder().clientName("check").build();
        try (RedisClient named = RedisClient.builder().hostAndPort("127.0.0.1", broker.port).clientConfig(config).build()) {
            equal(named.ping(), "PONG");
            equal(clientInfo(named).contains(" name=check "), true);
            equal(clientInfo(named).contains("jedis"), true);
            equal(named.info("server").contains("redis_version:"), true);
        }
    }

    private void produce() {
        StreamEntryID id = r.xadd("s", StreamEntryID.NEW_ENTRY, Map.of("user-id", "jake"));
        equal(r.xlen("s"), 1L);
        StreamEntry entry = r.xrange("s", "-", "+").get(0);
        equal(List.of(entry.getID(), entry.getFields()), List.of(id, Map.of("user-id", "jake")));
        var found = r.xread(XReadParams.xReadParams(), Map.of("s", new StreamEntryID("0-0")));
        equal(ids(found.get(0).getValue()), texts(id));
        byte[] payload = new byte[256];
        for (int i = 0; i < 256; i++) {
            payload[i] = (byte) i;
        }
        r.xadd("b".getBytes(), XAddParams.xAddParams(), Map.of("data".getBytes(), payload));
        List<?> row = (List<?>) r.xrange("b".getBytes(), "-".getBytes(), "+".getBytes()).get(0);
        equal(Arrays.equals((byte[]) ((List<?>) row.get(1)).get(1), payload), true);
        try (var pipeline = r.pipelined()) {
            for (int i = 1; i <= 100; i++) {
                pipeline.xadd("many", new StreamEntryID(i, 1), Map.of("n", String.valueOf(i)));
            }
            pipeline.sync();
        }
        equal(r.xrevrange("many", "+", "-", 1).get(0).getFields(), Map.of("n", "100"));
    }

    private void fanOut() throws Exception {
        List<CompletableFuture<List<String>>> waiting = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            waiting.add(CompletableFuture.supplyAsync(() -> {
                XReadParams params = XReadParams.xReadParams().block(5000);
                return ids(r.xread(params, Map.of("s", StreamEntryID.XREAD_NEW_ENTRY)).get(0).getValue());
            }, task -> new Thread(task).start()));
        }
        eventually("three wait", () -> r.info("clients").contains("blocked_clients:3"));
        StreamEntryID id = add("7-1", 1);
        for (var heard : waiting) {
            equal(heard.get(), texts(id));
        }
        XReadParams params = XReadParams.xReadParams().block(50);
        equal(r.xread(params, Map.of("s", StreamEntryID.XREAD_NEW_ENTRY)), null);
    }

    private void groupRead() {
        r.xgroupCreate("s", "g", StreamEntryID.XGROUP_LAST_ENTRY, true);
        for (int i = 1; i <= 6; i++) {
            add(i + "-1", i);
        }
        equal(read("one", StreamEntryID.XREADGROUP_UNDELIVERED_ENTRY, 2), List.of("1-1", "2-1"));
        equal(read("two", StreamEntryID.XREADGROUP_UNDELIVERED_ENTRY, 10), List.of("3-1", "4-1", "5-1", "6-1"));
        equal(read("one", new StreamEntryID("0-0"), 10), List.of("1-1", "2-1"));
    }

    private void ack() {
        held();
        equal(r.xack("s", "g", new StreamEntryID("1-1"), new StreamEntryID("3-1")), 2L);
        equal(r.xack("s", "g", new StreamEntryID("1-1")), 0L);
        equal(r.xpending("s", "g").getTotal(), 2L);
    }

    private void pending() {
        held();
        var summary = r.xpending("s", "g");
        equal(texts(summary.getTotal(), summary.getMinId(), summary.getMaxId()), List.of("4", "1-1", "4-1"));
        equal(summary.getConsumerMessageCount(), Map.of("one", 4L));
        var row = r.xpending("s", "g", XPendingParams.xPendingParams("(1-1", "+", 1)).get(0);
        equal(texts(row.getID(), row.getConsumerName(), row.getDeliveredTimes()), List.of("2-1", "one", "1"));
        equal(r.xpending("s", "g", XPendingParams.xPendingParams("-", "+", 10).idle(60_000)), List.of());
    }

    private void claim() {
        held();
        XClaimParams params = XClaimParams.xClaimParams();
        equal(r.xclaim("s", "g", "two", 0, params, new StreamEntryID("1-1")).get(0).getFields(), Map.of("n", "1"));
        equal(texts(r.xclaimJustId("s", "g", "two", 0, params, new StreamEntryID("2-1")).toArray()), List.of("2-1"));
        equal(r.xclaim("s", "g", "two", 60_000, params, new StreamEntryID("3-1")), List.of());
    }

    private void autoclaim() {
        held();
        r.xdel("s", new StreamEntryID("2-1"));
        XAutoClaimParams params = new XAutoClaimParams().count(3);
        var first = r.xautoclaim("s", "g", "two", 0, new StreamEntryID("0-0"), params);
        equal(first.getKey().toString(), "4-1");
        equal(ids(first.getValue()), List.of("1-1", "3-1"));
        var rest = r.xautoclaimJustId("s", "g", "two", 0, first.getKey(), params);
        equal(texts(rest.getKey(), rest.getValue()), List.of("0-0", "[4-1]"));
        equal(r.xpending("s", "g").getTotal(), 3L);
    }

    private void trim() {
        for (int i = 1; i <= 20; i++) {
            r.xadd("s", XAddParams.xAddParams().id(new StreamEntryID(i, 1)).maxLen(15).exactTrimming(), Map.of("n", "x"));
        }
        equal(r.xtrim("s", XTrimParams.xTrimParams().minId("10-1").exactTrimming()), 4L);
        equal(r.xdel("s", new StreamEntryID("20-1")), 1L);
        equal(r.xtrim("s", 7, false), 3L);
        equal(r.xlen("s"), 7L);
    }

    private void info() {
        held();
        var stream = r.xinfoStream("s");
        equal(texts(stream.getLength(), stream.getLastGeneratedId(), stream.getGroups()), List.of("4", "4-1", "1"));
        equal(stream.getStreamInfo().get("entries-added"), 4L);
        var group = r.xinfoGroups("s").get(0);
        equal(texts(group.getName(), group.getPending(), group.getLastDeliveredId()), List.of("g", "4", "4-1"));
        equal(group.getGroupInfo().get("lag"), 0L);
        var consumer = r.xinfoConsumers2("s", "g").get(0);
        equal(texts(consumer.getName(), consumer.getPending()), List.of("one", "4"));
        equal(r.xinfoStreamFull("s").getGroups().get(0).getPelCount(), 4L);
    }

    private void transaction() {
        try (var step = r.multi()) {
            var first = step.xadd("s", new StreamEntryID("1-1"), Map.of("n", "1"));
            var length = step.xlen("s");
            step.exec();
            equal(texts(first.get(), length.get()), List.of("1-1", "1"));
        }
    }

    private void watch() {
        add("1-1", 1);
        try (var step = r.transaction(false)) {
            step.watch("s");
            add("2-1", 2);
            step.multi();
            step.xlen("s");
            equal(step.exec(), null);
        }
    }

    private void pubSub() throws Exception {
        List<String> heard = Collections.synchronizedList(new ArrayList<>());
        JedisPubSub listener = new JedisPubSub() {
            @Override
            public void onMessage(String channel, String message) {
                heard.add(channel + " " + message);
            }

            @Override
            public void onPMessage(String pattern, String channel, String message) {
                heard.add(pattern + " " + channel + " " + message);
            }
        };
        Thread thread = new Thread(() -> r.subscribe(listener, "news"));
        thread.start();
        eventually("one listens", () -> listener.isSubscribed());
        listener.psubscribe("ne*");
        eventually("both are heard", () -> r.publish("news", "hello") == 2);
        eventually("the messages arrive", () -> heard.contains("news hello") && heard.contains("ne* news hello"));
        listener.unsubscribe();
        listener.punsubscribe();
        thread.join();
    }

    private List<String> state() {
        return texts(r.xrange("s", "-", "+"), r.xpending("s", "g").getTotal(), r.xpending("s", "g").getMinId());
    }

    private void reconnect() throws Exception {
        held();
        List<String> before = state();
        broker.kill();
        broker.start();
        // A pooled connection notices on its next use that it is gone.
        eventually("the pool has live connections", () -> {
            try {
                return r.ping().equals("PONG");
            } catch (JedisConnectionException gone) {
                return false;
            }
        });
        equal(state(), before);
        add("5-1", 5);
        equal(read("one", StreamEntryID.XREADGROUP_UNDELIVERED_ENTRY, 10), List.of("5-1"));
    }

    private void errors() throws Exception {
        held();
        fails(JedisDataException.class, "BUSYGROUP Consumer Group name already exists",
                () -> r.xgroupCreate("s", "g", StreamEntryID.XGROUP_LAST_ENTRY, false));
        fails(JedisDataException.class, "NOGROUP No such key 's'", () -> r.xpending("s", "none"));
        fails(JedisDataException.class, "ERR The ID specified in XADD is equal or smaller", () -> add("3-1", 3));
        fails(JedisDataException.class, "WRONGTYPE", () -> r.get("s"));
    }
}
