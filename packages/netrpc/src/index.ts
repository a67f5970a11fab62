// The public `@plugwire/netrpc` entry. Names are listed one by one.

export {}
