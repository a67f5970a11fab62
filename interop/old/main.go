// Command old-peer plays both roles with an old go-plugin, for what still works with the plugins and hosts that were never rebuilt:
// key-value, broker, stdio and the end of a plugin, over gRPC (version 3) and net/rpc (version 2). The contract is that of ../go.
//
//	old-peer plugin
//	old-peer host-grpc|host-netrpc [--mtls] <plugin command…>
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"plugwire.dev/interop/pb"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  2,
	MagicCookieKey:   "PLUGWIRE_INTEROP",
	MagicCookieValue: "a peer that speaks the contract of the interop tests",
}

func sets() map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{
		2: {
			"kv":     &netrpcKind{func(*plugin.MuxBroker) interface{} { return &KV{entries: map[string]Entry{}} }},
			"broker": &netrpcKind{func(b *plugin.MuxBroker) interface{} { return &Brokered{b} }},
			"faults": &netrpcKind{func(*plugin.MuxBroker) interface{} { return &Faults{} }},
		},
		3: {
			"kv": &grpcKind{register: func(s *grpc.Server, _ *plugin.GRPCBroker) {
				pb.RegisterKeyValueServer(s, &keyValue{entries: map[string]*pb.Entry{}})
			}},
			"broker": &grpcKind{register: func(s *grpc.Server, b *plugin.GRPCBroker) { pb.RegisterBrokerServer(s, brokerService{b}) }},
			"faults": &grpcKind{register: func(s *grpc.Server, _ *plugin.GRPCBroker) { pb.RegisterFaultsServer(s, faults{}) }},
		},
	}
}

func main() {
	role, rest := "", []string{}
	if len(os.Args) > 1 {
		role, rest = os.Args[1], os.Args[2:]
	}
	mtls := len(rest) > 0 && rest[0] == "--mtls"
	if mtls {
		rest = rest[1:]
	}
	switch {
	case role == "plugin":
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig: handshake, VersionedPlugins: sets(), GRPCServer: plugin.DefaultGRPCServer,
			Logger: hclog.New(&hclog.LoggerOptions{Name: "old-peer", Level: hclog.Trace, Output: os.Stderr, JSONFormat: true}),
		})
	case role == "host-grpc" && len(rest) > 0:
		os.Exit(host(3, mtls, rest))
	case role == "host-netrpc" && len(rest) > 0:
		os.Exit(host(2, mtls, rest))
	default:
		fmt.Fprintln(os.Stderr, "usage: old-peer plugin, old-peer host-grpc|host-netrpc [--mtls] <plugin command…>")
		os.Exit(2)
	}
}

// ---- kinds

type grpcKind struct {
	plugin.NetRPCUnsupportedPlugin
	register func(*grpc.Server, *plugin.GRPCBroker)
}

type grpcRemote struct {
	conn   *grpc.ClientConn
	broker *plugin.GRPCBroker
}

func (k *grpcKind) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	k.register(server, broker)
	return nil
}

func (k *grpcKind) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (interface{}, error) {
	return &grpcRemote{conn, broker}, nil
}

type netrpcKind struct {
	instance func(*plugin.MuxBroker) interface{}
}

type netrpcRemote struct {
	*rpc.Client
	broker *plugin.MuxBroker
}

func (k *netrpcKind) Server(broker *plugin.MuxBroker) (interface{}, error) {
	return k.instance(broker), nil
}

func (k *netrpcKind) Client(broker *plugin.MuxBroker, client *rpc.Client) (interface{}, error) {
	return &netrpcRemote{client, broker}, nil
}

// ---- the plugin over gRPC

type keyValue struct {
	mutex   sync.Mutex
	entries map[string]*pb.Entry
}

func (k *keyValue) Get(_ context.Context, key *pb.Key) (*pb.Entry, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if entry := k.entries[key.Key]; entry != nil {
		return entry, nil
	}
	return nil, status.Error(codes.NotFound, "no such key: "+key.Key)
}

func (k *keyValue) Put(_ context.Context, entry *pb.Entry) (*pb.Entry, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	stored := &pb.Entry{Key: entry.Key, Value: entry.Value, Tags: entry.Tags, Revision: k.entries[entry.Key].GetRevision() + 1}
	k.entries[entry.Key] = stored
	return stored, nil
}

func (k *keyValue) Delete(_ context.Context, key *pb.Key) (*pb.Deleted, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	_, existed := k.entries[key.Key]
	delete(k.entries, key.Key)
	return &pb.Deleted{Existed: existed}, nil
}

type brokerService struct{ broker *plugin.GRPCBroker }

func (b brokerService) CallBack(ctx context.Context, request *pb.CallBackRequest) (*pb.Total, error) {
	conn, err := b.broker.Dial(request.BrokerId)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	total := &pb.Total{}
	for i := uint32(0); i < request.Times; i++ {
		if total, err = pb.NewCounterClient(conn).Add(ctx, &pb.Number{Value: 1}); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func (b brokerService) Open(_ context.Context, start *pb.Number) (*pb.BrokerId, error) {
	id := b.broker.NextId()
	go serveCounter(b.broker, id, start.Value)
	return &pb.BrokerId{BrokerId: id}, nil
}

type counter struct {
	mutex      sync.Mutex
	sum, count int64
}

func (c *counter) Add(_ context.Context, number *pb.Number) (*pb.Total, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.sum += number.Value
	c.count++
	return &pb.Total{Sum: c.sum, Count: c.count}, nil
}

func serveCounter(broker *plugin.GRPCBroker, id uint32, start int64) {
	broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := plugin.DefaultGRPCServer(options)
		pb.RegisterCounterServer(server, &counter{sum: start})
		return server
	})
}

// faults has Print alone; a call of another method ends the process.
type faults struct{ pb.FaultsServer }

func (faults) Print(_ context.Context, request *pb.PrintRequest) (*pb.Nothing, error) {
	fmt.Fprint(os.Stdout, request.Stdout)
	fmt.Fprint(os.Stderr, request.Stderr)
	return &pb.Nothing{}, nil
}

// ---- the plugin over net/rpc; the types are those of ../go/netrpc_plugin.go

type Entry struct {
	Key      string
	Value    []byte
	Tags     map[string]string
	Revision uint64
}

type CallBackArgs struct {
	Id    uint32
	Times int
}

type PrintArgs struct{ Stdout, Stderr, Raw string }

type None struct{}

type KV struct {
	mutex   sync.Mutex
	entries map[string]Entry
}

func (k *KV) Put(entry Entry, stored *Entry) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	entry.Revision = k.entries[entry.Key].Revision + 1
	k.entries[entry.Key], *stored = entry, entry
	return nil
}

func (k *KV) Get(key string, entry *Entry) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	found, ok := k.entries[key]
	if !ok {
		return errors.New("no such key: " + key)
	}
	*entry = found
	return nil
}

func (k *KV) All(prefix string, found *map[string]Entry) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for key, entry := range k.entries {
		if strings.HasPrefix(key, prefix) {
			(*found)[key] = entry
		}
	}
	return nil
}

func (k *KV) Delete(key string, existed *bool) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	_, *existed = k.entries[key]
	delete(k.entries, key)
	return nil
}

type Counter struct{ sum int64 }

func (c *Counter) Add(value int64, sum *int64) error {
	c.sum += value
	*sum = c.sum
	return nil
}

type Brokered struct{ broker *plugin.MuxBroker }

func (b *Brokered) CallBack(args CallBackArgs, sum *int64) error {
	stream, err := b.broker.Dial(args.Id)
	if err != nil {
		return err
	}
	client := rpc.NewClient(stream)
	defer client.Close()
	for i := 0; i < args.Times; i++ {
		if err := client.Call("Plugin.Add", int64(1), sum); err != nil {
			return err
		}
	}
	return nil
}

func (b *Brokered) Open(start int64, id *uint32) error {
	*id = b.broker.NextId()
	go b.broker.AcceptAndServe(*id, &Counter{sum: start})
	return nil
}

type Faults struct{}

func (*Faults) Print(args PrintArgs, _ *None) error {
	fmt.Fprint(os.Stdout, args.Stdout)
	fmt.Fprint(os.Stderr, args.Stderr)
	return nil
}

// ---- the host

type output struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.bytes.Write(p)
}

func (o *output) has(text string) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return strings.Contains(o.bytes.String(), text)
}

type verdict struct {
	Check  string `json:"check"`
	Ok     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Ms     int64  `json:"ms"`
}

func host(version int, mtls bool, command []string) int {
	var stdout, stderr output
	cmd := exec.Command(command[0], command[1:]...)
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: handshake, VersionedPlugins: map[int]plugin.PluginSet{version: sets()[version]}, Cmd: cmd, AutoMTLS: mtls,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC, plugin.ProtocolGRPC}, SyncStdout: &stdout, SyncStderr: &stderr,
		Logger: hclog.NewNullLogger(),
	})
	defer client.Kill()
	passed, failed := 0, 0
	judge := func(name string, run func() error) {
		began, done := time.Now(), make(chan error, 1)
		go func() { done <- run() }()
		var err error
		select {
		case err = <-done:
		case <-time.After(20 * time.Second):
			err = errors.New("did not end")
		}
		line := verdict{Check: name, Ok: err == nil, Ms: time.Since(began).Milliseconds()}
		if err == nil {
			passed++
		} else {
			failed++
			line.Detail = err.Error()
		}
		json.NewEncoder(os.Stdout).Encode(line)
	}
	var protocol plugin.ClientProtocol
	judge("launch", func() (err error) {
		protocol, err = client.Client()
		return err
	})
	if protocol != nil {
		remoteOf := func(kind string) (interface{}, error) { return protocol.Dispense(kind) }
		checks := grpcChecks
		if version == 2 {
			checks = netrpcChecks
		}
		judge("ping", protocol.Ping)
		judge("kv", func() error { return checks.kv(remoteOf) })
		judge("broker-to-host", func() error { return checks.toHost(remoteOf) })
		judge("broker-to-plugin", func() error { return checks.toPlugin(remoteOf) })
		judge("stdio", func() error {
			if err := checks.print(remoteOf, "to stdout\n", "to stderr\n"); err != nil {
				return err
			}
			for i := 0; i < 400; i++ {
				if stdout.has("to stdout\n") && stderr.has("to stderr\n") {
					return nil
				}
				time.Sleep(5 * time.Millisecond)
			}
			return errors.New("the texts never arrived")
		})
		judge("kill", func() error {
			began := time.Now()
			client.Kill()
			if took := time.Since(began); took > 2*time.Second {
				return fmt.Errorf("took %v", took)
			}
			return nil
		})
	}
	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"summary": true, "passed": passed, "failed": failed, "skipped": 0})
	if failed > 0 {
		return 1
	}
	return 0
}

type dispense func(kind string) (interface{}, error)

type checks struct {
	kv, toHost, toPlugin func(dispense) error
	print                func(remoteOf dispense, stdout, stderr string) error
}

var grpcChecks = checks{
	kv: func(remoteOf dispense) error {
		remote, err := remoteOf("kv")
		if err != nil {
			return err
		}
		kv := pb.NewKeyValueClient(remote.(*grpcRemote).conn)
		if _, err := kv.Put(context.Background(), &pb.Entry{Key: "k", Value: []byte("v")}); err != nil {
			return err
		}
		got, err := kv.Get(context.Background(), &pb.Key{Key: "k"})
		if err == nil && string(got.Value) != "v" {
			err = fmt.Errorf("got %v", got)
		}
		if err != nil {
			return err
		}
		if _, err = kv.Get(context.Background(), &pb.Key{Key: "absent"}); status.Code(err) != codes.NotFound {
			return fmt.Errorf("an absent key gives %v", err)
		}
		return nil
	},
	toHost: func(remoteOf dispense) error {
		got, err := remoteOf("broker")
		if err != nil {
			return err
		}
		remote := got.(*grpcRemote)
		id := remote.broker.NextId()
		go serveCounter(remote.broker, id, 100)
		total, err := pb.NewBrokerClient(remote.conn).CallBack(context.Background(), &pb.CallBackRequest{BrokerId: id, Times: 20})
		if err == nil && total.Sum != 120 {
			err = fmt.Errorf("sum is %d", total.Sum)
		}
		return err
	},
	toPlugin: func(remoteOf dispense) error {
		got, err := remoteOf("broker")
		if err != nil {
			return err
		}
		remote := got.(*grpcRemote)
		opened, err := pb.NewBrokerClient(remote.conn).Open(context.Background(), &pb.Number{Value: 1000})
		if err != nil {
			return err
		}
		conn, err := remote.broker.Dial(opened.BrokerId)
		if err != nil {
			return err
		}
		defer conn.Close()
		total, err := pb.NewCounterClient(conn).Add(context.Background(), &pb.Number{Value: 2})
		if err == nil && total.Sum != 1002 {
			err = fmt.Errorf("sum is %d", total.Sum)
		}
		return err
	},
	print: func(remoteOf dispense, stdout, stderr string) error {
		remote, err := remoteOf("faults")
		if err != nil {
			return err
		}
		request := &pb.PrintRequest{Stdout: stdout, Stderr: stderr}
		_, err = pb.NewFaultsClient(remote.(*grpcRemote).conn).Print(context.Background(), request)
		return err
	},
}

var netrpcChecks = checks{
	kv: func(remoteOf dispense) error {
		got, err := remoteOf("kv")
		if err != nil {
			return err
		}
		kv := got.(*netrpcRemote)
		var entry Entry
		if err := kv.Call("Plugin.Put", Entry{Key: "k", Value: []byte("v")}, &Entry{}); err != nil {
			return err
		}
		if err := kv.Call("Plugin.Get", "k", &entry); err != nil {
			return err
		}
		if err := kv.Call("Plugin.Get", "absent", &Entry{}); err == nil || err.Error() != "no such key: absent" {
			return fmt.Errorf("an absent key gives %v", err)
		}
		if string(entry.Value) != "v" || entry.Revision != 1 {
			return fmt.Errorf("got %v", entry)
		}
		return nil
	},
	toHost: func(remoteOf dispense) error {
		got, err := remoteOf("broker")
		if err != nil {
			return err
		}
		remote := got.(*netrpcRemote)
		id := remote.broker.NextId()
		go remote.broker.AcceptAndServe(id, &Counter{sum: 100})
		var sum int64
		err = remote.Call("Plugin.CallBack", CallBackArgs{id, 20}, &sum)
		if err == nil && sum != 120 {
			err = fmt.Errorf("sum is %d", sum)
		}
		return err
	},
	toPlugin: func(remoteOf dispense) error {
		got, err := remoteOf("broker")
		if err != nil {
			return err
		}
		remote := got.(*netrpcRemote)
		var id uint32
		if err := remote.Call("Plugin.Open", int64(1000), &id); err != nil {
			return err
		}
		stream, err := remote.broker.Dial(id)
		if err != nil {
			return err
		}
		client := rpc.NewClient(stream)
		defer client.Close()
		var sum int64
		err = client.Call("Plugin.Add", int64(2), &sum)
		if err == nil && sum != 1002 {
			err = fmt.Errorf("sum is %d", sum)
		}
		return err
	},
	print: func(remoteOf dispense, stdout, stderr string) error {
		remote, err := remoteOf("faults")
		if err != nil {
			return err
		}
		return remote.(*netrpcRemote).Call("Plugin.Print", PrintArgs{Stdout: stdout, Stderr: stderr}, &None{})
	},
}
