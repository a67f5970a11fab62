package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

// options of both host roles.
type options struct {
	tls      string
	mux      bool
	attach   string
	pause    time.Duration
	only     string
	except   string
	poured   int64
	verbose  bool
	patience time.Duration
}

// host runs checks, and prints one line of JSON for each.
type host struct {
	options
	version int
	command []string
	parent  string // of the TMPDIR of each plugin; TMPDIR of the host itself
	trust   *tls.Config

	passed, failed, skipped int
}

// skip is the outcome of a check that does not apply.
type skip string

func (s skip) Error() string { return string(s) }

type check struct {
	name string
	// run gets a plugin that all checks share. Checks that end a plugin launch one of their own.
	run func(context.Context, *host, *session) (detail string, err error)
}

// verdict is one line of output.
type verdict struct {
	Check  string `json:"check"`
	Ok     bool   `json:"ok"`
	Skip   string `json:"skip,omitempty"`
	Detail string `json:"detail,omitempty"`
	Ms     int64  `json:"ms"`
}

func runHost(arguments []string, version int, checks []check) int {
	h := &host{version: version}
	flags := flag.NewFlagSet("host", flag.ExitOnError)
	flags.StringVar(&h.tls, "tls", "none", "none, auto (AutoMTLS) or static (the host makes a certificate and passes its directory in "+tlsVariable+")")
	flags.BoolVar(&h.mux, "mux", false, "ask for broker multiplexing (gRPC)")
	flags.StringVar(&h.attach, "reattach", "", "attach to a running plugin, given as the JSON it printed, instead of launching one")
	flags.DurationVar(&h.pause, "lazy", 0, "how long to wait between the handshake and the first connection")
	flags.StringVar(&h.only, "only", "", "names of checks, separated by commas")
	flags.StringVar(&h.except, "except", "", "names of checks to leave out")
	flags.Int64Var(&h.poured, "pour", 1<<30, "bytes that go over a stream of the broker (net/rpc)")
	flags.DurationVar(&h.patience, "patience", 30*time.Second, "how long one check may take")
	flags.BoolVar(&h.verbose, "v", false, "print the plugin's logs to stderr")
	_ = flags.Parse(arguments)
	h.command = flags.Args()
	if len(h.command) == 0 && h.attach == "" {
		fmt.Fprintln(os.Stderr, "host: no plugin command")
		return 2
	}

	parent, err := os.MkdirTemp("", "peer-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(parent)
	h.parent = parent
	if h.tls == "static" {
		h.trust = makeCertificate(parent)
		_ = os.Setenv(tlsVariable, parent)
	}

	var shared *session
	defer func() {
		if shared != nil {
			shared.client.Kill()
		}
	}()
	h.judge("launch", func(context.Context) (detail string, err error) {
		shared, err = h.launch(launching{})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s over %s, version %d", shared.client.Protocol(), shared.address.Network(), shared.client.NegotiatedVersion()), nil
	})
	for _, check := range checks {
		if shared != nil && h.wants(check.name) {
			h.judge(check.name, func(ctx context.Context) (string, error) { return check.run(ctx, h, shared) })
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"summary": true, "passed": h.passed, "failed": h.failed, "skipped": h.skipped})
	if h.failed > 0 {
		return 1
	}
	return 0
}

func (h *host) wants(name string) bool {
	return (h.only == "" || slices.Contains(strings.Split(h.only, ","), name)) && !slices.Contains(strings.Split(h.except, ","), name)
}

func (h *host) judge(name string, run func(context.Context) (string, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), h.patience)
	defer cancel()
	type outcome struct {
		detail string
		err    error
	}
	done := make(chan outcome, 1)
	began := time.Now()
	go func() {
		defer func() {
			if caught := recover(); caught != nil {
				done <- outcome{err: fmt.Errorf("the host panicked: %v\n%s", caught, debug.Stack())}
			}
		}()
		detail, err := run(ctx)
		done <- outcome{detail, err}
	}()
	var result outcome
	select {
	case result = <-done:
	case <-time.After(h.patience + 5*time.Second):
		result.err = errors.New("did not end")
	}
	line := verdict{Check: name, Ok: result.err == nil, Detail: result.detail, Ms: time.Since(began).Milliseconds()}
	var why skip
	switch {
	case errors.As(result.err, &why):
		line.Ok, line.Skip = true, string(why)
		h.skipped++
	case result.err != nil:
		line.Detail = result.err.Error()
		h.failed++
	default:
		h.passed++
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(line)
}

// ---- sessions

// launching is what is special about one launch.
type launching struct {
	environment []string
	// versions the host offers; its own when empty.
	versions []int
}

// session is one plugin, connected.
type session struct {
	client         *plugin.Client
	protocol       plugin.ClientProtocol
	command        *exec.Cmd
	address        net.Addr
	tmp            string // TMPDIR of the plugin
	stdout, stderr *buffer
	records        *records
}

func (h *host) launch(l launching) (*session, error) {
	// Not through the command: go-plugin gives the environment of the host precedence.
	tmp, err := os.MkdirTemp(h.parent, "")
	if err != nil {
		return nil, err
	}
	_ = os.Setenv("TMPDIR", tmp)
	defer os.Setenv("TMPDIR", h.parent)
	s := &session{tmp: tmp, stdout: &buffer{}, stderr: &buffer{}, records: &records{verbose: h.verbose}}
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "host", Level: hclog.Trace, Output: io.Discard})
	log.RegisterSink(s.records)
	if len(l.versions) == 0 {
		l.versions = []int{h.version}
	}
	known := sets()
	known[versionNetRPC]["absent"] = &netrpcKind{} // so that the question reaches the plugin
	offers := map[int]plugin.PluginSet{}
	for _, version := range l.versions {
		offers[version] = known[version]
	}
	config := &plugin.ClientConfig{
		HandshakeConfig:     handshake,
		VersionedPlugins:    offers,
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolNetRPC, plugin.ProtocolGRPC},
		Logger:              log,
		SyncStdout:          s.stdout,
		SyncStderr:          s.stderr,
		AutoMTLS:            h.tls == "auto",
		TLSConfig:           h.trust,
		GRPCBrokerMultiplex: h.mux,
		StartTimeout:        20 * time.Second,
	}
	if h.attach != "" {
		if config.Reattach, err = parseAttachment(h.attach); err != nil {
			return nil, err
		}
		// go-plugin looks only at Plugins when it attaches.
		config.VersionedPlugins, config.Plugins = nil, known[h.version]
	} else {
		s.command = exec.Command(h.command[0], h.command[1:]...)
		s.command.Env = l.environment
		config.Cmd = s.command
	}
	s.client = plugin.NewClient(config)
	if s.address, err = s.client.Start(); err == nil {
		time.Sleep(h.pause)
		s.protocol, err = s.client.Client()
	}
	if err != nil {
		s.client.Kill()
		return nil, fmt.Errorf("%w; log: %s", err, s.records.tail())
	}
	return s, nil
}

func parseAttachment(text string) (*plugin.ReattachConfig, error) {
	var in attachment
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, fmt.Errorf("reattach: %w", err)
	}
	config := &plugin.ReattachConfig{Protocol: plugin.Protocol(in.Protocol), ProtocolVersion: in.ProtocolVersion, Pid: in.Pid, Test: in.Test}
	var err error
	if in.Addr.Network == "unix" {
		config.Addr, err = net.ResolveUnixAddr("unix", in.Addr.String)
	} else {
		config.Addr, err = net.ResolveTCPAddr(in.Addr.Network, in.Addr.String)
	}
	return config, err
}

// makeCertificate writes cert.pem and key.pem for `localhost` and returns what trusts them.
func makeCertificate(directory string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = os.WriteFile(filepath.Join(directory, "cert.pem"), certificate, 0o600)
	_ = os.WriteFile(filepath.Join(directory, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// ---- what a plugin writes and logs

// buffer is an io.Writer that can be waited for.
type buffer struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.Write(p)
}

func (b *buffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.String()
}

// record is one line that the host's logger got.
type record struct {
	level   hclog.Level
	message string
	pairs   map[string]string
}

// records is a sink of the host's logger.
type records struct {
	mutex   sync.Mutex
	all     []record
	verbose bool
}

func (r *records) Accept(name string, level hclog.Level, message string, pairs ...any) {
	kept := record{level, message, map[string]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		kept.pairs[fmt.Sprint(pairs[i])] = fmt.Sprint(pairs[i+1])
	}
	if r.verbose {
		fmt.Fprintln(os.Stderr, level, message, kept.pairs)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.all = append(r.all, kept)
}

func (r *records) find(fits func(record) bool) (record, bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	i := slices.IndexFunc(r.all, fits)
	if i < 0 {
		return record{}, false
	}
	return r.all[i], true
}

func (r *records) tail() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var lines []string
	for _, kept := range r.all[max(0, len(r.all)-8):] {
		lines = append(lines, kept.level.String()+" "+kept.message)
	}
	return strings.Join(lines, " | ")
}

// eventually waits until holds is true.
func eventually(ctx context.Context, what string, holds func() bool) error {
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("never happened: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

func expect(what string, got, want any) error {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s is %v, not %v", what, got, want)
	}
	return nil
}

// ---- checks that are the same over both protocols

// remote calls the methods that both contracts have.
type remote interface {
	print(ctx context.Context, stdout, stderr, raw string) error
	log(ctx context.Context, level, message string, fields map[string]string) error
	panic(ctx context.Context, text string) error
	exit(ctx context.Context, code int) error
	about(ctx context.Context) (about AboutReply, err error)
}

// lifeChecks end plugins. faultsOf dispenses the kind `faults`.
func lifeChecks(faultsOf func(*session) (remote, error), useBroker func(context.Context, *host, *session) (string, error)) []check {
	withOwn := func(environment []string, run func(context.Context, *session, remote) (string, error)) func(context.Context, *host, *session) (string, error) {
		return func(ctx context.Context, h *host, _ *session) (string, error) {
			if h.attach != "" {
				return "", skip("needs a plugin of its own")
			}
			own, err := h.launch(launching{environment: environment})
			if err != nil {
				return "", err
			}
			defer own.client.Kill()
			faults, err := faultsOf(own)
			if err != nil {
				return "", err
			}
			return run(ctx, own, faults)
		}
	}
	return []check{
		{"about", func(ctx context.Context, h *host, s *session) (string, error) {
			faults, err := faultsOf(s)
			if err != nil {
				return "", err
			}
			about, err := faults.about(ctx)
			if err != nil {
				return "", err
			}
			if err := expect("version", about.Version, h.version); err != nil {
				return "", err
			}
			if h.attach == "" {
				if err := expect("pid", about.Pid, s.client.ID()); err != nil {
					return "", err
				}
			}
			return about.Language + "; " + strings.Join(about.PluginEnvironment, " "), nil
		}},
		{"stdio", func(ctx context.Context, h *host, s *session) (string, error) {
			if h.attach != "" {
				return "", skip("a plugin in test mode keeps its output")
			}
			faults, err := faultsOf(s)
			if err != nil {
				return "", err
			}
			if err := faults.print(ctx, "to stdout: å\n", "to stderr: ö\n", ""); err != nil {
				return "", err
			}
			if err := eventually(ctx, "both texts arrive, got "+s.stdout.String()+s.stderr.String(), func() bool {
				return strings.Contains(s.stdout.String(), "to stdout: å\n") && strings.Contains(s.stderr.String(), "to stderr: ö\n")
			}); err != nil {
				return "", err
			}
			var large strings.Builder
			for i := 0; large.Len() < 1<<20; i++ {
				fmt.Fprintf(&large, "line %d\n", i)
			}
			if err := faults.print(ctx, large.String(), "", ""); err != nil {
				return "", err
			}
			return "and 1 MiB in order", eventually(ctx, "1 MiB arrives in order", func() bool { return strings.HasSuffix(s.stdout.String(), large.String()) })
		}},
		{"logs", func(ctx context.Context, h *host, s *session) (string, error) {
			if h.attach != "" {
				return "", skip("a plugin in test mode keeps its output")
			}
			faults, err := faultsOf(s)
			if err != nil {
				return "", err
			}
			for _, level := range []string{"trace", "debug", "info", "warn", "error"} {
				message := "a record at " + level
				if err := faults.log(ctx, level, message, map[string]string{"color": "blå", "quoted": `"x"`}); err != nil {
					return "", err
				}
				find := func(r record) bool { return r.message == message }
				if err := eventually(ctx, message, func() bool { _, found := s.records.find(find); return found }); err != nil {
					return "", err
				}
				got, _ := s.records.find(find)
				if err := errors.Join(expect("level", got.level, level), expect("color", got.pairs["color"], "blå"), expect("quoted", got.pairs["quoted"], `"x"`)); err != nil {
					return "", err
				}
				if year := got.pairs["timestamp"]; !strings.HasPrefix(year, strconv.Itoa(time.Now().Year())) {
					return "", fmt.Errorf("timestamp is %q", year)
				}
			}
			return "five levels with fields and time", nil
		}},
		{"raw-stderr", func(ctx context.Context, h *host, s *session) (string, error) {
			if h.attach != "" {
				return "", skip("a plugin in test mode keeps its output")
			}
			faults, err := faultsOf(s)
			if err != nil {
				return "", err
			}
			long := strings.Repeat("x", 200_000)
			if err := faults.print(ctx, "", "", "[WARN] mind the gap\n"+long+"\n[INFO] after it\n"); err != nil {
				return "", err
			}
			if err := eventually(ctx, "[INFO] after a long line", func() bool {
				_, found := s.records.find(func(r record) bool { return r.message == "[INFO] after it" && r.level == hclog.Info })
				return found
			}); err != nil {
				return "", err
			}
			if _, found := s.records.find(func(r record) bool { return r.message == "[WARN] mind the gap" && r.level == hclog.Warn }); !found {
				return "", errors.New("no [WARN] at level warn")
			}
			return "levels by prefix, around a line of 200 KB", nil
		}},
		{"interrupt", withOwn(nil, func(ctx context.Context, own *session, faults remote) (string, error) {
			if err := own.command.Process.Signal(os.Interrupt); err != nil {
				return "", err
			}
			time.Sleep(50 * time.Millisecond)
			_, err := faults.about(ctx)
			return "SIGINT is ignored", err
		})},
		{"kill", withOwn(nil, func(ctx context.Context, own *session, faults remote) (string, error) {
			began := time.Now()
			own.client.Kill()
			took := time.Since(began)
			if took > 2*time.Second {
				return "", fmt.Errorf("took %v", took)
			}
			return fmt.Sprintf("gone after %d ms", took.Milliseconds()), expect("exit status", own.command.ProcessState, "exit status 0")
		})},
		{"files", func(ctx context.Context, h *host, _ *session) (string, error) { return filesLeft(ctx, h, nil) }},
		{"files-broker", func(ctx context.Context, h *host, _ *session) (string, error) { return filesLeft(ctx, h, useBroker) }},
		{"kill-lingering", withOwn([]string{lingerVariable + "=20000"}, func(ctx context.Context, own *session, faults remote) (string, error) {
			began := time.Now()
			own.client.Kill()
			took := time.Since(began)
			if took < time.Second || took > 6*time.Second {
				return "", fmt.Errorf("took %v", took)
			}
			return fmt.Sprintf("killed after %d ms", took.Milliseconds()), expect("exit status", own.command.ProcessState, "signal: killed")
		})},
		{"panic", withOwn(nil, func(ctx context.Context, own *session, faults remote) (string, error) {
			text := "everything is lost"
			if err := faults.panic(ctx, text); err == nil {
				return "", errors.New("the call came back")
			}
			if err := eventually(ctx, "the plugin ends", own.client.Exited); err != nil {
				return "", err
			}
			line, found := own.records.find(func(r record) bool {
				return strings.HasPrefix(r.message, "panic: ") && strings.Contains(r.message, text)
			})
			if !found {
				return "", errors.New("no line `panic: …`; log: " + own.records.tail())
			}
			stack := 0
			own.records.find(func(r record) bool {
				if r.level == hclog.Error {
					stack++
				}
				return false
			})
			if line.level != hclog.Error || stack < 3 {
				return "", fmt.Errorf("level %v, %d lines of stack", line.level, stack-1)
			}
			if own.command.ProcessState.Success() {
				return "", errors.New("exit status 0")
			}
			return fmt.Sprintf("%s, %d lines at error", own.command.ProcessState, stack), nil
		})},
		{"exit", withOwn(nil, func(ctx context.Context, own *session, faults remote) (string, error) {
			if err := faults.exit(ctx, 7); err == nil {
				return "", errors.New("the call came back")
			}
			if err := eventually(ctx, "the plugin ends", own.client.Exited); err != nil {
				return "", err
			}
			return own.command.ProcessState.String(), expect("exit status", own.command.ProcessState, "exit status 7")
		})},
		{"version-none", func(_ context.Context, h *host, _ *session) (string, error) {
			if h.attach != "" {
				return "", skip("needs a plugin of its own")
			}
			_, err := h.launch(launching{versions: []int{9}})
			if err == nil || !strings.Contains(err.Error(), "ncompatible API version") {
				return "", fmt.Errorf("without a common version: %v", err)
			}
			text, _, _ := strings.Cut(err.Error(), ";")
			return text, nil
		}},
		{"version-highest", func(_ context.Context, h *host, _ *session) (string, error) {
			if h.attach != "" {
				return "", skip("needs a plugin of its own")
			}
			own, err := h.launch(launching{versions: []int{1, versionNetRPC, versionGRPC}})
			if err != nil {
				return "", err
			}
			defer own.client.Kill()
			if err := own.protocol.Ping(); err != nil {
				return "", err
			}
			return fmt.Sprintf("%d (%s)", own.client.NegotiatedVersion(), own.client.Protocol()), nil
		}},
	}
}

// filesLeft ends a plugin properly and looks what is left where it made its sockets.
func filesLeft(ctx context.Context, h *host, use func(context.Context, *host, *session) (string, error)) (string, error) {
	if h.attach != "" {
		return "", skip("needs a plugin of its own")
	}
	own, err := h.launch(launching{})
	if err != nil {
		return "", err
	}
	if use != nil {
		_, err = use(ctx, h, own)
	}
	own.client.Kill()
	if err != nil {
		return "", err
	}
	left, err := os.ReadDir(own.tmp)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%d left in TMPDIR, such as %s", len(left), left[0].Name())
	}
	return "none left in TMPDIR", err
}
