// The public `@plugwire/trust` entry. Names are listed one by one.

export {}
