package main

import (
	"context"
	"net/rpc"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Version 2 of the contract speaks net/rpc, version 3 speaks gRPC, so that one plugin may offer both.
const (
	versionNetRPC = 2
	versionGRPC   = 3
)

var handshake = plugin.HandshakeConfig{
	MagicCookieKey:   "PLUGWIRE_INTEROP",
	MagicCookieValue: "a peer that speaks the contract of the interop tests",
}

// Environment variables by which a host asks a peer for something.
const (
	// lingerVariable makes a plugin stay for so many milliseconds after it stopped serving.
	lingerVariable = "PEER_LINGER_MS"
	// tlsVariable names the directory of cert.pem and key.pem for `plugin --tls`.
	tlsVariable = "PEER_TLS"
)

// sets are the kinds by version, for either side. Only a plugin looks at the faults' state.
func sets() map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{versionNetRPC: netrpcKinds(), versionGRPC: grpcKinds()}
}

// grpcKind is a kind of the gRPC protocol: what the plugin registers, and what the host gets when it dispenses.
type grpcKind struct {
	plugin.NetRPCUnsupportedPlugin
	register func(*grpc.Server, *plugin.GRPCBroker)
}

// grpcRemote is what a host dispenses over gRPC.
type grpcRemote struct {
	conn   *grpc.ClientConn
	broker *plugin.GRPCBroker
}

func (k *grpcKind) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	k.register(server, broker)
	return nil
}

func (k *grpcKind) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &grpcRemote{conn, broker}, nil
}

// netrpcKind is a kind of the net/rpc protocol; each dispense makes an instance.
type netrpcKind struct {
	instance func(*plugin.MuxBroker) any
}

// netrpcRemote is what a host dispenses over net/rpc.
type netrpcRemote struct {
	*rpc.Client
	broker *plugin.MuxBroker
}

func (k *netrpcKind) Server(broker *plugin.MuxBroker) (any, error) { return k.instance(broker), nil }

func (k *netrpcKind) Client(broker *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return &netrpcRemote{client, broker}, nil
}
