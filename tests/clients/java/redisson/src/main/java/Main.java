import static checks.Report.equal;
import static checks.Report.eventually;
import static checks.Report.fails;
import static checks.Report.texts;

import checks.Broker;
import checks.Report;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.redisson.Redisson;
import org.redisson.api.BatchOptions;
import org.redisson.api.RFuture;
import org.redisson.api.RStream;
import org.redisson.api.RedissonClient;
import org.redisson.api.redisnode.RedisNode;
import org.redisson.api.redisnode.RedisNodes;
import org.redisson.api.stream.StreamAddArgs;
import org.redisson.api.stream.StreamCreateGroupArgs;
import org.redisson.api.stream.StreamMessageId;
import org.redisson.api.stream.StreamPendingRangeArgs;
import org.redisson.api.stream.StreamReadArgs;
import org.redisson.api.stream.StreamReadGroupArgs;
import org.redisson.api.stream.StreamTrimArgs;
import org.redisson.client.RedisException;
import org.redisson.client.codec.ByteArrayCodec;
import org.redisson.client.codec.StringCodec;
import org.redisson.config.Config;

/**
 * Redisson does its ordinary stream work against the broker: RStream, RTopic, RBatch and RKeys, which need no Lua. Its
 * settings are the defaults, but for the codec: strings, as all other clients write them.
 */
public final class Main {
    private final Broker broker;
    private final RedissonClient client;
    private final RStream<String, String> s;

    private Main(Broker broker) {
        this.broker = broker;
        Config config = new Config();
        config.setCodec(StringCodec.INSTANCE);
        config.useSingleServer().setAddress("redis://127.0.0.1:" + broker.port).setClientName("check");
        this.client = Redisson.create(config);
        this.s = client.getStream("s");
    }

    public static void main(String[] arguments) throws Exception {
        Report report = new Report("Redisson");
        try (Broker broker = new Broker()) {
            Main it = new Main(broker);
            report.who("org.redisson", "redisson", broker.ask("CLIENT LIST TYPE normal"));
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
            report.impossible("watch", "its interface has no WATCH; its locks and transactions are Lua scripts");
            it.check(report, "pub-sub", it::pubSub);
            it.check(report, "reconnect", it::reconnect);
            it.check(report, "errors", it::errors);
            it.client.shutdown();
        }
        report.end();
    }

    private void check(Report report, String name, Report.Work work) {
        client.getKeys().flushall();
        report.check(name, work);
    }

    private static StreamMessageId id(long ms) {
        return new StreamMessageId(ms, 1);
    }

    private void add(int ms) {
        s.add(id(ms), StreamAddArgs.entry("n", String.valueOf(ms)));
    }

    private List<String> read(String consumer, StreamReadGroupArgs from, int count) {
        return texts(s.readGroup("g", consumer, from.count(count)).keySet().toArray());
    }

    /** A group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1. */
    private void held() {
        s.createGroup(StreamCreateGroupArgs.name("g").id(StreamMessageId.ALL).makeStream());
        for (int i = 1; i <= 4; i++) {
            add(i);
        }
        read("one", StreamReadGroupArgs.neverDelivered(), 10);
    }

    private void connect() {
        var server = client.getRedisNodes(RedisNodes.SINGLE).getInstance();
        equal(server.ping(), true);
        equal(server.info(RedisNode.InfoSection.SERVER).containsKey("redis_version"), true);
        equal(broker.ask("CLIENT LIST").contains(" name=check "), true);
    }

    private void produce() {
        StreamMessageId made = s.add(StreamAddArgs.entry("user-id", "jake"));
        equal(s.size(), 1L);
        equal(s.range(StreamMessageId.MIN, StreamMessageId.MAX), Map.of(made, Map.of("user-id", "jake")));
        equal(s.read(StreamReadArgs.greaterThan(new StreamMessageId(0, 0))).keySet().size(), 1);
        byte[] payload = new byte[256];
        for (int i = 0; i < 256; i++) {
            payload[i] = (byte) i;
        }
        RStream<byte[], byte[]> binary = client.getStream("b", ByteArrayCodec.INSTANCE);
        binary.add(StreamAddArgs.entry("data".getBytes(), payload));
        var row = binary.range(StreamMessageId.MIN, StreamMessageId.MAX).values().iterator().next();
        equal(Arrays.equals(row.values().iterator().next(), payload), true);
        var batch = client.createBatch();
        for (int i = 1; i <= 100; i++) {
            batch.<String, String>getStream("many").addAsync(id(i), StreamAddArgs.entry("n", String.valueOf(i)));
        }
        batch.execute();
        RStream<String, String> many = client.getStream("many");
        equal(many.rangeReversed(1, StreamMessageId.MAX, StreamMessageId.MIN), Map.of(id(100), Map.of("n", "100")));
    }

    private void fanOut() throws Exception {
        var args = StreamReadArgs.greaterThan(StreamMessageId.NEWEST).timeout(Duration.ofSeconds(5));
        List<RFuture<Map<StreamMessageId, Map<String, String>>>> waiting = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            waiting.add(s.readAsync(args));
        }
        eventually("three wait", () -> broker.ask("INFO clients").contains("blocked_clients:3"));
        add(7);
        for (var heard : waiting) {
            equal(heard.get(5, TimeUnit.SECONDS), Map.of(id(7), Map.of("n", "7")));
        }
        args = StreamReadArgs.greaterThan(StreamMessageId.NEWEST).timeout(Duration.ofMillis(50));
        equal(s.read(args), Map.of());
    }

    private void groupRead() {
        s.createGroup(StreamCreateGroupArgs.name("g").id(StreamMessageId.NEWEST).makeStream());
        for (int i = 1; i <= 6; i++) {
            add(i);
        }
        equal(read("one", StreamReadGroupArgs.neverDelivered(), 2), List.of("1-1", "2-1"));
        var waiting = StreamReadGroupArgs.neverDelivered().timeout(Duration.ofMillis(10));
        equal(read("two", waiting, 10), List.of("3-1", "4-1", "5-1", "6-1"));
        equal(read("one", StreamReadGroupArgs.greaterThan(new StreamMessageId(0, 0)), 10), List.of("1-1", "2-1"));
    }

    private void ack() {
        held();
        equal(s.ack("g", id(1), id(3)), 2L);
        equal(s.ack("g", id(1)), 0L);
        equal(s.getPendingInfo("g").getTotal(), 2L);
    }

    private void pending() {
        held();
        var summary = s.getPendingInfo("g");
        equal(texts(summary.getTotal(), summary.getLowestId(), summary.getHighestId()), List.of("4", "1-1", "4-1"));
        equal(summary.getConsumerNames(), Map.of("one", 4L));
        var from = StreamPendingRangeArgs.groupName("g").startIdExclusive(id(1)).endId(StreamMessageId.MAX).count(1);
        var row = s.listPending(from).get(0);
        equal(texts(row.getId(), row.getConsumerName(), row.getDeliveryCount()), List.of("2-1", "one", "1"));
        var all = StreamPendingRangeArgs.groupName("g").startId(StreamMessageId.MIN).endId(StreamMessageId.MAX).count(9);
        equal(s.listPending(all.idleTime(Duration.ofMinutes(1))), List.of());
    }

    private void claim() {
        held();
        equal(s.claim("g", "two", 0, TimeUnit.MILLISECONDS, id(1)), Map.of(id(1), Map.of("n", "1")));
        equal(s.fastClaim("g", "two", 0, TimeUnit.MILLISECONDS, id(2)), List.of(id(2)));
        equal(s.claim("g", "two", 1, TimeUnit.MINUTES, id(3)), Map.of());
    }

    private void autoclaim() {
        held();
        s.remove(id(2));
        var first = s.autoClaim("g", "two", 0, TimeUnit.MILLISECONDS, new StreamMessageId(0, 0), 3);
        equal(texts(first.getNextId(), first.getMessages().keySet(), first.getDeletedIds()),
                List.of("4-1", "[1-1, 3-1]", "[2-1]"));
        var rest = s.fastAutoClaim("g", "two", 0, TimeUnit.MILLISECONDS, first.getNextId(), 3);
        equal(texts(rest.getNextId(), rest.getIds()), List.of("0-0", "[4-1]"));
    }

    private void trim() {
        for (int i = 1; i <= 20; i++) {
            var args = StreamAddArgs.entry("n", "x").trim().maxLen(15).noLimit();
            s.add(id(i), args);
        }
        equal(s.trim(StreamTrimArgs.minId(id(10)).noLimit()), 4L);
        equal(s.remove(id(20)), 1L);
        equal(s.trim(StreamTrimArgs.maxLen(7).noLimit()), 3L);
        equal(s.size(), 7L);
    }

    private void info() {
        held();
        var stream = s.getInfo();
        equal(texts(stream.getLength(), stream.getLastGeneratedId(), stream.getEntriesAdded()), List.of("4", "4-1", "4"));
        equal(stream.getFirstEntry().getData(), Map.of("n", "1"));
        var group = s.listGroups().get(0);
        equal(texts(group.getName(), group.getPending(), group.getLag()), List.of("g", "4", "0"));
        var consumer = s.listConsumers("g").get(0);
        equal(texts(consumer.getName(), consumer.getPending()), List.of("one", "4"));
    }

    private void transaction() throws Exception {
        var mode = BatchOptions.ExecutionMode.REDIS_WRITE_ATOMIC;
        var step = client.createBatch(BatchOptions.defaults().executionMode(mode));
        step.<String, String>getStream("s").addAsync(id(1), StreamAddArgs.entry("n", "1"));
        var length = step.<String, String>getStream("s").sizeAsync();
        step.execute();
        equal(length.get(), 1L);
        equal(broker.ask("INFO commandstats").contains("cmdstat_exec:calls=1,"), true);
    }

    private void pubSub() throws Exception {
        List<String> heard = Collections.synchronizedList(new ArrayList<>());
        var topic = client.getTopic("news");
        var pattern = client.getPatternTopic("ne*");
        topic.addListener(String.class, (channel, message) -> heard.add(channel + " " + message));
        pattern.addListener(String.class, (from, channel, message) -> heard.add(from + " " + channel + " " + message));
        equal(topic.publish("hello"), 2L);
        eventually("both arrive", () -> heard.contains("news hello") && heard.contains("ne* news hello"));
        topic.removeAllListeners();
    }

    private List<String> state() {
        var summary = s.getPendingInfo("g");
        return texts(s.range(StreamMessageId.MIN, StreamMessageId.MAX), summary.getTotal(), summary.getLowestId());
    }

    private void reconnect() throws Exception {
        held();
        List<String> before = state();
        broker.kill();
        broker.start();
        equal(state(), before);
        add(5);
        equal(read("one", StreamReadGroupArgs.neverDelivered(), 10), List.of("5-1"));
    }

    private void errors() throws Exception {
        held();
        var again = StreamCreateGroupArgs.name("g").id(StreamMessageId.NEWEST);
        fails(RedisException.class, "BUSYGROUP Consumer Group name already exists", () -> s.createGroup(again));
        fails(RedisException.class, "NOGROUP No such key 's'", () -> s.getPendingInfo("none"));
        fails(RedisException.class, "ERR The ID specified in XADD is equal or smaller", () -> add(3));
        fails(RedisException.class, "WRONGTYPE", () -> client.getBucket("s").get());
    }
}
