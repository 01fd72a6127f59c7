package chat;

import java.time.Duration;
import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.dao.DataAccessException;
import org.springframework.data.domain.Range;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.stream.Consumer;
import org.springframework.data.redis.connection.stream.MapRecord;
import org.springframework.data.redis.connection.stream.PendingMessage;
import org.springframework.data.redis.connection.stream.ReadOffset;
import org.springframework.data.redis.connection.stream.StreamOffset;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.data.redis.stream.StreamListener;
import org.springframework.data.redis.stream.StreamMessageListenerContainer;
import org.springframework.data.redis.stream.StreamMessageListenerContainer.StreamMessageListenerContainerOptions;
import org.springframework.data.redis.stream.StreamMessageListenerContainer.StreamReadRequest;
import org.springframework.scheduling.annotation.EnableScheduling;
import org.springframework.scheduling.annotation.Scheduled;

/**
 * One of several chat servers behind a back office. The back office appends a notification to the stream
 * {@code notifications}; the chat servers are consumers of one group, so each notification is for one of them. It is
 * acknowledged when it has been handed on, and not before: what an instance held when it died stays pending, and a
 * scheduler in the others claims it after a while.
 *
 * <p>A notification may be handed on twice (by the one that died, and by the one that claimed it), never not at all.
 */
@SpringBootApplication
@EnableScheduling
public class ChatServer implements StreamListener<String, MapRecord<String, String, String>> {
    static final String STREAM = "notifications";
    static final String GROUP = "chat-servers";

    private final StringRedisTemplate redis;
    private final String instance;
    private final Duration claimAfter;
    private final Duration handling;

    ChatServer(
            StringRedisTemplate redis,
            @Value("${chat.instance}") String instance,
            @Value("${chat.claim-after:30s}") Duration claimAfter,
            @Value("${chat.handling:0ms}") Duration handling) {
        this.redis = redis;
        this.instance = instance;
        this.claimAfter = claimAfter;
        this.handling = handling;
    }

    public static void main(String[] arguments) {
        SpringApplication.run(ChatServer.class, arguments);
    }

    /** Reads new notifications of the group; an error, such as a broker that restarts, does not end the reading. */
    @Bean(initMethod = "start", destroyMethod = "stop")
    StreamMessageListenerContainer<String, MapRecord<String, String, String>> container(RedisConnectionFactory from) {
        createGroup();
        var options = StreamMessageListenerContainerOptions.builder()
                .pollTimeout(Duration.ofSeconds(1))
                .batchSize(10)
                .build();
        var container = StreamMessageListenerContainer.create(from, options);
        var request = StreamReadRequest.builder(StreamOffset.create(STREAM, ReadOffset.lastConsumed()))
                .consumer(Consumer.from(GROUP, instance))
                .autoAcknowledge(false)
                .cancelOnError(error -> false)
                .errorHandler(error -> System.err.println(instance + ": " + error.getMessage()))
                .build();
        container.register(request, this);
        return container;
    }

    private void createGroup() {
        try {
            redis.opsForStream().createGroup(STREAM, ReadOffset.from("0"), GROUP);
        } catch (DataAccessException error) {
            if (!String.valueOf(error.getRootCause()).contains("BUSYGROUP")) {
                throw error;
            }
        }
    }

    /** Hands a notification on, then acknowledges it. */
    @Override
    public void onMessage(MapRecord<String, String, String> notification) {
        pause(handling);
        String inbox = "inbox:" + notification.getValue().get("user");
        redis.opsForStream().add(inbox, Map.of(
                "text", notification.getValue().get("text"),
                "notification", notification.getId().getValue(),
                "by", instance));
        redis.opsForStream().acknowledge(STREAM, GROUP, notification.getId());
    }

    /** Takes over what another instance has held for too long: it has probably died. */
    @Scheduled(fixedDelayString = "${chat.claim-every:5s}")
    void claimWhatOthersLeft() {
        var streams = redis.<String, String>opsForStream();
        try {
            var late = streams.pending(STREAM, GROUP, Range.unbounded(), 100, claimAfter);
            for (PendingMessage one : late) {
                if (!one.getConsumerName().equals(instance)) {
                    // Of several instances that try, one gets it: for the others it is no longer idle.
                    streams.claim(STREAM, GROUP, instance, claimAfter, one.getId()).forEach(this::onMessage);
                }
            }
        } catch (DataAccessException error) {
            System.err.println(instance + ": " + error.getMessage());
        }
    }

    private static void pause(Duration time) {
        try {
            Thread.sleep(time.toMillis());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
