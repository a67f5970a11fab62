package main

import (
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"plugwire.dev/interop/pb"
)

func grpcKinds() plugin.PluginSet {
	return plugin.PluginSet{
		"kv": &grpcKind{register: func(server *grpc.Server, _ *plugin.GRPCBroker) {
			pb.RegisterKeyValueServer(server, &keyValue{entries: map[string]*pb.Entry{}})
		}},
		"streams": &grpcKind{register: func(server *grpc.Server, _ *plugin.GRPCBroker) {
			pb.RegisterStreamsServer(server, streams{})
		}},
		"broker": &grpcKind{register: func(server *grpc.Server, broker *plugin.GRPCBroker) {
			pb.RegisterBrokerServer(server, brokerService{broker})
		}},
		"faults": &grpcKind{register: func(server *grpc.Server, _ *plugin.GRPCBroker) {
			served.Store(versionGRPC)
			pb.RegisterFaultsServer(server, &faults{})
		}},
	}
}

// ---- kv

type keyValue struct {
	mutex   sync.Mutex
	entries map[string]*pb.Entry
}

func (k *keyValue) Get(ctx context.Context, key *pb.Key) (*pb.Entry, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if entry := k.entries[key.Key]; entry != nil {
		return entry, nil
	}
	_ = grpc.SetTrailer(ctx, metadata.Pairs("peer-key-bin", key.Key))
	missing, err := status.New(codes.NotFound, "no such key: "+key.Key).WithDetails(&pb.NotFound{Key: key.Key})
	if err != nil {
		return nil, err
	}
	return nil, missing.Err()
}

func (k *keyValue) Put(ctx context.Context, entry *pb.Entry) (*pb.Entry, error) {
	if given, _ := metadata.FromIncomingContext(ctx); len(given.Get("peer-note")) > 0 {
		note := given.Get("peer-note")[0]
		_ = grpc.SetHeader(ctx, metadata.Pairs("peer-note", note))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("peer-note-end", note))
	}
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

// ---- streams

type streams struct{}

func payload(index, size uint32) []byte {
	bytes := make([]byte, size)
	for i := range bytes {
		bytes[i] = byte(index + uint32(i))
	}
	return bytes
}

func (streams) Down(request *pb.DownRequest, stream pb.Streams_DownServer) error {
	for index := range request.Count {
		if err := stream.Send(&pb.Item{Index: index, Payload: payload(index, request.Size)}); err != nil {
			return err
		}
	}
	return nil
}

func (streams) Sum(stream pb.Streams_SumServer) error {
	total := &pb.Total{}
	for {
		number, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(total)
		}
		if err != nil {
			return err
		}
		total.Sum += number.Value
		total.Count++
	}
}

func (streams) Echo(stream pb.Streams_EchoServer) error {
	for {
		item, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(item); err != nil {
			return err
		}
	}
}

// ---- broker

type brokerService struct{ broker *plugin.GRPCBroker }

func (b brokerService) CallBack(ctx context.Context, request *pb.CallBackRequest) (*pb.Total, error) {
	conn, err := b.broker.Dial(request.BrokerId)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	defer conn.Close()
	counter, total := pb.NewCounterClient(conn), &pb.Total{}
	for range request.Times {
		if total, err = counter.Add(ctx, &pb.Number{Value: 1}); err != nil {
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

// counter is served by either side behind a broker id.
type counter struct{ sum, count atomic.Int64 }

func (c *counter) Add(_ context.Context, number *pb.Number) (*pb.Total, error) {
	return &pb.Total{Sum: c.sum.Add(number.Value), Count: c.count.Add(1)}, nil
}

// serveCounter returns when the broker closes.
func serveCounter(broker *plugin.GRPCBroker, id uint32, start int64) {
	broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := newGRPCServer(options)
		service := &counter{}
		service.sum.Store(start)
		pb.RegisterCounterServer(server, service)
		return server
	})
}

// ---- faults

type faults struct{ running, cancelled atomic.Int32 }

func (*faults) Big(_ context.Context, blob *pb.Blob) (*pb.Blob, error) { return blob, nil }

func (f *faults) Sleep(ctx context.Context, request *pb.SleepRequest) (*pb.Nothing, error) {
	f.running.Add(1)
	defer f.running.Add(-1)
	select {
	case <-time.After(time.Duration(request.Ms) * time.Millisecond):
		return &pb.Nothing{}, nil
	case <-ctx.Done():
		f.cancelled.Add(1)
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (f *faults) Sleepers(context.Context, *pb.Nothing) (*pb.SleepersReply, error) {
	return &pb.SleepersReply{Running: uint32(f.running.Load()), Cancelled: uint32(f.cancelled.Load())}, nil
}

func (*faults) Print(_ context.Context, request *pb.PrintRequest) (*pb.Nothing, error) {
	write(request.Stdout, request.Stderr, request.Raw)
	return &pb.Nothing{}, nil
}

func (*faults) Log(_ context.Context, request *pb.LogRequest) (*pb.Nothing, error) {
	logAt(request.Level, request.Message, request.Fields)
	return &pb.Nothing{}, nil
}

func (*faults) Panic(_ context.Context, message *pb.Message) (*pb.Nothing, error) {
	crash(message.Text)
	return &pb.Nothing{}, nil
}

func (*faults) Exit(_ context.Context, request *pb.ExitRequest) (*pb.Nothing, error) {
	os.Exit(int(request.Code))
	return &pb.Nothing{}, nil
}

func (*faults) About(context.Context, *pb.Nothing) (*pb.AboutReply, error) {
	return &pb.AboutReply{
		Language: "go", Pid: int64(os.Getpid()), Version: uint32(served.Load()), PluginEnvironment: pluginEnvironment(),
	}, nil
}
