// What the checks stand on: a broker that is killed and brought back, and the report of what was found.
package checks

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

const client = "go-redis"

// A broker of its own on a free port, with a directory that goes with it.
type broker struct {
	address   string
	directory string
	process   *exec.Cmd
}

func startBroker() (*broker, error) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := probe.Addr().String()
	probe.Close()
	directory, err := os.MkdirTemp("", "alluvium-go-")
	if err != nil {
		return nil, err
	}
	made := &broker{address: address, directory: directory}
	return made, made.run()
}

func (b *broker) run() error {
	_, port, _ := net.SplitHostPort(b.address)
	b.process = exec.Command(os.Getenv("ALLUVIUM_BIN"), "--port", port, "--bind", "127.0.0.1",
		"--dir", b.directory, "--appendfsync", "always")
	if err := b.process.Start(); err != nil {
		return err
	}
	for range 500 {
		if b.answers() {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the broker did not start")
}

func (b *broker) answers() bool {
	connection, err := net.Dial("tcp", b.address)
	if err != nil {
		return false
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(connection, "PING\r\n")
	reply := make([]byte, 7)
	_, err = connection.Read(reply)
	return err == nil && string(reply) == "+PONG\r\n"
}

// kill ends the broker with -9.
func (b *broker) kill() {
	b.process.Process.Kill()
	b.process.Wait()
}

func (b *broker) stop() {
	b.kill()
	os.RemoveAll(b.directory)
}

// say adds one line to the report.
func say(line map[string]string) {
	line["client"] = client
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	file, err := os.OpenFile(os.Getenv("CHECK_RESULTS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprintln(file, string(text))
}

// check runs one of the checks and reports it.
func check(t *testing.T, name string, work func(t *testing.T)) {
	if t.Run(name, work) {
		say(map[string]string{"check": name, "result": "yes"})
	} else {
		say(map[string]string{"check": name, "result": "failed", "why": "see the output of go test"})
	}
}
