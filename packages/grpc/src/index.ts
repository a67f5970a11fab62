// The public `@plugwire/grpc` entry. Names are listed one by one.

export {}
