package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

type offered map[int]bool

// rawStderr is file descriptor 2; go-plugin later makes os.Stderr something else.
var rawStderr = os.Stderr

var logger = hclog.New(&hclog.LoggerOptions{Name: "peer", Level: hclog.Trace, Output: rawStderr, JSONFormat: true})

// served is the version that was negotiated, for About.
var served atomic.Int64

// servePlugin plays the plugin until the host says that it is over.
func servePlugin(arguments []string, offers offered) {
	flags := flag.NewFlagSet("plugin", flag.ExitOnError)
	test := flags.Bool("test", false, "serve without a host and print one line of JSON to reattach by; ends at SIGTERM or SIGINT")
	static := flags.Bool("tls", false, "serve TLS with the certificate in the directory "+tlsVariable)
	_ = flags.Parse(arguments)

	versions := sets()
	for version := range versions {
		if !offers[version] {
			delete(versions, version)
		}
	}
	config := &plugin.ServeConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: versions,
		Logger:           logger,
		GRPCServer:       newGRPCServer,
	}
	if *static {
		config.TLSProvider = staticTLS
	}
	if *test {
		serveForAttachers(config)
		return
	}
	plugin.Serve(config)
	if ms, err := strconv.Atoi(os.Getenv(lingerVariable)); err == nil {
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
}

// newGRPCServer lifts grpc-go's limit of 4 MiB for what is received.
func newGRPCServer(options []grpc.ServerOption) *grpc.Server {
	return plugin.DefaultGRPCServer(append(options, grpc.MaxRecvMsgSize(math.MaxInt32)))
}

func staticTLS() (*tls.Config, error) {
	directory := os.Getenv(tlsVariable)
	certificate, err := tls.LoadX509KeyPair(filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem"))
	return &tls.Config{Certificates: []tls.Certificate{certificate}}, err
}

// attachment is the value for one plugin in the JSON that hosts read from variables such as TF_REATTACH_PROVIDERS.
type attachment struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            struct{ Network, String string }
}

func serveForAttachers(config *plugin.ServeConfig) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	attach := make(chan *plugin.ReattachConfig, 1)
	closed := make(chan struct{})
	config.Test = &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: attach, CloseCh: closed}
	go plugin.Serve(config)
	facts := <-attach
	out := attachment{Protocol: string(facts.Protocol), ProtocolVersion: facts.ProtocolVersion, Pid: facts.Pid, Test: facts.Test}
	out.Addr.Network, out.Addr.String = facts.Addr.Network(), facts.Addr.String()
	_ = json.NewEncoder(os.Stdout).Encode(out)
	<-closed
}

// ---- what both protocols share

// write does what Faults.Print says.
func write(stdout, stderr, raw string) {
	_, _ = fmt.Fprint(os.Stdout, stdout)
	_, _ = fmt.Fprint(os.Stderr, stderr)
	_, _ = fmt.Fprint(rawStderr, raw)
}

func logAt(level, message string, fields map[string]string) {
	var pairs []any
	for key, value := range fields {
		pairs = append(pairs, key, value)
	}
	logger.Log(hclog.LevelFromString(level), message, pairs...)
}

// crash panics where nothing recovers: some servers recover in the goroutine of a call.
func crash(text string) {
	go panic(text)
	select {}
}

func pluginEnvironment() []string {
	var names []string
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PLUGIN_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
