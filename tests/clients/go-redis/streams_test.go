// go-redis, with its default settings, does its ordinary stream work against the broker.
package checks

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	ctx    = context.Background()
	server *broker
	r      *redis.Client
)

func TestStreams(t *testing.T) {
	var err error
	if server, err = startBroker(); err != nil {
		t.Fatal(err)
	}
	defer server.stop()
	r = redis.NewClient(&redis.Options{Addr: server.address})
	defer r.Close()
	language := strings.Join(strings.SplitN(strings.TrimPrefix(runtime.Version(), "go"), ".", 3)[:2], ".")
	say(map[string]string{
		"version":  redis.Version(),
		"runtime":  "Go " + language,
		"protocol": "RESP" + field(must(r.Do(ctx, "CLIENT", "INFO").Text()), "resp"),
	})
	checks := []struct {
		name string
		work func(*testing.T)
	}{
		{"connect", connect}, {"produce", produce}, {"fan-out", fanOut}, {"group-read", groupRead},
		{"ack", ack}, {"pending", pending}, {"claim", claim}, {"autoclaim", autoclaim}, {"trim", trim},
		{"info", info}, {"transaction", transaction}, {"watch", watch}, {"pub-sub", pubSub}, {"reconnect", reconnect},
		{"errors", errorCodes},
	}
	for _, it := range checks {
		must(r.FlushAll(ctx).Result())
		check(t, it.name, it.work)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func equal(t *testing.T, found, expected any) {
	t.Helper()
	if !reflect.DeepEqual(found, expected) {
		t.Fatalf("found %v, expected %v", found, expected)
	}
}

// field finds `name=value` in a line of CLIENT INFO.
func field(line, name string) string {
	for _, word := range strings.Fields(line) {
		if value, found := strings.CutPrefix(word, name+"="); found {
			return value
		}
	}
	return ""
}

func add(stream, id string, n int) string {
	return must(r.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: id, Values: []any{"n", n}}).Result())
}

func ids(entries []redis.XMessage) []string {
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.ID)
	}
	return found
}

func read(consumer, from string, count int64) []string {
	streams := must(r.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: "g", Consumer: consumer, Streams: []string{"s", from}, Count: count, Block: 10 * time.Millisecond,
	}).Result())
	return ids(streams[0].Messages)
}

// held makes a group `g` of the stream `s` whose consumer `one` holds the entries 1-1 to 4-1.
func held() {
	must(r.XGroupCreateMkStream(ctx, "s", "g", "0").Result())
	for i := 1; i <= 4; i++ {
		add("s", fmt.Sprintf("%d-1", i), i)
	}
	read("one", ">", 10)
}

func connect(t *testing.T) {
	named := redis.NewClient(&redis.Options{Addr: server.address, ClientName: "check"})
	defer named.Close()
	equal(t, must(named.Ping(ctx).Result()), "PONG")
	equal(t, must(named.ClientGetName(ctx).Result()), "check")
	line := must(named.Do(ctx, "CLIENT", "INFO").Text())
	equal(t, field(line, "resp"), "3")
	equal(t, strings.HasPrefix(field(line, "lib-name"), "go-redis"), true)
	equal(t, strings.Contains(must(named.Info(ctx, "server").Result()), "redis_version:"), true)
}

func produce(t *testing.T) {
	payload := make([]byte, 256)
	for i := range payload {
		payload[i] = byte(i)
	}
	id := must(r.XAdd(ctx, &redis.XAddArgs{Stream: "s", Values: []any{"user-id", "jake", "data", payload}}).Result())
	equal(t, must(r.XLen(ctx, "s").Result()), int64(1))
	entries := must(r.XRange(ctx, "s", "-", "+").Result())
	equal(t, entries[0].ID, id)
	equal(t, entries[0].Values, map[string]any{"user-id": "jake", "data": string(payload)})
	equal(t, ids(must(r.XReadStreams(ctx, "s", "0").Result())[0].Messages), []string{id})
	pipe := r.Pipeline()
	for i := range 100 {
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: "many", ID: fmt.Sprintf("%d-1", i+1), Values: []any{"n", i}})
	}
	must(pipe.Exec(ctx))
	for i, entry := range must(r.XRange(ctx, "many", "-", "+").Result()) {
		equal(t, entry.Values["n"], strconv.Itoa(i))
	}
}

func fanOut(t *testing.T) {
	heard := make(chan []string)
	for range 3 {
		go func() {
			args := &redis.XReadArgs{Streams: []string{"s", "$"}, Block: 5 * time.Second}
			streams, err := r.XRead(ctx, args).Result()
			if err != nil {
				heard <- []string{err.Error()}
				return
			}
			heard <- ids(streams[0].Messages)
		}()
	}
	for !strings.Contains(must(r.Info(ctx, "clients").Result()), "blocked_clients:3") {
		time.Sleep(5 * time.Millisecond)
	}
	id := add("s", "*", 1)
	for range 3 {
		equal(t, <-heard, []string{id})
	}
	_, err := r.XRead(ctx, &redis.XReadArgs{Streams: []string{"s", "$"}, Block: 50 * time.Millisecond}).Result()
	equal(t, err, redis.Nil)
}

func groupRead(t *testing.T) {
	must(r.XGroupCreateMkStream(ctx, "s", "g", "$").Result())
	made := []string{}
	for i := range 6 {
		made = append(made, add("s", "*", i))
	}
	equal(t, append(read("one", ">", 2), read("two", ">", 10)...), made)
	equal(t, read("one", "0", 10), made[:2])
}

func ack(t *testing.T) {
	held()
	equal(t, must(r.XAck(ctx, "s", "g", "1-1", "3-1").Result()), int64(2))
	equal(t, must(r.XAck(ctx, "s", "g", "1-1").Result()), int64(0))
	equal(t, must(r.XPending(ctx, "s", "g").Result()).Count, int64(2))
}

func pending(t *testing.T) {
	held()
	summary := must(r.XPending(ctx, "s", "g").Result())
	equal(t, *summary, redis.XPending{Count: 4, Lower: "1-1", Higher: "4-1", Consumers: map[string]int64{"one": 4}})
	args := &redis.XPendingExtArgs{Stream: "s", Group: "g", Start: "(1-1", End: "+", Count: 1}
	row := must(r.XPendingExt(ctx, args).Result())[0]
	equal(t, row, redis.XPendingExt{ID: "2-1", Consumer: "one", Idle: row.Idle, RetryCount: 1})
	args.Idle = time.Minute
	equal(t, len(must(r.XPendingExt(ctx, args).Result())), 0)
}

func claim(t *testing.T) {
	held()
	args := func(idle time.Duration, id string) *redis.XClaimArgs {
		return &redis.XClaimArgs{Stream: "s", Group: "g", Consumer: "two", MinIdle: idle, Messages: []string{id}}
	}
	claimed := must(r.XClaim(ctx, args(0, "1-1")).Result())
	equal(t, claimed[0].Values, map[string]any{"n": "1"})
	equal(t, must(r.XClaimJustID(ctx, args(0, "2-1")).Result()), []string{"2-1"})
	equal(t, len(must(r.XClaim(ctx, args(time.Minute, "3-1")).Result())), 0)
}

func autoclaim(t *testing.T) {
	held()
	must(r.XDel(ctx, "s", "2-1").Result())
	args := &redis.XAutoClaimArgs{Stream: "s", Group: "g", Consumer: "two", Start: "0-0", Count: 3}
	claimed, cursor, deleted, err := r.XAutoClaimWithDeleted(ctx, args).Result()
	equal(t, err, nil)
	equal(t, cursor, "4-1")
	equal(t, ids(claimed), []string{"1-1", "3-1"})
	equal(t, deleted, []string{"2-1"})
	args.Start = cursor
	justIDs, cursor, err := r.XAutoClaimJustID(ctx, args).Result()
	equal(t, err, nil)
	equal(t, cursor, "0-0")
	equal(t, justIDs, []string{"4-1"})
}

func trim(t *testing.T) {
	for i := 1; i <= 20; i++ {
		args := &redis.XAddArgs{Stream: "s", ID: fmt.Sprintf("%d-1", i), MaxLen: 15, Values: []any{"n", i}}
		must(r.XAdd(ctx, args).Result())
	}
	equal(t, must(r.XTrimMinID(ctx, "s", "10-1").Result()), int64(4))
	equal(t, must(r.XDel(ctx, "s", "20-1").Result()), int64(1))
	equal(t, must(r.XTrimMaxLen(ctx, "s", 7).Result()), int64(3))
	equal(t, must(r.XTrimMaxLenApprox(ctx, "s", 7, 0).Result()), int64(0))
	equal(t, must(r.XLen(ctx, "s").Result()), int64(7))
}

func info(t *testing.T) {
	held()
	stream := must(r.XInfoStream(ctx, "s").Result())
	equal(t, []any{stream.Length, stream.LastGeneratedID, stream.EntriesAdded}, []any{int64(4), "4-1", int64(4)})
	equal(t, stream.FirstEntry.Values, map[string]any{"n": "1"})
	group := must(r.XInfoGroups(ctx, "s").Result())[0]
	equal(t, []any{group.Name, group.Pending, group.Lag}, []any{"g", int64(4), int64(0)})
	consumer := must(r.XInfoConsumers(ctx, "s", "g").Result())[0]
	equal(t, []any{consumer.Name, consumer.Pending}, []any{"one", int64(4)})
	full := must(r.XInfoStreamFull(ctx, "s", 2).Result())
	equal(t, []int{len(full.Entries), len(full.Groups[0].Pending)}, []int{2, 2})
}

func transaction(t *testing.T) {
	var first *redis.StringCmd
	var length *redis.IntCmd
	must(r.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		first = pipe.XAdd(ctx, &redis.XAddArgs{Stream: "s", ID: "1-1", Values: []any{"n", 1}})
		length = pipe.XLen(ctx, "s")
		return nil
	}))
	equal(t, []any{first.Val(), length.Val()}, []any{"1-1", int64(1)})
}

func watch(t *testing.T) {
	err := r.Watch(ctx, func(tx *redis.Tx) error {
		add("s", "2-1", 2)
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			return pipe.XLen(ctx, "s").Err()
		})
		return err
	}, "s")
	equal(t, errors.Is(err, redis.TxFailedErr), true)
}

func pubSub(t *testing.T) {
	subscriber := r.Subscribe(ctx, "news")
	defer subscriber.Close()
	must(subscriber.Receive(ctx))
	if err := subscriber.PSubscribe(ctx, "ne*"); err != nil {
		t.Fatal(err)
	}
	must(subscriber.Receive(ctx))
	equal(t, must(r.Publish(ctx, "news", "hello").Result()), int64(2))
	patterns := []string{}
	for range 2 {
		message := <-subscriber.Channel()
		equal(t, []string{message.Channel, message.Payload}, []string{"news", "hello"})
		patterns = append(patterns, message.Pattern)
	}
	equal(t, patterns, []string{"", "ne*"})
}

func reconnect(t *testing.T) {
	held()
	before := []any{must(r.XRange(ctx, "s", "-", "+").Result()), must(r.XPending(ctx, "s", "g").Result())}
	server.kill()
	if err := server.run(); err != nil {
		t.Fatal(err)
	}
	equal(t, []any{must(r.XRange(ctx, "s", "-", "+").Result()), must(r.XPending(ctx, "s", "g").Result())}, before)
	add("s", "5-1", 5)
	equal(t, read("one", ">", 10), []string{"5-1"})
}

func errorCodes(t *testing.T) {
	held()
	busy := r.XGroupCreate(ctx, "s", "g", "$").Err()
	equal(t, redis.HasErrorPrefix(busy, "BUSYGROUP"), true)
	equal(t, busy.Error(), "BUSYGROUP Consumer Group name already exists")
	args := &redis.XReadGroupArgs{Group: "none", Consumer: "c", Streams: []string{"s", ">"}}
	none := r.XReadGroup(ctx, args).Err()
	equal(t, redis.HasErrorPrefix(none, "NOGROUP"), true)
	late := r.XAdd(ctx, &redis.XAddArgs{Stream: "s", ID: "3-1", Values: []any{"n", 1}}).Err()
	equal(t, strings.HasPrefix(late.Error(), "ERR The ID specified in XADD is equal or smaller"), true)
	equal(t, redis.HasErrorPrefix(r.Get(ctx, "s").Err(), "WRONGTYPE"), true)
}
