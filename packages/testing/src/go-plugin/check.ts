// What a check of a go-plugin plugin is, and what it gets to look with.

import type { Command } from 'plugwire/host'
import type { GoLaunchOptions, GoPeer } from './go-peer.ts'
import type { RawGrpc } from './raw-grpc.ts'

/** One thing that hosts of go-plugin rely on. */
export interface GoCheck {
  /** Group and name, e.g. `launch.line`. Never changes once released. */
  readonly id: string
  /** What is demanded, as a sentence about the plugin. */
  readonly demands: string
  /** What a Go host, or its user, sees when it is not so. */
  readonly otherwise: string
  /** Only for plugins of that protocol. */
  readonly protocol?: 'grpc' | 'netrpc'
  /** Resolves to what was seen; throws `Unmet` or `GoPeerError` when it is not as demanded, `Unseen` when that cannot be judged. */
  readonly look: (subject: GoSubject) => Promise<string>
}

/** The plugin under test. */
export interface GoSubject {
  readonly command: string | URL | Command
  readonly cookie: { readonly key: string; readonly value: string }
  readonly env: Readonly<Record<string, string>>
  readonly deadlineMs: number
  /** The contract version that it chose when all were offered. */
  readonly version: number
  readonly versions: readonly number[]
  readonly protocol: string
  /** A name that can be dispensed over net/rpc; undefined: nobody told. */
  readonly kind: string | undefined
  /** Launches it; it is ended after the check. */
  readonly launch: (more?: Partial<GoLaunchOptions>) => Promise<GoPeer>
  /** Launches it and opens its main gRPC connection. */
  readonly grpc: (more?: Partial<GoLaunchOptions>) => Promise<{ readonly peer: GoPeer; readonly grpc: RawGrpc }>
}
