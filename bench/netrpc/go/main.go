// Command go-netrpc is the measure of the net/rpc rows: hashicorp/go-plugin at both ends, and each end for a row of its own.
//
//	go-netrpc plugin                  a plugin: echoes, and takes and gives bytes over streams of the broker
//	go-netrpc host <plugin command…>  a host that measures; it reads what to measure from stdin, a line of words each, and answers with JSON:
//	                                  latency <what> <ms> | flight <what> <together> <ms> | upload <bytes> | download <bytes>
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

// What is sent: the values of harness/samples.ts.
type Small struct {
	A float64
	B string
}

type Build struct {
	Number    int
	Branch    string
	Commit    string
	StartedAt string
	Seconds   float64
	Green     bool
	Parent    *int
	Author    Author
	Stages    []Stage
	Notes     string
}

type Author struct {
	Name, Mail string
	Reviewers  []string
}

type Stage struct {
	Name     string
	Seconds  float64
	Cached   bool
	ExitCode int
}

type Echo struct{ broker *plugin.MuxBroker }

func (*Echo) Small(value Small, same *Small) error   { *same = value; return nil }
func (*Echo) Record(value Build, same *Build) error  { *same = value; return nil }
func (*Echo) Bytes(value []byte, same *[]byte) error { *same = value; return nil }

// Upload dials id, reads to the end, and answers with how much that was.
func (e *Echo) Upload(id uint32, bytes *int64) error {
	stream, err := e.broker.Dial(id)
	if err != nil {
		return err
	}
	defer stream.Close()
	*bytes, err = discard(stream)
	return err
}

// Download answers with the id behind which so many bytes come.
func (e *Echo) Download(bytes int64, id *uint32) error {
	*id = e.broker.NextId()
	go func(id uint32) {
		stream, err := e.broker.Accept(id)
		if err != nil {
			return
		}
		defer stream.Close()
		_ = pour(stream, bytes)
	}(*id)
	return nil
}

func pour(stream io.Writer, bytes int64) error {
	chunk := make([]byte, 64<<10)
	for left := bytes; left > 0; left -= int64(len(chunk)) {
		if _, err := stream.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
			return err
		}
	}
	return nil
}

type kind struct{}

type remote struct {
	*rpc.Client
	broker *plugin.MuxBroker
}

func (kind) Server(broker *plugin.MuxBroker) (any, error) { return &Echo{broker}, nil }
func (kind) Client(broker *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return &remote{client, broker}, nil
}

var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "PLUGWIRE_BENCH_NETRPC", MagicCookieValue: "bench"}
var plugins = plugin.PluginSet{"echo": kind{}}

func main() {
	if os.Args[1] == "plugin" {
		plugin.Serve(&plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins, Logger: hclog.NewNullLogger()})
		return
	}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: plugins, Cmd: exec.Command(os.Args[2], os.Args[3:]...), Logger: hclog.NewNullLogger(),
	})
	defer client.Kill()
	protocol, err := client.Client()
	check(err)
	dispensed, err := protocol.Dispense("echo")
	check(err)
	measure(dispensed.(*remote))
}

func measure(echo *remote) {
	answers := json.NewEncoder(os.Stdout)
	check(answers.Encode(map[string]bool{"ready": true}))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch words[0] {
		case "latency":
			check(answers.Encode(latency(caller(echo, words[1]), duration(words[2]))))
		case "flight":
			check(answers.Encode(flight(caller(echo, words[1]), int(number(words[2])), duration(words[3]))))
		case "upload":
			check(upload(echo, number(words[1])))
			check(answers.Encode(map[string]bool{"done": true}))
		case "download":
			check(download(echo, number(words[1])))
			check(answers.Encode(map[string]bool{"done": true}))
		}
	}
}

func caller(echo *remote, what string) func() error {
	switch what {
	case "small":
		return func() error { var same Small; return echo.Call("Plugin.Small", Small{1, "hello"}, &same) }
	case "record":
		build := sample()
		return func() error { var same Build; return echo.Call("Plugin.Record", build, &same) }
	case "bytes1k":
		bytes := make([]byte, 1024)
		return func() error { var same []byte; return echo.Call("Plugin.Bytes", bytes, &same) }
	default:
		bytes := make([]byte, 65536)
		return func() error { var same []byte; return echo.Call("Plugin.Bytes", bytes, &same) }
	}
}

func latency(call func() error, slice time.Duration) map[string]float64 {
	var laps []time.Duration
	began := time.Now()
	for last := began; last.Sub(began) < slice; {
		check(call())
		now := time.Now()
		laps, last = append(laps, now.Sub(last)), now
	}
	slices.Sort(laps)
	at := func(share float64) float64 {
		return float64(laps[min(len(laps)-1, int(float64(len(laps))*share))].Nanoseconds()) / 1000
	}
	return map[string]float64{"p50": at(0.5), "p99": at(0.99)}
}

func flight(call func() error, together int, slice time.Duration) map[string]float64 {
	var calls atomic.Int64
	var group sync.WaitGroup
	before, began := cpu(), time.Now()
	for range together {
		group.Go(func() {
			for time.Since(began) < slice {
				check(call())
				calls.Add(1)
			}
		})
	}
	group.Wait()
	total := float64(calls.Load())
	return map[string]float64{"rate": total / time.Since(began).Seconds(), "hostCpu": (cpu() - before) / total}
}

func upload(echo *remote, bytes int64) error {
	id := echo.broker.NextId()
	done := make(chan error, 1)
	go func() {
		stream, err := echo.broker.Accept(id)
		if err == nil {
			err = pour(stream, bytes)
			stream.Close()
		}
		done <- err
	}()
	var moved int64
	if err := echo.Call("Plugin.Upload", id, &moved); err != nil {
		return err
	}
	if moved != bytes {
		return fmt.Errorf("%d bytes arrived of %d", moved, bytes)
	}
	return <-done
}

func download(echo *remote, bytes int64) error {
	var id uint32
	if err := echo.Call("Plugin.Download", bytes, &id); err != nil {
		return err
	}
	stream, err := echo.broker.Dial(id)
	if err != nil {
		return err
	}
	defer stream.Close()
	read, err := discard(stream)
	if err == nil && read != bytes {
		err = fmt.Errorf("%d bytes arrived of %d", read, bytes)
	}
	return err
}

// discard reads to the end through memory of its own, which io.Copy would not when either side knows a shorter way.
func discard(stream io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{stream}, make([]byte, 256<<10))
}

// cpu is what this process has used, in microseconds.
func cpu() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1000
}

func sample() Build {
	build := Build{
		Number: 20417, Branch: "feature/shorter-handshake", Commit: "9f2c1e07ab54d3386f0e7712c4b8d95513aa60fe",
		StartedAt: "2026-02-11T06:45:09.318Z", Seconds: 412.875, Green: true,
		Author: Author{"Ines Okafor", "ines.okafor@example.org", []string{"tomasz", "wen-li", "aurelie"}},
		Notes:  "Moves the version check in front of the listener, so that a plugin run by hand explains itself before it opens anything.",
	}
	for i, name := range []string{"fetch", "install", "compile", "lint", "unit", "interop", "package", "sign", "upload", "announce"} {
		build.Stages = append(build.Stages, Stage{name, 3.25 * float64(i+1), i%3 == 0, 0})
	}
	return build
}

func duration(ms string) time.Duration { return time.Duration(number(ms)) * time.Millisecond }

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
