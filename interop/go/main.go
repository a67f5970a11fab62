// Command peer is the other side of plugwire's interop tests: a host and a plugin built with the real go-plugin.
//
//	peer plugin-grpc | plugin-netrpc | plugin [--test] [--tls]    a plugin; `plugin` offers both protocols in two versions
//	peer host-grpc | host-netrpc [flags] <plugin command…>       runs named checks against any plugin of the same contract
//	peer certificate <directory>                                  writes cert.pem and key.pem for `plugin --tls`
//
// What the two sides say to each other: ../proto/peer.proto, and netrpc_plugin.go for net/rpc.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		arguments := os.Args[2:]
		switch os.Args[1] {
		case "plugin-grpc":
			servePlugin(arguments, offered{versionGRPC: true})
			return
		case "plugin-netrpc":
			servePlugin(arguments, offered{versionNetRPC: true})
			return
		case "plugin":
			servePlugin(arguments, offered{versionGRPC: true, versionNetRPC: true})
			return
		case "certificate":
			if len(arguments) == 1 {
				makeCertificate(arguments[0])
				return
			}
		case "host-grpc":
			os.Exit(runHost(arguments, versionGRPC, grpcChecks))
		case "host-netrpc":
			os.Exit(runHost(arguments, versionNetRPC, netrpcChecks))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: peer plugin-grpc|plugin-netrpc|plugin [--test] [--tls], peer host-grpc|host-netrpc [flags] <plugin command…>")
	os.Exit(2)
}
