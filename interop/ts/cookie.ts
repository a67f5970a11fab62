// What shows a peer that a peer started it; the same as `handshake` in go/contract.go.

import type { Cookie } from 'plugwire'

export const cookie: Cookie = { key: 'PLUGWIRE_INTEROP', value: 'a peer that speaks the contract of the interop tests' }
