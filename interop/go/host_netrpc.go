package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/rpc"
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

var netrpcChecks = append([]check{
	{"ping", func(_ context.Context, _ *host, s *session) (string, error) { return "", s.protocol.Ping() }},
	{"kv", checkNetRPCKV},
	{"errors", checkNetRPCErrors},
	{"interfaces", checkInterfaces},
	{"structs", checkStructs},
	{"instances", checkInstances},
	{"unknown-kind", checkUnknownKind},
	{"sequential", checkNetRPCSequential},
	{"concurrent", checkNetRPCConcurrent},
	{"out-of-order", checkOutOfOrder},
	{"big", checkNetRPCBig},
	{"broker-to-host", checkNetRPCToHost},
	{"broker-to-plugin", checkNetRPCToPlugin},
	{"broker-stream", checkBrokerStream},
	{"broker-reader", checkBrokerReader},
	{"broker-unknown", checkNetRPCUnknown},
}, append(lifeChecks(func(s *session) (remote, error) {
	dispensed, err := dispenseNetRPC(s, "faults")
	if err != nil {
		return nil, err
	}
	return netrpcFaults{dispensed}, nil
}, checkNetRPCToHost), check{"second-host", checkNetRPCSecondHost})...)

func dispenseNetRPC(s *session, kind string) (*netrpcRemote, error) {
	dispensed, err := s.protocol.Dispense(kind)
	if err != nil {
		return nil, err
	}
	return dispensed.(*netrpcRemote), nil
}

// call bounds a call by the context: net/rpc itself waits for ever.
func (r *netrpcRemote) call(ctx context.Context, method string, argument, reply any) error {
	call := r.Go("Plugin."+method, argument, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return call.Error
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func checkNetRPCKV(ctx context.Context, _ *host, s *session) (string, error) {
	kv, err := dispenseNetRPC(s, "kv")
	if err != nil {
		return "", err
	}
	defer kv.Close()
	for revision := uint64(1); revision <= 2; revision++ {
		var stored Entry
		put := Entry{Key: "ключ", Value: []byte{0, 1, 254, 255}, Tags: map[string]string{"a": "1", "b": ""}}
		if err := kv.call(ctx, "Put", put, &stored); err != nil {
			return "", err
		}
		if err := expect("revision", stored.Revision, revision); err != nil {
			return "", err
		}
	}
	var got Entry
	var all map[string]Entry
	var first, second bool
	err = errors.Join(
		kv.call(ctx, "Put", Entry{Key: "ключи"}, &Entry{}), kv.call(ctx, "Put", Entry{Key: "x"}, &Entry{}),
		kv.call(ctx, "Get", "ключ", &got), kv.call(ctx, "All", "ключ", &all),
		kv.call(ctx, "Delete", "ключ", &first), kv.call(ctx, "Delete", "ключ", &second))
	if err != nil {
		return "", err
	}
	return "", errors.Join(
		expect("value", got.Value, []byte{0, 1, 254, 255}), expect("tags", got.Tags, map[string]string{"a": "1", "b": ""}),
		expect("revision", got.Revision, 2), expect("found", len(all), 2), expect("found", all["ключ"].Tags, got.Tags),
		expect("first delete", first, true), expect("second delete", second, false))
}

func checkNetRPCErrors(ctx context.Context, _ *host, s *session) (string, error) {
	kv, err := dispenseNetRPC(s, "kv")
	if err != nil {
		return "", err
	}
	defer kv.Close()
	missing := kv.call(ctx, "Get", "nø", &Entry{})
	method := kv.call(ctx, "Absent", "x", &Entry{})
	service := kv.Client.Call("Absent.Get", "x", &Entry{})
	malformed := kv.Client.Call("Get", "x", &Entry{})
	argument := kv.call(ctx, "Get", Entry{Key: "x"}, &Entry{})
	if argument == nil {
		return "", errors.New("an argument of another type was accepted")
	}
	return "argument of another type: " + argument.Error(), errors.Join(
		expect("error", missing, "no such key: nø"), expect("unknown method", method, "rpc: can't find method Plugin.Absent"),
		expect("unknown service", service, "rpc: can't find service Absent.Get"),
		expect("ill-formed method", malformed, "rpc: service/method request ill-formed: Get"),
		kv.call(ctx, "Put", Entry{Key: "after all that"}, &Entry{}))
}

func extras() map[string]any {
	return map[string]any{
		"int": -7, "string": "ß", "bytes": []byte{1, 2, 3}, "bool": true, "float": 2.5,
		"row": Row{Name: "n", Score: 1.5, Tags: []string{"t"}, Ok: true},
	}
}

func checkInterfaces(ctx context.Context, _ *host, s *session) (string, error) {
	kv, err := dispenseNetRPC(s, "kv")
	if err != nil {
		return "", err
	}
	defer kv.Close()
	for range 2 {
		var same map[string]any
		if err := kv.call(ctx, "Any", extras(), &same); err != nil {
			return "", err
		}
		if !reflect.DeepEqual(same, extras()) {
			return "", fmt.Errorf("came back as %#v", same)
		}
	}
	return "a map of six types, twice", nil
}

func checkStructs(ctx context.Context, _ *host, s *session) (string, error) {
	faults, err := dispenseNetRPC(s, "faults")
	if err != nil {
		return "", err
	}
	defer faults.Close()
	huge, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	sent := Report{
		Title: "quarter", Made: time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC), Totals: map[string]float64{"a": -0.5, "b": 1e300},
		Matrix: [][]int32{{1, -2}, {}, {1 << 30}}, Checksum: [4]byte{1, 0, 0, 255}, Huge: huge, Ratio: 1 + 2i,
		Parent: &Report{Title: "year", Parent: &Report{Title: "decade"}}, Extra: extras(),
	}
	for i := range 5000 {
		sent.Rows = append(sent.Rows, Row{Name: strings.Repeat("r", i%40), Score: float64(i) / 3, Tags: []string{"x", ""}, Ok: i%2 == 0})
	}
	var got Report
	if err := faults.call(ctx, "Reverse", sent, &got); err != nil {
		return "", err
	}
	if err := errors.Join(expect("rows", len(got.Rows), 5000), expect("row 0", got.Rows[0], sent.Rows[4999]), expect("row 4999", got.Rows[4999], sent.Rows[0]),
		expect("parent", got.Parent.Title, "reversed"), expect("parent's parent", got.Parent.Parent.Title, "year"),
		expect("decade", got.Parent.Parent.Parent.Title, "decade"), expect("huge", got.Huge, huge)); err != nil {
		return "", err
	}
	if !got.Made.Equal(sent.Made) || !reflect.DeepEqual(got.Extra, sent.Extra) || !reflect.DeepEqual(got.Totals, sent.Totals) ||
		fmt.Sprint(got.Matrix, got.Checksum, got.Ratio) != fmt.Sprint(sent.Matrix, sent.Checksum, sent.Ratio) {
		got.Rows = nil
		return "", fmt.Errorf("came back as %+v", got)
	}
	return "5000 rows, time, big.Int, complex, array, matrix, recursion, interfaces", nil
}

func checkInstances(ctx context.Context, _ *host, s *session) (string, error) {
	return "100, each with a state of its own", allOf(100, func(i int) error {
		counter, err := dispenseNetRPC(s, "counter")
		if err != nil {
			return err
		}
		defer counter.Close()
		var sum int64
		for range 10 {
			if err := counter.call(ctx, "Add", int64(i), &sum); err != nil {
				return err
			}
		}
		return expect("sum", sum, 10*i)
	})
}

// checkUnknownKind asks for a kind that only the host knows.
func checkUnknownKind(ctx context.Context, _ *host, s *session) (string, error) {
	_, err := s.protocol.Dispense("absent")
	return "", expect("error", err, "unknown plugin type: absent")
}

func checkNetRPCSequential(ctx context.Context, _ *host, s *session) (string, error) {
	faults, err := dispenseNetRPC(s, "faults")
	if err != nil {
		return "", err
	}
	defer faults.Close()
	began := time.Now()
	for range 500 {
		var same []byte
		if err := faults.call(ctx, "Big", []byte("x"), &same); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("500 calls, %d µs each", time.Since(began).Microseconds()/500), nil
}

func checkNetRPCConcurrent(ctx context.Context, _ *host, s *session) (string, error) {
	faults, err := dispenseNetRPC(s, "faults")
	if err != nil {
		return "", err
	}
	defer faults.Close()
	return "500 calls of 10 KB", allOf(500, func(i int) error {
		sent := bytes.Repeat([]byte{byte(i)}, 10_000)
		var same []byte
		err := faults.call(ctx, "Big", sent, &same)
		if err == nil && !bytes.Equal(same, sent) {
			err = fmt.Errorf("call %d got other bytes", i)
		}
		return err
	})
}

func checkOutOfOrder(ctx context.Context, _ *host, s *session) (string, error) {
	faults, err := dispenseNetRPC(s, "faults")
	if err != nil {
		return "", err
	}
	defer faults.Close()
	slow := faults.Go("Plugin.Sleep", 500, &None{}, make(chan *rpc.Call, 1))
	if err := faults.call(ctx, "Sleep", 0, &None{}); err != nil {
		return "", err
	}
	select {
	case <-slow.Done:
		return "", errors.New("the slow call was answered first")
	default:
	}
	return "a quick call overtakes a slow one", (<-slow.Done).Error
}

func checkNetRPCBig(ctx context.Context, _ *host, s *session) (string, error) {
	faults, err := dispenseNetRPC(s, "faults")
	if err != nil {
		return "", err
	}
	defer faults.Close()
	sent := payload(7, 64<<20)
	began := time.Now()
	var same []byte
	if err := faults.call(ctx, "Big", sent, &same); err != nil {
		return "", err
	}
	if !bytes.Equal(same, sent) {
		return "", errors.New("other bytes came back")
	}
	return fmt.Sprintf("64 MiB there and back in %d ms", time.Since(began).Milliseconds()), nil
}

// ---- broker

func checkNetRPCToHost(ctx context.Context, _ *host, s *session) (string, error) {
	brokered, err := dispenseNetRPC(s, "broker")
	if err != nil {
		return "", err
	}
	defer brokered.Close()
	for range 10 {
		id := brokered.broker.NextId()
		go brokered.broker.AcceptAndServe(id, &Counter{sum: 100})
		var sum int64
		if err := brokered.call(ctx, "CallBack", CallBackArgs{id, 20}, &sum); err != nil {
			return "", err
		}
		if err := expect("sum", sum, 120); err != nil {
			return "", err
		}
	}
	return "10 interfaces of the host called from the plugin", nil
}

func checkNetRPCToPlugin(ctx context.Context, _ *host, s *session) (string, error) {
	brokered, err := dispenseNetRPC(s, "broker")
	if err != nil {
		return "", err
	}
	defer brokered.Close()
	for range 10 {
		var id uint32
		if err := brokered.call(ctx, "Open", int64(1000), &id); err != nil {
			return "", err
		}
		stream, err := brokered.broker.Dial(id)
		if err != nil {
			return "", err
		}
		counter := &netrpcRemote{rpc.NewClient(stream), brokered.broker}
		var sum int64
		for range 20 {
			if err := counter.call(ctx, "Add", int64(2), &sum); err != nil {
				return "", err
			}
		}
		_ = counter.Close()
		if err := expect("sum", sum, 1040); err != nil {
			return "", err
		}
	}
	return "10 interfaces of the plugin called from the host", nil
}

func checkBrokerStream(ctx context.Context, h *host, s *session) (string, error) {
	brokered, err := dispenseNetRPC(s, "broker")
	if err != nil {
		return "", err
	}
	defer brokered.Close()
	id := brokered.broker.NextId()
	got := make(chan Poured, 1)
	var failed error
	go func() {
		stream, err := brokered.broker.Accept(id)
		if err != nil {
			failed = err
			got <- Poured{}
			return
		}
		defer stream.Close()
		poured, err := drain(stream)
		failed = err
		got <- poured
	}()
	began := time.Now()
	var poured Poured
	if err := brokered.call(ctx, "Pour", PourArgs{id, h.poured}, &poured); err != nil {
		return "", err
	}
	received := <-got
	rate := float64(h.poured) / (1 << 20) / time.Since(began).Seconds()
	return fmt.Sprintf("%d MiB from the plugin, %.0f MiB/s", h.poured>>20, rate), errors.Join(failed, expect("received", received, poured), expect("bytes", received.Bytes, h.poured))
}

func checkBrokerReader(ctx context.Context, h *host, s *session) (string, error) {
	brokered, err := dispenseNetRPC(s, "broker")
	if err != nil {
		return "", err
	}
	defer brokered.Close()
	id := brokered.broker.NextId()
	sent := make(chan Poured, 1)
	var failed error
	go func() {
		stream, err := brokered.broker.Accept(id)
		if err != nil {
			failed = err
			sent <- Poured{}
			return
		}
		defer stream.Close()
		poured, err := pour(stream, h.poured)
		failed = err
		sent <- poured
	}()
	began := time.Now()
	var drained Poured
	if err := brokered.call(ctx, "Drain", id, &drained); err != nil {
		return "", err
	}
	poured := <-sent
	rate := float64(h.poured) / (1 << 20) / time.Since(began).Seconds()
	return fmt.Sprintf("%d MiB to the plugin, %.0f MiB/s", h.poured>>20, rate), errors.Join(failed, expect("drained", drained, poured), expect("bytes", drained.Bytes, h.poured))
}

// checkNetRPCUnknown has the plugin dial an id that nobody accepts: that call fails, and the broker goes on.
func checkNetRPCUnknown(ctx context.Context, h *host, s *session) (string, error) {
	brokered, err := dispenseNetRPC(s, "broker")
	if err != nil {
		return "", err
	}
	defer brokered.Close()
	began := time.Now()
	unknown := brokered.call(ctx, "CallBack", CallBackArgs{4_000_000_000, 1}, new(int64))
	if unknown == nil {
		return "", errors.New("the call came back")
	}
	took := time.Since(began)
	if _, err := checkNetRPCToHost(ctx, h, s); err != nil {
		return "", fmt.Errorf("the broker is lost after it: %w", err)
	}
	return fmt.Sprintf("failed after %.1f s: %s", took.Seconds(), unknown), nil
}

func checkNetRPCSecondHost(ctx context.Context, h *host, s *session) (string, error) {
	if h.tls != "none" || h.attach != "" {
		return "", skip("go-plugin attaches without TLS only")
	}
	second := plugin.NewClient(&plugin.ClientConfig{HandshakeConfig: handshake, Plugins: netrpcKinds(), Reattach: s.client.ReattachConfig(), Logger: hclog.NewNullLogger()})
	protocol, err := second.Client()
	if err != nil {
		return "", err
	}
	own := &session{protocol: protocol}
	counter, err := dispenseNetRPC(own, "counter")
	if err != nil {
		return "", err
	}
	defer counter.Close()
	var sum int64
	err = counter.call(ctx, "Add", int64(5), &sum)
	return "both use the same process", errors.Join(err, expect("sum", sum, 5), s.protocol.Ping())
}

// ---- faults as a remote

type netrpcFaults struct{ *netrpcRemote }

func (f netrpcFaults) print(ctx context.Context, stdout, stderr, raw string) error {
	return f.call(ctx, "Print", PrintArgs{stdout, stderr, raw}, &None{})
}

func (f netrpcFaults) log(ctx context.Context, level, message string, fields map[string]string) error {
	return f.call(ctx, "Log", LogArgs{level, message, fields}, &None{})
}

func (f netrpcFaults) panic(ctx context.Context, text string) error {
	return f.call(ctx, "Panic", text, &None{})
}

func (f netrpcFaults) exit(ctx context.Context, code int) error {
	return f.call(ctx, "Exit", code, &None{})
}

func (f netrpcFaults) about(ctx context.Context) (about AboutReply, err error) {
	return about, f.call(ctx, "About", None{}, &about)
}
