// What a check is, and what it gets to look at a plugin with.

import type { Command } from 'plugwire/host'
import type { LaunchedPeer, PeerLaunchOptions, PeerWire } from './launched-peer.ts'
import type { RawPeer } from './raw-peer.ts'

/** One demand of docs/protocol.md. */
export interface Check {
  /** Group and name, e.g. `session.ping`. Never changes once released. */
  readonly id: string
  /** Heading of the page under which the demand stands. */
  readonly section: string
  /** What is demanded, as a sentence about the plugin. */
  readonly demands: string
  /**
   * Looks. Resolves to what was seen, when it is as demanded; throws otherwise.
   *
   * @throws Unmet, PeerError or ValueFault when the demand is not met; Unseen when it cannot be judged.
   */
  readonly look: (subject: Subject) => Promise<string>
}

/** The demand is not met; the message says what was seen. */
export class Unmet extends Error {}

/** It cannot be seen here; the message says why. */
export class Unseen extends Error {}

/** Fails a check unless something holds. */
export function demand(holds: boolean, seen: () => string): asserts holds {
  if (!holds) throw new Unmet(seen())
}

/** The plugin under test. */
export interface Subject {
  readonly command: string | URL | Command
  readonly cookie: { readonly key: string; readonly value: string }
  readonly env: Readonly<Record<string, string>>
  readonly wire: PeerWire
  readonly deadlineMs: number
  /** Contract versions that it serves, in ascending order. */
  readonly versions: readonly number[]
  readonly environmentMethod: string | undefined
  /** Launches it; it is ended after the check, if it has not ended by then. The call stream is not open yet. */
  readonly launch: (options?: Partial<PeerLaunchOptions>) => Promise<LaunchedPeer>
  /** Launches it and opens the call stream. */
  readonly connect: (options?: Partial<PeerLaunchOptions>) => Promise<LaunchedPeer>
  /** Dispenses the kind under test. @throws Unseen when there is none that could be dispensed. */
  readonly dispense: (peer: RawPeer) => Promise<Instance>
}

/** An object that the plugin has sent. */
export interface Instance {
  readonly kind: string
  readonly reference: number
  readonly name: string
  readonly methods: readonly string[]
}

/** The methods of the plugin's root. */
export const Root = { dispense: 0, describe: 1, close: 2 } as const
/** A method that no object has. */
export const NO_METHOD = 60_000
/** A kind that no contract has. */
export const NO_KIND = 'no such kind'

/** Resolves when the process has ended. @throws Unmet when it does not in time. */
export async function endOf(launched: LaunchedPeer, deadlineMs: number, after: string): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, deadlineMs, undefined)
  })
  const exit = await Promise.race([launched.exited, late])
  clearTimeout(timer)
  demand(exit !== undefined, () => `it still ran ${deadlineMs} ms after ${after}`)
  return exit.signal ?? `exit code ${exit.exitCode}`
}
