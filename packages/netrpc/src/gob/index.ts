// The public `@plugwire/netrpc/gob` entry: Go's encoding, usable alone. Names are listed one by one.

export {}
