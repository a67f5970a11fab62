package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"plugwire.dev/interop/pb"
)

var grpcChecks = append([]check{
	{"ping", func(_ context.Context, _ *host, s *session) (string, error) { return "", s.protocol.Ping() }},
	{"kv", checkGRPCKV},
	{"metadata", checkMetadata},
	{"errors", checkGRPCErrors},
	{"streams", checkStreams},
	{"stream-cancel", checkStreamCancel},
	{"sequential", checkGRPCSequential},
	{"concurrent", checkGRPCConcurrent},
	{"big", checkGRPCBig},
	{"cancel", checkCancel},
	{"deadline", checkDeadline},
	{"storm", checkStorm},
	{"broker-to-host", checkBrokerToHost},
	{"broker-to-plugin", checkBrokerToPlugin},
	{"broker-mixed", checkBrokerMixed},
	{"broker-unknown", checkBrokerUnknown},
}, append(lifeChecks(func(s *session) (remote, error) {
	dispensed, err := dispenseGRPC(s, "faults")
	if err != nil {
		return nil, err
	}
	return grpcFaults{pb.NewFaultsClient(dispensed.conn)}, nil
}, checkBrokerMixed), check{"second-host", checkSecondHost})...)

func dispenseGRPC(s *session, kind string) (*grpcRemote, error) {
	dispensed, err := s.protocol.Dispense(kind)
	if err != nil {
		return nil, err
	}
	return dispensed.(*grpcRemote), nil
}

// clientsOf makes the clients of a session; all of them share its one connection.
func clientsOf(s *session) (pb.KeyValueClient, pb.StreamsClient, pb.FaultsClient, error) {
	dispensed, err := dispenseGRPC(s, "kv")
	if err != nil {
		return nil, nil, nil, err
	}
	conn := dispensed.conn
	return pb.NewKeyValueClient(conn), pb.NewStreamsClient(conn), pb.NewFaultsClient(conn), nil
}

func checkGRPCKV(ctx context.Context, _ *host, s *session) (string, error) {
	kv, _, _, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	for revision := uint64(1); revision <= 2; revision++ {
		put := &pb.Entry{Key: "ключ", Value: []byte{0, 1, 254, 255}, Tags: map[string]string{"a": "1", "b": ""}}
		stored, err := kv.Put(ctx, put)
		if err != nil {
			return "", err
		}
		if err := expect("revision", stored.Revision, revision); err != nil {
			return "", err
		}
	}
	got, err := kv.Get(ctx, &pb.Key{Key: "ключ"})
	if err != nil {
		return "", err
	}
	first, err := kv.Delete(ctx, &pb.Key{Key: "ключ"})
	if err != nil {
		return "", err
	}
	second, err := kv.Delete(ctx, &pb.Key{Key: "ключ"})
	if err != nil {
		return "", err
	}
	return "", errors.Join(
		expect("value", got.Value, []byte{0, 1, 254, 255}), expect("tags", got.Tags, map[string]string{"a": "1", "b": ""}),
		expect("revision", got.Revision, 2), expect("first delete", first.Existed, true), expect("second delete", second.Existed, false))
}

func checkMetadata(ctx context.Context, _ *host, s *session) (string, error) {
	kv, _, _, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	var header, trailer metadata.MD
	noted := metadata.AppendToOutgoingContext(ctx, "peer-note", "mind this")
	if _, err := kv.Put(noted, &pb.Entry{Key: "noted"}, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		return "", err
	}
	return "", errors.Join(
		expect("header", header.Get("peer-note"), "[mind this]"), expect("trailer", trailer.Get("peer-note-end"), "[mind this]"))
}

func checkGRPCErrors(ctx context.Context, _ *host, s *session) (string, error) {
	kv, _, _, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	var trailer metadata.MD
	_, err = kv.Get(ctx, &pb.Key{Key: "nø"}, grpc.Trailer(&trailer))
	problem := status.Convert(err)
	if err := errors.Join(expect("code", problem.Code(), codes.NotFound), expect("message", problem.Message(), "no such key: nø")); err != nil {
		return "", err
	}
	if len(problem.Details()) != 1 {
		return "", fmt.Errorf("%d details", len(problem.Details()))
	}
	detail, ok := problem.Details()[0].(*pb.NotFound)
	if !ok {
		return "", fmt.Errorf("detail is %v", problem.Details()[0])
	}
	dispensed, err := dispenseGRPC(s, "kv")
	if err != nil {
		return "", err
	}
	missing := dispensed.conn.Invoke(ctx, "/plugwire.interop.KeyValue/Absent", &pb.Key{}, &pb.Entry{})
	absent := dispensed.conn.Invoke(ctx, "/plugwire.interop.Absent/Get", &pb.Key{}, &pb.Entry{})
	return "code, message, details, trailers, unimplemented", errors.Join(
		expect("detail", detail.Key, "nø"), expect("trailer", trailer.Get("peer-key-bin"), "[nø]"),
		expect("unknown method", status.Code(missing), codes.Unimplemented), expect("unknown service", status.Code(absent), codes.Unimplemented))
}

func checkStreams(ctx context.Context, _ *host, s *session) (string, error) {
	_, streams, _, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	for _, shape := range []*pb.DownRequest{{Count: 0}, {Count: 2000, Size: 4096}, {Count: 5, Size: 1 << 20}} {
		down, err := streams.Down(ctx, shape)
		if err != nil {
			return "", err
		}
		for index := uint32(0); ; index++ {
			item, err := down.Recv()
			if err == io.EOF {
				if err := expect("number of items", index, shape.Count); err != nil {
					return "", err
				}
				break
			}
			if err != nil {
				return "", err
			}
			if item.Index != index || !bytes.Equal(item.Payload, payload(index, shape.Size)) {
				return "", fmt.Errorf("item %d came with index %d and %d bytes", index, item.Index, len(item.Payload))
			}
		}
	}
	sum, err := streams.Sum(ctx)
	if err != nil {
		return "", err
	}
	for value := range int64(10_000) {
		if err := sum.Send(&pb.Number{Value: value - 1}); err != nil {
			return "", err
		}
	}
	total, err := sum.CloseAndRecv()
	if err != nil {
		return "", err
	}
	if err := errors.Join(expect("sum", total.Sum, 9999*10_000/2-10_000), expect("count", total.Count, 10_000)); err != nil {
		return "", err
	}
	echo, err := streams.Echo(ctx)
	if err != nil {
		return "", err
	}
	go func() {
		for index := range uint32(1000) {
			_ = echo.Send(&pb.Item{Index: index, Payload: payload(index, 100)})
		}
		_ = echo.CloseSend()
	}()
	for index := uint32(0); ; index++ {
		item, err := echo.Recv()
		if err == io.EOF {
			return "down 0, 2000 x 4 KB and 5 x 1 MiB, up 10000, both ways 1000", expect("echoes", index, 1000)
		}
		if err != nil {
			return "", err
		}
		if err := expect("index", item.Index, index); err != nil {
			return "", err
		}
	}
}

func checkStreamCancel(ctx context.Context, _ *host, s *session) (string, error) {
	kv, streams, _, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	for range 20 {
		cancelled, cancel := context.WithCancel(ctx)
		down, err := streams.Down(cancelled, &pb.DownRequest{Count: 1_000_000, Size: 1000})
		if err != nil {
			cancel()
			return "", err
		}
		for range 10 {
			if _, err := down.Recv(); err != nil {
				cancel()
				return "", err
			}
		}
		cancel()
	}
	_, err = kv.Put(ctx, &pb.Entry{Key: "after cancelled streams"})
	return "20 streams left after 10 of a million items", err
}

func checkGRPCSequential(ctx context.Context, _ *host, s *session) (string, error) {
	_, _, faults, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	began := time.Now()
	for range 500 {
		if _, err := faults.Big(ctx, &pb.Blob{Data: []byte("x")}); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("500 calls, %d µs each", time.Since(began).Microseconds()/500), nil
}

func checkGRPCConcurrent(ctx context.Context, _ *host, s *session) (string, error) {
	_, _, faults, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	return "500 calls of 10 KB", allOf(500, func(i int) error {
		sent := bytes.Repeat([]byte{byte(i)}, 10_000)
		got, err := faults.Big(ctx, &pb.Blob{Data: sent})
		if err == nil && !bytes.Equal(got.Data, sent) {
			err = fmt.Errorf("call %d got other bytes", i)
		}
		return err
	})
}

func allOf(count int, run func(int) error) error {
	problems := make([]error, count)
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() { problems[i] = run(i) })
	}
	group.Wait()
	for _, problem := range problems {
		if problem != nil {
			return problem
		}
	}
	return nil
}

func checkGRPCBig(ctx context.Context, _ *host, s *session) (string, error) {
	_, _, faults, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	sent := payload(7, 64<<20)
	began := time.Now()
	got, err := faults.Big(ctx, &pb.Blob{Data: sent})
	if err != nil {
		return "", err
	}
	if !bytes.Equal(got.Data, sent) {
		return "", errors.New("other bytes came back")
	}
	return fmt.Sprintf("64 MiB there and back in %d ms", time.Since(began).Milliseconds()), nil
}

// sleepers waits until none of the Sleeps runs any more and tells how many were cancelled so far.
func sleepers(ctx context.Context, faults pb.FaultsClient) (uint32, error) {
	var last *pb.SleepersReply
	err := eventually(ctx, "all sleepers are gone", func() bool {
		var err error
		last, err = faults.Sleepers(ctx, &pb.Nothing{})
		return err == nil && last.Running == 0
	})
	return last.GetCancelled(), err
}

func checkCancel(ctx context.Context, _ *host, s *session) (string, error) {
	_, _, faults, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	before, err := sleepers(ctx, faults)
	if err != nil {
		return "", err
	}
	cancelled, cancel := context.WithCancel(ctx)
	go func() {
		_ = eventually(ctx, "it sleeps", func() bool {
			now, err := faults.Sleepers(ctx, &pb.Nothing{})
			return err == nil && now.Running == 1
		})
		cancel()
	}()
	_, err = faults.Sleep(cancelled, &pb.SleepRequest{Ms: 60_000})
	if err := expect("code", status.Code(err), codes.Canceled); err != nil {
		return "", err
	}
	after, err := sleepers(ctx, faults)
	return "the plugin noticed", errors.Join(err, expect("cancelled sleeps", after-before, 1))
}

func checkDeadline(ctx context.Context, _ *host, s *session) (string, error) {
	_, _, faults, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	before, err := sleepers(ctx, faults)
	if err != nil {
		return "", err
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = faults.Sleep(short, &pb.SleepRequest{Ms: 60_000})
	if err := expect("code", status.Code(err), codes.DeadlineExceeded); err != nil {
		return "", err
	}
	after, err := sleepers(ctx, faults)
	return "the plugin noticed", errors.Join(err, expect("cancelled sleeps", after-before, 1))
}

func checkStorm(ctx context.Context, _ *host, s *session) (string, error) {
	_, _, faults, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	const calls = 1000
	var seen uint32
	for range 3 {
		cancelled, cancel := context.WithCancel(ctx)
		var group sync.WaitGroup
		for range calls {
			group.Go(func() { _, _ = faults.Sleep(cancelled, &pb.SleepRequest{Ms: 60_000}) })
		}
		err := eventually(ctx, "all of them sleep", func() bool {
			now, err := faults.Sleepers(ctx, &pb.Nothing{})
			seen = max(seen, now.GetRunning())
			return err == nil && now.Running == calls
		})
		cancel()
		group.Wait()
		if err != nil {
			return "", fmt.Errorf("%w (at most %d did)", err, seen)
		}
		if _, err := sleepers(ctx, faults); err != nil {
			return "", err
		}
	}
	return "3 times 1000 calls cancelled at once", nil
}

// ---- broker

func (h *host) withoutBroker() error {
	if h.tls == "static" {
		return skip("a host with a TLSConfig of its own has no certificate to serve with")
	}
	return nil
}

func callBack(ctx context.Context, s *session) error {
	dispensed, err := dispenseGRPC(s, "broker")
	if err != nil {
		return err
	}
	id := dispensed.broker.NextId()
	go serveCounter(dispensed.broker, id, 100)
	total, err := pb.NewBrokerClient(dispensed.conn).CallBack(ctx, &pb.CallBackRequest{BrokerId: id, Times: 20})
	if err != nil {
		return err
	}
	return errors.Join(expect("sum", total.Sum, 120), expect("count", total.Count, 20))
}

func callOpened(ctx context.Context, s *session) error {
	dispensed, err := dispenseGRPC(s, "broker")
	if err != nil {
		return err
	}
	opened, err := pb.NewBrokerClient(dispensed.conn).Open(ctx, &pb.Number{Value: 1000})
	if err != nil {
		return err
	}
	conn, err := dispensed.broker.Dial(opened.BrokerId)
	if err != nil {
		return err
	}
	defer conn.Close()
	var total *pb.Total
	for range 20 {
		if total, err = pb.NewCounterClient(conn).Add(ctx, &pb.Number{Value: 2}); err != nil {
			return err
		}
	}
	return errors.Join(expect("sum", total.Sum, 1040), expect("count", total.Count, 20))
}

func checkBrokerToHost(ctx context.Context, h *host, s *session) (string, error) {
	if err := h.withoutBroker(); err != nil {
		return "", err
	}
	return "the plugin called a service of the host", callBack(ctx, s)
}

func checkBrokerToPlugin(ctx context.Context, h *host, s *session) (string, error) {
	if err := h.withoutBroker(); err != nil {
		return "", err
	}
	return "the host called a second service of the plugin", callOpened(ctx, s)
}

func checkBrokerMixed(ctx context.Context, h *host, s *session) (string, error) {
	if err := h.withoutBroker(); err != nil {
		return "", err
	}
	for i := range 20 {
		run := callBack
		if i%2 == 1 {
			run = callOpened
		}
		if err := run(ctx, s); err != nil {
			return "", fmt.Errorf("number %d: %w", i, err)
		}
	}
	return "20 services, to and fro", nil
}

// checkBrokerUnknown has the plugin dial an id that nobody serves: that call fails, and the broker goes on.
func checkBrokerUnknown(ctx context.Context, h *host, s *session) (string, error) {
	if err := h.withoutBroker(); err != nil {
		return "", err
	}
	dispensed, err := dispenseGRPC(s, "broker")
	if err != nil {
		return "", err
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, 12*time.Second)
	defer cancel()
	_, err = pb.NewBrokerClient(dispensed.conn).CallBack(bounded, &pb.CallBackRequest{BrokerId: 4_000_000_000, Times: 1})
	if err == nil {
		return "", errors.New("the call came back")
	}
	took := time.Since(began)
	if err := callBack(ctx, s); err != nil {
		return "", fmt.Errorf("the broker is lost after it: %w", err)
	}
	return fmt.Sprintf("failed after %.1f s: %s", took.Seconds(), status.Convert(err).Message()), nil
}

// checkSecondHost attaches a second host to the plugin of the first, as programs do that survive a restart.
func checkSecondHost(ctx context.Context, h *host, s *session) (string, error) {
	if h.mux || h.tls != "none" || h.attach != "" {
		return "", skip("go-plugin attaches only without TLS and multiplexing")
	}
	facts := s.client.ReattachConfig()
	second := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: grpcKinds(), Reattach: facts, AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(),
	})
	protocol, err := second.Client()
	if err != nil {
		return "", err
	}
	dispensed, err := protocol.Dispense("kv")
	if err != nil {
		return "", err
	}
	conn := dispensed.(*grpcRemote).conn
	defer conn.Close()
	kv, _, _, err := clientsOf(s)
	if err != nil {
		return "", err
	}
	if _, err := pb.NewKeyValueClient(conn).Put(ctx, &pb.Entry{Key: "of the second host"}); err != nil {
		return "", err
	}
	_, err = kv.Get(ctx, &pb.Key{Key: "of the second host"})
	return "both see the same process", err
}

// ---- faults as a remote

type grpcFaults struct{ pb.FaultsClient }

func (f grpcFaults) print(ctx context.Context, stdout, stderr, raw string) error {
	_, err := f.Print(ctx, &pb.PrintRequest{Stdout: stdout, Stderr: stderr, Raw: raw})
	return err
}

func (f grpcFaults) log(ctx context.Context, level, message string, fields map[string]string) error {
	_, err := f.Log(ctx, &pb.LogRequest{Level: level, Message: message, Fields: fields})
	return err
}

func (f grpcFaults) panic(ctx context.Context, text string) error {
	_, err := f.Panic(ctx, &pb.Message{Text: text})
	return err
}

func (f grpcFaults) exit(ctx context.Context, code int) error {
	_, err := f.Exit(ctx, &pb.ExitRequest{Code: int32(code)})
	return err
}

func (f grpcFaults) about(ctx context.Context) (AboutReply, error) {
	about, err := f.About(ctx, &pb.Nothing{})
	return AboutReply{about.GetLanguage(), int(about.GetPid()), int(about.GetVersion()), about.GetPluginEnvironment()}, err
}
