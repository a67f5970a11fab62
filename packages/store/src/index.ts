// The public `@plugwire/store` entry. Names are listed one by one.

export {}
